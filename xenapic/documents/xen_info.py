"""``xenapic/info``: Xen's version, and the host's processors and memory."""

from __future__ import annotations

from typing import ClassVar

from xenapic.frozen import dataclass
from xenapic.model.info import PhysInfo, Version

__all__ = ["InfoReport", "VersionEntry"]


@dataclass(frozen=True, slots=True)
class VersionEntry:
    """The version of Xen."""

    major: int
    minor: int
    extra: str
    """The extra version, e.g. ".7" or ".0-rc3"."""
    capabilities: tuple[str, ...]
    """Guest types that Xen can run, e.g. "hvm-3.0-x86_64"."""
    changeset: str
    commandline: str
    """Xen's boot options; Xen cuts them after 1023 bytes."""
    release: str
    """Major and minor number, e.g. "4.17"."""
    as_release: str = ""
    """The known release that stands for one that is not known; empty for a known one."""

    @classmethod
    def of(cls, version: Version) -> VersionEntry:
        """Return the entry of a version."""
        return cls(
            version.major,
            version.minor,
            version.extra,
            version.capabilities,
            version.changeset,
            version.commandline,
            version.release,
            version.as_release,
        )

    def value(self) -> Version:
        """Return the version."""
        return Version(
            self.major,
            self.minor,
            self.extra,
            self.capabilities,
            self.changeset,
            self.commandline,
            self.as_release,
        )


@dataclass(frozen=True, slots=True)
class InfoReport:
    """The version of Xen, and the host's processors and memory (in pages of 4 KiB, frequency in kHz)."""

    SCHEMA: ClassVar[str] = "xenapic/info/1"

    version: VersionEntry
    physinfo: PhysInfo

    @classmethod
    def of(cls, version: Version, physinfo: PhysInfo) -> InfoReport:
        """Return the report of a host."""
        return cls(VersionEntry.of(version), physinfo)

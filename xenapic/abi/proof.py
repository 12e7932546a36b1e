"""A proof that a libxenctrl of an unknown release has a known layout, and where it is looked for."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from xenapic.abi.generations import RELEASES, Release, release
from xenapic.errors import LayoutUnproven
from xenapic.frozen import dataclass

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["ENVIRONMENT", "PLACE", "SCHEMA", "LayoutProof", "kept_proof", "library_sha256", "read_proof"]

SCHEMA = "xenapic/layout/1"
ENVIRONMENT = "XENAPIC_LAYOUT"
PLACE = "/etc/xenapic/layout.json"
LIMIT_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class LayoutProof:
    """One libxenctrl has the layout of a known release; proven from its own headers."""

    release: str
    """The release that the library is of, e.g. ``"4.23"``."""
    as_release: str
    """The known release whose layout it has, e.g. ``"4.22"``."""
    library: str
    """SHA-256 of the library; a library that was built again must be proven again."""

    def text(self) -> str:
        """Return the file that `read_proof` reads."""
        import json

        values = {"release": self.release, "as_release": self.as_release, "library": self.library}
        return json.dumps({"schema": SCHEMA, **values}) + "\n"

    def row(self, path: Path) -> Release:
        """Return the row to load the library with; raise `LayoutUnproven` if the proof is not of it."""
        known = release(self.as_release)
        if known is None:
            raise LayoutUnproven(
                f"the proof says that Xen {self.release} has the layout of Xen {self.as_release}, "
                f"which is unknown; "
                f"known are Xen {RELEASES[0]} to {RELEASES[-1]}"
            )
        if library_sha256(path) != self.library:
            raise LayoutUnproven(
                f"the proof is of another build of libxenctrl than {path}: prove it again (xenapic abi check)"
            )
        major, minor = self.release.split(".")
        return Release((int(major), int(minor)), known.generation)


def library_sha256(path: Path) -> str:
    """Return the checksum of a library; raise OSError."""
    import hashlib

    return hashlib.sha256(path.read_bytes()).hexdigest()


def kept_proof() -> LayoutProof | None:
    """Return the proof that ``$XENAPIC_LAYOUT`` names, else the one in /etc/xenapic, else None."""
    named = os.environ.get(ENVIRONMENT)
    if named:
        return read_proof(named)
    return read_proof(PLACE) if os.path.isfile(PLACE) else None


def read_proof(path: str | os.PathLike[str]) -> LayoutProof:
    """Read the document that ``xenapic abi check --save`` wrote; raise `LayoutUnproven`."""
    import json

    try:
        with open(path, "rb") as stream:
            data = json.loads(stream.read(LIMIT_BYTES))
    except (OSError, ValueError, RecursionError) as error:
        raise LayoutUnproven(f"the proof {os.fspath(path)} cannot be read: {error}") from None
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        raise LayoutUnproven(f"{os.fspath(path)} is not a document of the schema {SCHEMA}")
    fields = [data.get(name) for name in ("release", "as_release", "library")]
    if fields[1] is None:
        raise LayoutUnproven(f"{os.fspath(path)} proves nothing: no known release has that layout")
    if not all(isinstance(field, str) for field in fields) or not _is_release(str(fields[0])):
        raise LayoutUnproven(f"{os.fspath(path)} lacks release, as_release or library")
    return LayoutProof(*map(str, fields))


def _is_release(text: str) -> bool:
    parts = text.split(".")
    return len(parts) == 2 and all(part.isascii() and part.isdigit() and len(part) < 4 for part in parts)

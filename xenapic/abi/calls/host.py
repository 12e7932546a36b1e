"""Calls about the host: which Xen runs, what the machine has, CPU pools, debug keys."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import TYPE_CHECKING

from xenapic.abi.connection import Calls, Connection, bounded, text_of
from xenapic.errors import CallFailed

if TYPE_CHECKING:
    from xenapic._xenctrl.libxenctrl import PhysInfoStruct

__all__ = ["HostCalls"]

# xen/include/public/version.h
XENVER_version = 0
XENVER_extraversion = 1
XENVER_capabilities = 3
XENVER_changeset = 4
XENVER_commandline = 9


MOST_CPUMAP = 1 << 13
"""Bytes of a CPU map; Xen has at most 16,383 CPUs (``NR_CPUS``)."""


class HostCalls(Calls):
    """What Xen says about itself and the machine."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self.physinfo: Callable[[], PhysInfoStruct] = self._asking(
            "xc_physinfo", "ask what the host is", "struct xen_sysctl_physinfo *"
        )
        """Return ``struct xen_sysctl_physinfo``."""

    def version(self) -> tuple[int, int]:
        """Return Xen's major and minor version (``XENVER_version``)."""
        packed = self._call("xc_version", "ask Xen's version", XENVER_version, self._ffi.NULL)
        return packed >> 16, packed & 0xFFFF

    def extraversion(self) -> str:
        """Return what follows the version, e.g. ``".7"`` (``XENVER_extraversion``)."""
        return self._version_text(XENVER_extraversion, 16, "ask Xen's extra version")

    def capabilities(self) -> str:
        """Return the guest types that Xen can run, e.g. ``"xen-3.0-x86_64 hvm-3.0-x86_64"``."""
        return self._version_text(XENVER_capabilities, 1024, "ask Xen's capabilities")

    def changeset(self) -> str:
        """Return the changeset that Xen says it was built from; may be empty."""
        return self._version_text(XENVER_changeset, 64, "ask Xen's changeset")

    def commandline(self) -> str:
        """Return Xen's command line; Xen cuts it after 1023 bytes."""
        return self._version_text(XENVER_commandline, 1024, "ask Xen's command line")

    def pool_has_cpus(self, poolid: int) -> bool | None:
        """Return True if a CPU pool has any CPU; None if no pool has this number."""
        asked = "ask for CPU pool {}"
        answer = self._call("xc_get_cpumap_size", "ask for the size of a CPU map")
        size = bounded(answer, MOST_CPUMAP, "xc_get_cpumap_size")
        try:
            info = self._connection.call_for_pointer("xc_cpupool_getinfo", asked, poolid)
        except CallFailed as error:
            if error.errno in (errno.ENOENT, errno.ESRCH):
                return None
            raise
        try:
            if info.cpupool_id != poolid:  # Xen answers with the next pool when none has this number
                return None
            return any(info.cpumap[byte] for byte in range(size))
        finally:
            self._connection.call_for_nothing("xc_cpupool_infofree", info)

    def send_debug_keys(self, keys: str) -> None:
        """Press Xen's debug keys, one after the other."""
        shown = repr(keys).replace("{", "{{").replace("}", "}}")
        self._call("xc_send_debug_keys", f"send debug keys {shown}", keys.encode("ascii"))

    def _version_text(self, command: int, size: int, asked: str) -> str:
        buffer = self._ffi.new("char[]", size)
        self._call("xc_version", asked, command, buffer)
        return text_of(self._ffi, buffer)

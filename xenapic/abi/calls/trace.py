"""Calls that set up Xen's trace buffers; `xenapic.abi.tracebuffers` reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xenapic.abi.calls.host import MOST_CPUMAP
from xenapic.abi.connection import Calls, bounded

if TYPE_CHECKING:
    from xenapic._xenctrl.libxenctrl import TraceOpStruct

__all__ = ["TraceCalls"]

# xen/include/public/sysctl.h
XEN_SYSCTL_tbuf_op = 2
XEN_SYSCTL_TBUFOP_get_info = 0


class TraceCalls(Calls):
    """Xen's trace, of which the host has one."""

    def info(self) -> TraceOpStruct:
        """Return ``struct xen_sysctl_tbuf_op``: the event mask, and frame and bytes of the directory.

        Unlike ``xc_tbuf_enable``, this does not switch tracing on. The frame is 0 while there are no
        buffers. Raises `CallFailed` with ENOSYS for a Xen built without ``CONFIG_TRACEBUFFER``.
        """
        sysctl = self._ffi.new("struct xen_sysctl *", {"cmd": XEN_SYSCTL_tbuf_op})
        sysctl.u.tbuf_op.cmd = XEN_SYSCTL_TBUFOP_get_info
        self._call("xc_sysctl", "ask about Xen's trace buffers", sysctl)
        # A copy: a reference to the member would not keep the structure alive.
        info: TraceOpStruct = self._ffi.new("struct xen_sysctl_tbuf_op *", sysctl.u.tbuf_op)
        return info

    def allocate(self, pages: int) -> None:
        """Allocate buffers of ``pages`` pages for each CPU, until reboot, and switch tracing on."""
        self._call("xc_tbuf_set_size", "allocate {} pages of trace buffer for each CPU", pages)

    def enable(self, pages: int) -> None:
        """Switch tracing on; ``pages`` is the size that the buffers have."""
        out = self._ffi.new("unsigned long[2]")
        self._call("xc_tbuf_enable", "switch tracing on", pages, out, out + 1)

    def disable(self) -> None:
        """Switch tracing off. Xen forgets how many lost records it has not yet reported."""
        self._call("xc_tbuf_disable", "switch tracing off")

    def set_event_mask(self, mask: int) -> None:
        """Choose the classes and subclasses of events that are recorded."""
        self._call("xc_tbuf_set_evt_mask", "set Xen's trace event mask to {:#x}", mask)

    def trace_all_cpus(self) -> None:
        """Record on every CPU; Xen does not report which CPUs it recorded on before."""
        answer = self._call("xc_get_cpumap_size", "ask for the size of a CPU map")
        size = bounded(answer, MOST_CPUMAP, "xc_get_cpumap_size")
        mask = self._ffi.new("uint8_t[]", b"\xff" * max(size, 1))
        self._call("xc_tbuf_set_cpu_mask", "trace every CPU", mask)

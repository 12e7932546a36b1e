"""Calls about the saved state of HVM-type domains."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from xenapic.abi.connection import Calls, bounded

if TYPE_CHECKING:
    from xenapic._xenctrl.libxenctrl import HvmLapicStruct

__all__ = ["HvmCalls"]

DOMID_0 = 0
"""The domain that serves consoles: this one, because no other may create domains."""

HVM_SAVE_LAPIC = 5
"""``HVM_SAVE_CODE(LAPIC)`` (``xen/include/public/arch-x86/hvm/save.h``)."""


MOST_CONTEXT = 64 << 20
"""Bytes; the context of a domain with 128 vCPUs, the most for HVM types, needs less than a tenth."""


class HvmCalls(Calls):
    """The HVM context: records, each with a ``struct hvm_save_descriptor``."""

    def context(self, domid: int) -> bytes:
        """Return an HVM domain's saved state."""
        asked = "get the HVM context of domain {}"
        answer = self._call("xc_domain_hvm_getcontext", asked, domid, self._ffi.NULL, 0)
        size = bounded(answer, MOST_CONTEXT, "xc_domain_hvm_getcontext")
        buffer = self._ffi.new("uint8_t[]", size)
        used = self._call("xc_domain_hvm_getcontext", asked, domid, buffer, size)
        return bytes(self._ffi.buffer(buffer, bounded(used, size, "xc_domain_hvm_getcontext")))

    def set_context(self, domid: int, context: bytes) -> None:
        """Load an HVM domain's state."""
        buffer = self._ffi.new("uint8_t[]", context)
        asked = "set the HVM context of domain {}"
        self._call("xc_domain_hvm_setcontext", asked, domid, buffer, len(context))

    def lapic(self, domid: int, vcpu: int) -> HvmLapicStruct:
        """Return ``struct hvm_hw_lapic`` of one vCPU; Xen pauses only that vCPU meanwhile."""
        lapic: HvmLapicStruct = self._ffi.new("struct hvm_hw_lapic *")
        asked = "get the local APIC of vCPU {2} of domain {0}"
        size = self._ffi.sizeof("struct hvm_hw_lapic")
        self._call("xc_domain_hvm_getcontext_partial", asked, domid, HVM_SAVE_LAPIC, vcpu, lapic, size)
        return lapic

    def cpu_record(self, values: Mapping[str, int]) -> bytes:
        """Return the data of a CPU record: ``struct hvm_hw_cpu`` with these fields, all others 0."""
        return bytes(self._ffi.buffer(self._ffi.new("struct hvm_hw_cpu *", dict(values))))

    def lapic_record(self, values: Mapping[str, int]) -> bytes:
        """Return the data of a LAPIC record: ``struct hvm_hw_lapic`` with these fields, all others 0."""
        return bytes(self._ffi.buffer(self._ffi.new("struct hvm_hw_lapic *", dict(values))))

    def parameter(self, domid: int, number: int) -> int:
        """Return a parameter of an HVM-type domain (``HVM_PARAM_*``); 0 if it was never set."""
        value = self._ffi.new("uint64_t *")
        self._call("xc_hvm_param_get", "ask for HVM parameter {1} of domain {0}", domid, number, value)
        return int(value[0])

    def set_parameter(self, domid: int, number: int, value: int) -> None:
        """Set a parameter of an HVM-type domain (``HVM_PARAM_*``)."""
        self._call("xc_hvm_param_set", "set HVM parameter {1} of domain {0} to {2:#x}", domid, number, value)

    def offer_channel(self, domid: int) -> int:
        """Return a new event channel port of a domain, which domain 0 may bind to."""
        asked = "make an event channel of domain {}"
        return self._call("xc_evtchn_alloc_unbound", asked, domid, DOMID_0)

"""Numbers of Xen's trace: the events that are counted, and event masks.

Source: ``xen/include/public/trace.h``; the numbers are the same in 4.15 to 4.22.
"""

from __future__ import annotations

__all__ = [
    "BOOT_MASK",
    "EVENTS",
    "EVENT_BITS",
    "MARK",
    "NEEDED_MASK",
    "PROBE_MASK",
    "REASONS_MASK",
    "RUNNING",
    "TRC_64_FLAG",
    "TRC_HVM_NESTEDFLAG",
    "is_ours",
]

EVENT_BITS = 0x0FFFFFFF
TRC_64_FLAG, TRC_HVM_NESTEDFLAG = 0x100, 0x400

EVENTS = {
    "TRC_LOST_RECORDS": 0x0001F001,
    "TRC_TRACE_WRAP_BUFFER": 0x0001F002,
    "TRC_SCHED_RUNSTATE_CHANGE": 0x00021001,
    "TRC_SCHED_CONTINUE_RUNNING": 0x00021002,
    "TRC_HVM_VMENTRY": 0x00081001,
    "TRC_HVM_VMEXIT": 0x00081002,
    "TRC_HVM_SVM_EXIT": 0x00081003,
    "TRC_HVM_CR_READ": 0x00082008,
    "TRC_HVM_CR_WRITE": 0x00082009,
    "TRC_HVM_MSR_READ": 0x0008200C,
    "TRC_HVM_MSR_WRITE": 0x0008200D,
    "TRC_HVM_IOMEM_READ": 0x00082017,
    "TRC_HVM_CLTS": 0x00082018,
    "TRC_HVM_LMSW": 0x00082019,
    "TRC_HVM_NPF": 0x00082021,
    "TRC_HVM_VLAPIC": 0x00082025,
    "TRC_HVM_IOMEM_WRITE": 0x00082217,
}
"""The events that are read. 4.19 renamed ``VMEXIT`` to ``VMX_EXIT``, and added ``SVM_EXIT``."""

TRC_HVM_ENTRYEXIT, TRC_HVM_HANDLER, TRC_SCHED_MIN = 0x00081000, 0x00082000, 0x00021000
TRC_PV_ENTRY = 0x00201000

MARK = 0xA1C
"""Low bits of an event mask, which Xen ignores: they show that xenapic set the mask."""
NEEDED_MASK = TRC_HVM_ENTRYEXIT | TRC_HVM_HANDLER | TRC_SCHED_MIN | MARK
"""The events to record. Xen compares class and subclass separately, so it also records other scheduler
events."""
REASONS_MASK = TRC_HVM_ENTRYEXIT | TRC_SCHED_MIN | MARK
"""The events to record where an exit's reason is enough: a third as many."""
PROBE_MASK = TRC_PV_ENTRY | TRC_HVM_ENTRYEXIT | MARK
"""Makes Xen record every hypercall of dom0, PV or PVH; this shows whether tracing is on."""
BOOT_MASK = 0x0FFFF000
"""``TRC_ALL``: Xen's event mask after boot."""
MARK_BITS = 0xFFF


def is_ours(mask: int) -> bool:
    """Return True if xenapic set this event mask."""
    return mask & MARK_BITS == MARK


RUNNING = 0
"""``RUNSTATE_running`` (``xen/include/public/vcpu.h``)."""

"""Take Xen's trace buffers over, and put Xen's settings back.

Xen has one set of trace buffers and one event mask for the whole host. xenapic takes them only if no other
program uses them, and restores the settings. Two things cannot be restored: buffers, once allocated, stay
until reboot; and Xen does not report which CPUs were traced, so all CPUs are (as after boot).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Protocol

from xenapic.abi.tracebuffers import TraceBuffers, TraceVirq
from xenapic.errors import TraceBusy, TraceUse, XenApicError
from xenapic.exits.events import BOOT_MASK, PROBE_MASK, is_ours
from xenapic.logs import WARNING, Log
from xenapic.signals import undisturbed

if TYPE_CHECKING:
    from xenapic.abi.handle import Handle
    from xenapic.model.host import Host

__all__ = ["OpenXen", "map_buffers", "recover_tracing", "surely", "take_free"]

LOG = Log("xenapic")
HOW_TO_RECOVER = "stop tracing and discard the unread records with 'xenapic exits --recover'"


class OpenXen(Protocol):
    """What counting needs of `xenapic.Xen`."""

    @property
    def handle(self) -> Handle:
        """The calls of libxenctrl."""

    def host(self) -> Host:
        """Return what is known about the host."""


def recover_tracing(xen: OpenXen) -> bool:
    """Restore tracing to its state after boot, when a tracer was killed; return False if there was no need.

    Switches tracing off, drops unread records, and sets the event mask that Xen has after boot. Raises
    `TraceBusy` while another tracer reads.
    """
    handle: Handle = xen.handle
    with undisturbed(), ExitStack() as stack:
        virq = TraceVirq(handle.library)
        stack.callback(virq.close)
        info = handle.trace.info()
        handle.trace.disable()
        handle.trace.set_event_mask(BOOT_MASK)
        handle.trace.trace_all_cpus()
        unread = 0
        if info.buffer_mfn:
            buffers = map_buffers(handle, stack)
            with contextlib.suppress(ValueError):
                unread = buffers.unread()
            buffers.discard()
    return bool(unread) or info.evt_mask != BOOT_MASK


def map_buffers(handle: Handle, stack: ExitStack) -> TraceBuffers:
    """Map Xen's trace buffers until the stack is unwound."""
    info = handle.trace.info()
    buffers = TraceBuffers(handle.library, info.buffer_mfn, info.size, handle.host.physinfo().max_cpu_id)
    stack.callback(buffers.close)
    return buffers


def take_free(handle: Handle, stack: ExitStack) -> tuple[int, TraceBuffers | None]:
    """Return the event mask and the buffers, or None for buffers that are not allocated yet.

    Raises `TraceBusy` when they are in use. The caller must hold VIRQ_TBUF, so that no other program
    can read.
    """
    info = handle.trace.info()
    mask: int = info.evt_mask
    if is_ours(mask):
        raise TraceBusy(
            TraceUse.LEFT_BY_US,
            "a xenapic that counted exits was killed before it could restore Xen's trace settings: "
            + HOW_TO_RECOVER,
        )
    if not info.buffer_mfn:
        return mask, None
    buffers = map_buffers(handle, stack)
    try:
        unread = buffers.unread()
    except ValueError as error:
        raise TraceBusy(TraceUse.UNREAD, f"{error}: {HOW_TO_RECOVER}") from error
    if unread:
        raise TraceBusy(
            TraceUse.UNREAD,
            f"Xen's trace buffers hold {unread} unread bytes (a tracer was killed, or tracing was "
            f"switched on at boot): collect them with xentrace, or {HOW_TO_RECOVER}",
        )
    if _is_on(handle, buffers, mask):
        raise TraceBusy(
            TraceUse.ON,
            "tracing is on, although no program reads the buffers (xentrace -x leaves it on, Xen's option "
            f"tevt_mask switches it on): {HOW_TO_RECOVER}",
        )
    return mask, buffers


def _is_on(handle: Handle, buffers: TraceBuffers, mask: int) -> bool:
    """Return True if tracing is on. Xen does not report it, but it then records a hypercall."""
    try:
        handle.trace.set_event_mask(PROBE_MASK)
        handle.trace.trace_all_cpus()
        handle.trace.info()
    finally:
        surely(handle.trace.set_event_mask, mask)
    recorded = buffers.unread() > 0
    buffers.discard()
    return recorded


def surely(call: Callable[..., None], *args: Any) -> None:
    """Put a setting of Xen back; once more if that fails, for an error that passes."""
    try:
        call(*args)
    except XenApicError as error:
        LOG.log(WARNING, "putting Xen's trace settings back is tried again: %s", error)
        call(*args)

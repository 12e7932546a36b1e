"""The host that programs are killed on: what must stay, what may be there afterwards, and how it is put right."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID, uuid4

import xenapic
from xenapic import DomainConfig
from xenapic.abi.tracebuffers import TraceVirq
from xenapic.errors import TraceBusy, XenApicError
from xenapic.exits.buffers import recover_tracing, take_free
from xenapic.exits.counter import DEFAULT_PAGES, ExitCounter
from xenapic.exits.events import BOOT_MASK, NEEDED_MASK
from xenapic.live.owners import OwnerState, owner_state

__all__ = ["Host", "Left"]

ANOTHERS_MASK = 0x8F000
"""An event mask as another tracer may leave it."""
POLICIES = Path("/run/xenapic")


@dataclass
class Left:
    """The domains that a killed program left."""

    told: set[int] = field(default_factory=set)
    """Handed over, and the number was printed."""
    untold: set[int] = field(default_factory=set)
    """Handed over, but nobody was told the number: lost."""
    orphans: set[int] = field(default_factory=set)
    others: set[int] = field(default_factory=set)
    """Neither: nobody can find them."""


class Host:
    """A Xen with domains of others on it: one that xl could have made, one handed over, two of this process."""

    def __init__(self, xen: xenapic.Xen) -> None:
        self.xen = xen
        self._owned = [xen.create_domain(DomainConfig.pv()), xen.create_domain(DomainConfig.pvh())]
        self.guest = self._owned[1].domid
        self._owned[1].set_max_vcpus(1)
        for config in (DomainConfig.pv(handle=uuid4()), DomainConfig.pv()):
            with xen.create_domain(config) as domain:
                domain.release()
        self.kept = {info.domid: info.handle for info in xen.domains()}
        """The domains that must live, with their handles."""
        with ExitCounter(xen, self.guest):
            pass  # now Xen has its trace buffers, which stay
        self.mask = BOOT_MASK

    # -- domains --

    def handles(self) -> dict[int, UUID]:
        """Return the domains that there are now, with their handles."""
        return {info.domid: info.handle for info in self.xen.domains()}

    def missing(self) -> list[int]:
        """Return the domains of others that are gone or whose number is another's now."""
        now = self.handles()
        return [domid for domid, handle in self.kept.items() if now.get(domid) != handle]

    def targets(self, count: int) -> dict[int, UUID]:
        """Create domains that a command may destroy."""
        made = {}
        for _ in range(count):
            with self.xen.create_domain(DomainConfig.pv(handle=uuid4())) as domain:
                domain.release()
                made[domain.domid] = domain.info().handle
        return made

    def left(self, told: set[int], expected: dict[int, UUID]) -> Left:
        """Return the domains that are new, sorted by what is known about them."""
        left = Left()
        for info in self.xen.domains():
            if info.domid in self.kept or expected.get(info.domid) == info.handle:
                continue
            state = None if info.owner is None else owner_state(info.owner)
            if state is OwnerState.RELEASED:
                (left.told if info.domid in told else left.untold).add(info.domid)
            elif state is OwnerState.ORPHAN:
                left.orphans.add(info.domid)
            else:
                left.others.add(info.domid)
        return left

    def clear(self) -> None:
        """Destroy every domain that is not one of those that must live."""
        for domid in self.handles():
            if domid not in self.kept:
                self.xen.domain(domid).destroy()

    def files(self) -> list[str]:
        """Return the names of stored policies that are of no domain that there is now."""
        now = {f"{domid}.json" for domid in self.handles()}
        return sorted({path.name for path in POLICIES.iterdir()} - now) if POLICIES.exists() else []

    # -- tracing --

    def set_mask(self, others: bool) -> None:
        """Set the event mask: Xen's own, or one that another tracer could have left."""
        self.mask = ANOTHERS_MASK if others else BOOT_MASK
        self.xen.handle.trace.set_event_mask(self.mask)

    def leave_on(self) -> None:
        """Leave tracing on as a killed xenapic does."""
        trace = self.xen.handle.trace
        trace.set_event_mask(NEEDED_MASK)
        trace.enable(DEFAULT_PAGES)
        self.mask = BOOT_MASK  # what `exits --recover` sets

    def tracing(self) -> str:
        """Return "" when tracing is as before, else what the next run of a tracer says."""
        try:
            with ExitStack() as stack:
                virq = TraceVirq(self.xen.handle.library)
                stack.callback(virq.close)
                mask, _buffers = take_free(self.xen.handle, stack)
        except XenApicError as error:
            return error.use.value if isinstance(error, TraceBusy) else f"failed: {error}"
        return "" if mask == self.mask else f"the event mask is {mask:#x} instead of {self.mask:#x}"

    def recover(self) -> None:
        """Mend tracing as ``exits --recover`` does."""
        recover_tracing(self.xen)
        self.mask = BOOT_MASK

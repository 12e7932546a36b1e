"""A domain: what it is, what can be done with it, and who must destroy it."""

from __future__ import annotations

import errno
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar
from uuid import UUID

from xenapic.errors import CallFailed, ConfigInvalid, DomainNotFound, NoPrivilege
from xenapic.live.ask import ask_domain
from xenapic.live.memory import GuestMemory
from xenapic.live.owned import Ownership, destroy_marked
from xenapic.live.owners import released_mark
from xenapic.live.policy_store import forget, forget_owned, recall, remember, remember_owned
from xenapic.model.info import DomainInfo

if TYPE_CHECKING:
    from xenapic.abi.handle import Handle
    from xenapic.model.measured import VcpuControls
    from xenapic.policy.terms import Policy

__all__ = ["Domain"]

D = TypeVar("D", bound="Domain")


class Domain:
    """A domain by its number.

    A domain from `Xen.create_domain` is *owned*: it is destroyed when the ``with`` block ends, even by an
    exception, when the object is garbage-collected, or when the program ends, unless `release` handed it
    over. A domain from `Xen.domain` is not owned.
    """

    def __init__(self, handle: Handle, domid: int) -> None:
        self.handle = handle
        """The calls of libxenctrl, for what this class has no method for."""
        self.domid = domid
        self._ownership: Ownership | None = None
        self._remembered: Policy | None = None
        self._final_handle: UUID | None = None

    @classmethod
    def own(cls: type[D], handle: Handle, domid: int, mark: bytes, final_handle: UUID | None = None) -> D:
        """Return an owned domain: one whose handle is ``mark``, and becomes ``final_handle`` on `release`.

        Without a final handle it becomes a mark that says the domain was handed over.
        """
        domain = cls(handle, domid)
        domain._ownership = Ownership(domain, handle, domid, mark)
        domain._final_handle = final_handle
        return domain

    @property
    def memory(self) -> GuestMemory:
        """The memory of the guest."""
        return GuestMemory(self.handle, self.domid)

    @property
    def owned(self) -> bool:
        """Whether leaving the ``with`` block destroys the domain."""
        return self._ownership is not None and self._ownership.alive

    def info(self) -> DomainInfo:
        """Ask Xen about the domain; raise `DomainNotFound` when it is gone."""
        return ask_domain(self.handle, self.domid)

    def policy(self) -> Policy | None:
        """Return the policy that the domain was created for; None if it has none or it is not remembered."""
        return recall(self.domid, self.info().handle)

    def remember(self, policy: Policy) -> bool:
        """Store a policy for `policy` to return; return False if it could not be stored."""
        ownership = self._ownership
        if ownership is None or not ownership.alive:
            return remember(self.domid, self.info().handle, policy)
        stored = remember_owned(self.domid, ownership.mark, policy)
        self._remembered = policy if stored else None
        return stored

    def destroy(self) -> None:
        """Destroy the domain and free its resources; raise `DomainNotFound` when it is gone."""
        ownership = self._ownership
        if ownership is None or not ownership.alive:
            self.handle.domains.destroy(self.domid)
            forget(self.domid)
            return
        destroy_marked(self.handle, self.domid, ownership.mark)
        if self._remembered is not None:
            forget_owned(ownership.mark)
        ownership.end()

    def release(self) -> None:
        """Hand the domain over: it outlives this program, under its own handle."""
        ownership = self._ownership
        if ownership is None or not ownership.alive:
            return
        final = self._final_handle = self._final_handle or released_mark().to_handle()
        # The number may belong to another domain by now.
        if self.handle.domains.handle_of(self.domid) != ownership.mark:
            raise DomainNotFound("xc_domain_sethandle", errno.ESRCH, f"release domain {self.domid}")
        if self._remembered is not None:
            remember(self.domid, final, self._remembered)
        try:
            self.handle.domains.set_handle(self.domid, final.bytes)
        except (CallFailed, NoPrivilege):
            # The call may have done its work all the same; then the domain is no longer ours to destroy.
            if self.info().handle != final:
                forget(self.domid)
                raise
        if self._remembered is not None:
            forget_owned(ownership.mark)
        ownership.end()

    def pause(self) -> None:
        """Pause every vCPU; pauses are counted, and a new domain starts with one."""
        self.handle.domains.pause(self.domid)

    def unpause(self) -> None:
        """Undo one pause."""
        self.handle.domains.unpause(self.domid)

    def set_max_vcpus(self, count: int) -> None:
        """Allocate the domain's vCPUs; ``count`` must be the ``max_vcpus`` it was created with."""
        self.handle.domains.set_max_vcpus(self.domid, count)

    def set_max_mem(self, kib: int) -> None:
        """Limit the domain's memory, in KiB."""
        if not 0 <= kib < 1 << 63:
            raise ConfigInvalid(f"{kib} KiB is not a valid amount of memory")
        self.handle.domains.set_max_memory(self.domid, kib)

    def set_native_tsc(self) -> None:
        """Let the domain, before it runs, read the processor's own TSC: RDTSC no longer leaves the guest."""
        self.handle.domains.set_native_tsc(self.domid)

    def hvm_context(self) -> bytes:
        """Return the state of an HVM-type domain, in Xen's save format; see `xenapic.hvm_records`."""
        return self.handle.hvm.context(self.domid)

    def set_hvm_context(self, context: bytes) -> None:
        """Load the state of an HVM-type domain, in Xen's save format."""
        self.handle.hvm.set_context(self.domid, context)

    def controls(self) -> tuple[VcpuControls, ...]:
        """Return the VMX controls and APIC state of each vCPU of an HVM-type domain, running or not.

        The controls are read from Xen's console ring with debug key 'v', the states from the LAPIC records;
        the ring is not cleared. AMD has no such controls: ``words`` is None. Raises `MeasureFailed`, with
        what was seen instead, when no trustworthy dump was found, and for a PV domain.
        """
        from xenapic.live.vmcs import read_controls

        return read_controls(self.handle, self.domid)

    def __enter__(self: D) -> D:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        ownership = self._ownership
        if ownership is not None and ownership.alive:
            try:  # noqa: SIM105  (`contextlib.suppress` takes a third of the time of a call)
                self.destroy()
            except DomainNotFound:  # somebody else destroyed it first
                pass

    def __repr__(self) -> str:
        return f"<Domain {self.domid}{' (owned)' if self.owned else ''}>"

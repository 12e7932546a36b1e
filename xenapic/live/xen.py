"""A running Xen, opened: ask it, check configs, create domains."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, TypeVar
from uuid import UUID

from xenapic.abi.handle import Handle
from xenapic.abi.library import Layout, Library, load
from xenapic.apic.state import ApicState
from xenapic.errors import (
    CloseFailed,
    ConfigInvalid,
    ConfigRefused,
    DomainNotFound,
    HandleClosed,
    Problem,
    XenApicError,
)
from xenapic.live import policy_journal
from xenapic.live.ask import ask_boot_log, ask_domains, ask_host, ask_version
from xenapic.live.console import Console
from xenapic.live.create import Order, destroy_by_mark, send
from xenapic.live.domain import Domain
from xenapic.live.owned import coming, destroy_dropped, destroy_late, has_come, owned_through
from xenapic.live.owners import owner_state, this_process
from xenapic.live.rows import PHYSINFO
from xenapic.model.conditions import Situation
from xenapic.model.config import CreateRequest, DomainConfig
from xenapic.model.create import Creation, pages_to_fit, prepare_request
from xenapic.model.guest_types import GuestType
from xenapic.model.host import Host
from xenapic.model.info import DomainInfo, PhysInfo, Version, unclaimed_pages
from xenapic.model.measured import Measurement
from xenapic.model.owner import OwnerState
from xenapic.model.rows import from_row

if TYPE_CHECKING:
    from xenapic.live.boot import Progress
    from xenapic.live.guest import Guest
    from xenapic.live.images import Content, Module
    from xenapic.parse.bootlog import BootLog
    from xenapic.policy.plan import Plan, Refusal
    from xenapic.policy.terms import Policy

__all__ = ["Xen", "open"]

D = TypeVar("D", bound=Domain)

KEPT_REQUESTS = 64


class _Prepared(NamedTuple):
    """A create that was checked."""

    creation: Creation
    pages: int = 0
    """How many pages must be free for it, if it broke no rule."""
    order: Order | None = None


def open(library: str | os.PathLike[str] | Library | None = None, layout: Layout = None) -> Xen:
    """Open the running Xen.

    ``library`` is a path or a release (``"4.17"``) of libxenctrl; the default is the library that matches
    the running hypervisor. ``layout`` is the proof, or the path of one, that lets a release be opened that
    xenapic does not know (``xenapic abi check --save``). Raises a subclass of `Unavailable` that says what to
    install or do.
    """
    return Xen(library, layout)


class Xen:
    """A running Xen. A context manager; may be used from several threads.

    Calls on one object run one at a time; open one per thread to run calls in parallel. After
    ``os.fork()`` the child must open its own.
    """

    def __init__(
        self, library: str | os.PathLike[str] | Library | None = None, layout: Layout = None
    ) -> None:
        self.handle = Handle(library if isinstance(library, Library) else load(library, layout))
        """The calls of libxenctrl, for what this class has no method for."""
        self._ask_physinfo = self.handle.host.physinfo
        self._version: Version | None = None
        self._boot_log: BootLog | None = None
        self._host: Host | None = None
        self._fitting: dict[tuple[DomainConfig, Policy | None], _Prepared] = {}
        """Requests that broke no rule on this host; only the free memory is checked again."""
        self._last: tuple[DomainConfig, Policy | None, _Prepared] | None = None
        """The last of them: the same objects again are found without their hash, which takes a while."""
        self._measurement: Measurement | None = None
        self.console = Console(self.handle)

    def close(self) -> None:
        """Destroy the domains that are still owned, then close libxenctrl.

        Tries all domains, then raises the error, or `CloseFailed` with all errors.
        """
        failures: list[XenApicError] = []
        domains = [] if self.handle.closed else owned_through(self.handle)
        try:
            for destroy in () if self.handle.closed else self._endings(domains):
                try:
                    destroy()
                except XenApicError as error:
                    failures.append(error)
        finally:
            self.handle.close()
            policy_journal.close_unused()
        try:
            destroy_late(self.handle, domains)
        except XenApicError as error:
            failures.append(error)
        if len(failures) == 1:
            raise failures[0]
        if failures:
            raise CloseFailed(tuple(failures))

    def _endings(self, domains: Sequence[Domain]) -> Iterator[Callable[[], None]]:
        """Yield a function for each of the domains, and one for those that nobody refers to."""
        for domain in domains:
            yield partial(domain.__exit__, None, None, None)
        yield partial(destroy_dropped, self.handle)

    def __enter__(self) -> Xen:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def version(self) -> Version:
        """Which Xen this is; asked once."""
        if self._version is None:
            self._version = ask_version(self.handle)
        return self._version

    def physinfo(self) -> PhysInfo:
        """Return the current processors, memory and capabilities."""
        return from_row(PhysInfo, self._ask_physinfo(), 0, PHYSINFO)

    def host(self, *, probe: bool = False) -> Host:
        """Return what is known about APIC acceleration on this host, each fact with its source.

        ``probe`` finds out whether the per-domain interface exists, if nothing else says so, with one
        create that cannot succeed (`xenapic.live.ask.probe_interface`). After `measure`, the measurement is
        the source for the VMX controls.
        """
        before = self._host
        self._host = ask_host(self.handle, self.version, self.boot_log(), probe, self._measurement, before)
        if before is None or self._host.features is not before.features:
            self._fitting.clear()
            self._last = None
        return self._host

    def _known_host(self) -> Host:
        return self._host or self.host()

    def boot_log(self) -> BootLog:
        """Return what Xen's console ring says about its start; read once, since that cannot change."""
        if self._boot_log is None:
            self._boot_log = ask_boot_log(self.handle, self.version.commandline)
        return self._boot_log

    def measure(self, policy: Policy | None = None) -> Measurement:
        """Measure which controls Xen sets for a vCPU in each state of its local APIC; see `Measurement`.

        Creates a domain without memory, which never runs, and destroys it. Presses debug key 'v' a few
        times; each press makes Xen print about 3 KiB per vCPU of every HVM-type domain. From then on `host`
        uses the measurement, unless it was made for a policy. Raises `MeasureFailed` when the console ring
        does not show the controls, and `ConfigRefused`, `PolicyRefused` or `CallFailed` when the domain
        cannot be created.
        """
        from xenapic.live.measure import measure

        if policy is not None:
            return measure(self.handle, self.host(), lambda config: self.create_domain(config, policy))
        self._measurement = measure(self.handle, self.host(), self.create_domain)
        self._host = None
        return self._measurement

    def domains(self) -> Sequence[DomainInfo]:
        """Return every domain, as one hypercall saw them, in an immutable sequence."""
        return ask_domains(self.handle)

    def domain(self, domid: int) -> Domain:
        """Return an existing domain, not owned; raise `DomainNotFound`."""
        self.handle.domains.info(domid)
        return Domain(self.handle, domid)

    def orphans(self) -> list[DomainInfo]:
        """Return the domains whose creator ended without destroying or releasing them."""
        return [
            info
            for info in self.domains()
            if info.owner is not None and owner_state(info.owner) is OwnerState.ORPHAN
        ]

    def check(self, config: DomainConfig, policy: Policy | None = None) -> tuple[Problem, ...]:
        """Return every reason why this Xen would not create the domain; nothing is created.

        Raises `PolicyRefused` when the policy has no plan on this host.
        """
        return self._prepare(config, policy).creation.problems

    def plan(self, policy: Policy, guest_type: GuestType | None = None) -> Plan | Refusal:
        """Return a plan for the policy on this host, or every reason against it; nothing is created.

        The guest is PVH when no type is given.
        """
        from xenapic.policy.plan import plan

        return plan(policy, self._known_host(), guest_type or GuestType.PVH)

    def create_domain(self, config: DomainConfig, policy: Policy | None = None) -> Domain:
        """Create a domain; use it in a ``with`` block, or `Domain.release` it.

        The policy's plan sets the assisted flags, and the domain remembers its policy (`Domain.policy`).
        Raises `PolicyRefused` or `ConfigRefused` with every reason, before Xen is called, and `CallFailed`
        when Xen refuses nevertheless.
        """
        return self._create(Domain, config, policy)

    def _create(
        self, kind: type[D], config: DomainConfig, policy: Policy | None, problems: Sequence[Problem] = ()
    ) -> D:
        """Create a domain, unless a rule or one of ``problems`` is against it."""
        creation, _, order = self._prepare(config, policy)
        if creation.problems or problems:
            raise ConfigRefused((*creation.problems, *problems))
        domain = self._send(kind, order or Order.made(self.handle, creation.request), config.handle)
        if policy is not None:
            domain.remember(policy)
        return domain

    def boot(  # noqa: PLR0913  (a boot has that many choices, all keyword-only)
        self,
        kernel: Content,
        *,
        ramdisk: Content | None = None,
        modules: Sequence[Module] = (),
        cmdline: str = "",
        memory_mib: int = 256,
        vcpus: int = 1,
        policy: Policy | None = None,
        config: DomainConfig | None = None,
        state: ApicState = ApicState.XAPIC,
        native_tsc: bool = False,
        acpi: bool = True,
        console_log: BinaryIO | None = None,
        count_exits: bool = False,
        progress: Progress | None = None,
        start: bool = True,
    ) -> Guest:
        """Create a PVH domain, load a kernel into it, and let it run; no toolstack is needed.

        The kernel is an ELF file with a PHYS32_ENTRY note, or a bzImage of Linux: bytes, or a path; so are
        the ramdisk and the modules that follow it. ``config`` is the domain to create, by default
        `DomainConfig.pvh`; its number of vCPUs is ``vcpus``. ``state`` is the state of the first vCPU's local
        APIC at its start. ``native_tsc`` lets the guest read the processor's own TSC. ``progress`` is called
        with what is loaded, and how many bytes of how many. Without ``start`` the guest stays paused.

        The guest is owned, as a domain from `create_domain` is. Everything is checked before Xen is called:
        raises `FileUnreadable`, `ImageInvalid`, `ConfigInvalid`, `PolicyRefused` and `ConfigRefused`; and
        `CallFailed` when Xen refuses nevertheless. An HVM guest with firmware, and a PV guest, need a
        toolstack: raises `ConfigInvalid` for them.
        """
        from xenapic.live.boot import Order, boot
        from xenapic.live.images import Module

        order = Order(
            kernel=kernel,
            modules=(*([] if ramdisk is None else [Module(ramdisk)]), *modules),
            cmdline=cmdline,
            memory_mib=memory_mib,
            config=(config or DomainConfig.pvh()).replace(max_vcpus=vcpus),
            policy=policy,
            state=state,
            native_tsc=native_tsc,
            acpi=acpi,
        )
        return boot(self, order, log=console_log, count_exits=count_exits, progress=progress, start=start)

    def create_guest(self, config: DomainConfig, policy: Policy | None, problems: Sequence[Problem]) -> Guest:
        """Create an empty domain for `boot`; ``problems`` are reasons against it that are known already."""
        from xenapic.live.guest import Guest

        return self._create(Guest, config, policy, problems)

    def guest(self, domid: int) -> Guest:
        """Return a guest that was booted and released, with its console open; it is not owned.

        Raises `DomainNotFound`, and `GuestFailed` if it has no console or another program serves it.
        """
        from xenapic.live.guest import Guest

        self.handle.domains.info(domid)
        guest = Guest(self.handle, domid)
        guest.open_console()
        return guest

    def _prepare(self, config: DomainConfig, policy: Policy | None) -> _Prepared:
        last = self._last
        if last is not None and last[0] is config and last[1] is policy:
            kept: _Prepared | None = last[2]
        else:
            kept = self._fitting.get((config, policy))
        if kept is not None and unclaimed_pages(self._ask_physinfo()) >= kept.pages:
            return kept
        situation = self._situation(config)
        if policy is None:
            creation = prepare_request(config, situation)
        else:
            from xenapic.policy.creation import prepare

            creation = prepare(config, situation, policy)
        names_others = config.domid != 0 or config.cpupool_id != 0
        if names_others or creation.problems:
            return _Prepared(creation)
        if len(self._fitting) >= KEPT_REQUESTS:
            self._fitting.clear()
        request = creation.request
        fitting = _Prepared(creation, pages_to_fit(request, situation), Order.made(self.handle, request))
        self._fitting[config, policy] = fitting
        self._last = config, policy, fitting
        return fitting

    def debug_keys(self, keys: str) -> None:
        """Press Xen's debug keys; their output goes into the console ring."""
        if not keys or not keys.isascii() or not keys.isprintable():
            raise ConfigInvalid(f"debug keys are printable ASCII characters, not {keys!r}")
        self.handle.host.send_debug_keys(keys)

    def create_unchecked(self, request: CreateRequest, final_handle: UUID | None = None) -> Domain:
        """Send a create as it is, and return the owned domain; for tests and recordings.

        A request that breaks a *late* rule (`xenapic.model.rules`) can take the host down. The domain gets
        ``final_handle`` on `Domain.release`, by default a mark that says it was handed over.
        """
        return self._send(Domain, Order.made(self.handle, request), final_handle)

    def _send(self, kind: type[D], order: Order, final_handle: UUID | None) -> D:
        mark = this_process().to_bytes()
        coming(self.handle, mark)
        try:
            domain = kind.own(self.handle, send(self.handle, order, mark), mark, final_handle)
        except HandleClosed:  # nothing was sent
            has_come(mark)
            raise
        except BaseException as error:
            # The domain may exist all the same: Ctrl-C may strike before anyone holds its number, and a
            # failure to copy Xen's answer is reported as an error of the create.
            try:
                destroy_by_mark(self.handle, mark)
            except XenApicError as another:
                raise error from another
            has_come(mark)
            raise
        has_come(mark)
        return domain

    def _situation(self, config: DomainConfig) -> Situation:
        host = self._known_host()
        cpus: bool | None = True
        if config.cpupool_id and host.release.has_field("cpupool_id"):
            cpus = self.handle.host.pool_has_cpus(config.cpupool_id)
        return Situation(
            host=host,
            domid_in_use=bool(config.domid) and self._exists(config.domid),
            cpupool_exists=cpus is not None,
            cpupool_has_cpus=bool(cpus),
            now=self.physinfo(),
        )

    def _exists(self, domid: int) -> bool:
        try:
            self.handle.domains.info(domid)
        except DomainNotFound:
            return False
        return True

"""Everything that xenapic does to a host, one operation after the other, for `tests.library.faults`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any
from uuid import UUID

from tests.kernels import elf
from tests.library.fakehost import GUEST, ORPHAN, Host
from tests.pure.test_trace import leaves
from tests.xtftree import write_test
from xenapic.apic.state import ApicState
from xenapic.exits.buffers import recover_tracing
from xenapic.exits.counter import ExitCounter, count_exits
from xenapic.live.domain import Domain
from xenapic.live.guest import Guest
from xenapic.live.xen import Xen
from xenapic.model.config import DomainConfig
from xenapic.policy.terms import Policy
from xenapic.probe.cost import measure_workload
from xenapic.probe.run import probe_hints, run_probe
from xenapic.probe.workload import workload
from xenapic.verify.inspection import inspect
from xenapic.verify.record import Settings, record

PVH = DomainConfig.pvh()


@dataclass(frozen=True)
class Operation:
    """Something that is done to a host."""

    name: str
    run: Callable[[Xen], object]
    prepare: Callable[[Host], object] = lambda _host: None
    tells: bool = True
    """Whether every fault must be an error; otherwise some become part of the answer."""


OPERATIONS: dict[str, Operation] = {}


def operation(
    prepare: Callable[[Host], object] = lambda _host: None, tells: bool = True
) -> Callable[[Callable[[Xen], object]], Callable[[Xen], object]]:
    """Add a function to the operations."""

    def add(run: Callable[[Xen], object]) -> Callable[[Xen], object]:
        OPERATIONS[run.__name__] = Operation(run.__name__, run, prepare, tells)
        return run

    return add


# -- creates --


@operation()
def create(xen: Xen) -> object:
    with xen.create_domain(PVH) as domain:
        return repr(domain).endswith("(owned)>"), domain.owned, xen.check(PVH)


@operation()
def create_with_policy(xen: Xen) -> object:
    with xen.create_domain(PVH, Policy()) as domain:
        return domain.policy() is not None


@operation()
def create_with_everything(xen: Xen) -> object:
    with xen.create_domain(PVH.replace(max_vcpus=2)) as domain:
        domain.set_max_vcpus(2)
        domain.set_max_mem(8192)
        domain.set_native_tsc()
        domain.memory.populate(0x5000, 8192)
        domain.memory.write(0x5FFE, b"across")
        domain.pause()
        domain.unpause()
        domain.set_hvm_context(domain.hvm_context())
        return domain.memory.read(0x5FFE, 6), domain.info().domid == domain.domid


@operation()
def create_in_a_pool(xen: Xen) -> object:
    with xen.create_domain(PVH.replace(cpupool_id=1)) as domain:
        return domain.owned


@operation()
def create_under_a_number(xen: Xen) -> object:
    free = max((info.domid for info in xen.domains()), default=90) + 1
    with xen.create_domain(PVH.replace(domid=free)) as domain:
        return domain.domid == free


@operation()
def create_and_leave_by_an_exception(xen: Xen) -> object:
    with contextlib.suppress(ZeroDivisionError), xen.create_domain(PVH):
        raise ZeroDivisionError
    return None


@operation()
def create_and_forget(xen: Xen) -> object:
    xen.create_domain(PVH)
    return xen.physinfo().nr_cpus


@operation()
def create_and_release(xen: Xen) -> object:
    with xen.create_domain(DomainConfig.pvh(handle=UUID(int=42))) as domain:
        domain.release()
    return domain.owned


@operation()
def create_and_release_with_policy(xen: Xen) -> object:
    with xen.create_domain(PVH, Policy()) as domain:
        domain.release()
    return domain.owned


@operation()
def create_unchecked(xen: Xen) -> object:
    from xenapic.model.conditions import Situation
    from xenapic.model.create import prepare_request

    request = prepare_request(PVH, Situation(xen.host())).request
    with xen.create_unchecked(request) as domain:
        return domain.owned


# -- others' domains --


@operation()
def destroy(xen: Xen) -> object:
    xen.domain(GUEST).destroy()
    return None


@operation()
def remember(xen: Xen) -> object:
    domain = xen.domain(GUEST)
    return domain.remember(Policy()), domain.policy() == Policy()


@operation()
def list_all(xen: Xen) -> object:
    return [info.domid for info in xen.domains()], [info.domid for info in xen.orphans()]


@operation()
def inspection(xen: Xen) -> object:
    return inspect(xen, GUEST).ok, len(xen.domain(GUEST).controls())


# -- the host --


@operation()
def host(xen: Xen) -> object:
    return str(xen.version), {key: fact.answer for key, fact in xen.host(probe=True).features.items()}


def accept_flags(host: Host) -> None:
    host.accepts_flags = True


@operation(accept_flags)
def host_whose_xen_accepts_flags(xen: Xen) -> object:
    return str(xen.host(probe=True).interface)


@operation()
def plan(xen: Xen) -> object:
    return type(xen.plan(Policy())).__name__, xen.boot_log().trusted


@operation()
def measure(xen: Xen) -> object:
    return xen.measure().states


@operation()
def measure_for_policy(xen: Xen) -> object:
    return xen.measure(Policy()).states


@operation()
def console(xen: Xen) -> object:
    xen.debug_keys("v")
    return xen.console.read()[:9], len(xen.console.lines()) > 1


@operation()
def console_follow(xen: Xen) -> object:
    return [line.text for line in islice(xen.console.follow(from_start=True, poll_seconds=0), 3)]


@operation()
def console_clear(xen: Xen) -> object:
    xen.console.clear()
    return None


# -- guests and exits --


@operation()
def hints(xen: Xen) -> object:
    with xen.create_domain(PVH) as domain:
        domain.set_max_vcpus(1)
        return probe_hints(domain, timeout=0.1)


@operation()
def probe(xen: Xen) -> object:
    return len(run_probe(xen, PVH, ApicState.XAPIC, timeout=0.1).accesses)


@operation()
def a_workload(xen: Xen) -> object:
    cost = measure_workload(xen, workload("ipi"), ApicState.X2APIC, operations=16, runs=1, timeout=0.1)
    return len(cost.runs)


@operation()
def exits(xen: Xen) -> object:
    return count_exits(xen, GUEST, 0.0, pages=1).total


def guest_exits(host: Host) -> None:
    host.trace.waits = [leaves(0x72)] * 1000


@operation(guest_exits)
def exits_step_by_step(xen: Xen) -> object:
    with ExitCounter(xen, GUEST, pages=1) as counter:
        counter.wait(0.001)
        seen = counter.snapshot().total
    return seen > 0, counter.stop().total > 0


def allocated(host: Host) -> None:
    host.trace.allocate(1)


@operation(allocated)
def exits_with_buffers_that_exist(xen: Xen) -> object:
    return count_exits(xen, GUEST, 0.0, pages=1).total


@operation(allocated)
def recovery(xen: Xen) -> object:
    return recover_tracing(xen)


@operation(tells=False)
def recording(xen: Xen) -> object:
    made = record(xen, Settings(states=(ApicState.XAPIC,), refusals=True, trace=True))
    return len(made.create), len(made.vmcs), len(made.guest), made.not_testable


# -- guests that boot --

KERNEL = elf(0x100000, [(0x100000, b"\xeb\xfe", 9000)], bits=32)


def in_place(words: list[str], directory: Path) -> list[str]:
    """Return a command's words with the names of files that are written there: a kernel, and a tree of XTF."""
    names = {"KERNEL": directory / "kernel", "TREE": directory / "xtf"}
    if "KERNEL" in words:
        names["KERNEL"].write_bytes(KERNEL)
    if "TREE" in words and not names["TREE"].exists():
        write_test(names["TREE"], "fine", KERNEL)
    return [str(names.get(word, word)) for word in words]


def _boot(xen: Xen, **options: Any) -> Guest:
    return xen.boot(KERNEL, ramdisk=b"x" * 5000, cmdline="a b", memory_mib=3, vcpus=2, **options)


@operation()
def boot(xen: Xen) -> object:
    with _boot(xen, policy=Policy(), native_tsc=True) as guest:
        shown = guest.console.expect(b"ready", timeout=PATIENCE)
        guest.console.write(b"poweroff\n", timeout=PATIENCE)
        reason = guest.wait(timeout=PATIENCE)
        return shown, guest.console.tail(), guest.console.read(), reason


@operation()
def boot_without_x2apic(xen: Xen) -> object:
    with _boot(xen, policy=Policy(guest_x2apic=False)) as guest:
        return guest.owned


@operation()
def boot_and_release(xen: Xen) -> object:
    with _boot(xen) as guest:
        guest.release()
    return guest.owned


@operation(lambda host: host.boot_others_guest())
def connect(xen: Xen) -> object:
    guest = xen.guest(GUEST)
    try:
        guest.console.wait(0.0)
        guest.console.pump()
        put = guest.console.put(b"poweroff\n")
        for _piece in guest.console.follow():  # of which a first try may have read some
            pass
        return put, guest.ended
    finally:
        guest.close_console()


PATIENCE = 0.3
"""Seconds to wait for a guest, which answers at once unless a fault keeps it from it."""


# -- domains by themselves --


@operation()
def own(xen: Xen) -> object:
    with Domain.own(xen.handle, ORPHAN, xen.handle.domains.handle_of(ORPHAN)) as domain:
        return domain.owned


def stages(calls: list[str]) -> Iterator[int]:
    """Yield the first and the last place of each function in a list of calls."""
    places: dict[str, list[int]] = {}
    for place, name in enumerate(calls):
        places.setdefault(name, []).append(place)
    yield from sorted({place for each in places.values() for place in (each[0], each[-1])})

"""Boot a PVH guest: check everything, create its domain, load it, and let it run."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, BinaryIO

from xenapic.abi.calls.cpuid import CPUID_SINCE
from xenapic.apic.state import ApicState
from xenapic.errors import ConfigInvalid, Problem
from xenapic.frozen import dataclass
from xenapic.live.guest import Guest
from xenapic.live.guestconsole import offer_console
from xenapic.live.images import Content, Module, Source, kernel_bytes
from xenapic.live.load import SLACK_KIB, Progress, load
from xenapic.loader.kernel import read_kernel
from xenapic.loader.layout import Layout, ModuleSize, lay_out
from xenapic.model.config import DomainConfig
from xenapic.model.flags import EMU
from xenapic.policy.terms import Policy

if TYPE_CHECKING:
    from xenapic.live.xen import Xen

__all__ = ["Order", "Progress", "boot"]

POOL_KIB_PER_VCPU, POOL_SHARE = 1024, 128
"""Xen's memory for a domain's page tables, at most: 1 MiB for each vCPU, and 8 KiB for each MiB
(``libxl__get_required_paging_memory``, ``tools/libs/light/libxl_create.c``, with shadow paging)."""


X2APIC = (1, "c", 21)
"""CPUID leaf, register and bit."""


@dataclass(frozen=True)
class Order:
    """What to boot."""

    kernel: Content
    modules: tuple[Module, ...]
    cmdline: str
    memory_mib: int
    config: DomainConfig
    policy: Policy | None
    state: ApicState
    native_tsc: bool
    acpi: bool


def boot(
    xen: Xen,
    order: Order,
    *,
    log: BinaryIO | None,
    count_exits: bool,
    progress: Progress | None,
    start: bool,
) -> Guest:
    """Boot a guest, and return it, owned; raise what `Xen.boot` does."""
    config = order.config
    if not config.is_hvm or EMU.LAPIC not in config.emulation_flags:
        raise ConfigInvalid(
            "only a PVH domain with a local APIC can be booted here: firmware for HVM, and PV guests, need a "
            "toolstack (xl)"
        )
    if _hides_x2apic(order) and order.state is ApicState.X2APIC:
        raise ConfigInvalid("a guest that x2APIC is hidden from cannot start in x2APIC mode")
    data, name = kernel_bytes(order.kernel)
    with ExitStack() as stack:
        sources = []
        for number, module in enumerate(order.modules):
            sources.append(Source(module.content, f"module {number}"))
            stack.callback(sources[-1].close)
        layout = lay_out(
            read_kernel(data, name),
            [
                ModuleSize(source.name, source.size, _line(module.cmdline))
                for source, module in zip(sources, order.modules, strict=True)
            ],
            name=name,
            cmdline=_line(order.cmdline),
            memory_mib=order.memory_mib,
            vcpus=config.max_vcpus,
            acpi=order.acpi,
        )
        problems = tuple(_problems(xen, order, layout))
        if _hides_x2apic(order) and not problems:
            _ = xen.handle.library.guest  # raises before anything is created
        guest = xen.create_guest(config, order.policy, problems)
        try:
            _load(guest, order, layout, sources, progress or (lambda what, done, size: None))
            guest.open_console(log)
            if count_exits:
                guest.start_counting(xen)
            if start:
                guest.unpause()
        except BaseException:
            guest.__exit__(None, None, None)
            raise
        return guest


def _line(text: str) -> bytes:
    return text.encode(errors="surrogateescape")


def _problems(xen: Xen, order: Order, layout: Layout) -> Iterator[Problem]:
    """Yield what stands against the guest beyond the rules for its domain."""
    free = xen.physinfo().free_pages
    need = layout.page_count + (SLACK_KIB + _pool_kib(order)) // 4
    if need > free:
        yield Problem(
            code="boot-memory",
            field="memory_mib",
            value=order.memory_mib,
            rule=f"the guest needs {need * 4} KiB with Xen's own tables, and {free * 4} KiB are free",
            remedy="Use less memory, or make dom0's smaller (dom0_mem=)",
            errno=errno.ENOMEM,
            late=False,
            source="physinfo.free_pages",
        )
    if _hides_x2apic(order) and xen.handle.library.release.number < CPUID_SINCE:
        yield Problem(
            code="boot-x2apic-hidden",
            field="guest_x2apic",
            value=False,
            rule="libxenguest of 4.15 has no call that hides x2APIC safely: xc_cpuid_apply_policy has other "
            "arguments from 4.15.5 on",
            remedy='Start it with xl and cpuid="host,x2apic=0", or keep Linux in xAPIC mode with nox2apic',
            errno=None,
            late=False,
            source="tools/include/xenctrl.h of 4.15.4 and 4.15.5",
        )


def _hides_x2apic(order: Order) -> bool:
    return order.policy is not None and not order.policy.guest_x2apic


def _pool_kib(order: Order) -> int:
    return order.config.max_vcpus * POOL_KIB_PER_VCPU + (order.memory_mib << 10) // POOL_SHARE


def _load(guest: Guest, order: Order, layout: Layout, sources: Sequence[Source], progress: Progress) -> None:
    guest.set_max_vcpus(order.config.max_vcpus)
    if _hides_x2apic(order):
        guest.handle.cpuid.hide(guest.domid, *X2APIC)
    load(guest, layout, sources, state=order.state, native_tsc=order.native_tsc, progress=progress)
    offer_console(guest.handle, guest.domid, layout.console)

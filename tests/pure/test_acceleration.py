"""How Xen sets the controls: the rules written again, independently, release by release."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xenapic.apic.access import access
from xenapic.apic.controls import CONTROLS, Controls, violations
from xenapic.apic.outcome import Backing, Kind, Operation
from xenapic.apic.state import ApicState
from xenapic.model.acceleration import (
    DomainChoice,
    HvmLeaf,
    arch_capabilities,
    cpuid_leaf,
    domain_choice,
    host_controls,
    vcpu_apic,
    viridian_hints,
)
from xenapic.model.emulation import (
    X2APIC_READABLE,
    X2APIC_WRITABLE,
    X2APIC_WRITE_BITS,
    Emulated,
    apic_base_faults,
    emulate,
)
from xenapic.model.flags import MISC, PHYSCAP_X86
from xenapic.model.releases import DEVELOPMENT, XEN_RELEASES, XenRelease, xen_release

FULL = Controls.of(*CONTROLS)
NEW, OLD = xen_release("4.22"), xen_release("4.15")
offers = st.sets(st.sampled_from(sorted(CONTROLS))).map(lambda keys: Controls.of(*keys))
releases = st.sampled_from(XEN_RELEASES)
BOTH = MISC.ASSISTED_XAPIC | MISC.ASSISTED_X2APIC


def test_what_xen_takes_of_everything() -> None:
    taken = host_controls(NEW, FULL).keys
    assert set(taken) == set(CONTROLS) - {"cr8_load_exiting", "cr8_store_exiting", "ipi_virtualization"}
    assert not host_controls(DEVELOPMENT, FULL).has("tertiary_controls")


def test_apicv_off() -> None:
    on, off = (set(host_controls(NEW, FULL, apicv=apicv).keys) for apicv in (True, False))
    assert on - off == {
        "apic_register_virtualization",
        "virtual_interrupt_delivery",
        "virtualize_x2apic_mode",
        "posted_interrupts",
    }


def test_without_tpr_shadow_cr8_exits_and_nothing_needs_it() -> None:
    keys = set(host_controls(NEW, Controls.of(*set(CONTROLS) - {"tpr_shadow"})).keys)
    assert {"cr8_load_exiting", "cr8_store_exiting", "virtualize_apic_accesses"} <= keys
    assert not keys & {"apic_register_virtualization", "virtual_interrupt_delivery", "virtualize_x2apic_mode"}


@given(releases, offers, st.booleans(), st.integers(0, 7), st.sampled_from(ApicState))
def test_vm_entry_takes_whatever_xen_sets(
    release: XenRelease, offered: Controls, apicv: bool, misc_flags: int, state: ApicState
) -> None:
    host = host_controls(release, offered, apicv=apicv)
    if release.per_domain_apic:
        misc_flags &= int(arch_capabilities(release, host) or 0) << 1 | 1  # Xen refuses the others
    vcpu = vcpu_apic(host, domain_choice(release, host, misc_flags), state)
    assert isinstance(vcpu.controls, Controls)
    assert violations(vcpu.controls) == ()
    for operation in (Operation.READ, Operation.WRITE):
        for offset in range(0, 0x400, 0x10):
            found = access(vcpu.controls, state, vcpu.bitmap, offset, operation, backing=vcpu.backing)
            assert found.kind is not Kind.PHYSICAL, "a guest must never reach the processor's own APIC"


@pytest.mark.parametrize("state", ApicState)
def test_states_of_a_released_xen_on_a_full_host(state: ApicState) -> None:
    host = host_controls(NEW, FULL)
    vcpu = vcpu_apic(host, domain_choice(NEW, host, 0), state)
    assert isinstance(vcpu.controls, Controls)
    modes = tuple(vcpu.controls.has(key) for key in ("virtualize_apic_accesses", "virtualize_x2apic_mode"))
    assert modes == {ApicState.XAPIC: (True, False), ApicState.X2APIC: (False, True)}.get(
        state, (False, False)
    )
    assert vcpu.backing is (Backing.ABSENT if state is ApicState.RELOCATED else Backing.MEMORY)


def test_x2apic_mode_alone_is_not_used() -> None:
    host = host_controls(NEW, Controls.of("tpr_shadow", "secondary_controls", "virtualize_x2apic_mode"))
    assert domain_choice(NEW, host, 0) == DomainChoice(xapic=False, x2apic=False)


def test_what_the_msr_bitmap_opens() -> None:
    host = host_controls(NEW, FULL)
    bitmap = vcpu_apic(host, DomainChoice(True, True), ApicState.X2APIC).bitmap
    shut = [msr for msr in range(0x800, 0x900) if bitmap.intercepts(msr, Operation.READ)]
    open_ = [msr for msr in range(0x800, 0x900) if not bitmap.intercepts(msr, Operation.WRITE)]
    assert (shut, open_) == ([0x80A, 0x838, 0x839], [0x808, 0x80B, 0x83F])


@pytest.mark.parametrize(
    ("release", "flags", "bits"),
    [("4.15", 0, 0x1F), ("4.16", 0, 0x1F), ("4.17", 0, 0x5F), ("4.22", 0, 0x5F)]
    + [("4.17-rc", flags, 0x5C | flags >> 1) for flags in (0, 2, 4, 6)],
)
def test_cpuid(release: str, flags: int, bits: int) -> None:
    row = xen_release(release)
    host = host_controls(row, FULL)
    assert cpuid_leaf(row, host, domain_choice(row, host, flags)) == HvmLeaf(bits)


def test_physinfo() -> None:
    host = host_controls(DEVELOPMENT, FULL)
    assert arch_capabilities(DEVELOPMENT, host) == PHYSCAP_X86(3)
    assert arch_capabilities(DEVELOPMENT, host_controls(DEVELOPMENT, FULL, apicv=False)) == PHYSCAP_X86(1)
    assert arch_capabilities(xen_release("4.17"), host) == 0 and arch_capabilities(OLD, host) is None


def test_viridian_follows_the_host_alone() -> None:
    hints = viridian_hints(host_controls(NEW, FULL))
    assert (hints.msr_based_apic, hints.apic_overlay) == (False, True)
    assert viridian_hints(Controls()).msr_based_apic


def test_emulated_msrs() -> None:
    assert set(X2APIC_WRITE_BITS) == X2APIC_WRITABLE
    assert {0x0B0, 0x3F0, 0x0E0, 0x310}.isdisjoint(X2APIC_READABLE)
    assert emulate(ApicState.X2APIC, 0x080, Operation.WRITE, 0x100) is Emulated.FAULT
    assert emulate(ApicState.X2APIC, 0x300, Operation.WRITE, 5 << 32 | 0x40F1) is Emulated.DONE
    assert emulate(ApicState.X2APIC, 0x300, Operation.WRITE, 1 << 12) is Emulated.FAULT
    assert emulate(ApicState.XAPIC, 0x2F0, Operation.WRITE, 0) is Emulated.IGNORED
    assert emulate(ApicState.XAPIC, 0x040, Operation.READ) is Emulated.IGNORED
    assert emulate(ApicState.DISABLED, 0x030, Operation.READ) is Emulated.ABSENT


BASE, ON, X2 = 0xFEE00000, 1 << 11, 1 << 10


@pytest.mark.parametrize(
    ("before", "value", "faults"),
    [
        (BASE | ON, BASE | ON | X2, False),
        (BASE | ON | X2, BASE | ON, True),
        (BASE | ON, 0xFED00000 | ON, True),
        (BASE | ON, 0xFED00000, False),
        (BASE | ON | X2, 0xFED00000 | ON | X2, False),
        (BASE | ON | X2, BASE, False),
        (BASE, BASE | ON | X2, True),
        (BASE, BASE | ON, False),
        (BASE | ON, BASE | ON | 1, True),
        (BASE | ON, BASE | ON | 1 << 9, True),
    ],
)
def test_writes_of_apic_base(before: int, value: int, faults: bool) -> None:
    assert apic_base_faults(before, value) is faults


def test_apic_base_without_x2apic_in_cpuid() -> None:
    assert apic_base_faults(BASE | ON, BASE | ON | X2, x2apic=False)

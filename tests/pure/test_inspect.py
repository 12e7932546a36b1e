"""Inspecting a domain: what was found, compared with the model and the policy."""

from __future__ import annotations

import json
from dataclasses import replace

import jsonschema
import pytest
from click.testing import CliRunner, Result

from tests.hosts import SVM, domain_info, host
from xenapic.apic.controls import ControlWords
from xenapic.apic.outcome import Kind
from xenapic.apic.state import ApicState
from xenapic.cli.app import app
from xenapic.documents import schema_text
from xenapic.errors import DomainNotFound
from xenapic.model.flags import MISC, PHYSCAP_X86
from xenapic.model.host import Host
from xenapic.model.measured import Measurement, VcpuControls
from xenapic.policy.terms import Aspect, Policy, Want
from xenapic.verify.inspection import Inspection, Kept, compare_controls

PIN, CPU = 0x3F, 0xB6A065FE
XAPIC, X2APIC, NEITHER = 0x17CB, 0x17DA, 0x17CA
WORDS = {
    ApicState.DISABLED: NEITHER,
    ApicState.XAPIC: XAPIC,
    ApicState.X2APIC: X2APIC,
    ApicState.RELOCATED: NEITHER,
}
MEASURED = Measurement({state: ControlWords(PIN, CPU, word, 0) for state, word in WORDS.items()}, "measured")
INFO = domain_info()


def vcpu(state: ApicState, secondary: int) -> VcpuControls:
    return VcpuControls(0, state.apic_base, ControlWords(PIN, CPU, secondary, 0))


def look(
    state: ApicState, secondary: int, there: Host | None = None, policy: Policy | None = None, misc: int = 0
) -> Inspection:
    made = there or host(measured=MEASURED)
    return compare_controls(replace(INFO, misc_flags=MISC(misc)), policy, made, (vcpu(state, secondary),))


@pytest.mark.parametrize("state", ApicState)
def test_as_predicted(state: ApicState) -> None:
    found = look(state, WORDS[state])
    assert found.ok and found.vcpus[0].agrees and not found.vcpus[0].plain_memory
    assert list(found.vcpus[0].accesses())


def test_a_difference_is_named() -> None:
    found = look(ApicState.XAPIC, XAPIC & ~0x200)
    (one,) = found.vcpus
    assert not found.ok and one.agrees is False
    assert one.differences == ("virtual_interrupt_delivery",)


def test_what_is_not_known_of_the_host_is_only_possible() -> None:
    found = look(ApicState.X2APIC, X2APIC, host())  # the log does not tell of x2APIC mode
    assert found.ok and len(found.vcpus[0].predicted) == 2


@pytest.mark.parametrize("state", ApicState)
def test_without_xens_log_what_is_in_force_is_still_possible(state: ApicState) -> None:
    """Debug keys of other programs wrap the ring: then almost nothing is known about the host."""
    found = look(state, WORDS[state], host(start=1))
    assert found.ok and found.vcpus[0].agrees and len(found.vcpus[0].predicted) > 2
    impossible = look(state, XAPIC | 0x10, host(start=1))
    assert impossible.vcpus[0].agrees is False, "both modes at once: no VM entry takes it"


def test_an_apic_that_is_plain_memory() -> None:
    there = host(extra="-rc", arch_capabilities=PHYSCAP_X86(3), measured=MEASURED)
    found = look(ApicState.XAPIC, NEITHER, there, misc=int(MISC.ASSISTED_X2APIC))
    (one,) = found.vcpus
    assert one.agrees and one.plain_memory and not found.ok
    assert {row.outcome.kind for row in one.accesses()} == {Kind.MEMORY}
    gone = look(ApicState.X2APIC, X2APIC, there, misc=int(MISC.ASSISTED_X2APIC))
    assert gone.ok, "a guest that went to x2APIC mode is fine"


def test_promises() -> None:
    policy = Policy(
        aspects={
            Aspect.X2APIC_MODE: Want.REQUIRE,
            Aspect.TPR_SHADOW: Want.REQUIRE,
            Aspect.POSTED: Want.FORBID,
            Aspect.REGISTERS: Want.PREFER,
        }
    )
    found = look(ApicState.XAPIC, XAPIC, policy=policy)
    assert [one.kept for one in found.vcpus[0].promises] == [Kept.NOT_NOW, Kept.KEPT, Kept.KEPT]
    broken = look(ApicState.X2APIC, NEITHER, policy=policy)
    assert broken.vcpus[0].promises[0].kept is Kept.BROKEN and not broken.ok


def test_amd_and_a_vcpu_that_never_was() -> None:
    found = VcpuControls(0, ApicState.XAPIC.apic_base, None, "no VMCS")
    (one,) = compare_controls(INFO, None, host(hw_cap=SVM, log=b""), (found,)).vcpus
    assert one.agrees is None and all(row.outcome.kind.leaves for row in one.accesses())
    (one,) = compare_controls(INFO, None, host(measured=MEASURED), (found,)).vcpus
    assert one.agrees is None and not one.plain_memory and list(one.accesses()) == []


# -- the command ----------------------------------------------------------------------------------


def run(monkeypatch: pytest.MonkeyPatch, answers: list[object], *arguments: str) -> Result:
    """Run the command; each look at the domain gives the next answer."""
    left = list(answers)

    def answer(_xen: object, _domid: int) -> object:
        one = left.pop(0)
        if isinstance(one, BaseException):
            raise one
        return one

    class Nothing:
        def __enter__(self) -> Nothing:
            return self

        def __exit__(self, *_error: object) -> None:
            pass

        def host(self) -> None:
            pass

    monkeypatch.setattr("xenapic.verify.inspection.inspect", answer)
    monkeypatch.setattr("xenapic.open", lambda _library=None: Nothing())
    return CliRunner().invoke(app, ["inspect", "7", *arguments])


def test_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    done = run(monkeypatch, [look(ApicState.XAPIC, XAPIC, policy=Policy(assisted_xapic=True))], "--accesses")
    assert done.exit_code == 0, done.output
    assert "assisted_xapic = 1" in done.output and "kept" in done.output
    assert "EOI virtualization" in done.output


def test_the_command_is_loud_about_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    there = host(extra="-rc", arch_capabilities=PHYSCAP_X86(3), measured=MEASURED)
    done = run(monkeypatch, [look(ApicState.XAPIC, NEITHER, there)])
    assert done.exit_code == 1 and "DEFECT: the APIC of vCPU 0 is plain memory" in done.output
    done = run(monkeypatch, [look(ApicState.XAPIC, XAPIC & ~0x200)])
    assert done.exit_code == 1 and "differing: virtual_interrupt_delivery" in done.output


def test_the_command_in_json(monkeypatch: pytest.MonkeyPatch) -> None:
    done = run(monkeypatch, [look(ApicState.X2APIC, X2APIC, policy=Policy(assisted_xapic=True))], "--json")
    document = json.loads(done.output)
    jsonschema.validate(document, json.loads(schema_text("inspect")))
    assert document["vcpus"][0]["promises"] == [{"asked": "assisted_xapic = 1", "kept": "not now"}]
    assert run(monkeypatch, [], "--json", "--watch", "1").exit_code == 2


def test_watching_prints_what_changed_until_the_domain_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    first, then = look(ApicState.XAPIC, XAPIC), look(ApicState.X2APIC, X2APIC)
    gone = DomainNotFound("xc_domain_getinfolist", 3, "look at domain 7")
    done = run(monkeypatch, [first, first, then, then, gone], "--watch", "0")
    assert done.exit_code == 0
    assert done.output.count("domain 7, PVH") == 2
    assert "0xfee00d00" in done.output and done.output.rstrip().endswith("domain 7 is gone")

"""What else a saved log shows: the processor, the machine, the version; and what the processor's row adds."""

from __future__ import annotations

from pathlib import Path

import pytest

from xenapic.apic.processors import PROCESSORS
from xenapic.documents import from_json, to_json
from xenapic.errors import HostUnknown
from xenapic.model.conditions import Situation
from xenapic.model.config import DomainConfig
from xenapic.model.create import prepare_request
from xenapic.model.facts import Answer
from xenapic.model.flags import PHYSCAP
from xenapic.model.host import Host
from xenapic.model.logged import host_from_log
from xenapic.model.rehost import host_under
from xenapic.model.releases import OLDER_RELEASES, xen_release
from xenapic.policy.plan import Plan, plan
from xenapic.policy.terms import Aspect, Policy, Want

LOGS = Path(__file__).parents[1] / "data/logs"
YES, NO, UNKNOWN = Answer.YES, Answer.NO, Answer.UNKNOWN


def real(name: str) -> Host:
    return host_from_log((LOGS / f"{name}.log").read_bytes(), name=f"{name}.log").host


TPR = ("APIC TPR shadow", "Extended Page Tables (EPT)")


def made(*lines: str, items: tuple[str, ...] = TPR, version: str = "4.17.5") -> Host:
    listed = [f" - {item}" for item in items]
    text = [f"Xen version {version} (x)", *lines, "VMX: Supported advanced features:", *listed, "HVM: ASIDs"]
    return host_from_log("".join(f"(XEN) {line}\n" for line in text), name="a.log").host


# -- the processor -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "signature", "model", "row"),
    [
        ("8250U", "000806ea", "06-8e-0a", "kaby-lake-r"),
        ("6242", "00050657", "06-55-07", "cascade-lake-sp"),
        ("BayTrail", "00030679", "06-37-09", "bay-trail"),  # from the decoded numbers, on a wrapped line
        ("8845HS", "00a70f52", "19-75-02", "phoenix"),
        ("C2750", None, None, "avoton"),  # from the name in the trade
        ("SKX-D", None, "06-55", "skylake-sp"),  # from the model that the idle driver prints
        ("qubes6245", None, None, None),
    ],
)
def test_the_processor_of_a_log(name: str, signature: str | None, model: str | None, row: str | None) -> None:
    seen = real(name).seen
    assert seen is not None
    assert (seen.signature, seen.model) == (signature, model)
    assert next(iter(seen.rows), None) == row


def test_the_row_answers_what_xen_does_not_log() -> None:
    fact = real("SKX-D").features["virtualize_x2apic_mode"]
    assert fact.answer is YES
    assert fact.source.startswith("SKX-D.log, line 6, shows a processor 06-55, row skylake-sp")


def test_a_row_does_not_answer_for_a_damaged_list() -> None:
    host = real("i3-2100")
    assert host.seen is not None and host.seen.rows == ("sandy-bridge-client",)
    assert host.features["virtualize_apic_accesses"].answer is UNKNOWN


SKYLAKE = "CPU Vendor: Intel, Family 6 (0x6), Model 85 (0x55), Stepping 4 (raw 00050654)"


def test_where_log_and_row_contradict_both_are_said() -> None:
    host = made(SKYLAKE, "Command line: x")
    assert host.seen is not None
    (note,) = host.seen.notes
    assert note.startswith("a.log, line 2, shows a processor 06-55-04, row skylake-sp, which offers process")
    assert "virtual-interrupt delivery (InstLatx64" in note
    assert note.endswith("but the log shows that Xen does not use them")
    fact = host.features["virtual_interrupt_delivery"]
    assert fact.answer is NO and "which offers it" in fact.source


def test_apicv_0_explains_what_the_row_has_and_the_log_lacks() -> None:
    items = ("APIC MMIO access virtualisation", *TPR, "MSR direct-access bitmap")
    off = made(SKYLAKE, "Command line: apicv=0", items=items)
    assert off.seen is not None and not off.seen.notes
    excerpt = made(SKYLAKE, items=items)  # the options are not known: apicv=0 may be among them
    assert excerpt.seen is not None and not excerpt.seen.notes
    assert made(SKYLAKE, "Command line: x", items=items).seen != excerpt.seen


# -- the machine -------------------------------------------------------------------------------------


def test_the_iommu_and_the_hosts_own_x2apic_mode() -> None:
    host = made(
        "Switched to APIC driver x2apic_cluster",
        "Intel VT-d Interrupt Remapping enabled.",
        "Intel VT-d Posted Interrupt not enabled.",
        "Intel VT-d Shared EPT tables enabled.",
        "I/O virtualisation enabled",
    )
    facts = (host.x2apic_mode, host.interrupt_remapping, host.posted_by_iommu)
    assert [fact.answer for fact in facts] == [YES, YES, NO]
    assert host.x2apic_mode.source == "a.log, line 2: 'Switched to APIC driver x2apic_cluster'"
    assert PHYSCAP.directio | PHYSCAP.iommu_hap_pt_share in host.physinfo.capabilities
    assert not host.unknown & (PHYSCAP.directio | PHYSCAP.iommu_hap_pt_share)
    off = made("I/O virtualisation disabled", "Not enabling x2APIC (upon firmware request)")
    assert off.x2apic_mode.answer is NO and "upon firmware request" in off.x2apic_mode.source
    assert PHYSCAP.directio not in off.physinfo.capabilities | off.unknown
    assert made().x2apic_mode.answer is UNKNOWN and PHYSCAP.directio in made().unknown


def test_options_that_the_log_does_not_show_are_not_the_default() -> None:
    assert not made().grant_limits.frames_known and made().altp2m.answer is UNKNOWN
    shown = made("Command line: gnttab_max_frames=32")
    assert shown.grant_limits.frames_known and shown.grant_limits.frames == 32
    assert made("Command line:").commandline_known and not made().commandline_known
    assert host_under(made(), None, "").commandline_known


def test_the_changeset() -> None:
    assert made("Latest ChangeSet: Thu Jan 1 00:00 git:abc-dirty").version.changeset.endswith("git:abc-dirty")


# -- the version -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "note", "follows"),
    [
        ("4.17.5", "", True),
        ("4.13.5", "", True),
        ("4.7.6", "so does what follows", True),
        ("4.2.1", "nothing else follows", False),
        ("4.23.0", "nothing else follows", False),
    ],
)
def test_what_holds_for_a_xen_that_is_not_modelled(version: str, note: str, follows: bool) -> None:
    host = made(SKYLAKE, "Command line: apicv=0", version=version)
    assert host.seen is not None and note in " ".join(host.seen.notes)
    assert host.features["tpr_shadow"].answer is YES
    assert host.features["cr8_load_exiting"].known is follows
    assert from_json(to_json(host)) == host


def test_a_plan_for_a_xen_that_is_not_modelled_says_how_to_go_on() -> None:
    policy = Policy({Aspect.TPR_SHADOW: Want.REQUIRE})
    with pytest.raises(HostUnknown, match=r"Xen 4\.7 are not modelled .*--xen RELEASE"):
        plan(policy, real("C2750"))
    assert isinstance(plan(policy, host_under(real("C2750"), xen_release("4.20"))), Plan)
    with pytest.raises(HostUnknown, match=r"how Xen 4\.2 chooses"):
        host_under(made(version="4.2.1"), xen_release("4.20"))


@pytest.mark.parametrize("release", OLDER_RELEASES)
def test_the_older_releases_have_plans_but_no_rules_of_create(release: object) -> None:
    host = host_under(made("Command line: x"), release)  # type: ignore[arg-type]
    assert isinstance(plan(Policy({Aspect.TPR_SHADOW: Want.REQUIRE}), host), Plan)
    with pytest.raises(HostUnknown, match="refuses a create are not modelled"):
        prepare_request(DomainConfig.pvh(), Situation(host))
    assert not host.features["tertiary_controls"]


# -- lines -------------------------------------------------------------------------------------------


def test_line_numbers_are_those_of_the_file() -> None:
    lines = [
        "From a mail with soft line breaks=20",
        "(XEN) Xen version 4.17.5 (x) debug=3Dn",
        "(XEN) Command line: a=3D1 b=3D2 =",
        "c=3D3",
        "(XEN) VMX: Supported advanced features:",
        "(XEN)  - APIC TPR sha=",
        "dow",
        "(XEN) HVM: ASIDs enabled.",
    ]
    host = host_from_log("\r\n".join(lines), name="a.mail").host
    assert host.version.commandline == "a=1 b=2 c=3"
    assert host.features["tpr_shadow"].source == "a.mail, line 6: 'APIC TPR shadow'"


def test_a_missing_item_has_the_lines_of_the_list() -> None:
    host = made("Command line: x")
    source = "a.log, lines 3 to 5: its feature list lacks 'Posted Interrupt Processing'"
    assert host.features["posted_interrupts"].source == source


def test_options_of_the_build() -> None:
    seen = real("8250U").seen
    assert seen is not None and seen.built_in == "ept=exec-sp spec-ctrl=unpriv-mmio"


def test_lines_of_the_processor_that_were_wrapped() -> None:
    text = "(XEN) CPU0: Intel(R) Core(TM) i3-2100 CPU @\n3.10GHz stepping 07\n(XEN) HVM: VMX enabled\n"
    seen = host_from_log(text).host.seen
    assert seen is not None and seen.rows == ("sandy-bridge-client",)
    seen = host_from_log("(XEN) mwait-idle: v0.4.1 model\n0x55\n(XEN) HVM: VMX enabled\n").host.seen
    assert seen is not None and seen.model == "06-55"


def test_carriage_returns_alone_end_lines() -> None:
    text = "(XEN) VMX: Supported advanced features:\r(XEN)  - APIC TPR shadow\r(XEN) HVM: ASIDs enabled.\r"
    assert host_from_log(text, name="a").host.features["tpr_shadow"].source == "a, line 2: 'APIC TPR shadow'"


def test_a_web_page_with_line_breaks_as_tags() -> None:
    text = "<pre>(XEN) Xen version 4.17.5 (x)<br/>\n(XEN) VMX: Supported advanced features:<br>\n"
    text += "(XEN) &nbsp;- APIC TPR shadow<br>(XEN) HVM: ASIDs enabled.</pre>"
    host = host_from_log(text, name="a.html").host
    assert host.features["tpr_shadow"].source == "a.html, line 3: 'APIC TPR shadow'"
    assert host.features["posted_interrupts"].answer is NO


def test_a_log_that_was_saved_as_utf_16_without_a_mark() -> None:
    text = "(XEN) VMX: Supported advanced features:\r\r\n(XEN) \u00a0- APIC TPR shadow\r\r\n(XEN) HVM: ASIDs\r\r\n"
    for encoding in ("utf-16-le", "utf-16-be", "utf-16", "utf-8-sig"):
        host = host_from_log(text.encode(encoding), name="a.log").host
        assert host.features["tpr_shadow"].source == "a.log, line 2: 'APIC TPR shadow'", encoding
        assert host.features["posted_interrupts"].answer is NO, encoding


def test_every_row_is_known() -> None:
    for path in LOGS.glob("*.log"):
        seen = real(path.stem).seen
        assert seen is not None and set(seen.rows) <= set(PROCESSORS)

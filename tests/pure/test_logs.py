"""Saved logs: what a damaged one still shows, and what follows from it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import xenapic
from tests.hosts import INTEL_LOG, SVM, host
from xenapic.apic.controls import Controls
from xenapic.apic.features import FEATURES, Technology
from xenapic.apic.processors import PROCESSORS, Processor
from xenapic.errors import FileUnreadable, HostUnknown, LogInvalid
from xenapic.model.acceleration import host_controls
from xenapic.model.consequences import IMPLIED, OFFERED, uses
from xenapic.model.evidence import IN_LOG
from xenapic.model.facts import Answer
from xenapic.model.host import Host
from xenapic.model.logged import host_from_log
from xenapic.model.named import named_host
from xenapic.model.releases import XEN_RELEASES, XenRelease, activates_tertiary, xen_release
from xenapic.parse.bootlog import parse
from xenapic.parse.featurelist import ITEMS
from xenapic.parse.files import file_name, read_file
from xenapic.parse.logtext import parse_log
from xenapic.policy.plan import Refusal, plan
from xenapic.policy.terms import Aspect, Policy, Want

LOGS = Path(__file__).parents[1] / "data/logs"
EXPECTED = json.loads((LOGS / "expected.json").read_text())
YES, NO, UNKNOWN = Answer.YES, Answer.NO, Answer.UNKNOWN
LINES = INTEL_LOG.decode().splitlines()
LOGGED = list(IN_LOG)


def answers(made: Host) -> dict[str, str]:
    return {key: fact.answer.value for key, fact in made.features.items()}


def log_of(processor: Processor, release: XenRelease, options: str = "") -> str:
    """Return what that Xen prints on that processor."""
    used = host_controls(release, Controls.of(*processor.offers), apicv="apicv=0" not in options)
    items = [item for key, item in IN_LOG.items() if used.has(key)]
    version = "4.17.0-rc3" if release.per_domain_apic else f"{release.name}.9"
    lines = [f"Xen version {version} (x@y) (gcc) debug=n", f"Command line: {options}"]
    lines += ["VMX: Supported advanced features:", *(f" - {item}" for item in items or ["none"])]
    return "".join(f"(XEN) {line}\n" for line in [*lines, "HVM: ASIDs enabled.", "HVM: VMX enabled"])


# -- real logs ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EXPECTED)
def test_a_real_log_shows_what_a_person_reads(name: str) -> None:
    made = host_from_log((LOGS / f"{name}.log").read_bytes(), name=name)
    wanted = EXPECTED[name]
    log = made.log
    assert log.technology is Technology(wanted["technology"])
    assert log.boot.features == set(wanted["features"])
    assert bool(log.boot.gap) is (name == "i3-2100")
    if log.signature is not None:
        assert f"{log.signature:08x}" == wanted["signature"]
    if log.version is not None:
        major, minor, extra = log.version
        assert f"{major}.{minor}{extra}".startswith(
            wanted["xen"].removesuffix(" (Qubes)").removesuffix("-rc")
        )
    assert all(fact.source for fact in made.host.features.values())


@pytest.mark.parametrize("name", [name for name, wanted in EXPECTED.items() if wanted["row"]])
def test_a_real_log_agrees_with_its_row(name: str) -> None:
    made = answers(host_from_log((LOGS / f"{name}.log").read_bytes()).host)
    row = answers(named_host(PROCESSORS[EXPECTED[name]["row"]], XEN_RELEASES[-1]))
    assert not {key for key in made if made[key] not in (row[key], "unknown")}
    assert made["virtualize_x2apic_mode"] in (row["virtualize_x2apic_mode"], "unknown")


def test_a_damaged_line_makes_missing_items_unknown() -> None:
    made = host_from_log((LOGS / "i3-2100.log").read_bytes(), name="i3-2100.log").host
    assert made.features["virtualize_apic_accesses"].answer is UNKNOWN
    assert (
        "i3-2100.log is incomplete: line 4 cannot be read ('(isation')"
        in made.features["virtualize_apic_accesses"].source
    )
    assert made.features["tpr_shadow"].source == "i3-2100.log, line 5: 'APIC TPR shadow'"
    assert made.features["apic_register_virtualization"].answer is UNKNOWN
    assert made.features["cr8_load_exiting"].answer is NO


def test_console_to_ring_is_a_warning_in_a_saved_log() -> None:
    text = "(XEN) Command line: console_to_ring\n" + INTEL_LOG.decode()
    made = host_from_log(text, name="a.log")
    assert made.host.features["tpr_shadow"].answer is YES
    assert made.warnings == ("dom0 can have written lines of a.log (console_to_ring)",)


def test_it_is_reachable_from_the_top() -> None:
    assert xenapic.host_from_log(INTEL_LOG).host.technology is Technology.VMX


# -- damage -------------------------------------------------------------------------------------------

DAMAGE = {
    "cut after an item": "\n".join(LINES[:5]),
    "cut in an item": "\n".join([*LINES[:5], LINES[5][:20]]),
    "cut after the header": "\n".join(LINES[:2]),
    "an item damaged": "\n".join([*LINES[:3], "(XEN)  - APIC TP", *LINES[4:]]),
    "an item overwritten": "\n".join([*LINES[:3], "garbage", *LINES[4:]]),
    "a foreign line inside": "\n".join([*LINES[:4], "(XEN) mwait-idle: v0.4.1 model 0x55", *LINES[4:]]),
    "the header lost": "\n".join([LINES[0], *LINES[2:]]),
    "the prefix of an item damaged": "\n".join([*LINES[:3], LINES[3].replace("(XEN)", "(XE"), *LINES[4:]]),
    "an item of another extension": "\n".join([*LINES[:4], "(XEN)  - DecodeAssists", *LINES[4:]]),
    "the lines after it lost": "\n".join([*LINES[:-1], "(XEN) Brought up 8 CPUs"]),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_what_was_not_read_is_unknown_and_what_was_read_is_yes(kind: str) -> None:
    full = host_from_log(INTEL_LOG).host
    made = host_from_log(DAMAGE[kind]).host
    assert made.technology is Technology.VMX
    for key in LOGGED:
        assert (
            made.features[key].answer in (full.features[key].answer, UNKNOWN) if full.features[key] else True
        )
        assert made.features[key].answer is not NO
    assert "incomplete" in made.features["posted_interrupts"].source
    refusal = plan(Policy({Aspect.POSTED: Want.FORBID}), made_with_release(DAMAGE[kind]))
    assert isinstance(refusal, Refusal) and refusal.reasons[0].code.value == "aspect-unknown"


def made_with_release(text: str) -> Host:
    return host_from_log(text, release=xen_release("4.17")).host


@pytest.mark.parametrize("kind", [kind for kind in DAMAGE if kind != "the header lost"])
def test_a_ring_with_the_same_damage_says_unknown_too(kind: str) -> None:
    made = host(log=DAMAGE[kind].encode() + b"\n")
    assert made.features["posted_interrupts"].answer is UNKNOWN


@given(st.lists(st.sampled_from(sorted(ITEMS[Technology.VMX])), unique=True), st.data())
def test_losing_lines_never_makes_a_no(items: list[str], data: st.DataObject) -> None:
    whole = ["Xen version 4.17.5 (x)", "VMX: Supported advanced features:", *(f" - {item}" for item in items)]
    lines = [
        f"(XEN) {line}" for line in [*whole, *([] if items else [" - none"]), "HVM: ASIDs enabled.", "more"]
    ]
    before = parse_log("\n".join(lines)).boot
    assert before.features == set(items) and not before.gap
    kept = data.draw(st.integers(0, len(lines)))
    after = parse_log("\n".join(lines[:kept])).boot
    assert after.features <= set(items)
    if kept <= len(items) + 2:
        assert after.gap or after.technology is None or not items


HARMLESS: dict[str, Callable[[str], str]] = {
    "quoted": lambda line: f"> {line}",
    "quoted twice": lambda line: f"> > {line}",
    "no-break space": lambda line: line.replace("  ", " \u00a0"),
    "leading blank lost": lambda line: line.replace(")  -", ") -"),
    "all blanks no-break": lambda line: line.replace(" ", "\u00a0"),
    "trailing blanks": lambda line: line + "   \r",
    "stamp before": lambda line: f"[2020-11-30 14:45:33] {line}",
    "stamp after": lambda line: line.replace("(XEN)", "(XEN) [2025-02-16 21:56:40.181]"),
    "ticks after": lambda line: line.replace("(XEN)", "(XEN) [000000341c1f78e9]"),
    "syslog": lambda line: f"Nov 11 13:48:47 host xen[12]: {line}",
    "indented": lambda line: f"    {line}",
    "dash": lambda line: line.replace(" - ", " – "),
    "no prefix": lambda line: line.replace("(XEN) ", ""),
    "no-break spaces as Latin-1": lambda line: line.replace("  ", " \u00a0"),
    "numbered": lambda line: f"  12: {line}",
    "on a web page": lambda line: "&gt; " + line.replace("  ", "&nbsp; "),
    "with a terminal's sequences": lambda line: f"\x1b[0;1m\x1b(B\x1b[m{line}\x1b[K",
    "after a host in parentheses": lambda line: f"[13:00:01] (host1) {line}",
    "without prefix, with stamps": lambda line: line.replace("(XEN)", "[2025-02-16 21:56:40]"),
    "in colour": lambda line: f"\x1b[37m{line}\x1b[0m",
    "a blank line between": lambda line: line + "\n",
}


@pytest.mark.parametrize("how", HARMLESS)
def test_what_mail_programs_do_changes_nothing(how: str) -> None:
    text = "\n".join(HARMLESS[how](line) for line in LINES)
    made = host_from_log(text.encode("latin-1" if "Latin-1" in how else "utf-8"))
    assert answers(made.host) == answers(host_from_log(INTEL_LOG).host)
    assert made.log.version == (4, 17, ".7")


def test_a_mails_own_encoding_is_undone() -> None:
    lines = [line.replace("  ", " =C2=A0") + "=20" for line in LINES]
    lines[0] = (
        "(XEN) Xen version 4.17.7 (Debian) debug=3Dn=20\n(XEN) Command line: apicv=3D0 dom0_mem=3D2048M=20"
    )
    made = host_from_log("\n".join(lines))
    assert made.log.options == "apicv=0 dom0_mem=2048M" and not made.log.boot.gap
    assert len(made.log.boot.features) == 5
    plain = host_from_log(f"(XEN) Command line: dom0_max_vcpus=20\n{INTEL_LOG.decode()}")
    assert plain.log.options == "dom0_max_vcpus=20"


def test_items_that_were_wrapped_are_put_together() -> None:
    text = (
        "(XEN) VMX: Supported advanced\nfeatures:\n(XEN)  - Extended Page Tables\n(EPT)\n"
        "(XEN)  - Virtual-Processor\nIdentifiers\n(VPID)\n(XEN) HVM: ASIDs enabled.\n"
    )
    boot = parse_log(text).boot
    assert (
        boot.features == {"Extended Page Tables (EPT)", "Virtual-Processor Identifiers (VPID)"}
        and not boot.gap
    )
    lines = "(XEN) Command line: com1=115200,8n1\napicv=0 dom0_mem=1G\n"
    assert parse_log(lines).options == "com1=115200,8n1 apicv=0 dom0_mem=1G"


def test_items_that_were_wrapped_at_a_hyphen_or_after_the_dash() -> None:
    text = (
        "(XEN) VMX: Supported advanced features:\n(XEN)  - Virtual-\nProcessor Identifiers (VPID)\n"
        "(XEN)  -\nAPIC TPR shadow\n(XEN)  - MSR direct-\naccess bitmap\n(XEN) HVM: ASIDs enabled.\n"
    )
    boot = parse_log(text).boot
    assert not boot.gap and boot.features == {
        "Virtual-Processor Identifiers (VPID)",
        "APIC TPR shadow",
        "MSR direct-access bitmap",
    }


def test_two_lines_in_one_are_read_as_two() -> None:
    joined = INTEL_LOG.decode().replace("shadow\n", "shadow")
    assert answers(host_from_log(joined).host) == answers(host_from_log(INTEL_LOG).host)


def test_a_guests_lines_in_a_saved_log_count_for_nothing() -> None:
    forged = "(d1) (XEN)  - Posted Interrupt Processing\n[1] (d2) x (XEN)  - Posted Interrupt Processing"
    text = INTEL_LOG.decode().replace("(XEN) HVM", f"{forged}\n(XEN) HVM")
    assert "Posted Interrupt Processing" not in parse_log(text).boot.features


# -- options and boots --------------------------------------------------------------------------------


def test_options_that_xen_was_built_with_are_read() -> None:
    start = b"(XEN) Built-in command line: ept=exec-sp apicv=0 gnttab_max_frames=32 altp2m\n"
    made = host(log=start + b"(XEN) Xen version 4.17.7 (x) (gcc) debug=n\n")
    assert made.features["virtualize_x2apic_mode"].answer is NO
    assert made.grant_limits.frames == 32
    assert made.altp2m.answer is YES
    later = host(log=start + b"(XEN) Xen version 4.17.7 (x) (gcc) debug=n\n", commandline="apicv=1 altp2m=0")
    assert later.features["virtualize_x2apic_mode"].answer is UNKNOWN
    assert later.altp2m.answer is NO
    saved = host_from_log(start + INTEL_LOG.replace(b"(XEN)  - APIC Reg", b"(XEN)  - APIC Reg")).log
    assert saved.boot.built_in.startswith("ept=exec-sp apicv=0")


def test_an_option_that_may_be_built_in_is_not_absent() -> None:
    assert host("4.22", ".0", log=b"(XEN) x\n", start=9).altp2m.answer is UNKNOWN
    assert host("4.22", ".0", log=b"(XEN) Xen version 4.22.0 (x)\n").altp2m.answer is NO
    assert host_from_log((LOGS / "CFL6.log").read_bytes()).host.altp2m.answer is UNKNOWN
    assert host_from_log((LOGS / "8250U.log").read_bytes()).host.altp2m.answer is NO
    assert named_host(PROCESSORS["skylake-sp"], xen_release("4.22")).altp2m.answer is NO
    assert named_host(PROCESSORS["skylake-sp"], xen_release("4.22"), "altp2m=1").altp2m.answer is YES


def test_built_in_options_come_from_before_the_version_only() -> None:
    """Later in the ring a guest may have written any text."""
    log = parse(INTEL_LOG + b"(XEN) Built-in command line: apicv=0\n", 0, "")
    assert log.built_in == ""
    none = parse(b"(XEN) Xen version 4.17.7 (x)\n(XEN) Built-in command line: apicv=0\n", 0, "")
    assert none.built_in == ""
    assert not parse(b"(XEN) Built-in command line: console_to_ring\n" + INTEL_LOG, 0, "").trusted


def test_of_several_boots_the_last_counts() -> None:
    first = log_of(PROCESSORS["skylake-sp"], xen_release("4.20"))
    last = log_of(PROCESSORS["skylake-sp"], xen_release("4.22"), "apicv=0")
    made = host_from_log(first + "(XEN) Brought up 8 CPUs\n Xen 4.22.9\n" + last, name="serial.log")
    assert made.warnings == ("serial.log has 2 boots; the last one counts",)
    assert made.host.version.release == "4.22"
    assert made.host.features["apic_register_virtualization"].answer is NO
    cut = (
        first
        + "(XEN) Xen version 4.22.9 (x)\n(XEN) Command line: x\n(XEN) VMX: Supported advanced features:\n"
    )
    assert host_from_log(cut).host.features["apic_register_virtualization"].answer is UNKNOWN
    only_lists = (
        "\n".join(LINES[1:]) + "\n(XEN) VMX: Supported advanced features:\n(XEN)  - none\n(XEN) HVM: x\n"
    )
    assert host_from_log(only_lists).host.features["tpr_shadow"].answer is NO


def test_the_version_that_a_debug_key_prints_is_no_boot() -> None:
    text = INTEL_LOG.decode() + "(XEN) Xen version 4.17.7 (x) (gcc) debug=n\n(XEN) Latest ChangeSet: \n"
    assert host_from_log(text).host.features["tpr_shadow"].answer is YES
    assert not host_from_log(text).warnings


def test_in_the_ring_the_first_list_counts() -> None:
    """Xen's memory has one boot: a second one in the ring is a guest's text."""
    second = INTEL_LOG.replace(
        b"(XEN)  - Virtual Interrupt", b"(XEN)  - Posted Interrupt Processing\n(XEN)  - Virtual Interrupt"
    )
    assert "Posted Interrupt Processing" not in parse(INTEL_LOG + second, 0, "").features


# -- what follows -------------------------------------------------------------------------------------


def test_no_x2apic_assistance_follows_from_the_log() -> None:
    text = log_of(PROCESSORS["coffee-lake"], xen_release("4.20"))
    fact = host_from_log(text).host.features["virtualize_x2apic_mode"]
    assert fact.answer is NO
    assert fact.source.startswith(
        "Xen uses it only together with register virtualization or virtual-interrupt"
    )
    made = host(log=text.encode(), release="4.20")
    assert made.features["virtualize_x2apic_mode"].answer is NO


@pytest.mark.parametrize(
    "name", [row.name for row in PROCESSORS.values() if row.technology is Technology.VMX]
)
def test_facts_from_a_log_equal_the_named_processors(name: str) -> None:
    for release in XEN_RELEASES:
        for options in ("", "apicv=0"):
            _compare(PROCESSORS[name], release, options)


def _compare(processor: Processor, release: XenRelease, options: str) -> None:
    text = log_of(processor, release, options)
    from_log = host_from_log(text, release=release).host
    named = named_host(processor, release, options)
    for key, fact in from_log.features.items():
        if fact.known:
            assert fact.answer in (named.features[key].answer, UNKNOWN) or not named.features[key].known, key
        else:
            assert _both_are_possible(key, text, release, options), (key, fact)


@cache
def _everything_that_can_be(release: XenRelease, options: str) -> tuple[Controls, ...]:
    """Return what Xen uses on every processor there could be."""
    numbers = range(1 << len(OFFERED))
    offers = ([name for at, name in enumerate(OFFERED) if number >> at & 1] for number in numbers)
    return tuple(
        {host_controls(release, Controls.of(*each), apicv="apicv=0" not in options): None for each in offers}
    )


def _both_are_possible(key: str, text: str, release: XenRelease, options: str) -> bool:
    """Find two processors with this very log, where Xen uses the feature on one of them only."""
    fitting = (
        used
        for used in _everything_that_can_be(release, options)
        if all(used.has(each) is (item in text) for each, item in IN_LOG.items())
    )
    return len({uses(key, used) for used in fitting}) == 2


def test_every_control_but_the_fixed_ones_can_follow() -> None:
    fixed = {"external_interrupt_exiting", "ipi_virtualization"}
    assert set(IMPLIED) | fixed == {row.key for row in FEATURES if row.technology is Technology.VMX}


@pytest.mark.parametrize(
    ("version", "answer"),
    [("4.14.9", False), ("4.15.5", False), ("4.15.6", True), ("4.17.3", False), ("4.17.4", True),
     ("4.17.0-rc3", False), ("4.18.1", False), ("4.18.2", True), ("4.19.0", True), ("4.22.0", True),
     ("4.17", None), ("4.19-unstable", None), ("0.0", None)],
)  # fmt: skip
def test_point_releases_that_activate_tertiary_controls(version: str, answer: bool | None) -> None:
    major, minor, extra = parse_log(f"(XEN) Xen version {version} (x)").version or (0, 0, "")
    assert activates_tertiary((major, minor), extra) is answer


# -- nested virtualization on AMD ---------------------------------------------------------------------

ZEN = (
    "Nested Page Tables (NPT)", "Last Branch Record (LBR) Virtualisation", "Next-RIP Saved on #VMEXIT",
    "VMCB Clean Bits", "DecodeAssists",
)  # fmt: skip


def amd_log(*items: str, end: str = "(XEN) HVM: SVM enabled\n") -> bytes:
    lines = "".join(f"(XEN)  - {item}\n" for item in items)
    return f"(XEN) SVM: Supported advanced features:\n{lines}{end}".encode()


@pytest.mark.parametrize(
    ("release", "log", "answer"),
    [
        ("4.18", amd_log(*ZEN), YES),  # 4.18 neither asks for flush by ASID nor logs it
        ("4.15", amd_log("Nested Page Tables (NPT)"), YES),
        ("4.19", amd_log(*ZEN), NO),
        ("4.19", amd_log(*ZEN, "TLB flush by ASID"), YES),
        ("4.19", amd_log(*ZEN, end=""), UNKNOWN),
        ("4.22", amd_log(*ZEN[:3], "Bus Lock Fil"), UNKNOWN),
    ],
)
def test_nested_virt_on_amd(release: str, log: bytes, answer: Answer) -> None:
    assert host(release, ".1", log=log, hw_cap=SVM).nested_virt.answer is answer


def test_nested_virt_of_a_real_amd_host_before_4_19() -> None:
    assert host_from_log((LOGS / "8845HS.log").read_bytes()).host.nested_virt.answer is YES
    assert host_from_log((LOGS / "5950X.log").read_bytes()).host.nested_virt.answer is YES


# -- logs that say little -----------------------------------------------------------------------------


def test_a_log_without_anything_about_vmx_or_svm_is_refused() -> None:
    for text in ("", "\0\0", "hello\n" * 1000, "(XEN) Xen version 4.17.5 (x)\n", "(" * 100_000):
        with pytest.raises(LogInvalid, match=r"^x\.log: it has no line of Xen's about VMX or SVM"):
            host_from_log(text, name="x.log")


def test_a_log_that_says_only_that_vmx_is_on() -> None:
    made = host_from_log("(XEN) HVM: VMX enabled\n").host
    assert made.features["tpr_shadow"].answer is UNKNOWN
    assert (
        made.features["tpr_shadow"].source == "the feature list in the log is incomplete: the list is missing"
    )


def test_a_log_where_vmx_failed() -> None:
    made = host_from_log("(XEN) CPU0: VMX disabled by BIOS.\n(XEN) VMX: failed to initialise.\n").host
    assert made.features["tpr_shadow"].answer is NO and made.physinfo.no_guest is not None


def test_a_log_that_does_not_say_which_xen_it_is_from() -> None:
    text = "\n".join(LINES[1:])
    made = host_from_log(text).host
    assert (str(made.version), made.interface.answer) == ("of an unknown release", UNKNOWN)
    with pytest.raises(HostUnknown, match="it is not known which Xen this host runs; --xen RELEASE"):
        _ = made.release
    assert host_from_log(text, release=xen_release("4.20")).host.release.name == "4.20"
    assert host_from_log(INTEL_LOG, release=xen_release("4.17")).host.version.extra == ".7"


def test_utf16_is_read_too() -> None:
    made = host_from_log(INTEL_LOG.decode().encode("utf-16"))
    assert made.host.features["tpr_shadow"].answer is YES


def test_a_named_host_does_not_claim_to_have_a_log() -> None:
    for name in ("skylake-sp", "zen4"):
        made = named_host(PROCESSORS[name], xen_release("4.20"))
        texts = [fact.source for fact in (*made.features.values(), made.flask, made.nested_virt, made.altp2m)]
        assert not [text for text in texts if "physinfo" in text or "boot log:" in text or "wrapped" in text]


@given(st.binary(max_size=400))
def test_any_bytes_are_read(data: bytes) -> None:
    for text in (data, b"(XEN) VMX: Supported advanced features:\n(XEN)" + data):
        with suppress(LogInvalid, FileUnreadable):  # it may begin like an archive
            host_from_log(text)
        parse(text, 0, "")


# -- files ---------------------------------------------------------------------------------------------


def test_a_log_in_a_file_is_read_or_the_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "xen.log"
    for wrong in ("missing.log", "", "huge.log"):
        if wrong == "huge.log":
            with (tmp_path / wrong).open("wb") as file:
                file.truncate(100 << 20)
        with pytest.raises(FileUnreadable, match=re.escape(str(tmp_path / wrong))):
            read_file(tmp_path / wrong)
    path.write_bytes(b"\xef\xbb\xbf" + INTEL_LOG.replace(b"(XEN) HVM", b"\0\0(XEN)\0 HVM\0"))
    made = host_from_log(read_file(path), name=file_name(path))
    assert made.host.features["tpr_shadow"].source == f"{path}, line 4: 'APIC TPR shadow'"
    assert not made.log.boot.gap
    path.write_bytes(b"")
    with pytest.raises(LogInvalid, match=re.escape(f"{path}: it has no line")):
        host_from_log(read_file(path), name=file_name(path))

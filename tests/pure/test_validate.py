"""``xenapic validate``: one line a check, the same in text and JSON, and an exit status for scripts."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import jsonschema
import pytest
from click.testing import CliRunner, Result

import xenapic
from tests.hosts import INTEL_LOG, SVM, host
from tests.pure.test_platform import with_lines
from xenapic.cli.app import app
from xenapic.documents import from_json, schema_text, to_json
from xenapic.model.checks import Area, Check, CheckVerdict, check_host, worst
from xenapic.model.facts import unknown
from xenapic.model.flags import PHYSCAP
from xenapic.policy.validate import check_policy, validate


def run(*arguments: str, **options: str) -> Result:
    return CliRunner().invoke(app, ["validate", *arguments], **options)  # type: ignore[arg-type]


def by_code(checks: Iterable[Check]) -> dict[str, Check]:
    return {check.code: check for check in checks}


def verdict(code: str, made: xenapic.Host) -> CheckVerdict:
    return by_code(check_host(made))[code].verdict


FULL = with_lines("Switched to APIC driver x2apic_mixed", "Interrupt remapping enabled")


@pytest.mark.parametrize(
    "made",
    [
        host(),
        host(start=100),
        host(hw_cap=SVM),
        host(commandline="apicv=0 console_to_ring x2apic=maybe gnttab_max_frames=0"),
        host(capabilities=PHYSCAP.pv),
        host(extra=".0-rc1", probe=19),
        *(xenapic.named_host(xenapic.processor("westmere"), row, "x" * 1100) for row in xenapic.XEN_RELEASES),
    ],
)
def test_every_check_says_what_to_do(made: xenapic.Host) -> None:
    checks = check_host(made)
    assert {check.area for check in checks} >= {Area.HARDWARE, Area.XEN, Area.GRANTS, Area.DEFECT}
    for check in checks:
        assert check.text and "\n" not in str(check), check
        assert bool(check.advice) is (check.verdict is not CheckVerdict.PASS), check


def test_hardware() -> None:
    assert verdict("virtualization", host()) is CheckVerdict.PASS
    failed = by_code(check_host(host(capabilities=PHYSCAP.pv)))
    assert failed["virtualization"].verdict is CheckVerdict.FAIL and "tpr_shadow" not in failed
    assert verdict("hap", host(capabilities=PHYSCAP.hvm | PHYSCAP.shadow)) is CheckVerdict.WARN
    assert verdict("tpr_shadow", host()) is CheckVerdict.PASS
    assert verdict("posted_interrupts", host()) is CheckVerdict.WARN
    assert verdict("virtualize_x2apic_mode", host()) is CheckVerdict.UNKNOWN
    assert verdict("avic", host(hw_cap=SVM)) is CheckVerdict.WARN
    off = by_code(check_host(host(commandline="apicv=0")))["virtual_interrupt_delivery"]
    assert off.verdict is CheckVerdict.WARN and off.advice.startswith("Boot Xen without apicv=0")


def test_firmware() -> None:
    good = by_code(check_host(host(log=FULL)))
    assert good["host-x2apic"].verdict is good["interrupt-remapping"].verdict is CheckVerdict.PASS
    asked = host(log=with_lines("Not enabling x2APIC (upon firmware request)", "I/O virtualisation disabled"))
    refused = by_code(check_host(asked))
    assert refused["x2apic-opt-out"].verdict is CheckVerdict.WARN
    assert "upon firmware request" in refused["x2apic-opt-out"].source
    assert refused["interrupt-remapping"].verdict is CheckVerdict.WARN
    unseen = by_code(check_host(host(start=100)))
    assert unseen["host-x2apic"].verdict is unseen["interrupt-remapping"].verdict is CheckVerdict.UNKNOWN
    off = host(commandline="x2apic=0", log=with_lines("Not enabling x2APIC: disabled by cmdline."))
    assert by_code(check_host(off))["host-x2apic"].advice == "Remove x2apic=0 from Xen's options"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("", CheckVerdict.PASS),
        ("apicv=0", CheckVerdict.WARN),
        ("apicv=maybe", CheckVerdict.WARN),
        ("console_to_ring", CheckVerdict.WARN),
        ("x" * 1100, CheckVerdict.UNKNOWN),
    ],
)
def test_options(options: str, expected: CheckVerdict) -> None:
    assert verdict("options", host(commandline=options)) is expected


def test_release() -> None:
    assert verdict("release", host()) is CheckVerdict.PASS
    assert verdict("release", host(extra=".0-rc1", probe=19)) is CheckVerdict.WARN
    assert (
        verdict("release", xenapic.host_from_log(INTEL_LOG.decode().split("\n", 1)[1]).host)
        is CheckVerdict.UNKNOWN
    )


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("", CheckVerdict.PASS),
        ("gnttab_max_frames=8", CheckVerdict.WARN),
        ("gnttab_max_frames=0", CheckVerdict.FAIL),
    ],
)
def test_grants(options: str, expected: CheckVerdict) -> None:
    assert verdict("grant-frames", host(commandline=options)) is expected


def test_defects() -> None:
    assert verdict("vlapic-error-deadlock", host("4.17", ".5")) is CheckVerdict.FAIL  # XSA-462
    assert "vlapic-error-deadlock" not in by_code(check_host(host("4.17", ".6")))
    assert verdict("late-refused-create-panic", host("4.20", ".2")) is CheckVerdict.WARN


def test_a_policy() -> None:
    made = host()
    assert check_policy(xenapic.Policy(), made)[0].verdict is CheckVerdict.PASS
    aspect, want = xenapic.Aspect, xenapic.Want
    for key, expected in (
        (aspect("tpr_shadow"), CheckVerdict.PASS),
        (aspect("posted_interrupts"), CheckVerdict.FAIL),
        (aspect("virtualize_x2apic_mode"), CheckVerdict.UNKNOWN),
    ):
        (check,) = check_policy(xenapic.Policy(aspects={key: want.REQUIRE}), made)
        assert check.verdict is expected and check.area is Area.POLICY
    preferred = check_policy(xenapic.Policy(aspects={aspect("posted_interrupts"): want.PREFER}), made)
    assert [check.verdict for check in preferred] == [CheckVerdict.PASS, CheckVerdict.WARN]
    assert validate(made, xenapic.Policy()) == (*check_host(made), *check_policy(xenapic.Policy(), made))


def test_worst() -> None:
    made = by_code(check_host(host()))
    assert worst(()) is CheckVerdict.PASS
    assert worst((made["hap"], made["virtualize_x2apic_mode"])) is CheckVerdict.UNKNOWN
    assert worst(tuple(made.values())) is CheckVerdict.WARN


# -- the command -------------------------------------------------------------------------------------


@pytest.fixture
def report(tmp_path: Path) -> str:
    path = tmp_path / "report.json"
    path.write_text(json.dumps(to_json(host("4.17", ".7", log=FULL))))
    return str(path)


def test_text_and_json_say_the_same(report: str) -> None:
    text, data = run("--host", report), run("--host", report, "--json")
    assert (text.exit_code, data.exit_code) == (0, 0)
    document = json.loads(data.stdout)
    jsonschema.validate(document, json.loads(schema_text("validate")))
    from_json(data.stdout)
    (made,) = document["hosts"].values()
    assert made["verdict"] == document["verdict"] == "WARN"
    lines = text.stdout.splitlines()
    assert len(lines) == len(made["checks"])
    for line, check in zip(lines, made["checks"], strict=True):
        assert line.split()[0] == check["verdict"] and line.endswith(f"[{check['code']}]")


def test_quiet_and_strict(report: str) -> None:
    quiet = run("--host", report, "-q")
    assert quiet.exit_code == 0
    assert quiet.stdout and not [line for line in quiet.stdout.splitlines() if line.startswith("PASS")]
    assert run("--host", report, "--strict").exit_code == 1


def test_a_refused_policy_fails(report: str, tmp_path: Path) -> None:
    for arguments in (("--require", "posted_interrupts"), (str(tmp_path / "policy.toml"),)):
        (tmp_path / "policy.toml").write_text('[apic]\nposted_interrupts = "require"\n')
        refused = run(*arguments, "--host", report, "-q")
        assert refused.exit_code == 1
        assert refused.stdout.splitlines()[-1].startswith("FAIL     policy: ")


def test_a_domains_configuration(report: str, tmp_path: Path) -> None:
    config = tmp_path / "guest.cfg"
    config.write_text('type = "pvh"\nname = "g"\nkernel = "/k"\nmemory = 64\nvcpus = 2\n')
    assert "PASS     domain: nothing" in run(str(config), "--host", report).stdout
    config.write_text(config.read_text() + "max_grant_frames = 100\n")
    refused = run(str(config), "--host", report, "-q")
    assert refused.exit_code == 1 and "[grant-frames-too-many]" in refused.stdout


def test_several_hosts(report: str, tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    other.write_text(json.dumps(to_json(host(hw_cap=SVM))))
    shown = run("--host", report, "--host", str(other), "-q")
    assert {line.split()[1] for line in shown.stdout.splitlines()} == {f"{report}:", f"{other}:"}


def test_a_hosts_words_cannot_steer_the_terminal(tmp_path: Path) -> None:
    made = host()
    features = {**made.features, "tpr_shadow": unknown("\x1b[2J\nPASS  fine", "\r")}
    path = tmp_path / "evil.json"
    path.write_text(json.dumps(to_json(type(made)(**{**vars(made), "features": features}))))
    shown = run("--host", str(path))
    assert "\x1b" not in shown.stdout and "\nPASS  fine" not in shown.stdout

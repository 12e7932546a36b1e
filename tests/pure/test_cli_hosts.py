"""The options that say which host is meant are the same in every command that asks about one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from xenapic.cli.app import app

LOG = str(Path(__file__).parents[1] / "data/logs/8250U.log")
CPUINFO = """vendor_id\t: GenuineIntel
cpu family\t: 6
model\t\t: 85
model name\t: Intel(R) Xeon(R) Platinum 8160 CPU @ 2.10GHz
stepping\t: 4
flags\t\t: fpu vmx tpr_shadow flexpriority ept vpid vnmi
vmx flags\t: vnmi posted_intr tsc_offset vtpr mtf vapic ept vpid unrestricted_guest vapic_reg vid ple pml
"""
COMMANDS = {
    "host": ["host"],
    "plan": ["plan", "--require", "tpr_shadow"],
    "access": ["access"],
    "find": ["find", "assisted_x2apic=0"],
    "create": ["create", "--dry-run", "--type", "pvh"],
}


def run(*arguments: str, stdin: str | bytes = "") -> Result:
    return CliRunner().invoke(app, arguments, input=stdin)


@pytest.fixture(name="sources", scope="module")
def make_sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    folder = tmp_path_factory.mktemp("hosts")
    (folder / "cpuinfo").write_text(CPUINFO)
    (folder / "report.json").write_text(run("host", "--log", LOG, "--json").stdout)
    return {
        "log": ["--log", LOG],
        "cpuinfo": ["--cpuinfo", str(folder / "cpuinfo"), "--xen", "4.17"],
        "processor": ["--processor", "skylake-sp", "--xen", "4.20"],
        "report": ["--host", str(folder / "report.json")],
        "log under another Xen": ["--log", LOG, "--xen", "4.20", "--xen-options", "apicv=0"],
    }


@pytest.mark.parametrize("source", ["log", "cpuinfo", "processor", "report", "log under another Xen"])
@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_takes_every_kind_of_host(
    command: str, source: str, sources: dict[str, list[str]]
) -> None:
    done = run(*COMMANDS[command], *sources[source], "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["schema"].startswith("xenapic/")


def test_each_kind_of_host_gives_a_report_like_any_other(
    sources: dict[str, list[str]], tmp_path: Path
) -> None:
    for source, arguments in sources.items():
        report = run("host", *arguments, "--json").stdout
        path = tmp_path / "report.json"
        path.write_text(report)
        again = run("host", "--host", str(path), "--json")
        assert json.loads(again.stdout) == json.loads(report), source


def test_a_report_a_log_and_a_cpuinfo_come_from_standard_input(sources: dict[str, list[str]]) -> None:
    for option, path in (("--log", LOG), *(sources[source][:2] for source in ("cpuinfo", "report"))):
        done = run("host", option, "-", "--json", stdin=Path(path).read_bytes())
        assert done.exit_code == 0, done.output
        assert json.loads(done.stdout)["technology"] == "VMX"
    for arguments in (["--log", "-"], ["--host", "-"], ["--cpuinfo", "-"]):
        done = run("plan", "-", *arguments)
        assert done.exit_code == 2 and "there is one standard input" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--log", LOG, "--measure"], "exclude each other"),
        (["--processor", "zen4", "--host", LOG], "exclude each other"),
        (["--processor", "zen4", "--processor", "zen3-epyc"], "'xenapic plan' compares hosts"),
        (["--log", LOG, "--log", LOG], "'xenapic plan' compares hosts"),
        (["--log", LOG, "--probe"], "--probe asks the running Xen"),
        (["--host", LOG], "8250U.log: not JSON"),
    ],
)
def test_options_that_do_not_go_together(arguments: list[str], text: str) -> None:
    done = run("host", *arguments)
    assert done.exit_code == 2 and text in " ".join(done.stderr.split()), done.output


def test_logs_make_a_pool() -> None:
    other = LOG.replace("8250U", "SKX-D")
    done = run(
        "plan",
        "--log",
        LOG,
        "--log",
        other,
        "--require",
        "virtual_interrupt_delivery",
        "--xen",
        "4.20",
        "--json",
    )
    pool = json.loads(done.stdout)
    assert done.exit_code == 1 and set(pool["hosts"]) == {f"{LOG} Xen 4.20", f"{other} Xen 4.20"}
    assert "refused" in pool["hosts"][f"{LOG} Xen 4.20"]
    twice = run("plan", "--log", LOG, "--log", LOG)
    assert twice.exit_code == 2 and "given twice" in twice.stderr


def test_access_compares_a_log_with_a_processor() -> None:
    done = run("access", "--log", LOG, "--diff", "processor=skylake-sp")
    assert done.exit_code == 0 and "stays; read of the virtual-APIC page" in done.stdout
    done = run("access", "--processor", "skylake-sp", "--diff", f"log={LOG}", "--diff", f"host={LOG}")
    assert done.exit_code == 2 and "exclude each other" in done.stderr


def test_a_dry_run_applies_every_rule_without_a_xen() -> None:
    done = run(
        "create", "--dry-run", "--type", "pvh", "--log", LOG, "--set", "max_grant_frames=9999999", "--json"
    )
    assert done.exit_code == 1 and "grant" in done.stdout
    assert run("create", "--log", LOG).exit_code == 2

"""The role for Ansible, run by ansible-core against local connections and saved reports."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import xenapic
from xenapic.documents import to_json

ROOT = Path(__file__).parent.parent.parent
ANSIBLE = ROOT / "contrib" / "ansible"

INVENTORY = """
[all:vars]
ansible_connection=local
ansible_python_interpreter={python}
xenapic_command={command}
xenapic_controller_command={command}

[all]
fast xenapic_saved_report={reports}/fast.json
slow xenapic_saved_report={reports}/slow.json
asked
"""
FAKE = """#!/bin/sh
# Where no Xen runs, 'host' answers with a report that was saved; everything else is the real command.
if [ "$1" = host ]; then exec cat {report}; fi
exec {python} -m xenapic "$@"
"""


@pytest.fixture
def reports(tmp_path: Path) -> Path:
    for name, processor in (("fast", "skylake-sp"), ("slow", "epyc"), ("live", "broadwell-ep")):
        known = xenapic.named_host(xenapic.processor(processor), xenapic.xen_release("4.20"), extra=".2")
        (tmp_path / f"{name}.json").write_text(json.dumps(to_json(known)))
    return tmp_path


def executable(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o755)
    return path


def environment(tmp_path: Path) -> dict[str, str]:
    home = {"HOME": str(tmp_path), "ANSIBLE_HOME": str(tmp_path / ".ansible"), "LC_ALL": "C.UTF-8"}
    return {**os.environ, **home, "PYTHONPATH": str(ROOT), "ANSIBLE_NOCOLOR": "1", "ANSIBLE_FORKS": "3"}


def test_a_play_fails_for_the_host_that_refuses(reports: Path) -> None:
    pytest.importorskip("ansible", reason="make installs it")
    tmp_path, python = reports, sys.executable
    command = executable(tmp_path / "xenapic", FAKE.format(report=tmp_path / "live.json", python=python))
    values = {"python": python, "command": command, "reports": reports}
    (tmp_path / "inventory").write_text(INVENTORY.format(**values))
    policy = tmp_path / "policy.toml"
    policy.write_text('[apic]\nvirtual_interrupt_delivery = "require"\n')
    gathered = tmp_path / "gathered"
    done = subprocess.run(
        [
            Path(python).parent / "ansible-playbook",
            *("-i", tmp_path / "inventory", ANSIBLE / "check.yml"),
            *("-e", f"xenapic_policy={policy}", "-e", f"xenapic_reports={gathered}"),
        ],
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 2, done.stdout + done.stderr
    recap = dict(re.findall(r"^(\w+) +: .*failed=(\d)", done.stdout, re.MULTILINE))
    assert recap == {"asked": "0", "fast": "0", "slow": "1"}
    assert "aspect-missing" in done.stdout and "Traceback" not in done.stdout + done.stderr
    for name, source in (("fast", "fast"), ("slow", "slow"), ("asked", "live")):
        kept = xenapic.from_json((gathered / f"{name}.json").read_text(), xenapic.Host)
        assert kept == xenapic.from_json((reports / f"{source}.json").read_text(), xenapic.Host)


def test_the_facts_script(reports: Path) -> None:
    script = ANSIBLE / "facts.d" / "xenapic.fact"
    command = executable(reports / "x", FAKE.format(report=reports / "live.json", python=sys.executable))
    for chosen, schema in ((str(command), "xenapic/host/1"), ("/nowhere/xenapic", "xenapic/error/1")):
        env = {**environment(reports), "XENAPIC": chosen}
        done = subprocess.run([script], env=env, capture_output=True, text=True, check=True)
        assert json.loads(done.stdout)["schema"] == schema


def test_the_facts_script_says_why_there_is_no_report(tmp_path: Path) -> None:
    failing = executable(
        tmp_path / "x", '#!/bin/sh\necho \'{"schema": "xenapic/error/1"}\'\necho why >&2\nexit 3\n'
    )
    env = {**environment(tmp_path), "XENAPIC": str(failing)}
    done = subprocess.run(
        [ANSIBLE / "facts.d" / "xenapic.fact"], env=env, capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout)["schema"] == "xenapic/error/1" and not done.stderr

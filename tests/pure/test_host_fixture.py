"""The fixture ``xen_host``, in a pytest of its own, as another project has it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent

TESTS = """
import json
import sys
from pathlib import Path

import pytest

import xenapic

LOGS = Path({logs!r})
CPUINFO = '''processor\\t: 0
vendor_id\\t: GenuineIntel
cpu family\\t: 6
model\\t\\t: 85
stepping\\t: 4
model name\\t: Intel(R) Xeon(R) Platinum 8160 CPU @ 2.10GHz
flags\\t\\t: fpu vmx ept
vmx flags\\t: vnmi preemption_timer posted_intr flexpriority apicv vtpr vapic ept vpid vapic_reg vid
'''


def test_a_processor(xen_host):
    assert xen_host("skylake-sp").release.name == "4.20"
    assert str(xen_host("50654", xen="4.17.3").version) == "4.17.3"
    assert not xen_host("skylake-sp", options="apicv=0").features["virtual_interrupt_delivery"]


def test_a_log(xen_host):
    host = xen_host(LOGS / "8250U.log")
    assert str(host.version) == "4.17.5" and host.features["tpr_shadow"]
    assert xen_host(LOGS / "8250U.log", xen="4.20").release.name == "4.20"
    assert xen_host(LOGS / "CFL6.log", xen="4.18").release.name == "4.18"  # this log does not say which Xen


def test_a_report(xen_host):
    first, second = xen_host.report("epyc", xen="4.17.5"), xen_host.report("skylake-sp")
    assert first != second and json.loads(first.read_text())["schema"] == "xenapic/host/1"
    assert xen_host(first) == xen_host("epyc", xen="4.17.5")
    assert xen_host(first, xen="4.22").release.name == "4.22"


def test_cpuinfo(xen_host, tmp_path):
    (tmp_path / "cpuinfo").write_text(CPUINFO)
    assert xen_host(tmp_path / "cpuinfo", xen="4.19").features["posted_interrupts"]


def test_errors(xen_host, tmp_path):
    with pytest.raises(xenapic.NameUnknown):
        xen_host("skylake-zz")
    with pytest.raises(xenapic.FileUnreadable):
        xen_host(tmp_path / "missing")
    (tmp_path / "text").write_text("nothing")
    with pytest.raises(xenapic.LogInvalid):
        xen_host(tmp_path / "text")
    (tmp_path / "json").write_text("{{}}")
    with pytest.raises(xenapic.DocumentInvalid, match="json"):
        xen_host(tmp_path / "json")


def test_no_xen_is_touched():
    assert not [name for name in sys.modules if name.startswith(("xenapic.abi", "xenapic.live"))]
"""


def test_another_project(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(TESTS.format(logs=str(ROOT / "tests" / "data" / "logs")))
    # By module, not by entry point: the latter would be the one of whatever was installed last.
    plugin = ("-p", "xenapic.documents.pytest_plugin")
    command = [sys.executable, "-m", "pytest", "-q", *plugin, "-p", "no:cacheprovider"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "6 passed" in done.stdout


def test_the_fixture_is_an_entry_point() -> None:
    assert 'xenapic_host = "xenapic.documents.pytest_plugin"' in (ROOT / "pyproject.toml").read_text()

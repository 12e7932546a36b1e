"""Debian's Xen, taken out of its packages and brought to the lab by each form, is Debian's Xen."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from xenapic.documents import from_json
from xenapic.lab.added import add, remove
from xenapic.lab.apt import Apt, derive, machine_sources
from xenapic.lab.gather import Sources
from xenapic.verify.check import Verdict
from xenapic.verify.checks import check_recording
from xenapic.verify.compare import Comparison, compare
from xenapic.verify.matrix import emulator_of
from xenapic.verify.recording import Recording, read_recording
from xenapic.verify.select import Selection, selection_of

pytestmark = pytest.mark.xen

RECORDED = Path(__file__).parent.parent / "data" / "recorded"
PACKAGES = ("xen-hypervisor-4.17-amd64", "libxenmisc4.17")
QUICK = "create,vmcs,cpuid"


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ...]:
    apt = Apt(tmp_path_factory.mktemp("apt"), derive(machine_sources(), "bookworm"))
    apt.update()
    return tuple(package.path for package in apt.download(PACKAGES, closure=False))


@pytest.fixture(scope="module")
def unpacked(packages: tuple[Path, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    tree = tmp_path_factory.mktemp("tree")
    for package in packages:
        subprocess.run(["dpkg-deb", "--extract", str(package), str(tree)], check=True)
    return tree


@pytest.fixture
def name() -> Iterator[str]:
    name = f"test-{os.getpid()}"
    yield name
    remove(name)


def record(xen_lab: Any, xen: str, machine: str, select: str = "") -> Recording:
    command = ["python3", "-m", "xenapic.verify", machine, emulator_of(machine), select]
    done = xen_lab.run(command, machine=machine, xen=xen, cold=True, timeout=900)
    assert done.status == 0, done.stderr.decode()
    return from_json(done.stdout, Recording)


def kept(name: str) -> Recording:
    import json

    return read_recording(json.loads((RECORDED / f"{name}.json").read_text()))


def compared(first: Recording, second: Recording, select: str = "") -> Comparison:
    return selection_of(select).comparison(compare("x", [first], [second]))


def test_packages(xen_lab: Any, packages: tuple[Path, ...], name: str) -> None:
    """Added, run and verified; on this machine 4.20 does the same."""
    add(name, Sources(packages=packages))
    recording = record(xen_lab, name, "epyc")
    report = check_recording(recording, name)
    assert report.ok and report.compared > 1200, report.of(Verdict.DISAGREES)
    assert recording.build is not None and recording.build.debug is False
    assert compared(recording, kept("epyc-4.20")).differences == ()


@pytest.mark.thorough
@pytest.mark.parametrize("form", ["tree", "files"])
def test_the_other_forms(xen_lab: Any, unpacked: Path, name: str, form: str) -> None:
    libraries = unpacked / "usr/lib/x86_64-linux-gnu"
    hypervisor = unpacked / "boot/xen-4.17-amd64.gz"
    sources = (
        Sources(tree=unpacked) if form == "tree" else Sources(hypervisor=hypervisor, libraries=libraries)
    )
    add(name, sources)
    ours, debian = (record(xen_lab, xen, "epyc", QUICK) for xen in (name, "4.17"))
    result = compared(ours, debian)
    assert result.differences == () and result.compared > 30


@pytest.mark.thorough
def test_a_tampered_hypervisor_shows_what_was_tampered_with(
    xen_lab: Any, packages: tuple[Path, ...], name: str
) -> None:
    """Its option apicv=0 is that of the Xen, not of the boot: everything that differs follows from it."""
    add(name, Sources(packages=packages), options=("apicv=0",))
    ours, debian = (record(xen_lab, xen, "broadwell_ult", "vmcs,xapic,x2apic") for xen in (name, "4.17"))
    changed = {
        (d.where.split(", ")[-1], d.first, d.second)
        for d in selection_of("vmcs").comparison(compare("x", [debian], [ours])).differences
    }
    assert changed == {
        ("apic_register_virtualization", "set", "clear"),
        ("virtual_interrupt_delivery", "set", "clear"),
        ("virtualize_x2apic_mode", "set", "clear"),
        ("virtualize_apic_accesses", "clear", "set"),
    }
    assert Selection() == selection_of("")

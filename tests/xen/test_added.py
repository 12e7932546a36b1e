"""Debian's Xen, taken out of its packages and brought to the lab by each form, is Debian's Xen.

What the commands print and how they exit is tested as a user has it: `xenapic lab …` in a process of its own.
"""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.kernels import bzimage
from tests.xen.boots import on
from xenapic.lab.added import add, added_names, remove
from xenapic.lab.apt import Apt, derive, machine_sources
from xenapic.lab.gather import Sources
from xenapic.lab.xens import Release, ensure

pytestmark = pytest.mark.xen

ROOT = Path(__file__).parent.parent.parent
PACKAGES = ("xen-hypervisor-4.17-amd64", "libxenmisc4.17")
KNOWN = [("create", "flags 0x3, emulation_flags 0x1ff, misc_flags 0x0", "EOPNOTSUPP", "created")]
"""All that 4.20 does otherwise than 4.17 on these machines: event channels need no PIRQs of their own."""
APICV_OFF = {
    ("apic_register_virtualization", "set", "clear"),
    ("virtual_interrupt_delivery", "set", "clear"),
    ("virtualize_x2apic_mode", "set", "clear"),
    ("virtualize_apic_accesses", "clear", "set"),
}
"""What the option changes in the VMCS: x2APIC mode gives way to APIC accesses."""


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


def lab(*words: object, cwd: Path = ROOT, status: int = 0) -> str:
    """Run a command of the lab as a user does; return what it prints."""
    command = [sys.executable, "-m", "xenapic", "lab", *map(str, words)]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == status, f"{done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def given(form: str, packages: tuple[Path, ...], unpacked: Path) -> list[object]:
    """Return the words that add Debian's Xen in a form."""
    if form == "packages":
        return ["--packages", *packages]
    if form == "tree":
        return ["--tree", unpacked]
    libraries = unpacked / "usr/lib/x86_64-linux-gnu"
    return ["--hypervisor", unpacked / "boot/xen-4.17-amd64.gz", "--libraries", libraries]


def differences(answer: str) -> list[tuple[str, str, str, str]]:
    (machine,) = json.loads(answer)["machines"]
    return [(d["topic"], d["where"], d["first"], d["second"]) for d in machine["differences"]]


@pytest.mark.parametrize(
    ("form", "select"),
    [
        ("packages", "create,log,cpuid"),
        pytest.param("tree", "", marks=pytest.mark.thorough),
        pytest.param("files", "", marks=pytest.mark.thorough),
    ],
)
def test_each_form_is_debians_xen(
    form: str,
    select: str,
    packages: tuple[Path, ...],
    unpacked: Path,
    name: str,
    tmp_path: Path,
    xen_lab: Any,
) -> None:
    """Added, run, verified; compared with Debian's own, and with another release."""
    assert f"{name}: Xen 4.17" in lab("add", name, *given(form, packages, unpacked))
    assert lab("run", "--quiet", "--xen", name, "--", "xenapic", "info").count("4.17.") >= 1
    kept = tmp_path / "kept"
    verified = lab("verify", "--xen", name, "--machines", "epyc", "--apicv", "on", "--record-dir", kept)
    (agree, of, compared) = next(line for line in verified.splitlines() if line.startswith("epyc")).split()[
        1:4
    ]
    assert of == "of" and agree == compared and int(compared) > 1200
    part = ("--machines", "epyc", "--json", "--select", select)
    assert differences(lab("compare", kept, "4.17", *part)) == []
    assert differences(lab("compare", kept, "4.20", *part, status=1)) == KNOWN


@pytest.mark.thorough
def test_a_path_is_as_good_as_a_name(unpacked: Path, xen_lab: Any, tmp_path: Path) -> None:
    """Every ``--xen``, `xenapic.lab`, and pytest's fixture take the path of a tree."""
    import xenapic.lab

    tree = unpacked.rename(unpacked.with_name(f"tree-{os.getpid()}"))
    try:
        assert "4.17." in lab("run", "--quiet", "--xen", tree, "--", "xenapic", "info")
        verified = lab("verify", "--xen", tree, "--machines", "epyc", "--apicv", "on", "--select", "create")
        assert "of" in verified and "failed" not in verified
        select = ("--machines", "epyc", "--select", "create")
        assert "nothing differs" in lab("compare", f"./{tree.name}", "4.17", *select, cwd=tree.parent)
        for xen in (tree, str(tree)):
            assert xenapic.lab.run(["true"], xen=xen).status == 0
        with xenapic.lab.start(xen=tree) as machine:
            assert b"4.17." in machine.run(["xenapic", "info"]).stdout
        assert b"4.17." in xen_lab.run(["xenapic", "info"], xen=tree).stdout
        (tmp_path / "test_mine.py").write_text(MINE)
        for xen, word in ((tree, tree.name), ("4.20", "4.20")):
            pytest_of_a_user(tmp_path, "--xenapic-xen", str(xen), word=word)
    finally:
        tree.rename(unpacked)
        for one in tuple(added_here(tree)):
            remove(one)


MINE = """
import os

def test_mine(xen_lab):
    assert xen_lab.xen.startswith(os.environ["WORD"])
    with xen_lab.start() as machine:
        assert machine.run(["xenapic", "info"]).stdout
"""


def pytest_of_a_user(place: Path, *options: str, word: str) -> None:
    """Run pytest in a directory that has no part of xenapic's own configuration."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--xen-required", *options]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "WORD": word}
    done = subprocess.run(command, cwd=place, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "1 passed" in done.stdout, done.stdout + done.stderr


def added_here(tree: Path) -> Iterator[str]:
    return (one for one in added_names() if one.startswith(f"{tree.name}-"))


@pytest.mark.thorough
def test_a_kernel_of_the_users_boots_dom0(
    packages: tuple[Path, ...], name: str, xen_lab: Any, tmp_path: Path
) -> None:
    """A kernel's file is taken; what runs in dom0 is that kernel and no other."""
    base = ensure(Release("4.17", "bookworm"), lambda text: None)
    mine = tmp_path / "vmlinuz-mine"
    kernel = base.kernel.read_bytes()
    debian, ours = b"debian-kernel@lists.debian.org", b"me@my-own-computer.example.org"
    assert kernel.count(debian) > 1
    mine.write_bytes(bzimage(gzip.compress(kernel.replace(debian, ours), 1)))
    assert f"kernel: {mine}" in lab("add", name, "--packages", *packages, "--kernel", mine)
    mine.unlink()
    assert ours.decode() in lab("run", "--quiet", "--xen", name, "--", "cat", "/proc/version")


@pytest.mark.thorough
@pytest.mark.parametrize("machine", [on("broadwell_ult", "4.17", "broadwell_ult")])
def test_a_tampered_hypervisor_shows_what_was_tampered_with(
    xen_lab: Any, packages: tuple[Path, ...], name: str, machine: str, tmp_path: Path
) -> None:
    """Its option apicv=0 is that of the Xen, not of the boot: everything that differs follows from it."""
    add(name, Sources(packages=packages), options=("apicv=0",))
    select = ("--machines", machine, "--select", "vmcs,create,log", "--json")
    found = differences(lab("compare", "4.17", name, *select, status=1))
    assert {topic for topic, *_rest in found} == {"VMCS", "boot log"}
    changed = {(where.split(", ")[-1], *values) for topic, where, *values in found if topic == "VMCS"}
    assert changed == APICV_OFF
    gone = {(where, *values) for topic, where, *values in found if topic == "boot log"}
    assert gone == {
        ("APIC Register Virtualization", "a line", "not recorded"),
        ("Virtual Interrupt Delivery", "a line", "not recorded"),
    }


BUILD = """
if grep -q broken source; then exit 1; fi
cp "{hypervisor}" xen.gz
"""
TRY = """#!/bin/sh
sh ../build.sh >build.log 2>&1 || exit 125
{xenapic} lab add {name} --hypervisor xen.gz --libraries "{libraries}" --xen-args "$(cat source)" || exit 125
{xenapic} lab compare ../good {name} --machines {machine} --select {select}
"""


@pytest.mark.thorough
@pytest.mark.thorough
@pytest.mark.parametrize(
    ("machine", "option", "select"),
    [("epyc", "hap=0", "create"), ("broadwell_ult", "apicv=0", "x2apic,vmcs")],
)
def test_git_bisect_boots_each_revision(
    machine: str, option: str, select: str, unpacked: Path, name: str, tmp_path: Path, xen_lab: Any
) -> None:
    """The recipe of the documentation; revision 3 is the first bad one, 4, in the middle, cannot be built."""
    tree, good = tmp_path / "xen", tmp_path / "good"
    tree.mkdir()
    places = {
        "hypervisor": unpacked / "boot/xen-4.17-amd64.gz",
        "libraries": unpacked / "usr/lib/x86_64-linux-gnu",
        "xenapic": f'PYTHONPATH="{ROOT}" "{sys.executable}" -m xenapic',
    }
    (tmp_path / "build.sh").write_text(BUILD.format(**places))
    script = tmp_path / "try.sh"
    script.write_text(TRY.format(name=name, machine=machine, select=select, **places))

    def git(*words: str) -> str:
        who = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
        done = subprocess.run(["git", *who, *words], cwd=tree, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    git("init", "-q")
    sources = ("", "a=1", option, "broken", *(f"{option} a={number}" for number in range(3)))
    for number, source in enumerate(sources, 1):
        (tree / "source").write_text(source)
        git("add", "source")
        git("commit", "-q", "-m", f"revision {number}")
    lab("verify", "--xen", "4.17", "--machines", machine, "--apicv", "on", "--select", select,
        "--record-dir", good)  # fmt: skip
    git("bisect", "start", "HEAD", "HEAD~6")
    said = git("bisect", "run", "sh", str(script))
    assert "is the first bad commit" in said
    assert git("log", "-1", "--format=%s", "refs/bisect/bad").strip() == "revision 3"
    assert "skip" in git("bisect", "log")

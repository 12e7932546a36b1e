"""The Python blocks of README and the documentation that need a Xen, executed with a fake one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import xenapic
from tests.hosts import INTEL_LOG
from tests.library.fakehost import Host
from tests.library.faults import Faults
from tests.library.operations import KERNEL
from tests.library.test_exits import FakeTrace
from tests.library.test_measure import MeasuredXen
from xenapic.abi.library import Library, load
from xenapic.exits.counter import ExitCounter
from xenapic.live import images, vmcs
from xenapic.live.vmcs import Patience
from xenapic.live.xen import Xen
from xenapic_docs.blocks import Block, Session, blocks, pages

pytestmark = pytest.mark.library

PYTHON = [block for page in pages() for block in blocks(page) if block.language == "python" and block.on_xen]
DOMID = 5


def intel(real: Library) -> Library:
    """A host on which virtual-interrupt delivery is in use."""
    fake = MeasuredXen(real)
    fake.ring = INTEL_LOG
    return replace(real, xenctrl=fake)


def tracing(real: Library) -> Library:
    """A host with an HVM domain whose exits can be counted."""
    fake = FakeTrace(real)
    fake.domains[DOMID] = bytes(16)
    return replace(real, xenctrl=fake, foreign=fake, evtchn=fake)


def booting(real: Library) -> Library:
    """A host that boots guests, and counts their exits."""
    return Faults(real, Host(real)).library


def make_of(text: str) -> Callable[[Library], Library]:
    """Return what makes the host that a block needs."""
    if "xen.boot(" in text:
        return booting
    return tracing if "xits" in text else intel


@pytest.fixture
def guest_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel and a ramdisk where `xenapic lab run --guest-kernel` has them."""
    for name in ("vmlinuz", "initrd.img"):
        (tmp_path / name).write_bytes(KERNEL)
    open_file = images._open
    monkeypatch.setattr(images, "_open", lambda path: open_file(tmp_path / Path(path).name))


@pytest.mark.usefixtures("guest_files")
@pytest.mark.parametrize("block", PYTHON, ids=str)
def test_python_runs_on_a_xen(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make = make_of(block.text)
    count = ExitCounter.wait
    monkeypatch.chdir(Session(tmp_path).directory)
    monkeypatch.setenv("XENAPIC_STATE", str(tmp_path / "state"))
    monkeypatch.setattr(vmcs, "PATIENCE", Patience(presses=5, seconds=5, settle_seconds=0.02))
    monkeypatch.setattr(ExitCounter, "wait", lambda self, seconds: count(self, seconds / 1000))
    opened: list[Xen] = []

    def open_fake(*_args: object, **_options: object) -> Xen:
        opened.append(Xen(make(load())))
        return opened[-1]

    monkeypatch.setattr(xenapic, "open", open_fake)
    exec(compile(block.text, str(block), "exec"), {"__name__": "__main__"})
    assert opened

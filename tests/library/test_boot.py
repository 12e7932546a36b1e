"""Booting a guest on a host at the C boundary: Ctrl-C at each step, and what is loaded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.library.fakehost import Host
from tests.library.faults import Faults
from tests.library.operations import KERNEL, OPERATIONS, in_place
from xenapic.abi.library import Library, load
from xenapic.apic.state import ApicState
from xenapic.errors import ConfigInvalid, ConfigRefused, ImageInvalid, LibraryNotFound
from xenapic.live.images import Module
from xenapic.live.xen import Xen
from xenapic.model.config import DomainConfig
from xenapic.policy.terms import Policy
from xenapic.xtf.run import Settings, run_tests
from xenapic.xtf.tree import find_tests
from xenapic.xtf.verdict import XtfVerdict

pytestmark = pytest.mark.library


@pytest.fixture(scope="module")
def real() -> Library:
    return load()


@pytest.fixture
def host(real: Library, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Host]:
    monkeypatch.setenv("XENAPIC_STATE", str(tmp_path / "state"))
    made = Host(real)
    yield made
    made.close()


class Interrupts(Faults):
    """Ctrl-C before a call, or after it has done its work."""

    late = False

    def invoke(self, name: str, real: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        index = len(self.calls)
        self.calls.append(name)
        if index != self.at:
            return real(*args)
        if self.late:
            real(*args)
        raise KeyboardInterrupt


def interrupted(real: Library, name: str, at: int | None, late: bool) -> tuple[Host, Interrupts]:
    """Run an operation with Ctrl-C at one of its calls, on a host of its own."""
    host = Host(real)
    OPERATIONS[name].prepare(host)
    before = host.state
    faults = Interrupts(real, host)
    faults.at, faults.late = at, late
    what = f"{name}, at {at}" if at is None else f"{name}, at {at}: {late=}"
    try:
        with Xen(faults.library) as xen:
            OPERATIONS[name].run(xen)
    except KeyboardInterrupt:
        assert host.state == before, f"{what}: {faults.calls[-12:]}"
    else:
        assert at is None or name == "boot_and_release", f"{what}: Ctrl-C had no effect"
    host.close()
    return host, faults


def closing(name: str) -> bool:
    """Return whether a function only puts things back: then Ctrl-C is put off, or must not matter."""
    return name.endswith(("_close", "_unmap", "_destroy", "xtl_logger_destroy", "fclose", "free", "_unmask"))


@pytest.mark.parametrize("name", ["boot", "connect"])
def test_ctrl_c_at_each_call_leaves_nothing(
    real: Library, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    monkeypatch.setenv("XENAPIC_STATE", str(tmp_path))
    _host, faults = interrupted(real, name, None, False)
    struck = 0
    for at, function in enumerate(faults.calls):
        if closing(function) or not function.startswith(("xc_", "xenevtchn_", "xenforeignmemory_")):
            continue
        # What a function opens or maps is kept in one step with the call, which a function of Python is not.
        for late in (False, True) if function.startswith("xc_domain_") else (False,):
            interrupted(real, name, at, late)
            struck += 1
    assert struck > (60 if name == "boot" else 8)


def booted(host: Host, real: Library, **options: Any) -> dict[str, Any]:
    """Boot a guest, and return where it is found that the page of its console shows."""
    with (
        Xen(Faults(real, host).library) as xen,
        xen.boot(KERNEL, memory_mib=6, start=False, **options) as guest,
    ):
        rip = guest.memory.read(0x100000, 2)
        head = guest.memory.read(0x1000, 64)
        text = guest.memory.read(0x1000, 512)
        return {
            "rip": rip,
            "head": head,
            "text": text,
            "parameters": dict(host.booted[guest.domid].parameters),
        }


def test_what_is_loaded(host: Host, real: Library) -> None:
    seen = booted(
        host, real, ramdisk=b"r" * 5000, modules=[Module(b"m", "of the module")], cmdline="console=hvc0"
    )
    assert seen["rip"] == b"\xeb\xfe"
    assert seen["head"][:4] == (0x336EC578).to_bytes(4, "little") and seen["head"][12] == 2
    assert b"console=hvc0\0" in seen["text"] and b"of the module\0" in seen["text"]
    assert seen["parameters"] == {12: 0xFEFFE000, 17: 0xFEFFF, 18: 5}


def test_a_refused_boot_creates_nothing(host: Host, real: Library) -> None:
    faults = Faults(real, host)
    with Xen(faults.library) as xen:
        for refused in (
            {"memory_mib": 4096},
            {"config": DomainConfig.pvh(max_grant_frames=1 << 30)},
        ):
            with pytest.raises(ConfigRefused):
                xen.boot(KERNEL, **{"memory_mib": 3, **refused})  # type: ignore[arg-type]
        with pytest.raises(ImageInvalid):
            xen.boot(KERNEL[:-1], memory_mib=3)
    assert "xc_domain_create" not in faults.calls


def test_x2apic_is_hidden_before_the_guest_runs(host: Host, real: Library) -> None:
    with (
        Xen(Faults(real, host).library) as xen,
        xen.boot(KERNEL, memory_mib=3, policy=Policy(guest_x2apic=False), start=False) as guest,
    ):
        assert host.seen_leaf_1 == {guest.domid: host.leaf_1 & ~(1 << 21)}


def test_a_guest_without_x2apic_cannot_start_in_it(host: Host, real: Library) -> None:
    policy, state = Policy(guest_x2apic=False), ApicState.X2APIC
    faults = Faults(real, host)
    with Xen(faults.library) as xen, pytest.raises(ConfigInvalid, match="cannot start in x2APIC mode"):
        xen.boot(KERNEL, memory_mib=3, policy=policy, state=state)
    assert "xc_domain_create" not in faults.calls


def test_hiding_x2apic_needs_libxenguest(host: Host, real: Library, tmp_path: Path) -> None:
    """It is looked for next to libxenctrl, before anything is created."""
    faults = Faults(real, host)
    elsewhere = replace(faults.library, loaded_guest=None, path=str(tmp_path / "libxenctrl.so.4.17"))
    with (
        Xen(elsewhere) as xen,
        pytest.raises(LibraryNotFound, match=r"libxenguest\.so\.4\.17 cannot be loaded"),
    ):
        xen.boot(KERNEL, memory_mib=3, policy=Policy(guest_x2apic=False))
    assert "xc_domain_create" not in faults.calls


def test_hiding_x2apic_is_refused_on_4_15(host: Host, real: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xenapic.live.boot.CPUID_SINCE", (9, 9))
    with Xen(Faults(real, host).library) as xen, pytest.raises(ConfigRefused) as caught:
        xen.boot(KERNEL, memory_mib=3, policy=Policy(guest_x2apic=False))
    (problem,) = caught.value.problems
    assert problem.code == "boot-x2apic-hidden" and "xc_cpuid_apply_policy" in problem.rule
    assert not host.seen_leaf_1


# -- XTF -----------------------------------------------------------------------------------------------


def test_a_tests_guest_that_ends_and_one_that_does_not(host: Host, real: Library, tmp_path: Path) -> None:
    in_place(["TREE"], tmp_path)
    (test,) = find_tests(tmp_path / "xtf")
    with Xen(Faults(real, host).library) as xen:
        (hangs,) = run_tests(xen, [test], None, Settings(timeout=0.2, memory_mib=3))
        host.obeys = False
        (ends,) = run_tests(xen, [test], Policy(), Settings(timeout=5, memory_mib=3))
    assert ends.verdict is XtfVerdict.SUCCESS and ends.output[-1] == "Test result: SUCCESS"
    assert hangs.verdict is XtfVerdict.TIMEOUT and "within 0.2 s; its last words: Test" in hangs.note
    assert hangs.seconds >= 0.2 and not host.booted


def test_settings_of_an_xl_cfg_reach_the_domain(host: Host, real: Library, tmp_path: Path) -> None:
    in_place(["TREE"], tmp_path)
    (test,) = find_tests(tmp_path / "xtf")
    test.config.write_text(test.config.read_text() + 'viridian=["base", "stimer"]\nvcpus=2\n')
    set_: list[dict[int, int]] = []
    unpause = host.xc_domain_unpause

    def noted(xch: Any, domid: int) -> int:
        set_.append(dict(host.booted[domid].parameters))
        return unpause(xch, domid)

    host.xc_domain_unpause = noted  # type: ignore[method-assign]
    host.obeys = False
    with Xen(Faults(real, host).library) as xen:
        (result,) = run_tests(xen, [test], None, Settings(timeout=5))
    assert result.verdict is XtfVerdict.SUCCESS, result.note
    assert set_[0][9] == 0b1_1000_0111 and set_[0][11] == 1, (
        "base, no frequencies, synic, stimer; and the HPET"
    )


@pytest.mark.parametrize(
    ("more", "verdict", "why"),
    [
        ("hap=0\n", XtfVerdict.REFUSED, "shadow"),
        ("memory = 100000\n", XtfVerdict.REFUSED, "KiB are free"),
        ('uuid="zzz"\n', XtfVerdict.REFUSED, "Failed to parse UUID"),
        ("Capital=1\n", XtfVerdict.ERROR, "line"),
    ],
)
def test_files_that_make_no_guest(
    host: Host, real: Library, tmp_path: Path, more: str, verdict: XtfVerdict, why: str
) -> None:
    in_place(["TREE"], tmp_path)
    (test,) = find_tests(tmp_path / "xtf")
    test.config.write_text(test.config.read_text() + more)
    with Xen(Faults(real, host).library) as xen:
        (result,) = run_tests(xen, [test], None, Settings())
        assert result.verdict is verdict and why in result.note, result
        test.image.unlink()
        test.config.write_text('type="hvm"\nname="a"\n')
        (result,) = run_tests(xen, [test], None, Settings(memory_mib=3))
    assert result.verdict is XtfVerdict.ERROR and "no such file" in result.note

"""Command line, grant limits, owner's mark, ELF, exports."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import xenapic
from tests.hosts import VMX, host, physinfo
from xenapic.abi.elf import elf_soname
from xenapic.live.owners import owner_state, this_process
from xenapic.model.flags import CDF, PHYSCAP, names
from xenapic.model.gnttab import grant_limits
from xenapic.model.guest_types import GuestType
from xenapic.model.owner import MAX_PID, Owner, OwnerState
from xenapic.parse.commandline import CommandLine
from xenapic.parse.hvm_context import HvmRecord, hvm_records
from xenapic.policy.plan import Refusal, plan
from xenapic.policy.terms import Policy

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("", None),
        ("apicv", True),
        ("apicv=0", False),
        ("apicv=off", False),
        ("no-apicv", False),
        ("no-apicv=0", True),
        ("apicv=0 apicv=1", True),
        ("apicv=1 apicv=disable", False),
        ("apicv=False", None),
        ("apicv=0 apicv=maybe", False),
        ("x=1 -- apicv=0", None),
    ],
)
def test_boolean_options(text: str, answer: bool | None) -> None:
    assert CommandLine(text).boolean("apicv") is answer


@pytest.mark.parametrize(
    ("text", "frames"),
    [("", 64), ("gnttab_max_frames=32", 32), ("gnttab_max_frames=0x20", 32), ("gnttab_max_frames=010", 8),
     ("gnttab_max_frames=08", 64), ("gnttab_max_frames=9 gnttab_max_frames=x", 9), ("gnttab_max_frames=", 0),
     ("gnttab_max_frames=4294967296", 64), ("gnttab_max_frames=128 " + "x" * 1100, 64)],
)  # fmt: skip
def test_grant_limits(text: str, frames: int) -> None:
    assert grant_limits(CommandLine(text)).frames == frames


@given(st.integers(0, MAX_PID), st.integers(0, 0xFFFF), st.integers(0, (1 << 20) - 1))
def test_mark_round_trip(pid: int, namespace: int, digest: int) -> None:
    owner = Owner(pid, namespace, digest)
    handle = owner.to_handle()
    assert Owner.from_handle(handle) == owner
    assert handle != owner.to_handle()


@given(st.uuids())
def test_other_uuids_are_no_mark(handle: object) -> None:
    assert Owner.from_handle(handle) is None  # type: ignore[arg-type]


def test_owner_states() -> None:
    me = this_process()
    assert owner_state(me) is OwnerState.RUNNING
    assert owner_state(Owner(0, 0, 0)) is OwnerState.RELEASED
    assert owner_state(Owner(me.pid, me.namespace ^ 1, me.digest)) is OwnerState.ELSEWHERE
    assert owner_state(Owner(me.pid, me.namespace, me.digest ^ 1)) is OwnerState.ORPHAN
    done = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True
    )
    assert owner_state(Owner(int(done.stdout), me.namespace, me.digest)) is OwnerState.ORPHAN


def test_unknown_bits_are_kept_and_shown() -> None:
    assert names(CDF(0x1401)) == ["hvm", "0x1400"]


@given(st.lists(st.tuples(st.integers(0, 99), st.integers(0, 9), st.binary(max_size=40))))
def test_hvm_records_round_trip(rows: list[tuple[int, int, bytes]]) -> None:
    records = [HvmRecord(*row) for row in rows]
    blob = b"".join(record.to_bytes() for record in records)
    assert list(hvm_records(blob)) == records
    if rows:
        with pytest.raises(ValueError, match="truncated"):
            list(hvm_records(blob + b"\1"))


@given(st.binary(max_size=300))
def test_elf_reader_survives_garbage(data: bytes) -> None:
    path = Path(f"/tmp/xenapic-elf-{os.getpid()}")
    path.write_bytes(b"\x7fELF\x02\x01" + data)
    try:
        elf_soname(path)
    except ValueError:
        pass
    finally:
        path.unlink()


def test_public_names_are_there_and_the_stub_lists_them() -> None:
    module = runpy.run_path(str(ROOT / "tools/write_stub.py"))
    homes = vars(xenapic)["HOMES"]
    assert module["stub"](homes, xenapic.__all__) == (ROOT / "xenapic/__init__.pyi").read_text()
    for name in (*xenapic.__all__, "open"):
        assert getattr(xenapic, name) is not None


def test_star_import_keeps_pythons_open() -> None:
    names: dict[str, object] = {}
    exec("from xenapic import *", names)
    assert "open" not in names and "Policy" in names


@pytest.mark.parametrize(
    ("lacking", "hw_cap", "reason"),
    [
        (PHYSCAP.hvm, VMX, "no HVM-type guest"),
        (PHYSCAP(0), (0,) * 8, "neither VMX nor SVM"),
        (PHYSCAP.hap, VMX, "neither hap nor shadow paging"),
    ],
)
def test_one_reason_why_no_guest_can_run(lacking: PHYSCAP, hw_cap: tuple[int, ...], reason: str) -> None:
    usual = physinfo().capabilities
    there = host(capabilities=usual & ~lacking, hw_cap=hw_cap)
    assert reason in str(there.physinfo.no_guest) and physinfo().no_guest is None
    assert not there.features["tpr_shadow"] and reason in there.features["tpr_shadow"].source
    refused = plan(Policy(), there)
    assert isinstance(refused, Refusal) and reason in str(refused.reasons[0])
    assert plan(Policy(), there, GuestType.PV)

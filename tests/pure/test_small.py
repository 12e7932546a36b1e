"""Command line, grant limits, owner's mark, ELF, exports."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import xenapic
from xenapic.abi.elf import elf_soname
from xenapic.domain import HvmRecord, hvm_records
from xenapic.model.cmdline import CommandLine
from xenapic.model.flags import CDF, names
from xenapic.model.gnttab import grant_limits
from xenapic.model.owner import MAX_PID, Owner
from xenapic.owners import OwnerState, owner_state, this_process


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
        with pytest.raises(ValueError, match="cut"):
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


def test_exports_agree() -> None:
    tree = ast.parse(Path(xenapic.__file__).read_text())
    typed = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("xenapic.")
        for alias in node.names
    }
    assert typed == set(xenapic.__all__) == {name for home in xenapic._HOMES.values() for name in home}
    for name in xenapic.__all__:
        assert getattr(xenapic, name) is not None


LAYERS = (
    ("xenapic.errors", "xenapic.abi", "xenapic._xenctrl"),
    ("xenapic.apic.features",),
    ("xenapic.model",),
    ("xenapic.owners", "xenapic.domain", "xenapic.host", "xenapic.xen"),
    ("xenapic.cli", "xenapic.glossary", "xenapic.lab", "xenapic.__main__"),
)
PURE_AND_BELOW = 2


def layer(module: str) -> int:
    for number, names_ in enumerate(LAYERS):
        if any(module == name or module.startswith(name + ".") for name in names_):
            return number
    return -1


def test_arrows_never_run_up() -> None:
    root = Path(xenapic.__file__).parent
    wrong = []
    for path in root.rglob("*.py"):
        module = ".".join(path.relative_to(root.parent).with_suffix("").parts).removesuffix(".__init__")
        tree = ast.parse(path.read_text())
        hidden = {
            id(sub)
            for node in ast.walk(tree)
            if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
            for sub in ast.walk(node)
        }
        for node in ast.walk(tree):
            if id(node) in hidden or not isinstance(node, ast.ImportFrom) or not node.module:
                continue
            if node.level == 0 and layer(node.module) > layer(module) >= 0:
                wrong.append((module, node.module))
    assert wrong == []

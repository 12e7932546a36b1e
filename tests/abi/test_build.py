"""The type stub agrees with the declarations, and users' type checkers find it."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import build_ffi
from xenapic.abi.generations import RELEASES

STUB = build_ffi.STUB
FIELDS = {
    "CreateDomainStruct": "xen_domctl_createdomain",
    "PhysInfoStruct": "xen_sysctl_physinfo",
    "DomainInfoStruct": "xen_domctl_getdomaininfo",
    "HvmLapicStruct": "hvm_hw_lapic",
    "CpuPoolInfoStruct": "xen_cpupoolinfo",
    "TraceOpStruct": "xen_sysctl_tbuf_op",
    "TraceBufferStruct": "t_buf",
    "TraceInfoStruct": "t_info",
    "VcpuInfoStruct": "xen_domctl_getvcpuinfo",
}


def classes() -> dict[str, ast.ClassDef]:
    return {node.name: node for node in ast.parse(STUB.read_text()).body if isinstance(node, ast.ClassDef)}


def test_every_function_is_typed_with_its_arguments() -> None:
    text = "".join(build_ffi.declarations(row) for row in RELEASES)
    declared = {
        name: arguments.count(",") + 1 for name, arguments in re.findall(r"[ *](\w+)\(([^()]*)\);", text)
    }
    typed = {
        item.name: len(item.args.posonlyargs) - 1
        for name in ("LibXenCtrl", "LibXenForeignMemory", "LibXenEvtchn", "LibXenToolLog", "LibC")
        for item in classes()[name].body
        if isinstance(item, ast.FunctionDef)
    }
    assert typed == declared


def test_every_field_is_typed() -> None:
    text = "\n".join(build_ffi.all_lines())
    for stub, struct in FIELDS.items():
        start = text.index(f"struct {struct} {{")
        body = text[start : text.index("\n};", start)]
        declared = [
            re.sub(r"\[.*|;.*|//.*", "", line).split()[-1].lstrip("*") for line in body.splitlines()[1:]
        ]
        declared = [
            "altp2m" if "altp2m;" in line else name
            for name, line in zip(declared, body.splitlines()[1:], strict=True)
        ]
        typed = [
            item.target.id
            for item in classes()[stub].body
            if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name)
        ]
        assert typed == declared, stub


def test_the_shipped_copy_is_the_stub() -> None:
    """A difference means that ``build_ffi.py`` must be run again."""
    assert (build_ffi.ROOT / "xenapic" / "_xenctrl" / STUB.name).read_text() == STUB.read_text()


@pytest.fixture(scope="module")
def source_archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the source archive from a copy, so that nothing is left in the source tree."""
    folder = tmp_path_factory.mktemp("archive")
    copy = folder / "source"
    others = shutil.ignore_patterns(
        ".*", "build", "dist", "_build", "_generated", "*.egg-info", "__pycache__"
    )
    shutil.copytree(build_ffi.ROOT, copy, ignore=others)
    call = f"import setuptools.build_meta as backend; backend.build_sdist({str(folder)!r})"
    subprocess.run([sys.executable, "-c", call], cwd=copy, check=True, capture_output=True)
    return next(folder.glob("*.tar.gz"))


def test_the_source_archive_holds_the_declarations(source_archive: Path) -> None:
    with tarfile.open(source_archive) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    expected = {f"xenapic/abi/decl/{subject}.h" for subject in build_ffi.SUBJECTS}
    assert expected | {"build_ffi.py", "stubs/libxenctrl.pyi"} <= names


USER_PROGRAM = """
from xenapic.abi.library import Library

def names(library: Library) -> None:
    reveal_type(library.xenctrl.xc_domain_destroy)
"""


def test_a_users_mypy_finds_the_types_in_the_wheel(source_archive: Path, tmp_path: Path) -> None:
    """The wheel is built from the source archive; mypy sees neither ``stubs`` nor this source tree."""
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-q",
        "--no-deps",
        "-w",
        str(tmp_path),
        str(source_archive),
    ]
    subprocess.run(command, check=True)
    site = tmp_path / "site"
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        assert not [name for name in wheel.namelist() if "/decl/" in name]
        wheel.extractall(site)
    program = tmp_path / "program.py"
    program.write_text(USER_PROGRAM)
    options = ["--strict", "--config-file=", "--cache-dir", str(tmp_path / "cache")]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *options, program.name],
        cwd=tmp_path,
        env={"MYPYPATH": str(site), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "def (xenapic._xenctrl.libxenctrl.XcInterface, int) -> int" in done.stdout.replace("builtins.", "")

"""Every structure as cffi lays it out, compared with the recorded layout of each release and the real headers."""

from __future__ import annotations

import importlib
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

import build_ffi
from xenapic.abi.declared import declarations
from xenapic.abi.generations import RELEASES, Release
from xenapic.exits import events as trace
from xenapic.model import flags
from xenapic.model.releases import FIELD_SINCE, XEN_RELEASES

DATA = Path(__file__).parent.parent / "data" / "abi"
RECORDED = (
    "xen_domctl_createdomain",
    "xen_arch_domainconfig",
    "xen_sysctl_physinfo",
    "xen_domctl_getdomaininfo",
    "hvm_save_descriptor",
    "hvm_hw_cpu",
    "hvm_hw_lapic",
    "hvm_hw_lapic_regs",
)
FROM_HEADERS = (
    *RECORDED,
    "xen_cpupoolinfo",
    "xen_sysctl",
    "xen_sysctl_tbuf_op",
    "xen_domctl_getvcpuinfo",
    "t_buf",
    "xc_error",
    "e820entry",
    "xen_cpuid_leaf",
)
IN_A_UNION = {"pending_event"}
"""Members of unnamed unions, which the recordings leave out. The check with the real headers includes them."""
C_EVENTS = {"TRC_HVM_VMEXIT": "TRC_HVM_VMX_EXIT"}
HEADER_NAMES = {"xen_cpupoolinfo": "xc_cpupoolinfo_t", "xc_error": "xc_error"}


def recorded(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((DATA / f"xen-{name}.json").read_text())
    return loaded


def ffi_of(row: Release) -> Any:
    return importlib.import_module(f"xenapic._xenctrl.{row.generation}").ffi


def layout(ffi: Any, struct: str) -> dict[str, tuple[int, int]]:
    kind = ffi.typeof(f"struct {struct}")
    return {name: (field.offset, ffi.sizeof(field.type)) for name, field in kind.fields}


def differences(ffi: Any, abi: dict[str, Any]) -> list[str]:
    found = []
    for struct in RECORDED:
        want = abi["structs"][f"struct {struct}"]
        if ffi.sizeof(f"struct {struct}") != want["size"]:
            found.append(f"{struct}: size {ffi.sizeof(f'struct {struct}')} != {want['size']}")
        wanted = {name: (row["offset"], row["size"]) for name, row in want["fields"].items()}
        ours = {name: place for name, place in layout(ffi, struct).items() if name not in IN_A_UNION}
        if ours != wanted:
            found.append(f"{struct}: {ours} != {wanted}")
    return found


@pytest.mark.parametrize("row", RELEASES, ids=str)
def test_layout_is_the_recorded_one(row: Release) -> None:
    assert differences(ffi_of(row), recorded(str(row))) == []


def test_17rc_shares_the_layout_of_417() -> None:
    rc = next(row for row in RELEASES if str(row) == "4.17")
    assert differences(ffi_of(rc), recorded("4.17rc")) == []


@pytest.mark.parametrize("row", RELEASES, ids=str)
def test_one_wrong_offset_is_found(row: Release) -> None:
    abi = recorded(str(row))
    abi["structs"]["struct xen_sysctl_physinfo"]["fields"]["free_pages"]["offset"] += 4
    assert differences(ffi_of(row), abi)


@pytest.mark.parametrize("row", RELEASES, ids=str)
def test_prototypes_are_the_recorded_ones(row: Release) -> None:
    """Each declared function exists in the release with the same number of arguments."""
    ours = declarations(row)
    for name, prototype in recorded(str(row))["functions"].items():
        if f" {name}(" not in ours and f"*{name}(" not in ours:
            continue
        start = ours.index(f"{name}(")
        mine = ours[start : ours.index(";", start)]
        assert mine.count(",") == prototype[prototype.index(name) :].count(","), (mine, prototype)


@pytest.mark.parametrize("row", RELEASES, ids=str)
def test_flags_are_the_recorded_ones(row: Release) -> None:
    constants = recorded(str(row))["constants"]
    prefixes = (
        ("XEN_DOMCTL_CDF_", flags.CDF),
        ("XEN_DOMCTL_IOMMU_", flags.IOMMU),
        ("XEN_X86_EMU_", flags.EMU),
        ("XEN_SYSCTL_PHYSCAP_", flags.PHYSCAP),
        ("XEN_DOMINF_", flags.DOMINF),
        ("SHUTDOWN_", flags.Shutdown),
        ("XEN_DOMCTL_ALTP2M_", flags.ALTP2M),
    )
    for prefix, kind in prefixes:
        known = {name: int(member) for name, member in kind.__members__.items()}
        seen = {
            name.removeprefix(prefix): value
            for name, value in constants.items()
            if name.startswith(prefix)
            and not name.endswith(("_MAX", "_ALL", "_mask", "shutdownmask", "shutdownshift"))
            and "PHYSCAP_X86" not in name
        }
        for name, value in seen.items():
            assert known[name] == value, (prefix, name)


@pytest.mark.parametrize("row", XEN_RELEASES, ids=lambda row: row.name)
def test_releases_know_their_flags(row: Any) -> None:
    constants = recorded(row.name.replace("-", ""))["constants"]
    have = sum(v for k, v in constants.items() if k.startswith("XEN_DOMCTL_CDF_") and not k.endswith("MAX"))
    assert int(row.flags) == have
    misc = constants.get("XEN_X86_MISC_FLAGS_MAX", 1)
    assert int(row.misc_flags) == misc * 2 - 1
    assert constants["XEN_X86_EMU_ALL"] == int(row.emulation_flags)


@pytest.mark.parametrize("row", RELEASES, ids=str)
def test_events_are_the_recorded_ones(row: Release) -> None:
    constants = recorded(str(row))["constants"]
    seen = {name: value for name, value in constants.items() if name in trace.EVENTS}
    assert seen and all(trace.EVENTS[name] == value for name, value in seen.items())


def test_fields_since_are_true() -> None:
    names = {"altp2m": ("altp2m", "altp2m_opts"), "altp2m_nr": ("altp2m",)}
    for field, since in FIELD_SINCE.items():
        for row in RELEASES:
            has = set(layout(ffi_of(row), "xen_domctl_createdomain"))
            assert bool(has & set(names.get(field, (field,)))) == (row.number >= since), (field, row)


def test_generations_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build_ffi, "RELEASES", (Release((4, 15), "one"), Release((4, 16), "one")))
    with pytest.raises(ValueError, match=r"4\.16 differs"):
        build_ffi.generations()


def test_declarations_against_the_installed_headers(tmp_path: Path) -> None:
    """Compile a program that prints the layout in the real headers (libxen-dev)."""
    installed = Path("/usr/include/xenctrl.h")
    compiler = shutil.which("gcc") or shutil.which("cc")
    if not installed.exists() or compiler is None:
        pytest.fail("libxen-dev and a C compiler are needed: apt-get install libxen-dev gcc libc6-dev")
    library = next(Path("/usr/lib").glob("*/libxenctrl.so")).resolve().name
    row = next(row for row in RELEASES if f"libxenctrl.so.{row}" in library)
    check_headers(row, Path("/usr/include"), tmp_path, compiler)


def test_prototypes_against_the_installed_headers(tmp_path: Path) -> None:
    """Declare every function again after the real headers: a compiler accepts only what agrees."""
    library = next(Path("/usr/lib").glob("*/libxenctrl.so")).resolve().name
    row = next(row for row in RELEASES if f"libxenctrl.so.{row}" in library)
    functions = [
        text
        for text in re.findall(
            r"^[\w ]+[ *](?:xc|xenforeignmemory|xenevtchn)_\w+\([^()]*\);", declarations(row), re.M
        )
        if "struct xen_cpupoolinfo" not in text  # which the header knows by another name
    ]
    assert len(functions) > 40
    source = tmp_path / "prototypes.c"
    source.write_text(
        "\n".join(
            [
                *(
                    f"#include <{name}>"
                    for name in ("xenctrl.h", "xenguest.h", "xenforeignmemory.h", "xenevtchn.h")
                ),
                *functions,
            ]
        )
    )
    command = ["gcc", "-Werror", "-fsyntax-only", str(source)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def check_headers(row: Release, include: Path, tmp_path: Path, compiler: str) -> None:
    ffi = ffi_of(row)
    lines = []
    events = {name: C_EVENTS.get(name, name) for name in trace.EVENTS}
    if row.number < (4, 19):
        del events["TRC_HVM_SVM_EXIT"]
    for struct in FROM_HEADERS:
        c_name = HEADER_NAMES.get(struct, f"struct {struct}")
        lines.append(f'printf("{struct} size %zu\\n", sizeof({c_name}));')
        for name in layout(ffi, struct):
            member = f"(({c_name} *)0)->{name}"
            lines.append(
                f'printf("{struct} {name} %zu %zu\\n", offsetof({c_name}, {name}), sizeof({member}));'
            )
    program = "\n".join(
        [
            "#define __XEN_TOOLS__ 1",
            "#include <stdio.h>",
            "#include <stddef.h>",
            "#include <xenctrl.h>",
            "#include <xen/hvm/save.h>",
            "#include <xen/trace.h>",
            "#define TRC_HVM_VMX_EXIT TRC_HVM_VMEXIT" if row.number < (4, 19) else "",
            "int main(void) {",
            *lines,
            *(f'printf("{name} %#x\\n", (unsigned){c_name});' for name, c_name in events.items()),
            'printf("t_info %zu\\n", offsetof(struct t_info, mfn_offset));',
            "return 0; }",
        ]
    )
    source, binary = tmp_path / "layout.c", tmp_path / "layout"
    source.write_text(program)
    subprocess.run([compiler, "-I", str(include), str(source), "-o", str(binary)], check=True)
    printed = subprocess.run([str(binary)], capture_output=True, text=True, check=True).stdout
    ours = []
    for struct in FROM_HEADERS:
        ours.append(f"{struct} size {ffi.sizeof(f'struct {struct}')}")
        ours += [f"{struct} {name} {at} {size}" for name, (at, size) in layout(ffi, struct).items()]
    ours += [f"{name} {trace.EVENTS[name]:#x}" for name in events]
    ours.append(f"t_info {ffi.offsetof('struct t_info', 'mfn_offset')}")
    assert printed.splitlines() == ours

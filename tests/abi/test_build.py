"""The type stub agrees with the declarations, and users' type checkers find it."""

from __future__ import annotations

import ast
import re

import build_ffi
from xenapic.abi.declared import all_lines, declarations
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
    text = "".join(declarations(row) for row in RELEASES)
    declared = {
        name: arguments.count(",") + (arguments != "void")
        for name, arguments in re.findall(r"[ *](\w+)\(([^()]*)\);", text)
    }
    typed = {
        item.name: len(item.args.posonlyargs) - 1
        for name in (
            "LibXenCtrl",
            "LibXenForeignMemory",
            "LibXenEvtchn",
            "LibXenGuest",
            "LibXenToolLog",
            "LibC",
        )
        for item in classes()[name].body
        if isinstance(item, ast.FunctionDef)
    }
    assert typed == declared


def test_every_field_is_typed() -> None:
    text = "\n".join(all_lines())
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

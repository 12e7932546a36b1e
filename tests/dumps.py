"""Invented VMCS dumps for tests, in the format of a real Xen 4.17.7 (Broadwell), reduced to the lines that vary."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

START = "*********** VMCS Areas **************"
END = "*" * 38
Words = tuple[int, int, int, int]
XAPIC: Words = (0x3F, 0xB6A065FE, 0x17CB, 0)
X2APIC: Words = (0x3F, 0xB6A065FE, 0x17DA, 0)
OFF: Words = (0x3F, 0xB6A065FE, 0x17CA, 0)


@dataclass(frozen=True)
class Vcpu:
    words: Words | None = XAPIC
    rsp: int = 0
    rip: int = 0xFFF0


def vcpu_lines(number: int, vcpu: Vcpu) -> list[str]:
    if vcpu.words is None:
        return [f"\tVCPU {number}: not initialized"]
    pin, primary, secondary, tertiary = vcpu.words
    return [
        f"\tVCPU {number}",
        "*** Guest State ***",
        "CR0: actual=0x0000000000000039, shadow=0x0000000000000011, gh_mask=ffffffffffffffff",
        f"RSP = 0x0000000000000000 (0x{vcpu.rsp:016x})  RIP = 0x0000000000000000 (0x{vcpu.rip:016x})",
        "Sysenter RSP=0000000000000000 CS:RIP=0000:0000000000000000",
        "       sel  attr  limit   base",
        "*** Host State ***",
        "RIP = 0xffff82d0402045d0 (vmx_asm_vmexit_handler)  RSP = 0x0000000000000000",
        "*** Control State ***",
        f"PinBased={pin:08x} CPUBased={primary:08x}",
        f"SecondaryExec={secondary:08x} TertiaryExec={tertiary:016x}",
        "EntryControls=0000d1ff ExitControls=002fefff",
        "TPR Threshold = 0x00  PostedIntrVec = 0x00",
    ]


def dump_lines(domains: Mapping[int, list[Vcpu]]) -> list[str]:
    lines = [START]
    for domid, vcpus in sorted(domains.items()):
        lines += ["", f">>> Domain {domid} <<<"]
        for number, vcpu in enumerate(vcpus):
            lines += vcpu_lines(number, vcpu)
    return [*lines, END]


def old(lines: list[str]) -> list[str]:
    """The same dump as printed by a Xen without tertiary controls (4.17.0, 4.17-rc and others)."""
    text = "\n".join(lines)
    return re.sub(
        r"\nSecondaryExec=([0-9a-f]{8}) TertiaryExec=[0-9a-f]{16}", r" SecondaryExec=\1", text
    ).split("\n")


def ring(lines: list[str], stamp: str = "") -> bytes:
    """The lines as Xen prints them."""
    return "".join(f"(XEN) {stamp}{line}\n" for line in lines).encode("latin-1")

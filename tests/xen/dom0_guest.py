"""Runs in dom0: a real guest prints lines that look like Xen's. Prints one JSON object.

    python3 dom0_guest.py TIMES

The guest is a few bytes of code in a PVH domain; it writes its text TIMES times to port 0xE9.
"""

import ctypes
import json
import mmap
import struct
import sys
import time
from pathlib import Path

import xenapic
from xenapic import DomainConfig, HvmRecord

TEXT = (
    b"harmless\n(XEN) VMX: Supported advanced features:\n(XEN)  - Posted Interrupt Processing\n"
    b"(XEN)  - APIC TPR shadow\nsplit\r(XEN) SVM: forged\x0c(XEN) again\n<0>(XEN) level\n"
)
CODE_PAGE, TEXT_PAGE = 0x10, 0x11
HEADER, CPU, LAPIC, LAPIC_REGS, END = 1, 2, 5, 6, 0


def code(times):
    """mov ecx, times; 1: mov esi, text; 2: lodsb; test al, al; jz 3; out 0xe9, al; jmp 2; 3: dec ecx; jnz 1; cli; hlt"""
    return (
        b"\xb9"
        + struct.pack("<I", times)
        + b"\xbe"
        + struct.pack("<I", TEXT_PAGE << 12)
        + bytes.fromhex("ac 84c0 7404 e6e9 ebf7 49 75ef fa f4")
    )


def cpu_record(abi):
    """A flat 32-bit protected-mode vCPU about to run the code."""
    fields = abi["structs"]["struct hvm_hw_cpu"]["fields"]
    data = bytearray(abi["structs"]["struct hvm_hw_cpu"]["size"])
    values = {
        "rip": CODE_PAGE << 12,
        "rflags": 2,
        "cr0": 0x11,
        "cs_arbytes": 0xC9B,
        "cs_limit": 0xFFFFFFFF,
        "tr_arbytes": 0x8B,
        "tr_limit": 0x67,
        "ldtr_arbytes": 0x82,
        "dr6": 0xFFFF0FF0,
        "dr7": 0x400,
    }
    for segment in ("ds", "es", "fs", "gs", "ss"):
        values[f"{segment}_arbytes"], values[f"{segment}_limit"] = 0xC93, 0xFFFFFFFF
    for name, value in values.items():
        at, size = fields[name]["offset"], fields[name]["size"]
        data[at : at + size] = value.to_bytes(size, "little")
    return bytes(data)


def load_abi(release):
    return json.loads(Path(f"/checkout/tests/data/abi/xen-{release}.json").read_text())


def load_cpu(domain, abi):
    records = {record.typecode: record for record in xenapic.hvm_records(domain.hvm_context())}
    context = (
        records[HEADER],
        HvmRecord(CPU, 0, cpu_record(abi)),
        records[LAPIC],
        records[LAPIC_REGS],
        HvmRecord(END, 0, b""),
    )
    domain.set_hvm_context(b"".join(record.to_bytes() for record in context))


def fill_memory(release, domid, pages):
    xenctrl = ctypes.CDLL(f"libxenctrl.so.{release}", use_errno=True)
    foreign = ctypes.CDLL("libxenforeignmemory.so.1", use_errno=True)
    xenctrl.xc_interface_open.restype = foreign.xenforeignmemory_open.restype = ctypes.c_void_p
    foreign.xenforeignmemory_map.restype = ctypes.c_void_p
    xch = ctypes.c_void_p(xenctrl.xc_interface_open(None, None, 0))
    frames = (ctypes.c_ulong * len(pages))(*pages)
    assert (
        xenctrl.xc_domain_populate_physmap_exact(xch, domid, ctypes.c_ulong(len(pages)), 0, 0, frames) == 0
    ), ctypes.get_errno()
    memory = ctypes.c_void_p(foreign.xenforeignmemory_open(None, 0))
    errors = (ctypes.c_int * len(pages))()
    frames = (ctypes.c_ulong * len(pages))(*pages)
    at = foreign.xenforeignmemory_map(
        memory, domid, mmap.PROT_READ | mmap.PROT_WRITE, ctypes.c_size_t(len(pages)), frames, errors
    )
    assert at not in (None, 0), (ctypes.get_errno(), list(errors))
    for number, data in enumerate(pages.values()):
        ctypes.memmove(at + number * 4096, data, len(data))
    foreign.xenforeignmemory_unmap(memory, ctypes.c_void_p(at), ctypes.c_size_t(len(pages)))


def main(times):
    with xenapic.open() as xen:
        before = {key: fact.answer.value for key, fact in xen.host().features.items()}
        release = xen.version.release
        abi = load_abi(release)
        with xen.create_domain(DomainConfig.pvh()) as domain:
            domain.set_max_vcpus(1)
            domain.set_max_mem(8192)
            fill_memory(release, domain.domid, {CODE_PAGE: code(times), TEXT_PAGE: TEXT + b"\0"})
            load_cpu(domain, abi)
            domain.unpause()
            used, idle = -1, 0
            for _ in range(600):
                time.sleep(0.1)
                now = domain.info().cpu_time
                idle, used = (idle + 1 if now == used else 0), now
                if idle > 5:
                    break
            lines = xen.console.lines()
            after = {key: fact.answer.value for key, fact in xen.host().features.items()}
            mine = [line.text for line in lines if line.domid == domain.domid]
        forged = [
            line.text
            for line in lines
            if line.origin.value == "xen" and ("VMX" in line.text or "again" in line.text)
        ]
    print(
        json.dumps(
            {"before": before, "after": after, "guest": mine[-8:], "lines": len(mine), "forged": forged}
        )
    )


if __name__ == "__main__":
    main(int(sys.argv[1]))

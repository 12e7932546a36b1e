"""Runs in dom0: are vector registers kept while Xen switches to a guest that uses them, and back?

Xen can restore a vCPU's vector registers late, at the exception #NM of the first instruction that uses them. XSAVE
is such an instruction: a kernel saves the registers of a process with it. A processor, real or emulated, that does
not raise #NM there saves the registers of another domain.
"""

from __future__ import annotations

import ctypes
import mmap
import struct
import time
from typing import Any

from tests.kernels import elf

# Turn on SSE (CR4.OSFXSR), then set all bits of XMM7 again and again. PAUSE lets Bochs leave the guest.
GUEST_CODE = bytes.fromhex("0f20e0 0d00020000 0f22e0 f390 660f76ff ebf8")
ROUNDS = 20_000
# XMM7 = *rsi; rdx times: XSAVE its kind of register to rdi, and count in eax how often it is not what it was.
SAVE_CODE = bytes.fromhex(
    "f30f6f3e 4c8b06 4889d1 4531c9 b802000000 31d2 480fae27 4c398710010000 7403 41ffc1 48ffc9 75e4 4489c8 c3"
)
PATTERN = struct.pack("<QQ", 0x1122334455667788, 0x99AABBCCDDEEFF00)


def wrong_vectors(xen: Any, seconds: float) -> int:
    """Return how often XSAVE stored another value than a register has, next to a guest that uses registers."""
    page = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(SAVE_CODE)
    area, pattern = mmap.mmap(-1, mmap.PAGESIZE), ctypes.create_string_buffer(PATTERN)
    save = ctypes.CFUNCTYPE(ctypes.c_uint32, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint64)(
        ctypes.addressof(ctypes.c_char.from_buffer(page))
    )
    to = ctypes.addressof(ctypes.c_char.from_buffer(area))
    wrong = 0
    with xen.boot(elf(0x100000, [(0x100000, GUEST_CODE, 4096)], bits=32), memory_mib=4) as guest:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            wrong += save(to, ctypes.addressof(pattern), ROUNDS)
        assert guest.info().cpu_time, "the guest has run"
    return wrong

"""A tree as XTF builds it, with guests of our own: each prints a text, and then ends in one way."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from tests.kernels import elf

LOAD_AT, DATA_AT = 0x100000, 0x1000
SIZE = 0x3000
"""Code, data, and the page for hypercalls."""
REASON_AT = 0xFFC
POWEROFF, CRASH = 0, 3
"""``SHUTDOWN_*``."""

# These guests run with interrupts disabled, so each loop has a PAUSE: without one, Bochs never leaves them.

# mov esi, data; mov edi, the console's ring for output; its length: mov ecx, [esi]; mov edx, ecx; add esi, 4
# rep movsb; mov edi, the positions; mov [edi+4], edx; until the text was read: pause; mov eax, [edi]; cmp; jne
PRINT = bytes.fromhex(
    "be00101000 bf00f4fffe 8b0e 89ca 83c604 f3a4 bf08fcfffe 895704 f390 8b07 3b4704 75f7".replace(" ", "")
)
# eax = 0x40000002; cpuid; ecx = ebx, the MSR; eax = the page; edx = 0; wrmsr
# sched_op(SCHEDOP_shutdown, &reason): ebx = 2; ecx = its address; edx = page + 32 * 29; call edx; for ever: pause; jmp
SHUTDOWN = bytes.fromhex(
    "b802000040 0fa2 89d9 b800201000 31d2 0f30 bb02000000 b9fc1f1000 baa0231000 ffd2 f390 ebfc".replace(
        " ", ""
    )
)
HANG = bytes.fromhex("f390ebfc")
TRIPLE_FAULT = bytes.fromhex("0f0b")  # ud2, without an interrupt table
# edi = the positions; for ever: pause; as if the ring was full of new text
FLOOD = bytes.fromhex("bf08fcfffe f390 8b07 0500080000 894704 ebf2".replace(" ", ""))

# edi = the positions; until there is a byte: pause; eax = [edi]; cmp eax, [edi+4]; je; bl = the byte; inc [edi]
# write it behind what was written, and inc [edi+12]; 'q' goes to what follows; write EOI; again
ECHO = bytes.fromhex(
    "bf00fcfffe f390 8b07 3b4704 74f7 89c1 81e1ff030000 8a9900f0fffe ff07 8b4f0c 81e1ff070000 889900f4fffe"
    "ff470c 80fb71 740c c705b000e0fe00000000 ebc4".replace(" ", "")
)


def echo() -> bytes:
    """Return a guest that prints what it reads, and writes EOI for each byte; ``q`` ends it."""
    return guest(end=ECHO + SHUTDOWN)


# eax = 1; cpuid; the digit of ECX bit 21 becomes the text; until it was read: as in PRINT
TELL_X2APIC = bytes.fromhex(
    "b801000000 0fa2 c1e915 83e101 83c130 880d00f4fffe c7050cfcfffe01000000 bf08fcfffe f390 8b07 3b4704 75f7".replace(
        " ", ""
    )
)


def tell_x2apic() -> bytes:
    """Return a guest that prints 1 if it is offered x2APIC, else 0."""
    return guest(end=TELL_X2APIC + SHUTDOWN)


def guest(text: str = "", end: bytes = SHUTDOWN, reason: int = POWEROFF) -> bytes:
    """Return a guest's image."""
    data = bytearray(DATA_AT)
    words = text.encode()
    data[: 4 + len(words)] = len(words).to_bytes(4, "little") + words
    data[REASON_AT:] = reason.to_bytes(4, "little")
    code = ((PRINT if text else b"") + end).ljust(DATA_AT, b"\xf4")
    return elf(LOAD_AT, [(LOAD_AT, code + bytes(data), SIZE)], bits=32)


def result(status: str) -> str:
    """Return what a test prints at its end."""
    return f"--- a test ---\r\nESR: 0x60\r\nTest result: {status}\r\n"


GUESTS = {
    "fine": guest(result("SUCCESS")),
    "warns": guest(result("SUCCESS with warnings")),
    "skips": guest(result("SKIP")),
    "errs": guest(result("ERROR")),
    "fails": guest(result("FAILURE")),
    "silent": guest(),
    "panics": guest("panic\r\n" + result("SUCCESS"), reason=CRASH),
    "faults": guest(result("SUCCESS"), end=TRIPLE_FAULT),
    "hangs": guest(result("SUCCESS"), end=HANG),
    "floods": guest(end=FLOOD),
}
"""By name; the name says what its verdict is to be."""
VERDICTS = {
    "fine": "success",
    "warns": "success",
    "skips": "skip",
    "errs": "error",
    "fails": "failure",
    "silent": "crash",
    "panics": "crash",
    "faults": "crash",
    "hangs": "timeout",
    "floods": "timeout",
}

CONFIG = 'name="{name}"\nvcpus=1\ntype="hvm"\nbuilder="hvm"\nmemory=8\nfirmware_override="{name}"\n'


def write_test(
    tree: Path,
    name: str,
    image: bytes,
    *,
    category: str = "functional",
    environments: tuple[str, ...] = ("hvm32",),
    variations: Mapping[str, str] | None = None,
    more: str = "",
) -> None:
    """Write a test; ``more`` is more of its xl.cfg, ``variations`` that by variation."""
    home = tree / "tests" / name
    home.mkdir(parents=True)
    info = {
        "name": name,
        "category": category,
        "environments": [*environments],
        "variations": [*(variations or {})],
    }
    (home / "info.json").write_text(json.dumps(info))
    for environment in environments:
        bare = f"test-{environment}-{name}"
        (home / bare).write_bytes(image)
        for variation, text in (variations or {"": ""}).items():
            full = f"{bare}~{variation}" if variation else bare
            (home / f"{full}.cfg").write_text(CONFIG.format(name=full) + more + text)


def write_tree(tree: Path) -> None:
    """Write a test of each kind, and one that Xen refuses."""
    for name, image in GUESTS.items():
        write_test(tree, name, image)
    write_test(
        tree, "shadow", GUESTS["fine"], category="xsa", variations={"hap": "hap=1\n", "shadow": "hap=0\n"}
    )
    write_test(tree, "pv", GUESTS["fine"], environments=("pv64",))

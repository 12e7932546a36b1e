"""Compare the table of processors with register dumps: ``check_dumps.py DIRECTORY``; status 1 if any differs.

DIRECTORY holds a copy of github.com/InstLatx64/InstLatx64, which is not part of this project. Each dump
that shows what the processor offers (capability MSRs 481 to 48E, or CPUID leaf 8000000A of a processor with
SVM) must have a row, and agree with it. A dump from a virtual machine shows what its hypervisor offers; it
is only counted.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from xenapic.apic.controls import CONTROLS
from xenapic.apic.features import FEATURES, Technology
from xenapic.apic.lookup import by_signature
from xenapic.apic.processors import Processor
from xenapic.apic.signature import Signature

MSR = re.compile(r"^MSR ([0-9A-F]{8}): ([0-9A-F]{4})-([0-9A-F]{4})-([0-9A-F]{4})-([0-9A-F]{4})", re.M)
LEAF = re.compile(r"^CPUID ([0-9A-F]{8}): " + "-".join(["([0-9A-F]{8})"] * 4), re.M)
EAX_IN_NAME = re.compile(r"^[A-Za-z_]{12}([0-9A-F]{7})")
WORDS = {"pin_based": (0x48D, 0x481), "primary": (0x48E, 0x482), "secondary": (0x48B,)}
"""The MSRs that hold each word of controls, the better one first."""
HYPERVISOR, SVM = 1 << 31, 1 << 2
"""Bits of ECX: CPUID leaf 1 and leaf 80000001."""


@dataclass(frozen=True)
class Shown:
    """What a dump shows about a processor."""

    name: str
    technology: Technology
    signature: Signature
    offers: frozenset[str]
    lacks: frozenset[str]


def shown(name: str, text: str) -> Shown | str | None:
    """Return what a dump shows, the reason why it says nothing about the hardware, or None without leaves."""
    leaves = {int(row[1], 16): [int(word, 16) for word in row.groups()[1:]] for row in LEAF.finditer(text)}
    msrs = {int(row[1], 16): int("".join(row.groups()[1:]), 16) for row in MSR.finditer(text)}
    vmx = any(number in msrs for numbers in WORDS.values() for number in numbers)
    svm = 0x8000000A in leaves and leaves.get(0x80000001, [0] * 4)[2] & SVM
    if not vmx and not svm:
        return "made in a virtual machine" if leaves.get(1, [0] * 4)[2] & HYPERVISOR else None
    eax = leaves[1][0] if 1 in leaves else int(EAX_IN_NAME.match(name)[1], 16)  # type: ignore[index]
    offers, lacks = _of_vmx(msrs) if vmx else _of_svm(leaves[0x8000000A][3])
    technology = Technology.VMX if vmx else Technology.SVM
    return Shown(name, technology, Signature.from_eax(eax, name[:12]), frozenset(offers), frozenset(lacks))


def _of_vmx(msrs: dict[int, int]) -> tuple[set[str], set[str]]:
    offers: set[str] = set()
    lacks: set[str] = set()
    for key, (word, bit) in CONTROLS.items():
        allowed = next((msrs[number] >> 32 for number in WORDS.get(word, ()) if number in msrs), None)
        if allowed is None and word == "secondary" and 0x482 in msrs and not msrs[0x482] >> 63:
            allowed = 0  # without 'activate secondary controls' there is no MSR 48B
        if allowed is not None:
            (offers if allowed & bit else lacks).add(key)
    return offers, lacks


def _of_svm(edx: int) -> tuple[set[str], set[str]]:
    rows = [row for row in FEATURES if row.technology is Technology.SVM]
    offers = {row.key for row in rows if edx >> row.bit & 1}
    return offers, {row.key for row in rows} - offers


def differences(dump: Shown, rows: tuple[Processor, ...]) -> Iterator[str]:
    """Yield what a dump shows otherwise than the rows of its signature: each row if none of them agrees."""
    if not rows:
        yield f"{dump.name}: no row has the signature {dump.signature}"
        return
    texts = []
    for row in rows:
        more = dump.offers - row.offers - row.unknown
        less = dump.lacks & row.offers
        if not more and not less:
            return
        texts.append(f"{dump.name}: {row.name} offers neither {sorted(more)}; or offers {sorted(less)}")
    yield from texts


def main(directory: str) -> int:
    """Compare all dumps of a directory; return the exit status."""
    counts: Counter[str] = Counter()
    rows_seen: set[str] = set()
    wrong: list[str] = []
    for path in sorted(Path(directory).rglob("*.txt")):
        dump = shown(path.name, path.read_text("latin-1"))
        if not isinstance(dump, Shown):
            counts[dump or "without VMX or SVM leaves"] += 1
            continue
        rows = by_signature(dump.signature, dump.technology)
        rows_seen |= {row.name for row in rows}
        found = list(differences(dump, rows))
        wrong += found
        counts[f"{dump.technology.value}, {'disagree' if found else 'agree'}"] += 1
    print(*wrong, sep="\n", end="\n" if wrong else "")
    for what, number in sorted(counts.items()):
        print(f"{number:5} {what}")
    print(f"{len(rows_seen):5} rows of the table have a dump")
    return 1 if wrong or not rows_seen else 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1]))

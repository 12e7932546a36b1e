"""Damaged input: whatever a reader gets, it ends in a result or in an error of ours.

A share runs with the tests; ``make mutations`` runs 100,000 for each reader. Each input follows from the
reader's name and a number, so that a failure can be run again: ``XENAPIC_MUTATION=12345``.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

import xenapic
from tests.dumps import OFF, X2APIC, Vcpu, dump_lines, old
from tests.hosts import INTEL_LOG, host
from xenapic.errors import XenApicError
from xenapic.parse.bootlog import parse
from xenapic.parse.jsontext import load
from xenapic.parse.vmcsdump import read_dump
from xenapic.parse.xlcfg import parse_xl_cfg
from xenapic.policy.read import from_xl_cfg
from xenapic.verify.checks import check_recording
from xenapic.verify.recording import read_recording

COUNT = int(os.environ.get("XENAPIC_MUTATIONS", "300"))
ONLY = os.environ.get("XENAPIC_MUTATION")
DATA = Path(__file__).parents[1] / "data"

DUMP = dump_lines({1: [Vcpu(), Vcpu(X2APIC)], 7: [Vcpu(OFF, 5, 6), Vcpu(None)]})
XL_CFG = b"""name = "guest"; type = 'hvm'
vcpus = 0x10
memory += "512"   # MiB
disk = [ 'a,hda,w', [ "b", [] ], ]
cpuid = "host,x2apic=0,tm=0"
cpuid = [ "0x1:ecx=xxxxxxxxxx0xxxxxxxxxxxxxxxxxxxxx" ]
assisted_xapic = 1
on_crash = "\\n\\123\\"\\\\"
"""
TOML = b"""# a policy
[apic]
tpr_shadow = "require"
effects = ["x2apic-reads-stay"]
assisted_xapic = true
guest_x2apic = false
accept = ["apic-defect-memory"]
guest_type = "hvm"
"""


def saved_log(data: bytes) -> None:
    made = xenapic.host_from_log(data).host
    assert all(fact.source for fact in made.features.values())


def ring(data: bytes) -> None:
    for start in (0, 5):
        log = parse(data, start, "")
        assert not log.features or log.technology


def dump(data: bytes) -> None:
    for domid in (1, 7):
        assert read_dump(data, True, domid).problem or read_dump(data, True, domid).vcpus


def xl_cfg(data: bytes) -> None:
    text = data.decode("latin-1")
    parse_xl_cfg(text)
    from_xl_cfg(text)


def toml(data: bytes) -> None:
    xenapic.from_toml(data.decode("utf-8", "replace"))


def report(data: bytes) -> None:
    made = xenapic.from_json(data, xenapic.Host)
    assert xenapic.from_json(json.dumps(xenapic.to_json(made)), xenapic.Host) == made


def recording(data: bytes) -> None:
    check_recording(read_recording(load(data)), "mutated")


Reader = Callable[[bytes], None]
REPORTS = [json.dumps(xenapic.to_json(each)).encode() for each in (host(), host("4.22", start=9))]
RECORDINGS = sorted((DATA / "observed").glob("*.json"), key=lambda path: path.stat().st_size)[:2]
READERS: dict[str, tuple[Reader, list[bytes]]] = {
    "saved log": (saved_log, [path.read_bytes() for path in sorted((DATA / "logs").glob("*.log"))]),
    "ring": (ring, [INTEL_LOG, b"(XEN) Built-in command line: apicv=0\n" + INTEL_LOG + b"(d1) x\n"]),
    "dump": (
        dump,
        ["\n".join(f"(XEN) {line}" for line in lines).encode() + b"\n" for lines in (DUMP, old(DUMP))],
    ),
    "xl.cfg": (xl_cfg, [XL_CFG]),
    "TOML": (toml, [TOML]),
    "report": (report, REPORTS),
    "recording": (recording, [path.read_bytes() for path in RECORDINGS]),
}
PIECES = [
    b"\0", b"\xff", b"\xef\xbb\xbf", b"\xc2\xa0", b"\n", b"\r\n", b"(XEN) ", b"(d1) ", b'"', b"'", b"[" * 300, b"{",
    b"}", b"]", b",", b"=", b"-1", b"0", b"9" * 30, b"1e999", b"null", b"true", b"NaN", b"[]", b"{}", b'"\\ud800"',
    b"\\", b"#", b";", b"\t", b"Xen version 4.99.1 (x)\n", b"SVM: Supported advanced features:\n", b'""',
]  # fmt: skip


def mutated(name: str, number: int) -> bytes:
    """Return the damaged input of a number."""
    rng = random.Random(f"{name} {number}")
    data = rng.choice(READERS[name][1])
    for _ in range(rng.choice((1, 1, 1, 2, 3, 10))):
        at = rng.randrange(len(data) + 1)
        end = min(len(data), at + rng.choice((0, 1, 1, 2, 8, 60)))
        kind = rng.randrange(6)
        if kind == 0:
            data = data[:at] + data[end:]
        elif kind == 1:
            data = data[:at] + rng.choice(PIECES) + data[end:]
        elif kind == 2:
            data = data[:at] + rng.randbytes(end - at) + data[end:]
        elif kind == 3:
            data = data[:end] + data[at:end] + data[end:]
        elif kind == 4:
            lines = data.split(b"\n")
            rng.shuffle(lines) if rng.random() < 0.1 else lines.insert(
                rng.randrange(len(lines)), rng.choice(lines)
            )
            data = b"\n".join(lines)
        else:
            data = data[:at] if rng.random() < 0.3 else data[:at] + rng.choice(PIECES) + data[at:]
    return data


@pytest.mark.parametrize("name", READERS)
def test_damaged_input_ends_in_a_result_or_an_error_of_ours(name: str) -> None:
    read = READERS[name][0]
    refused = 0
    for number in [int(ONLY)] if ONLY else range(COUNT):
        try:
            read(mutated(name, number))
        except XenApicError as error:
            assert str(error)
            refused += 1
        except Exception as error:
            pytest.fail(f"{name}: XENAPIC_MUTATION={number}: {type(error).__name__}: {error}")
    if not ONLY:
        assert refused < COUNT  # some input is still read


def test_the_inputs_are_read_undamaged() -> None:
    for read, inputs in READERS.values():
        for data in inputs:
            read(data)

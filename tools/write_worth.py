"""Reduce a recording of a Xen with one bit per control to docs/data/control-worth.json.

``write_worth.py RECORDING [OPERATIONS]`` keeps the guests of a domain for which nothing was asked, and with
one control off at a time: which accesses left the guest, and the VM exits that Xen's trace counted.
OPERATIONS is what ``tests/xen/dom0_worth.py`` printed on the same Xen and machine.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from xenapic.apic.outcome import VmxExit
from xenapic.apic.state import ApicState
from xenapic.model.apicbits import APIC, off_of, on_of
from xenapic.parse.flagnames import names
from xenapic.parse.jsontext import load
from xenapic.verify.guest_records import AccessRecord, GuestRecord
from xenapic.verify.recording import read_recording

TO = Path(__file__).parents[1] / "docs" / "data" / "control-worth.json"
OTHER_EXITS = {1: "EXTERNAL_INTERRUPT", 7: "INTERRUPT_WINDOW", 10: "CPUID", 12: "HLT"}
STATES = (ApicState.XAPIC, ApicState.X2APIC)


def left(guest: GuestRecord, access: AccessRecord) -> bool:
    """Return True if an access left the guest, by its cost."""
    assert guest.calibration is not None and access.ticks_min is not None
    return access.ticks_min >= guest.calibration.threshold


def run(guest: GuestRecord) -> dict[str, Any]:
    """Return what is kept of a guest."""
    accesses: dict[bool, list[list[object]]] = {True: [], False: []}
    for access in (*guest.accesses, *guest.extra):
        accesses[left(guest, access)].append([access.op.value, access.offset, access.value])
    assert guest.exits is not None and guest.exits.complete
    exits = {}
    for reason, count in guest.exits.by_reason.items():
        name = OTHER_EXITS.get(reason) or (VmxExit(reason).name if reason in set(VmxExit) else str(reason))
        exits[name] = count
    return {
        "off": names(off_of(guest.misc_flags)),
        "state": guest.apic_mode.value,
        "arrived": sum(delivery.arrivals for delivery in guest.deliveries),
        "left": accesses[True],
        "stayed": accesses[False],
        "exits": exits,
    }


def operations(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows; it is an error if one has no answer."""
    for row in rows:
        if "failed" in row or not row["complete"]:
            raise SystemExit(f"{row}")
    return [{name: row[name] for name in ("off", "state", "workload", "operations", "exits")} for row in rows]


def main() -> None:
    """Write the file."""
    recording = read_recording(load(Path(sys.argv[1]).read_bytes()))
    wanted = {APIC(0), *APIC}
    kept = [
        run(guest)
        for guest in recording.guest
        if guest.apic_mode in STATES and not on_of(guest.misc_flags) and off_of(guest.misc_flags) in wanted
    ]
    data = {
        "xen": recording.xen,
        "processor": recording.processor,
        "emulator": recording.emulator,
        "runs": kept,
        "operations": [
            row for path in sys.argv[2:] for row in operations(json.loads(Path(path).read_bytes()))
        ],
    }
    TO.write_text(json.dumps(data, indent=None, separators=(",", ":")).replace('{"off"', '\n{"off"') + "\n")


main()

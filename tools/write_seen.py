"""Add what recordings of a Xen with one bit per control show to docs/data/proposal-seen.json.

``write_seen.py RECORDING…`` checks each recording against the model and keeps the counts, by machine and Xen.
Recordings of one machine and Xen are parts of one verification: their counts are added.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from xenapic.model.apicbits import offer_of
from xenapic.model.proposal import distinct
from xenapic.parse.flagnames import names
from xenapic.parse.jsontext import load
from xenapic.verify.check import NOT_TESTABLE, Verdict
from xenapic.verify.checks import check_recording
from xenapic.verify.recording import read_recording

TO = Path(__file__).parents[1] / "docs" / "data" / "proposal-seen.json"


def row(path: Path) -> dict[str, Any]:
    """Return the counts of one recording; it is an error if anything disagrees."""
    recording = read_recording(load(path.read_bytes()))
    report = check_recording(recording, path.name)
    if report.of(Verdict.DISAGREES) or not recording.per_control:
        raise SystemExit(f"{path}: {report.agree} of {report.compared} agree")
    offer = offer_of(recording.physinfo.arch_capabilities)
    untested = [check for check in report.of(Verdict.NOT_COVERED) if check.why in NOT_TESTABLE]
    return {
        "machine": recording.processor,
        "emulator": recording.emulator,
        "xen": recording.xen,
        "available": names(offer.available) if offer else [],
        "sets": len(distinct(offer)) if offer else 1,
        "creates": len(recording.create),
        "vmcs": len(recording.vmcs),
        "guests": sum(guest.failed is None for guest in recording.guest),
        "pairs": sum(pair.failed is None for pair in recording.pairs),
        "ipis": sum(len(pair.ipis) for pair in recording.pairs),
        "restored": len(recording.restored),
        "agree": report.agree,
        "not_testable": len(untested),
    }


COUNTS = ("creates", "vmcs", "guests", "pairs", "ipis", "restored", "agree", "not_testable")


def main() -> None:
    """Write the file."""
    kept: dict[tuple[str, str], dict[str, Any]] = {}
    if TO.exists():
        kept = {(old["machine"], old["xen"]): old for old in json.loads(TO.read_text())}
    fresh: dict[tuple[str, str], dict[str, Any]] = {}
    for path in map(Path, sys.argv[1:]):
        made = row(path)
        key = made["machine"], made["xen"]
        if key in fresh:
            made = {**made, **{name: made[name] + fresh[key][name] for name in COUNTS}}
        fresh[key] = made
    rows = {**kept, **fresh}
    TO.write_text("[\n" + ",\n".join(json.dumps(one) for one in rows.values()) + "\n]\n")


main()

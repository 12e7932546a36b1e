"""Print a recording of the running Xen: ``python3 -m xenapic.verify [PROCESSOR [EMULATOR [SELECT]]]``.

Intended for the lab, whose dom0 is slow: it only records, with refusals and trace; the recording is checked
outside. On a real host use ``xenapic verify``.
"""

from __future__ import annotations

import json
import sys

import xenapic
from xenapic.parse.codec import encode
from xenapic.signals import run
from xenapic.verify.record import Settings, record


def show_progress(step: str, number: int, total: int) -> None:
    """Print a step on stderr."""
    print(f"{number}/{total} {step}", file=sys.stderr, flush=True)


def main() -> None:
    """Print a recording under the names of processor and emulator on the command line."""
    processor, emulator, select = [*sys.argv[1:], "", "", ""][:3]
    with xenapic.open() as xen:
        settings = Settings(processor=processor, emulator=emulator, refusals=True, trace=True).part(select)
        recording = record(xen, settings, show_progress)
    print(json.dumps(encode(recording)))


run(main)

"""Record the running Xen and print it: ``python3 -m xenapic.verify [PROCESSOR [EMULATOR]]``.

For the lab, where dom0 is slow: it records alone, refusals and trace included, and what is recorded is
checked outside. Everybody else wants ``xenapic verify``.
"""

from __future__ import annotations

import json
import sys

import xenapic
from xenapic.verify.record import Settings, record


def say(what: str, at: int, of: int) -> None:
    """Print a step on stderr."""
    print(f"{at}/{of} {what}", file=sys.stderr, flush=True)


def main() -> None:
    """Record with the processor and emulator that the command line names."""
    processor, emulator = [*sys.argv[1:], "", ""][:2]
    with xenapic.open() as xen:
        settings = Settings(processor=processor, emulator=emulator, refusals=True, trace=True)
        found = record(xen, settings, say)
    print(json.dumps(found))


main()

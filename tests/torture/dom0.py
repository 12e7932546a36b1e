"""Runs in dom0: kill commands and wear the library out; print one JSON object.

python3 -m tests.torture.dom0 --seed 1 --kills 100 --creates 500
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from tests.torture.processes import Nursery, Order, become, run_program, run_to_the_end


def options(arguments: list[str]) -> argparse.Namespace:
    """Return what to do."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=0.0, help="go on killing until then")
    parser.add_argument("--only", default="", help="commands whose name has this text")
    parser.add_argument("--creates", type=int, default=0)
    parser.add_argument("--forks", type=int, default=0)
    parser.add_argument("--herd", type=int, default=0, help="creates of each of 32 threads")
    return parser.parse_args(arguments)


def endure(nursery: Nursery, wanted: argparse.Namespace) -> dict[str, Any]:
    """Run the programs that wear the library out."""
    chosen = {
        "creates": ("creates", str(wanted.creates)) if wanted.creates else (),
        "herd": ("herd", "4", "8", str(wanted.herd)) if wanted.herd else (),
        "forks": ("forks", str(wanted.forks), str(wanted.seed)) if wanted.forks else (),
    }
    found: dict[str, Any] = {}
    for name, argv in chosen.items():
        if not argv:
            continue
        pid = nursery.start(Order(argv, name, False, "/tmp/out", "/tmp/err"))
        status = nursery.wait(pid, 1800.0)
        out, said = Path("/tmp/out").read_text(), Path("/tmp/err").read_text()
        found[name] = json.loads(out) if out else {"wrong": ["no answer"]}
        if status or said:
            found[name]["wrong"].append(f"status {status}: {said[-1500:]}")
        tell(f"{name}: {found[name]}")
    return found


def tell(text: str) -> None:
    """Say on stderr how far it is."""
    print(text, file=sys.stderr, flush=True)


def torture(nursery: Nursery, wanted: argparse.Namespace) -> dict[str, Any]:
    """Return the figures, and every problem."""
    import xenapic
    from tests.torture.host import Host
    from tests.torture.kills import Kills

    began = time.monotonic()
    with xenapic.open() as xen:
        before = len(xen.domains())
        endured = endure(nursery, wanted)
        left = len(xen.domains()) - before
        host = Host(xen)
        kills = Kills(host, nursery, wanted.seed, wanted.only)
        kills.learn(tell)
        number = wanted.first
        while number < wanted.first + wanted.kills or time.monotonic() - began < wanted.seconds:
            known = len(kills.tally.problems)
            kills.kill(number)
            number += 1
            for problem in kills.tally.problems[known:]:
                tell(json.dumps(problem, indent=1))
            if number % 50 == 0:
                tally = kills.tally
                tell(f"{time.monotonic() - began:.0f} s: {tally.kills} kills, {len(tally.problems)} problems")
        tally = kills.tally
        return {
            "xen": str(xen.version),
            "seed": wanted.seed,
            "seconds": round(time.monotonic() - began),
            "kills": tally.kills,
            "in_time": tally.in_time,
            "by_signal": dict(sorted(tally.by_signal.items())),
            "by_command": dict(sorted(tally.by_command.items())),
            "orphans_removed": tally.orphans_removed,
            "tracing_mended": tally.tracing_mended,
            "policy_files_left": len(host.files()),
            **endured,
            "left_by_endurance": left,
            "problems": tally.problems,
        }


def main() -> None:
    """Torture; in a process that the nursery forked, be the command."""
    if sys.argv[1:2] == ["program"]:
        run_program(sys.argv[2], tuple(sys.argv[3:]))
        return
    wanted = options(sys.argv[1:])
    me = os.getpid()
    nursery = Nursery()
    if os.getpid() != me:
        if nursery.order is not None:
            (become if nursery.order.whole_end else run_to_the_end)(nursery.order)
        return
    result = torture(nursery, wanted)
    nursery.end()
    print(json.dumps(result))


if __name__ == "__main__":
    main()

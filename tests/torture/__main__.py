"""Kill commands for 20 minutes on a real Xen, and wear the library out: ``make torture``.

Prints what went wrong and exits with 1, or keeps the figures (``--output``), which the documentation shows. A case
that went wrong can be run again: ``python -m tests.torture --seed SEED --first CASE --kills 1 --seconds 0``.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from tests.torture.kills import by_kind
from xenapic import lab

LIMIT = 4 * 3600.0
"""Seconds of the emulator's own time; slow machines take longer for the same kills."""
LASTING = ("creates", "herd", "forks")


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Boot Xen, torture, and return what came out."""
    words = [
        f"--{name}={getattr(arguments, name)}"
        for name in ("seed", "first", "kills", "seconds", "only", *LASTING)
    ]
    done = lab.run(
        ["python3", "-m", "tests.torture.dom0", *words],
        machine=arguments.machine,
        xen=arguments.xen,
        timeout=LIMIT,
        on_stderr=_say,
    )
    if done.status:
        sys.exit(f"the torture failed with status {done.status}")
    result: dict[str, Any] = json.loads(done.stdout)
    return {"date": time.strftime("%Y-%m-%d"), "machine": arguments.machine, **result}


def _say(data: bytes) -> None:
    sys.stderr.buffer.write(data)
    sys.stderr.flush()


def wrong(result: dict[str, Any]) -> list[str]:
    """Return everything that is not as promised, in lines."""
    lines = [
        f"case {one['case']}: {one['command']}{' (cold)' * one['cold']}, {one['moment']}, "
        f"status {one['status']}: {'; '.join(one['wrong'])}\n{one['stderr']}"
        for one in result["problems"]
    ]
    lines += [f"{name}: {text}" for name in LASTING for text in result.get(name, {}).get("wrong", ())]
    if result["left_by_endurance"]:
        lines.append(f"{result['left_by_endurance']} domains were left by creates, threads or forks")
    return lines


def main() -> int:
    """Torture, print, write; return 1 if something went wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--machine", default="epyc")
    parser.add_argument("--xen", default="4.20")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--kills", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=1200.0, help="go on killing until then")
    parser.add_argument("--only", default="", help="only commands whose name has this text")
    parser.add_argument("--creates", type=int, default=5000)
    parser.add_argument("--herd", type=int, default=40, help="creates of each of 32 threads")
    parser.add_argument("--forks", type=int, default=300)
    parser.add_argument("--output", type=Path, default=Path("docs/data/torture.json"))
    arguments = parser.parse_args()
    result = measure(arguments)
    lines = wrong(result)
    result["wrong"] = by_kind(result.pop("problems"))
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(result, indent=1) + "\n")
    print("\n".join(lines))
    print(
        f"{result['kills']} kills in {result['seconds']} s: {len(lines)} problems; "
        f"{result['orphans_removed']} orphans removed, tracing mended {result['tracing_mended']} times"
    )
    return int(bool(lines))


if __name__ == "__main__":
    sys.exit(main())

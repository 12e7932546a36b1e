"""What calls cost on a real Xen, from C, from Xen's own Python module and from xenapic: ``make bench-xen``.

All three run in one dom0, one after the other in each round. An emulator's times mean nothing; their
ratios do.
Prints a table and writes ``build/bench-xen.json``. Exits with 1 when a target is missed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tabulate import tabulate

from xenapic import lab
from xenapic.lab.apt import Apt, derive, machine_sources
from xenapic.lab.programs import need
from xenapic.lab.xens import RELEASES, one_file

HERE = Path(__file__).parent
MACHINE = "epyc"

TARGETS: dict[str, tuple[str, float]] = {
    "physinfo": ("peer_us", 1.0),
    "list": ("c_us", 1.2),
    "list_1000": ("c_us", 1.2),
    "create_destroy": ("c_us", 1.5),
    "create_destroy_policy": ("c_us", 2.0),
}
"""For each operation: with which figure xenapic's is compared, and the largest ratio that is accepted."""
HOST_AGAIN_US = 1000.0


def headers_release() -> str:
    """Return the Xen release of this machine's libxenctrl headers, which the C program is built with."""
    done = subprocess.run(
        ["pkg-config", "--modversion", "xencontrol"], capture_output=True, text=True, check=True
    )
    return done.stdout.strip().rpartition(".")[0]


def build_c(release: str, into: Path) -> Path:
    """Compile the C program for libxenctrl of `release`."""
    program = into / "calls"
    subprocess.run(
        ["gcc", "-O2", "-Wall", f'-DXENCTRL="libxenctrl.so.{release}"', "-o", program, HERE / "xen/calls.c"],
        check=True,
    )
    return program


def fetch_peer(release: str, into: Path) -> Path:
    """Fetch Xen's own Python module from Debian; return the directory that holds the package ``xen``."""
    apt = Apt(into / "apt", derive(machine_sources(), RELEASES[release].suite))
    apt.update()
    (package,) = apt.download([f"xen-utils-{release}"], closure=False)
    subprocess.run(["dpkg-deb", "--extract", package.path, into / "tree"], check=True)
    return one_file(into / "tree", "usr/lib/xen-*/lib/python/xen/lowlevel/xc.*.so").parents[1]


def measure(release: str) -> dict[str, Any]:
    """Boot Xen `release` and return the figures of one run."""
    need("gcc", "pkg-config", "dpkg-deb")
    with tempfile.TemporaryDirectory(prefix="xenapic-bench-") as name:
        work = Path(name)
        files: dict[str, Path | str] = {
            "/bench/calls": build_c(release, work),
            "/bench/xen": fetch_peer(release, work),
            "/bench/dom0_calls.py": HERE / "xen/dom0_calls.py",
        }
        done = lab.run(
            ["python3", "/bench/dom0_calls.py"], machine=MACHINE, xen=release, files=files, timeout=1800.0
        )
    sys.stderr.write(done.stderr.decode(errors="replace"))
    if done.status:
        sys.exit(f"the measurement failed with status {done.status}")
    result: dict[str, Any] = json.loads(done.stdout)
    return {"date": time.strftime("%Y-%m-%d"), "machine": MACHINE, **result}


def judged(result: dict[str, Any]) -> dict[str, Any]:
    """Add to each operation with a target its ratio, the limit, and whether it is met."""
    for operation, (against, limit) in TARGETS.items():
        if row := result.get(operation):
            ratio = round(row["xenapic_us"] / row[against], 2)
            row |= {"against": against, "ratio": ratio, "limit": limit, "met": ratio <= limit}
    again = result["host_again"]
    again |= {"limit_us": HOST_AGAIN_US, "met": again["xenapic_us"] <= HOST_AGAIN_US}
    return result


def table(result: dict[str, Any]) -> str:
    """Return the figures as people read them, in microseconds."""
    columns = ("c_us", "peer_us", "cffi_us", "xenapic_us")
    rows = []
    for operation, row in result.items():
        if isinstance(row, dict):
            wanted = f"≤ {row['limit']} × {row['against'].removesuffix('_us')}" if "limit" in row else ""
            wanted = f"≤ {row['limit_us']:.0f} µs" if "limit_us" in row else wanted
            met = {True: "met", False: "MISSED"}.get(row.get("met"), "")
            rows.append((operation, *(row.get(name) for name in columns), row.get("ratio"), wanted, met))
    return tabulate(
        rows, headers=("µs a call", "C", "xen.lowlevel.xc", "bare cffi", "xenapic", "ratio", "target", "")
    )


def main() -> int:
    """Measure, print, write; return 1 when a target is missed."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    arguments.add_argument("--output", type=Path, default=Path("build/bench-xen.json"))
    output = arguments.parse_args().output
    result = judged(measure(headers_release()))
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(result, indent=1) + "\n")
    print(table(result))
    return int(not all(row.get("met", True) for row in result.values() if isinstance(row, dict)))


if __name__ == "__main__":
    sys.exit(main())

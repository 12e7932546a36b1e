"""What starting costs, in milliseconds more than an interpreter that does nothing. Run with ``make bench``.

The package is measured as it is installed: from its wheel, in an environment of its own. Processor time
counts, because it hardly depends on what else the machine does; the wall clock is printed next to it. The
figures go to ``build/bench-start.json``.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
BUILD = ROOT / "build"
ROUNDS = 21
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
NAMED = ("plan", "--processor", "broadwell_ult", "--xen", "4.17")
MEASURED: dict[str, tuple[tuple[str, ...], float | None]] = {
    "import xenapic": (("python", "-c", "import xenapic"), 6),
    "import click (for comparison)": (("python", "-c", "import click"), None),
    "xenapic --help": (("xenapic", "--help"), 40),
    "xenapic plan": (("xenapic", *NAMED), 70),
    "xenapic plan --json": (("xenapic", *NAMED, "--json"), None),
    "xenapic explain x2apic": (("xenapic", "explain", "x2apic"), 70),
    "xenapic access": (("xenapic", "access", "--processor", "broadwell_ult"), None),
    "xenapic host --json, without Xen": (("xenapic", "host", "--json"), None),
    "xenapic lab list": (("xenapic", "lab", "list"), None),
}
"""What is measured, and its target in milliseconds if there is one."""


def installed() -> Path:
    """Return the programs of an environment that has the wheel with the extra ``cli``."""
    wheels = BUILD / "bench-wheel"
    for old in wheels.glob("*.whl"):
        old.unlink()
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    subprocess.run([*pip, "wheel", "--no-deps", "-w", str(wheels), str(ROOT)], check=True)
    environment = BUILD / "bench-venv"
    if not environment.exists():
        subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
    (wheel,) = wheels.glob("*.whl")
    own = [str(environment / "bin" / "python"), *pip[1:], "install"]
    subprocess.run([*own, f"{wheel}[cli]"], check=True)
    subprocess.run([*own, "--force-reinstall", "--no-deps", str(wheel)], check=True)
    return environment / "bin"


def spent(command: list[str]) -> tuple[float, float]:
    """Run a command and return the processor's milliseconds and those of the clock."""
    start = time.perf_counter()
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, stdout=quiet, stderr=quiet, env=ENVIRONMENT) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    return (usage.ru_utime + usage.ru_stime) * 1000, (time.perf_counter() - start) * 1000


def measure(programs: Path) -> dict[str, tuple[float, float]]:
    """Return the median of each command, less that of an interpreter that does nothing."""
    commands = {name: [str(programs / words[0]), *words[1:]] for name, (words, _) in MEASURED.items()}
    commands["nothing"] = [str(programs / "python"), "-c", "pass"]
    runs: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    for number in range(ROUNDS + 1):
        for name, command in commands.items():
            sample = spent(command)
            if number:  # the first round fills the caches
                runs[name].append(sample)
    medians = {
        name: (statistics.median(cpu for cpu, _ in samples), statistics.median(wall for _, wall in samples))
        for name, samples in runs.items()
    }
    nothing = medians.pop("nothing")
    return {name: (cpu - nothing[0], wall - nothing[1]) for name, (cpu, wall) in medians.items()}


def main() -> int:
    """Print the table with the targets, and write it; the exit status is 1 when a target is missed."""
    results = measure(installed())
    print(f"\n{'':36}{'CPU ms':>9}{'wall ms':>9}{'target':>8}")
    missed = 0
    for name, (cpu, wall) in results.items():
        target = MEASURED[name][1]
        verdict = "" if target is None else f"{target:8.0f}" + ("" if cpu <= target else "  missed")
        missed += verdict.endswith("missed")
        print(f"{name:36}{cpu:9.1f}{wall:9.1f}{verdict}")
    table = {
        name: {"cpu_ms": round(cpu, 1), "wall_ms": round(wall, 1), "target_ms": MEASURED[name][1]}
        for name, (cpu, wall) in results.items()
    }
    (BUILD / "bench-start.json").write_text(json.dumps(table, indent=2) + "\n")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())

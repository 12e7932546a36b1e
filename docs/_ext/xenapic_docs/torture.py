"""Write the figures of the last torture that was kept (``make torture``)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from xenapic_docs.markdown import table

MEASURED = Path(__file__).parents[2] / "data" / "torture.json"
NONE_KEPT = "The figures of a complete run are not recorded yet."


def figures() -> str:
    """Return how often what was killed, and what came of it."""
    if not MEASURED.exists():
        return f"{NONE_KEPT}\n"
    measured: dict[str, Any] = json.loads(MEASURED.read_text())
    rows = [
        ("commands and programs killed", f"{measured['kills']:,}"),
        ("… before they had ended", f"{measured['in_time']:,}"),
        *((f"… by {name}", f"{count:,}") for name, count in measured["by_signal"].items()),
        ("orphans left by them, all found and removed", f"{measured['orphans_removed']:,}"),
        ("tracing left on, found and mended", f"{measured['tracing_mended']:,}"),
        *_lasting(measured),
        *((f"**{kind}**", f"**{count:,}**") for kind, count in measured["wrong"].items()),
    ]
    if not measured["wrong"]:
        rows.append(("domains lost, hangs, tracebacks, tracing left on unnoticed", "0"))
    when = (
        f"The last run: {measured['date']}, {measured['seconds'] // 60} minutes on Xen {measured['xen']} "
        f"in QEMU, seed {measured['seed']}."
    )
    return f"{when}\n\n{table(('what', 'how often'), rows)}\n"


def killed() -> str:
    """Return what was killed, and how often."""
    if not MEASURED.exists():
        return ""
    measured: dict[str, Any] = json.loads(MEASURED.read_text())
    rows = [(name, f"{count:,}") for name, count in measured["by_command"].items()]
    return f"{table(('killed', 'times'), rows)}\n"


def _lasting(measured: dict[str, Any]) -> list[tuple[str, str]]:
    creates, herd, forks = (measured[name] for name in ("creates", "herd", "forks"))
    grown = creates["grown"]
    change = (
        f"memory {grown['memory'] // 1024:+,} KiB, descriptors {grown['descriptors']:+}, "
        f"Xen's free pages {grown['free_pages']:+}"
    )
    return [
        (f"creates and destroys in one process ({change})", f"{creates['creates']:,}"),
        (
            f"creates by {herd['processes']} processes with {herd['threads']} threads each, at once",
            f"{herd['creates']:,}",
        ),
        ("forks while three threads were in calls; each child created a domain", f"{forks['forks']:,}"),
    ]

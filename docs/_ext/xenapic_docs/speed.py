"""Write what calls cost, from the last measurement that was kept (``make bench-xen``)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from xenapic_docs.markdown import table

MEASURED = Path(__file__).parents[2] / "data" / "bench-xen.json"
NAMES = {
    "physinfo": "physinfo",
    "physinfo_8_threads": "physinfo, 8 threads with a handle each",
    "list_1": "list of 1 domain",
    "list": "list of 61 domains",
    "list_1000": "list of 1,000 domains",
    "create_destroy": "create and destroy, every rule checked",
    "create_destroy_policy": "the same for a policy",
    "host_again": "`host()` again",
}
"""The operations, in the order of the table."""


def calls() -> str:
    """Return the cost of each call from C, from Xen's own Python module and from xenapic."""
    measured: dict[str, Any] = json.loads(MEASURED.read_text())
    rows = [_row(title, measured[name]) for name, title in NAMES.items() if name in measured]
    head = ("µs a call", "C", "`xen.lowlevel.xc`", "cffi alone", "xenapic", "ratio", "target")
    when = f"Measured on {measured['date']} in one dom0 under Xen {measured['xen']} in QEMU."
    return f"{when}\n\n{table(head, rows)}\n"


def _row(title: str, row: dict[str, Any]) -> tuple[str, ...]:
    figures = (row.get(name) for name in ("c_us", "peer_us", "cffi_us", "xenapic_us"))
    return (title, *("" if figure is None else f"{figure:,.0f}" for figure in figures), *_target(row))


def _target(row: dict[str, Any]) -> tuple[str, str]:
    if "limit" in row:
        against = {"c_us": "C", "peer_us": "`xen.lowlevel.xc`"}[row["against"]]
        return f"{row['ratio']:.2f}", f"≤ {row['limit']:g} × {against}{_missed(row)}"
    return ("", f"≤ {row['limit_us']:,.0f} µs{_missed(row)}") if "limit_us" in row else ("", "")


def _missed(row: dict[str, Any]) -> str:
    return "" if row["met"] else ", **missed**"

"""Write ``xenapic/abi/history.json`` from the recorded layouts of each release (``tests/data/abi``)."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
HISTORY = ROOT / "xenapic" / "abi" / "history.json"
RECORDED = ROOT / "tests" / "data" / "abi"

Spans = list[tuple[str, Any]]


def names() -> dict[str, str]:
    """Return each release with the name of its recording, in the order of history."""
    from xenapic.model.releases import XEN_RELEASES

    return {row.name: row.name.replace("-", "") for row in XEN_RELEASES}


def items(recorded: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return what a release has, by kind and name, in words that can be compared and shown."""
    structs = recorded["structs"]
    return {
        "struct": {name: f"{struct['size']} bytes" for name, struct in structs.items()},
        "field": {
            f"{name}.{field}": f"{row['type']} at {row['offset']}"
            for name, struct in structs.items()
            for field, row in struct["fields"].items()
        },
        "constant": recorded["constants"],
        "call": recorded["functions"],
    }


def history() -> dict[str, dict[str, Spans]]:
    """Return for each item the releases at which it changes, and its value from there on; None for absent."""
    result: dict[str, dict[str, Spans]] = {}
    for release, file in names().items():
        recorded = items(json.loads((RECORDED / f"xen-{file}.json").read_text()))
        for kind, values in recorded.items():
            rows = result.setdefault(kind, {})
            for name in {**rows, **values}:
                spans = rows.setdefault(name, [])
                value = values.get(name)
                if (spans[-1][1] if spans else None) != value:
                    spans.append((release, value))
    return result


def text() -> str:
    """Return the text of the file: a line for each item, so that merges are easy."""
    kinds = []
    for kind, rows in history().items():
        lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(spans)}" for name, spans in sorted(rows.items()))
        kinds.append(f"{json.dumps(kind)}: {{\n{lines}\n}}")
    return "{\n" + ",\n".join(kinds) + "\n}\n"


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    HISTORY.write_text(text())

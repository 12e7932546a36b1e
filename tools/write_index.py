"""Write ``xenapic/glossary/index.json`` from the topics."""

from __future__ import annotations

import json
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
INDEX = ROOT / "xenapic" / "glossary" / "index.json"


def index() -> str:
    """Return the text of the index: one line for each kind and for each spelling, so that merges are easy."""
    from xenapic.glossary import TopicKind, index_of, source

    data = index_of(
        {kind: {name: source(kind).topic(name) for name in source(kind).names()} for kind in TopicKind}
    )
    parts = []
    for key, table in data.items():
        assert isinstance(table, dict)
        lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(value)}" for name, value in table.items())
        parts.append(f"{json.dumps(key)}: {{\n{lines}\n}}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    INDEX.write_text(index())

"""Write ``xenapic/__init__.pyi`` from the list of public names in ``xenapic/__init__.py``."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parent.parent
STUB = ROOT / "xenapic" / "__init__.pyi"


def stub(homes: Mapping[str, tuple[str, ...]], exported: list[str]) -> str:
    """Return the text of the stub."""
    imports = [
        f"from {home} import {name} as {name}" for home in sorted(homes) for name in sorted(homes[home])
    ]
    names = [f'    "{name}",' for name in exported]
    head = "# Written by tools/write_stub.py; do not edit."
    return "\n".join([head, *imports, "", "__version__: str", "__all__ = [", *names, "]", ""])


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    import xenapic

    STUB.write_text(stub(xenapic.HOMES, xenapic.__all__))

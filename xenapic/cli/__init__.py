"""The command ``xenapic``.

Exit status: 0 fine, 1 refused or failed, 2 wrong usage, 3 Xen cannot be used
from here (no Xen, no privilege, no library that fits).
"""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command; say what to install when the extra ``cli`` is missing."""
    try:
        from xenapic.cli.app import app
    except ModuleNotFoundError as error:
        if error.name not in ("click", "tabulate"):
            raise
        sys.exit(f"xenapic: the command needs {error.name}: pip install 'xenapic[cli]' ")
    app.main(prog_name="xenapic")

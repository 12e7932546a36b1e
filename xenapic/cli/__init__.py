"""The command ``xenapic``; `xenapic.cli.status` lists its exit statuses."""

from __future__ import annotations

import sys

__all__ = ["main"]

EXTRA = ("click",)
"""Modules of the extra ``cli``."""


def main() -> None:
    """Run the command; say what to install when the extra ``cli`` is missing."""
    try:
        from xenapic.cli.app import app
        from xenapic.cli.signals import unwind_on_termination

        unwind_on_termination()
        app.main(prog_name="xenapic")
    except ModuleNotFoundError as error:
        if error.name not in EXTRA:
            raise
        sys.exit(f"xenapic: the command needs {error.name}: pip install 'xenapic[cli]'")

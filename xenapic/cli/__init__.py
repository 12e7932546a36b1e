"""The command ``xenapic``; `xenapic.cli.status` lists its exit statuses."""

from __future__ import annotations

import sys

from xenapic.signals import run

__all__ = ["main"]

EXTRA = ("click",)
"""Modules of the extra ``cli``."""


def main() -> None:
    """Run the command; say what to install when the extra ``cli`` is missing."""
    run(_command)


def _command() -> None:
    try:
        from xenapic.cli.app import app

        app.main(prog_name="xenapic")
    except ModuleNotFoundError as error:
        if error.name not in EXTRA:
            raise
        sys.exit(f"xenapic: the command needs {error.name}: pip install 'xenapic[cli]'")

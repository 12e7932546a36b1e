"""Write a patch series into a directory."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from xenapic.errors import FileUnreadable
from xenapic.proposal.series import AUTHOR

__all__ = ["author_of", "write"]


def author_of(tree: Path) -> str:
    """Return who commits in a tree, as git's configuration says; without it, what made the patches."""
    name, email = (_git(tree, "config", key) for key in ("user.name", "user.email"))
    return f"{name} <{email}>" if name and email else AUTHOR


def _git(tree: Path, *words: str) -> str:
    if shutil.which("git") is None:
        return ""
    done = subprocess.run(["git", "-C", str(tree), *words], capture_output=True, check=False)
    return " ".join(done.stdout.decode(errors="replace").split())


def write(messages: Mapping[str, bytes], into: Path) -> list[Path]:
    """Write the files of a series into a directory, which is made, and return their paths.

    Raises `FileUnreadable` if another series is there already, or nothing can be written.
    """
    try:
        into.mkdir(parents=True, exist_ok=True)
        others = sorted(path.name for path in into.glob("*.patch") if path.name not in messages)
        if others:
            raise FileUnreadable(str(into), f"has other patches already: {', '.join(others[:3])}")
        for name, content in messages.items():
            (into / name).write_bytes(content)
    except OSError as error:
        raise FileUnreadable(str(into), f"cannot be written: {error.strerror or error}") from None
    return [into / name for name in messages]

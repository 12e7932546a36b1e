"""What one run adds to dom0's root: the checkout, the relay, the command."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

import xenapic
from xenapic.lab.compiled import compiled, runs_here
from xenapic.lab.cpio import CpioWriter
from xenapic.lab.errors import LabUsageError

CHECKOUT = "/checkout"
HERE = Path(__file__).parent

ENV = {
    "PATH": "/usr/local/bin:/usr/bin:/usr/sbin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "TERM": "dumb",
    "PYTHONPATH": CHECKOUT,
    "PWD": CHECKOUT,
}

# Split in the script, so that only its output holds it whole.
SHELL_READY = b"xenapic-lab-shell-ready"
SHELL = """\
#!/bin/sh
exec </dev/hvc0 >/dev/hvc0 2>&1
set -a
. /etc/xenapic-lab/profile
PS1='dom0:\\w# '
set +a
cd "$PWD"
stty rows "$LINES" cols "$COLUMNS"
echo xenapic-lab-shell"-ready"
exec setsid -c sh -i
"""


def write_overlay(
    out: BinaryIO,
    command: Sequence[str] | None,
    *,
    python: str,
    env: Mapping[str, str],
    files: Mapping[str, Path | str],
) -> None:
    """Write the archive of a run to `out`; `command` None asks for a shell on the console.

    `python` is the cache tag of dom0's Python, such as ``cpython-311``.
    """
    writer = CpioWriter(out)
    writer.file("init", (HERE / "guest/init").read_bytes(), executable=True)
    root = _Below(writer, "overlay")
    for path, source in checkout_files():
        root.copy(f"{CHECKOUT}/{path}", source)
    _add_compiled(root, python)
    root.file("/usr/local/bin/xenapic", (HERE / "guest/ask.py").read_bytes(), True)
    root.copy("/usr/lib/xenapic-lab/forked.py", HERE / "guest/forked.py")
    root.copy("/usr/lib/xenapic-lab/xenapic/lab/frames.py", HERE / "frames.py")
    root.copy("/usr/lib/xenapic-lab/relay.py", HERE / "guest/relay.py")
    _write_job(root, command, {**ENV, **env})
    for path, given in files.items():
        _add(root, path, Path(given))
    writer.close()


class _Below:
    """Writes below a directory of the archive, by absolute path in dom0."""

    def __init__(self, writer: CpioWriter, top: str) -> None:
        self._writer = writer
        self._top = top

    def file(self, path: str, data: bytes, executable: bool = False) -> None:
        self._writer.file(self._top + path, data, executable=executable)

    def copy(self, path: str, source: Path) -> None:
        executable = bool(source.stat().st_mode & 0o100)
        self.file(path, source.read_bytes(), executable)


def _write_job(root: _Below, command: Sequence[str] | None, env: Mapping[str, str]) -> None:
    job = "/etc/xenapic-lab/"
    if command is None:
        root.file(job + "shell", SHELL.encode(), True)
        lines = (f"{name}='" + value.replace("'", "'\\''") + "'\n" for name, value in env.items())
        root.file(job + "profile", "".join(lines).encode())
        return
    root.file(job + "argv", _packed(command))
    root.file(job + "env", _packed([f"{name}={value}" for name, value in env.items()]))


def _packed(items: Sequence[str]) -> bytes:
    encoded = [item.encode(errors="surrogateescape") for item in items]
    if any(b"\0" in item for item in encoded):
        raise LabUsageError("a command or its environment cannot hold a NUL character")
    return b"".join(item + b"\0" for item in encoded)


def _add(root: _Below, path: str, source: Path) -> None:
    if not path.startswith("/") or ".." in path.split("/"):
        raise LabUsageError(f"a file's place in dom0 must be an absolute path, not {path!r}")
    if source.is_dir():
        for below in sorted(p for p in source.rglob("*") if p.is_file()):
            root.copy(f"{path}/{below.relative_to(source)}", below)
    elif source.is_file():
        root.copy(path, source)
    else:
        raise LabUsageError(f"no file {source} to put into dom0 as {path}")


def checkout_files() -> Iterator[tuple[str, Path]]:
    """Files of the running xenapic, and its tests if they lie beside it, by relative path."""
    package = Path(xenapic.__file__).parent
    trees = [package]
    if (package.parent / "pyproject.toml").is_file():
        trees.append(package.parent / "tests")
    for tree in trees:
        for path in sorted(tree.rglob("*")):
            skipped = path.suffix in {".so", ".o"} or {"__pycache__", ".hypothesis"} & {*path.parts}
            if not skipped and path.is_file():
                yield str(path.relative_to(package.parent)), path


def _add_compiled(root: _Below, python: str) -> None:
    if not runs_here(python):
        return
    for path, source in checkout_files():
        if source.suffix != ".py" or not path.startswith("xenapic/"):
            continue
        if (made := compiled(source, f"{CHECKOUT}/{path}")) is not None:
            parent, name = path.rsplit("/", 1)
            cached = f"__pycache__/{name.removesuffix('.py')}.{python}.pyc"
            root.copy(f"{CHECKOUT}/{parent}/{cached}", made)

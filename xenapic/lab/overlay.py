"""What the lab adds to dom0's root before it starts: xenapic itself and the programs that run jobs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

import xenapic
from xenapic.lab.compiled import compiled
from xenapic.lab.cpio import CpioWriter
from xenapic.lab.xens import XenFiles

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

# Split in the script, so that only its output holds the complete text.
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


def write_overlay(out: BinaryIO, xen: XenFiles, *, shell: Mapping[str, str] | None = None) -> None:
    """Write the archive for dom0 of `xen` to `out`; `shell` is the environment of a shell instead of jobs."""
    writer = CpioWriter(out)
    writer.file("init", (HERE / "guest/init").read_bytes(), executable=True)
    root = _Below(writer, "overlay")
    for path, source in package_files():
        root.copy(f"{CHECKOUT}/{path}", source)
    _add_compiled(root, xen)
    root.file("/usr/local/bin/xenapic", (HERE / "guest/ask.py").read_bytes(), True)
    root.copy("/usr/lib/xenapic-lab/xenapic/lab/frames.py", HERE / "frames.py")
    root.copy("/usr/lib/xenapic-lab/relay.py", HERE / "guest/relay.py")
    root.copy("/usr/lib/xenapic-lab/forked.py", HERE / "guest/forked.py")
    if shell is not None:
        _add_shell(root, {**ENV, **shell})
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


def _add_shell(root: _Below, env: Mapping[str, str]) -> None:
    for path, source in test_files():
        root.copy(f"{CHECKOUT}/{path}", source)
    root.file("/etc/xenapic-lab/shell", SHELL.encode(), True)
    lines = (f"{name}='" + value.replace("'", "'\\''") + "'\n" for name, value in env.items())
    root.file("/etc/xenapic-lab/profile", "".join(lines).encode())


def package_files() -> Iterator[tuple[str, Path]]:
    """Return the files of the running xenapic, with their paths in a checkout."""
    yield from _tree(Path(xenapic.__file__).parent)


def test_files() -> Iterator[tuple[str, Path]]:
    """Return the tests' files, with their paths in a checkout, if xenapic runs from one."""
    checkout = Path(xenapic.__file__).parent.parent
    if (checkout / "pyproject.toml").is_file():
        yield from _tree(checkout / "tests")


def _tree(tree: Path) -> Iterator[tuple[str, Path]]:
    for path in sorted(tree.rglob("*")):
        skipped = path.suffix in {".so", ".o"} or {"__pycache__", ".hypothesis"} & {*path.parts}
        if not skipped and path.is_file():
            yield str(path.relative_to(tree.parent)), path


def _add_compiled(root: _Below, xen: XenFiles) -> None:
    sources = {f"{CHECKOUT}/{path}": file for path, file in package_files() if file.suffix == ".py"}
    for path, form in compiled(sources, xen.python, xen.root).items():
        parent, name = path.rsplit("/", 1)
        root.file(f"{parent}/__pycache__/{name.removesuffix('.py')}.{xen.python}.pyc", form)

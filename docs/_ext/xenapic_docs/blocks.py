"""The code blocks of README and documentation: find them, run them, and bring their output up to date.

The first word after a fence is the language. More words say how the block is checked:

- ``console``: each command is run. What follows it up to the next ``$`` is its output, and must be equal.
- ``python``: the block is executed; it must not need a Xen.
- ``toml``: a policy.
- ``sh``: shell lines that install or build something; their syntax and their targets are checked.
- ``text`` and ``c``: not checked.
- ``on-xen`` after it: the block needs a running Xen. Commands are parsed, Python runs on a fake one.
- ``NAME.EXT`` after it: readers save the block as this file, and later blocks of the page use it.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["CHECKED", "Block", "Command", "Session", "blocks", "pages", "updated", "xenapic_calls"]

ROOT = Path(__file__).parents[3]
FENCE = re.compile(r"^```(\w[^`]*)$")
CHECKED = ("console", "python", "toml", "sh")
WIDTH = "88"
"""Columns of the terminal: what a page of the documentation shows without scrolling."""


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: Path
    line: int
    """Number of its first line of content in the page, from 0."""
    language: str
    words: tuple[str, ...]
    """What follows the language."""
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def on_xen(self) -> bool:
        """Whether the block needs a running Xen."""
        return "on-xen" in self.words

    @property
    def name(self) -> str | None:
        """The file name under which readers save the block, or None."""
        return next((word for word in self.words if "." in word), None)

    @property
    def commands(self) -> list[Command]:
        """The commands of a console block, each with the output that follows it."""
        parts = re.split(r"^\$ ", self.text, flags=re.MULTILINE)
        if parts[0].strip():
            raise ValueError(f"{self}: a console block starts with '$ '")
        return [Command(*part.partition("\n")[::2]) for part in parts[1:]]


@dataclass(frozen=True)
class Command:
    """A command line, and the output that the page shows; empty if it shows none."""

    line: str
    output: str


def pages() -> list[Path]:
    """Return README, CONTRIBUTING and every page of the documentation."""
    docs = ROOT / "docs"
    own = [path for path in docs.rglob("*.md") if not path.relative_to(docs).parts[0].startswith("_")]
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(own)]


def blocks(page: Path) -> Iterator[Block]:
    """Yield the fenced blocks of a page."""
    lines = page.read_text().splitlines(keepends=True)
    number = 0
    while number < len(lines):
        fence = FENCE.match(lines[number].rstrip("\n"))
        number += 1
        if fence is None:
            continue
        start = number
        while lines[number].rstrip("\n") != "```":
            number += 1
        language, *words = fence[1].split()
        yield Block(page, start, language, tuple(words), "".join(lines[start:number]))
        number += 1


def xenapic_calls(text: str) -> list[list[str]]:
    """Return the arguments of every xenapic command in shell text, those in dom0 of the lab included.

    A shell variable becomes ``1``, which is a valid domain number.
    """
    calls: list[list[str]] = []
    for line in text.splitlines():
        words: list[str] = []
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        for word in [*lexer, ";"]:
            if not set(word) <= set("();<>|&"):
                words.append("1" if word.startswith("$") else word)
                continue
            calls += _calls_in(words)
            words = []
    return calls


def _calls_in(words: list[str]) -> Iterator[list[str]]:
    if words[:1] == ["xenapic"]:
        yield words[1:]
        if "--" in words:
            yield from _calls_in(words[words.index("--") + 1 :])


class Session:
    """A directory in which a page's blocks run one after the other, with the files that the pages name."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        for name, text in _example_files():
            (directory / name).write_text(text)

    def save(self, block: Block) -> None:
        """Save a block under its name, as the page asks its reader to do."""
        if block.name is not None:
            (self.directory / block.name).write_text(block.text)

    def run(self, line: str) -> tuple[int, str]:
        """Run a command line; return its exit status and its output, errors included."""
        programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        python_path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        settings = {"PATH": programs, "PYTHONPATH": python_path, "COLUMNS": WIDTH, "NO_COLOR": "1"}
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", line],
            cwd=self.directory,
            env={**os.environ, **settings},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            check=False,
        )
        return done.returncode, "".join(f"{text.rstrip()}\n" for text in done.stdout.splitlines())


def _example_files() -> Iterator[tuple[str, str]]:
    import xenapic

    yield "policy.toml", '[apic]\nvirtual_interrupt_delivery = "require"\n'
    yield "guest.cfg", 'name = "guest"\ntype = "pvh"\nkernel = "/boot/vmlinuz"\nvcpus = 2\n'
    for number, name in enumerate(("skylake-sp", "cascade-lake-sp", "ice-lake-sp"), 1):
        host = xenapic.named_host(xenapic.processor(name), xenapic.xen_release("4.20"))
        yield f"host{number}.json", json.dumps(xenapic.to_json(host))
    data = ROOT / "tests" / "data"
    yield "boot.log", (data / "logs" / "6242.log").read_text()
    yield "xl-dmesg.txt", (data / "logs" / "8250U.log").read_text()
    yield "xl-info.txt", (data / "saved" / "xl-info.txt").read_text()
    yield "cpuinfo.txt", (data / "saved" / "cpuinfo.txt").read_text()
    recording = ROOT / "tests" / "data" / "observed" / "xen-4.17-rc-broadwell_ult.json"
    yield "recording.json", recording.read_text()


def updated(page: Path) -> str:
    """Return a page with the output of its commands as they give it now.

    Only commands that show output and need no Xen are run.
    """
    lines = page.read_text().splitlines(keepends=True)
    made: list[tuple[Block, str]] = []
    directory = Path(tempfile.mkdtemp(prefix="xenapic-docs-"))
    try:
        session = Session(directory)
        for block in blocks(page):
            session.save(block)
            if block.language == "console" and not block.on_xen:
                shown = (_with_output(session, command) for command in block.commands)
                made.append((block, "".join(shown)))
    finally:
        shutil.rmtree(directory)
    for block, text in reversed(made):
        lines[block.line : block.line + block.text.count("\n")] = [text]
    return "".join(lines)


def _with_output(session: Session, command: Command) -> str:
    if not command.output.strip():
        return f"$ {command.line}\n{command.output}"
    gap = "\n" if command.output.endswith("\n\n") else ""
    return f"$ {command.line}\n{session.run(command.line)[1].rstrip()}\n{gap}"

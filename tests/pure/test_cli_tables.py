"""Tables for people: they fit the terminal, name a source once, and have colours only where wanted."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios

import pytest

from xenapic.cli import output
from xenapic.cli.app import app

NAMED = ("--processor", "skylake-sp", "--xen", "4.20")
ANSI = re.compile(r"\x1b\[[0-9;]*m")
COMMANDS = [
    ["plan", *NAMED],
    ["plan", *NAMED, "--assisted-x2apic", "no"],
    ["plan", *NAMED, "--processor", "zen4"],
    ["access", *NAMED],
    ["access", *NAMED, "--diff", "xen-options=apicv=0"],
    ["find", *NAMED],
    ["find", "--everywhere", "assisted_x2apic=0"],
    ["explain", "x2apic"],
    ["explain"],
    ["lab", "list"],
    ["--help"],
    ["plan", "--help"],
]


def on_a_terminal(*arguments: str, columns: int = 80, **environment: str) -> str:
    """Return what the command prints on a terminal of that width."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    kept = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "TERM")}
    process = subprocess.Popen(
        [sys.executable, "-m", "xenapic", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=follower,
        stderr=follower,
        env={**kept, "TERM": "xterm", **environment},
    )
    os.close(follower)
    shown = b""
    while True:
        try:
            data = os.read(leader, 65536)
        except OSError:  # EIO: the last one closed it
            break
        if not data:
            break
        shown += data
    os.close(leader)
    process.wait()
    return shown.decode().replace("\r\n", "\n")


def in_a_pipe(*arguments: str, **environment: str) -> str:
    command = [sys.executable, "-m", "xenapic", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment}).stdout


WIDTHS = [(80, arguments) for arguments in COMMANDS] + [(50, arguments) for arguments in COMMANDS[:4]]


@pytest.mark.parametrize(("columns", "arguments"), WIDTHS, ids=lambda value: str(value))
def test_lines_fit_the_terminal(columns: int, arguments: list[str]) -> None:
    lines = ANSI.sub("", on_a_terminal(*arguments, columns=columns)).splitlines()
    assert len(lines) > 3
    assert [line for line in lines if len(line) > columns] == []


def test_a_pager_shows_lines_of_the_terminals_width() -> None:
    assert max(map(len, in_a_pipe("access", *NAMED, COLUMNS="70").splitlines())) <= 70


@pytest.mark.parametrize("arguments", [["plan", *NAMED], ["lab", "list"]], ids=" ".join)
def test_a_source_is_named_once(arguments: list[str]) -> None:
    shown = in_a_pipe(*arguments)
    lines = [line.strip() for line in shown.splitlines() if len(line.strip()) > 60 and "---" not in line]
    notes = [line for line in lines if "under Xen" in line or "Bochs requires" in line]
    assert notes and len(set(notes)) == len(notes)
    assert shown.count("GenuineIntel0050654_SkylakeXeon_20") == (1 if arguments[0] == "plan" else 0)


def test_colours_on_a_terminal_only() -> None:
    assert ANSI.search(on_a_terminal("plan", *NAMED))
    assert not ANSI.search(on_a_terminal("plan", *NAMED, NO_COLOR="1"))
    assert not ANSI.search(on_a_terminal("plan", *NAMED, TERM="dumb"))
    assert not ANSI.search(in_a_pipe("plan", *NAMED))
    assert not ANSI.search(in_a_pipe("plan", *NAMED, "--json"))


def test_words_are_broken_last(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    with app.make_context("xenapic", ["list"]):
        output.table(("name", "text"), [("corei7_sandy_bridge", "one two three four")])
    assert capsys.readouterr().out.splitlines()[2:] == [
        "corei7_sandy_bridge  one two",
        "                     three",
        "                     four",
    ]


def test_a_row_without_a_note(capsys: pytest.CaptureFixture[str]) -> None:
    output.noted_table(("name",), [(("a",), "same"), (("b",), ""), (("c",), "same")])
    assert capsys.readouterr().out.split("\n\n")[1] == "[1] same\n"
    output.noted_table(("name",), [(("a",), "same"), (("b",), "same")])
    assert "known from: same" in capsys.readouterr().out

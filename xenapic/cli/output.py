"""What commands print: JSON documents for scripts, tables and texts for people."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterable, Sequence

import click

from xenapic.cli.status import Status

__all__ = [
    "colour",
    "emit",
    "emitted",
    "flush",
    "give_up",
    "noted_table",
    "prepare_streams",
    "printable",
    "table",
    "text",
    "width",
]

GAP = "  "
NARROWEST = 8
"""Columns are not made narrower than this."""
COLOURS = {"yes": "green", "no": "red", "NO": "red", "unknown": "yellow", "refused": "red"}
"""Colours of the cells that answer something."""


# -- the streams -----------------------------------------------------------------------------------


def prepare_streams() -> None:
    """Prepare stdout and stderr, or exit.

    A closed stdout is refused at once: the answer would be lost, and the next file that is opened
    would become stdout. Characters that the encoding lacks are written as escapes.
    """
    _Document.printed = False
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115, PTH123  (stays open until the process ends)
    if sys.stdout is None:
        click.echo("xenapic: stdout is closed: there is nowhere to print the answer [output]", err=True)
        sys.exit(Status.REFUSED)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def flush() -> None:
    """Write what is buffered; raise OSError when stdout takes no more."""
    sys.stdout.flush()


def give_up() -> None:
    """Drop what is buffered for stdout, which takes no more; Python would fail on it again at the end."""
    try:
        descriptor = sys.stdout.fileno()
    except (OSError, ValueError):  # not a file
        return
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, descriptor)
    os.close(null)


def colour() -> bool | None:
    """Return False when nobody wants colours; None lets click decide: only on a terminal."""
    return False if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" else None


def width() -> int | None:
    """Return the columns of the terminal that people read; None when there is none, as in a script.

    A pipe counts as a terminal when stderr is one: then a pager most likely shows what is printed.
    """
    columns = os.environ.get("COLUMNS", "")
    if columns.isdecimal() and int(columns):
        return int(columns)
    for stream in (sys.stdout, sys.stderr):
        if stream.isatty():
            return os.get_terminal_size(stream.fileno()).columns or None  # 0: the terminal does not say
    return None


# -- documents -------------------------------------------------------------------------------------


class _Document:
    """The JSON document of this run. An interrupted command has no context of click's that could keep it."""

    printed = False


def emitted() -> bool:
    """Return whether this run has printed its JSON document."""
    return _Document.printed


def emit(value: object) -> None:
    """Print the JSON document of a value (see `xenapic.documents.to_json`)."""
    import json

    from xenapic.documents import to_json

    click.echo(json.dumps(to_json(value), indent=2))
    _Document.printed = True


# -- texts -----------------------------------------------------------------------------------------


def text(line: str, indent: str = "", *, hanging: str = "  ", err: bool = False) -> None:
    """Print a text, wrapped to the terminal; lines after the first are indented further by ``hanging``."""
    for part in line.splitlines() or [""]:
        click.echo("\n".join(_wrapped(part, width(), indent, indent + hanging)), err=err)


def _wrapped(line: str, columns: int | None, first: str = "", rest: str = "") -> list[str]:
    """Return a line as lines of at most so many columns; what was indented stays so."""
    if columns is None or len(first) + len(line) <= columns:
        return [first + line]
    body = line.lstrip(" ")
    inset = " " * (len(line) - len(body))
    import textwrap

    return textwrap.wrap(
        body,
        max(columns, NARROWEST),
        initial_indent=first + inset,
        subsequent_indent=rest + inset,
        break_on_hyphens=False,
    )


def printable(line: str) -> str:
    """Return text that cannot steer a terminal: characters that cannot be printed become escapes."""
    return "".join(char if char.isprintable() or char == "\t" else repr(char)[1:-1] for char in line)


# -- tables ----------------------------------------------------------------------------------------


def table(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table that fits the terminal: the widest columns are wrapped."""
    lines = [[str(cell) for cell in row] for row in rows]
    widths = _fit(list(zip(headers, *lines, strict=True)), width())
    if any(headers):
        _print_row(headers, widths)
        click.echo(GAP.join("-" * columns for columns in widths))
    for line in lines:
        _print_row(line, widths)


def noted_table(
    headers: Sequence[str], rows: Iterable[tuple[Sequence[object], str]], label: str = "known from"
) -> None:
    """Print a table whose rows have notes, such as sources; each note is printed once, beneath.

    ``label`` says what the notes are.
    """
    lines = list(rows)
    notes = list(dict.fromkeys(note for _cells, note in lines if note))
    if len(notes) == 1 and all(note for _cells, note in lines):
        table(headers, [cells for cells, _note in lines])
        click.echo()
        text(f"{label}: {notes[0]}")
        return
    numbers = {note: f"[{number}]" for number, note in enumerate(notes, 1)}
    table((*headers, label), [(*cells, numbers.get(note, "")) for cells, note in lines])
    click.echo()
    for note, number in numbers.items():
        text(f"{number} {note}", hanging=" " * (len(number) + 1))


def _fit(columns: Sequence[Sequence[str]], room: int | None) -> list[int]:
    """Return the widths of columns that fit: the widest gives way first, words are broken last."""
    widths = [max(map(len, cells)) for cells in columns]
    if room is None:
        return widths
    room -= len(GAP) * (len(widths) - 1)
    words = [max((len(word) for cell in cells for word in cell.split()), default=0) for cells in columns]
    for floors in (words, [NARROWEST] * len(widths)):
        while sum(widths) > room:
            spare = [(width, place) for place, width in enumerate(widths) if width > floors[place]]
            if not spare:
                break
            widths[max(spare)[1]] -= 1
    return widths


def _print_row(cells: Sequence[str], widths: Sequence[int]) -> None:
    """Print a row, on several lines where a cell is wrapped."""
    columns = [_wrapped(cell, columns) for cell, columns in zip(cells, widths, strict=True)]
    for number in range(max(map(len, columns), default=0)):
        parts = [column[number] if number < len(column) else "" for column in columns]
        padded = [_painted(part, columns) for part, columns in zip(parts, widths, strict=True)]
        click.echo(GAP.join(padded).rstrip())


def _painted(cell: str, columns: int) -> str:
    padding = " " * (columns - len(cell))
    answer = COLOURS.get(cell)
    return (click.style(cell, fg=answer) if answer else cell) + padding

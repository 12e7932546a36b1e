"""Print the manual page of the command, from what its help says: ``python tools/write_man.py >xenapic.1``."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).parent.parent


def roff(text: str) -> str:
    """Return a text as roff prints it unchanged."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    return "\n".join("\\&" + line if line[:1] in (".", "'") else line for line in escaped.splitlines())


def paragraph(text: str) -> tuple[str, ...]:
    """Return the lines of a paragraph of help; one that begins with click's mark stays as it is."""
    plain = text.removeprefix("\b\n")
    return (roff(text),) if plain == text else (".nf", roff(plain), ".fi")


def items(table: Mapping[str, str]) -> Iterator[str]:
    """Yield the lines of a list of terms, each with its text."""
    for term, text in table.items():
        yield from (".TP", f".B {roff(term)}", roff(text))


def commands() -> dict[str, str]:
    """Return every command and subcommand with its line of help."""
    from xenapic.cli.app import COMMANDS

    found = {}
    for name, text in COMMANDS.items():
        found[name] = text
        module = import_module(f"xenapic.cli.commands.{name}")
        found |= {f"{name} {sub}": line for sub, line in getattr(module, "COMMANDS", {}).items()}
    return found


def page() -> str:
    """Return the manual page."""
    import xenapic
    from xenapic.cli.app import app
    from xenapic.cli.status import MEANINGS

    paragraphs = inspect.cleandoc(app.help or "").split("\n\n")
    lines = [
        f'.TH XENAPIC 1 "" "xenapic {xenapic.__version__}" "Xen"',
        ".SH NAME",
        "xenapic \\- query, plan and verify Xen's use of the processor's APIC acceleration",
        ".SH SYNOPSIS",
        ".B xenapic",
        "[\\fIOPTIONS\\fR] \\fICOMMAND\\fR [\\fIARGUMENTS\\fR]",
        ".SH DESCRIPTION",
        *(line for part in paragraphs for line in (*paragraph(part), ".PP")),
        ".B xenapic \\fICOMMAND\\fB \\-\\-help",
        "explains a command.",
        ".SH COMMANDS",
        *items(commands()),
        ".SH EXIT STATUS",
        *items({str(int(status)): meaning for status, meaning in MEANINGS.items()}),
        ".SH SEE ALSO",
        "xl(1), xl.cfg(5)",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    sys.stdout.write(page())

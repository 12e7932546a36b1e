"""``xenapic explain``. It needs no Xen."""

from __future__ import annotations

import shutil
import textwrap
from typing import TYPE_CHECKING

import click

from xenapic.cli import output
from xenapic.cli.base import Command
from xenapic.cli.options import JSON

if TYPE_CHECKING:
    from xenapic.glossary import Topic

WIDEST = 100


def _complete(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    from xenapic.glossary import names

    return [name for name in names() if name.startswith(incomplete)]


@click.command("explain", cls=Command)
@click.argument("topic", nargs=-1, metavar="[TOPIC]", shell_complete=_complete)
@JSON
def command(topic: tuple[str, ...], as_json: bool) -> None:
    """Explain a control, flag, register, code, release or processor.

    TOPIC is a name, the SDM's name, an MSR or offset, an exit reason's number, an errno or an exception.
    Without TOPIC, list all topics. An unknown topic is wrong usage (2); similar topics are named.

    \b
      xenapic explain virtual-interrupt delivery
      xenapic explain 0x80b
      xenapic explain assisted_x2apic
      xenapic explain EINVAL
    """
    from xenapic.glossary import find, topics

    if not topic and not as_json:
        _show_list()
        return
    matches = find(" ".join(topic)) if topic else list(topics().values())
    if not matches:
        raise click.UsageError(_unknown(" ".join(topic)))
    if as_json:
        from xenapic.documents.topics import Explanation

        output.emit(Explanation.of(matches))
    else:
        click.echo("\n\n".join(_text(match, _width()) for match in matches))


def _unknown(text: str) -> str:
    from xenapic.glossary import near

    names = near(text)
    return f"unknown topic {text!r}; " + (
        f"did you mean {' or '.join(names)}?" if names else "'xenapic explain' lists all topics"
    )


def _width() -> int:
    return min(shutil.get_terminal_size().columns, WIDEST)


def _text(topic: Topic, width: int) -> str:
    """Return a topic as people read it."""
    parts = [f"{topic.title} ({topic.kind.value} {topic.name})", "", _wrapped(topic.text, width)]
    if topic.effect:
        parts += ["", *(_wrapped(line, width) for line in topic.effect.splitlines())]
    for label, text in (("SDM", topic.sdm), ("Xen", topic.xen), ("see", ", ".join(topic.see))):
        if text:
            parts += ["", _wrapped(f"{label}: {text.removeprefix(label).lstrip()}", width)]
    return "\n".join(parts)


def _wrapped(text: str, width: int) -> str:
    return textwrap.fill(
        text,
        width,
        initial_indent="  ",
        subsequent_indent="    ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _show_list() -> None:
    from xenapic.glossary import TopicKind, names

    for kind in TopicKind:
        click.echo(f"{kind.value}:")
        click.echo(_wrapped(", ".join(names(kind)), _width()))

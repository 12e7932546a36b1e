"""The command that explains a term. It needs no Xen."""

from __future__ import annotations

import shutil
import textwrap
from typing import TYPE_CHECKING, Any

import click

from xenapic.cli import show

if TYPE_CHECKING:
    from xenapic.glossary import Topic

WIDEST = 100


def _complete(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    from xenapic.glossary import topics

    return [name for name in topics() if name.startswith(incomplete)]


@click.command()
@click.argument("topic", nargs=-1, metavar="[TOPIC]", shell_complete=_complete)
@show.JSON
def explain(topic: tuple[str, ...], as_json: bool) -> None:
    """Explain a term: a control, a flag, a register, a code, a release, a processor.

    TOPIC is a name, the SDM's name, an MSR or offset, an exit reason's number, an errno, an exception.
    Without TOPIC, list all there are. What nothing is known of is wrong usage (2), with what is near.

    \b
      xenapic explain virtual-interrupt delivery
      xenapic explain 0x80b
      xenapic explain assisted_x2apic
      xenapic explain EINVAL
    """
    from xenapic.glossary import find, topics

    found = find(" ".join(topic)) if topic else list(topics().values())
    if not found:
        raise click.UsageError(_unknown(" ".join(topic)))
    if as_json:
        show.emit("explain", {"topics": [topic_json(one) for one in found]})
    elif topic:
        click.echo("\n\n".join(topic_text(one, _width()) for one in found))
    else:
        _show_list()


def _unknown(text: str) -> str:
    from xenapic.glossary import near

    names = near(text)
    return f"nothing is known of {text!r}; " + (
        f"near it are {', '.join(names)}" if names else "see 'xenapic explain' for what there is"
    )


def _width() -> int:
    return min(shutil.get_terminal_size().columns, WIDEST)


def topic_text(topic: Topic, width: int) -> str:
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
    from xenapic.glossary import TopicKind, topics

    for kind in TopicKind:
        names = [topic.name for topic in topics().values() if topic.kind is kind]
        click.echo(f"{kind.value}:")
        click.echo(_wrapped(", ".join(names), _width()))


def topic_json(topic: Topic) -> dict[str, Any]:
    """Return one topic of ``xenapic/explain``."""
    return {
        "name": topic.name,
        "kind": topic.kind.value,
        "title": topic.title,
        "text": topic.text,
        "effect": topic.effect or None,
        "sdm": topic.sdm or None,
        "xen": topic.xen or None,
        "see": list(topic.see),
    }

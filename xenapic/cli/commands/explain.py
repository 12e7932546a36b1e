"""``xenapic explain``. It needs no Xen."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import click

from xenapic.cli import output
from xenapic.cli.base import Command
from xenapic.cli.hostoptions import PROCESSOR, HostChoice
from xenapic.cli.options import FILE, INPUT, JSON, STDIN, read_input

if TYPE_CHECKING:
    from xenapic.glossary import Topic
    from xenapic.glossary.pasted.meaning import Meaning
    from xenapic.glossary.pasted.read import Pasted
    from xenapic.model.host import Host
    from xenapic.parse.xenversion import XenVersion

WIDEST = 100
SCREEN = 22
"""Lines that are printed without ``--all``, a bit less than a terminal has."""
NUMBER = re.compile(
    r"(?:[a-z]{2,10}(?: [a-z]{4,6})?\s*[:=#]?\s*)?[-+]?(?:0x)?[0-9a-f]{1,16}h?", re.IGNORECASE | re.ASCII
)
"""What may be a number, perhaps with a word before it."""
XEN_MAJOR = 4
"""The major number of every Xen that the tables cover: other numbers with a full stop are something else."""
ADVISORY = re.compile(r"(?:XSA-\d{1,4}|CVE-\d{4}-\d{3,7})", re.IGNORECASE | re.ASCII)


def _complete(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    from xenapic.glossary import names

    return [name for name in names() if name.startswith(incomplete)]


class _Explain(Command):
    """A command whose topic may begin with a hyphen, as errnos and log lines do."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments; what is not an option of the command belongs to the topic."""
        takes = {
            name: not (isinstance(param, click.Option) and param.is_flag)
            for param in self.get_params(ctx)
            if isinstance(param, click.Option)
            for name in param.opts
        }
        options: list[str] = []
        words: list[str] = []
        waiting = list(args)
        while waiting:
            word = waiting.pop(0)
            if word == "--":
                words += waiting
                break
            name = word.partition("=")[0]
            if name not in takes:
                words.append(word)
                continue
            options.append(word)
            if takes[name] and name == word and waiting:
                options.append(waiting.pop(0))
        return super().parse_args(ctx, [*options, "--", *words])


@click.command("explain", cls=_Explain)
@click.argument("topic", nargs=-1, metavar="[TEXT]", shell_complete=_complete)
@click.option("--file", type=INPUT, help="Explain the text of this file; - is standard input.")
@click.option(
    "--xen",
    metavar="VERSION",
    help="The version of Xen that a defect is judged for, e.g. 4.17.3 or 4.20.0-1.fc42.",
)
@click.option(
    "--processor", type=PROCESSOR, metavar="NAME", help="The host's processor, for which defects fit."
)
@click.option("--host", "report", type=FILE, help="A saved report of the host (xenapic host --json).")
@click.option("--all", "everything", is_flag=True, help="Print more than fits a screen.")
@JSON
def command(
    topic: tuple[str, ...],
    file: str | None,
    xen: str | None,
    processor: str | None,
    report: str | None,
    everything: bool,
    as_json: bool,
) -> None:
    """Explain a word, a number, a line of a log, or a whole paste.

    TEXT is a name, an MSR or offset, an exit reason, an errno, an option, a message of Xen or its tools,
    a dump of a VMCS or VMCB, a table of exits; - reads standard input. A number that can be several
    things gives all of them. With --xen, a defect is answered with yes or no. Without TEXT, list all
    topics. A text that means nothing here is wrong usage (2); similar topics are named.

    \b
      xenapic explain virtual-interrupt delivery
      xenapic explain 0x60
      xenapic explain 'd3v0 Unexpected vmexit: reason 3'
      xenapic explain XSA-462 --xen 4.17.3
      xl dmesg | xenapic explain -
    """
    text, where = _text_of(topic, file)
    version = _version(xen)
    if text is None:
        if as_json:
            _emit_every_topic()
        else:
            _show_list()
        return
    host = _host(processor, report, xen)
    topics, pasted = _answer(text, version, host)
    asked = None
    if not topics and not (pasted and pasted.meanings):
        asked = _asked_version(text)
        topics = _release_of(asked)
    if not topics and not asked and not (pasted and pasted.meanings):
        raise click.UsageError(_unknown(text, where, pasted))
    fates = _every_fate(asked) if asked else _fates(topics, version)
    if as_json:
        from xenapic.documents.topics import Explanation

        meanings, unread = (pasted.meanings, pasted.unread) if pasted else ((), 0)
        output.emit(Explanation.of(topics, meanings, unread, fates))
        return
    if asked:
        _show_version(asked, topics, fates)
    elif topics:
        _show_topics(topics, fates, everything)
    elif pasted:
        _show_pasted(pasted, everything)


# -- what was asked ------------------------------------------------------------------------------------


def _text_of(topic: tuple[str, ...], file: str | None) -> tuple[str | None, str]:
    """Return the text and what to call it; None to list everything."""
    if topic == (STDIN,):
        topic, file = (), STDIN
    if file is None:
        return (" ".join(topic), "") if topic else (None, "")
    if topic:
        raise click.UsageError("give a text or --file, not both")
    title, content = read_input(file)
    return content.decode("utf-8", "replace"), title


def _version(xen: str | None) -> XenVersion | None:
    if xen is None:
        return None
    from xenapic.parse.xenversion import parse_version

    version = parse_version(xen)
    if version is None:
        raise click.UsageError(f"{xen!r} is no version of Xen; examples: 4.17, 4.17.3, 4.17.5-15.2.xcpng8.3")
    return version


def _host(processor: str | None, report: str | None, xen: str | None) -> Host | None:
    if processor is None and report is None:
        return None
    from xenapic.cli.hosts import hosts_of
    from xenapic.errors import NameUnknown
    from xenapic.model.releases import xen_release

    if xen is not None:
        try:
            xen_release(xen)
        except NameUnknown:  # older than the tables of hosts; the defects go further back
            xen = None
    choice = HostChoice(
        reports=(report,) if report else (), processors=(processor,) if processor else (), xen=xen
    )
    return next(iter(hosts_of(choice, None).values()))


def _answer(
    text: str, version: XenVersion | None, host: Host | None
) -> tuple[Sequence[Topic], Pasted | None]:
    """Return the topics that a text names, or else what it means as a paste."""
    line = text.strip()
    if len(line) <= WIDEST and "\n" not in line:
        from xenapic.glossary import find

        topics = find(line) or _settings(line)
        if NUMBER.fullmatch(line):
            from xenapic.glossary.pasted.numbers import readings

            if len(readings(line)) > 1 or not topics:
                topics = [] if readings(line) else topics
        if topics:
            return topics, None
    from xenapic.glossary.pasted.read import read_text

    return (), read_text(text, version, host)


def _settings(line: str) -> list[Topic]:
    """Return the topics of the name in a line ``name=value`` if it is a setting of an xl.cfg."""
    from xenapic.glossary import find
    from xenapic.toolstack.keys import KEYS, OTHERS

    name, equals, value = line.partition("=")
    name = name.strip()
    known = name in OTHERS or any(row.name == name for row in KEYS) or name.startswith("assisted_x")
    return find(name) if equals and value.strip() and known else []


def _unknown(text: str, where: str, pasted: Pasted | None) -> str:
    from xenapic.apic.lookup import why_no_row
    from xenapic.glossary import near

    if where or (pasted and pasted.lines > 1):
        lines = pasted.lines if pasted else 0
        none = f"none of its {lines} lines means anything here; nothing was concluded from them"
        return f"{where or 'the text'}: {none}"
    line = text.strip()
    shown = repr(line if len(line) <= WIDEST else f"{line[:WIDEST]}…")
    if ADVISORY.fullmatch(line):
        return (
            f"{line} is not among the defects around the APIC and its acceleration; "
            "whether a Xen has it was not looked at"
        )
    names = near(line) if len(line) <= WIDEST else []
    if names:
        return f"unknown topic {shown}; did you mean {' or '.join(names)}?"
    if len(line) <= WIDEST and (reason := why_no_row(line)):
        return f"{shown}: {reason}"
    return f"unknown topic {shown}, and nothing similar is known; 'xenapic explain' lists all topics"


def _asked_version(text: str) -> XenVersion | None:
    """Return the version of Xen that the whole text is, None for another text."""
    from xenapic.parse.xenversion import parse_version

    version = parse_version(text) if len(text) <= WIDEST else None
    return version if version and version.number[0] == XEN_MAJOR else None


def _release_of(version: XenVersion | None) -> Sequence[Topic]:
    """Return the topic of the release that a version belongs to; nothing for one without a topic."""
    from xenapic.errors import NameUnknown
    from xenapic.model.releases import xen_release

    if version is None:
        return ()
    try:
        name = xen_release(version.text).name
    except NameUnknown:
        return ()
    from xenapic.glossary import find

    return find(name)


def _every_fate(version: XenVersion) -> dict[str, str]:
    from xenapic.model.fates import fates

    return {fate.defect.code: fate.text for fate in fates(version)}


def _fates(topics: Sequence[Topic], version: XenVersion | None) -> dict[str, str]:
    """Return what holds for a version, for each defect among the topics."""
    if version is None:
        return {}
    from xenapic.glossary import TopicKind

    codes = [topic.name for topic in topics if topic.kind is TopicKind.DEFECT]
    if not codes:
        return {}
    from xenapic.model.defects import DEFECTS
    from xenapic.model.fates import fate

    return {row.code: fate(row, version).text for row in DEFECTS if row.code in codes}


# -- printing --------------------------------------------------------------------------------------------


def _width() -> int:
    return min(output.width() or WIDEST, WIDEST)


def _show_topics(topics: Sequence[Topic], fates: Mapping[str, str], everything: bool) -> None:
    """Print topics; if they do not fit a screen, only the first in full."""
    texts = [_topic(topic, fates.get(topic.name, ""), _width()) for topic in topics]
    if sum(text.count("\n") + 2 for text in texts) > 2 * SCREEN and not everything:
        texts[1:] = [f"{_head(topic)}\n  see: xenapic explain {topic.name}" for topic in topics[1:]]
    click.echo("\n\n".join(texts))


def _show_version(version: XenVersion, topics: Sequence[Topic], fates: Mapping[str, str]) -> None:
    """Print what is known about a version: its release, and which defects it has."""
    release = f", of the release {topics[0].name}: xenapic explain {topics[0].name}" if topics else ""
    named = str(version) if str(version).casefold().startswith("xen") else f"Xen {version}"
    click.echo(output.printable(f"{named}{release}"))
    had = {code: text for code, text in fates.items() if not text.startswith("no")}
    click.echo("\nKnown defects around the APIC:" if had else "\nNo known defect around the APIC.")
    for code, text in had.items():
        click.echo(_wrapped(f"{code}: {text}", _width()))
    if had:
        click.echo(f"\nThe other {len(fates) - len(had)} known defects are not in it.")


def _head(topic: Topic) -> str:
    return f"{topic.title} ({topic.kind.value} {topic.name})"


def _topic(topic: Topic, fate: str, width: int) -> str:
    """Return a topic as people read it."""
    parts = [_head(topic), ""]
    if fate:
        parts += [_wrapped(f"The version asked about: {fate}.", width), ""]
    parts.append(_wrapped(topic.text, width))
    if topic.effect:
        parts += ["", *(_wrapped(line, width) for line in topic.effect.splitlines())]
    where = "source" if topic.kind.name == "ELSEWHERE" else "Xen"
    for label, text in (("SDM", topic.sdm), (where, topic.xen), ("see", ", ".join(topic.see))):
        if text:
            parts += ["", _wrapped(f"{label}: {text.removeprefix(label).lstrip()}", width)]
    return "\n".join(parts)


def _show_pasted(pasted: Pasted, everything: bool) -> None:
    """Print what a text means, as much as fits a screen."""
    texts = [_meaning(meaning, pasted.lines > 1, _width()) for meaning in pasted.meanings]
    if len(texts) > 1 and pasted.lines == 1 and not any(meaning.sure for meaning in pasted.meanings):
        click.echo("It can be:\n")
    used, shown = 0, 0
    for text in texts:
        used += text.count("\n") + 2
        if shown and used > SCREEN and not everything:
            break
        click.echo(f"{text}\n" if text is not texts[-1] else text)
        shown += 1
    rest = []
    if shown < len(texts):
        rest.append(f"{len(texts) - shown} more: --all")
    if pasted.unread:
        rest.append(f"{pasted.unread} of {pasted.lines} lines mean nothing here: not looked at")
    if rest:
        click.echo(f"\n({'; '.join(rest)})" if shown == len(texts) else f"({'; '.join(rest)})")


def _meaning(meaning: Meaning, many: bool, width: int) -> str:
    """Return a meaning as people read it; what comes from the text cannot steer a terminal."""
    head = meaning.title if meaning.sure or not many else f"perhaps: {meaning.title}"
    parts = [output.printable(f"{meaning.quote}: {head}" if many else head)]
    parts += [_wrapped(output.printable(line), width) for line in meaning.text.splitlines()]
    if meaning.see:
        parts.append(_wrapped(f"see: {', '.join(meaning.see)}", width))
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


def _emit_every_topic() -> None:
    from xenapic.documents.topics import Explanation
    from xenapic.glossary import topics

    output.emit(Explanation.of(topics().values()))

"""Options that several commands share."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import click

from xenapic.cli.base import Name, OutputFile
from xenapic.frozen import dataclass

if TYPE_CHECKING:
    from xenapic.model.guest_types import GuestType
    from xenapic.model.host import Host
    from xenapic.policy.mapping import ReadPolicy
    from xenapic.policy.terms import Policy

__all__ = [
    "CHOICE",
    "DOMID",
    "FILE",
    "FLAG",
    "INPUT",
    "JSON",
    "OUTPUT",
    "PROCESSOR",
    "RELEASE",
    "HostChoice",
    "extra_of",
    "guest_type_option",
    "host_options",
    "hosts_of",
    "policy_of",
    "policy_options",
    "read_input",
]

F = TypeVar("F", bound=Callable[..., Any])

JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON; 'xenapic schema' describes it.")
"""The option of every command that can print a JSON document."""

FILE = click.Path(exists=True, dir_okay=False)
INPUT = click.Path(exists=True, dir_okay=False, allow_dash=True)
OUTPUT = OutputFile()
DOMID = click.IntRange(0, 0x7FEF)  # as in xen/include/public/xen.h, DOMID_FIRST_RESERVED
CHOICE = click.Choice(["yes", "no", "default"])
FLAG = {"yes": True, "no": False, "default": None}


STDIN = "-"


def file_title(path: str) -> str:
    """Return what to call a file; ``-`` is standard input."""
    return "standard input" if path == STDIN else path


def read_input(path: str) -> tuple[str, bytes]:
    """Return what to call a file, and its content; ``-`` is standard input. Raises `FileUnreadable`."""
    from xenapic.errors import FileUnreadable
    from xenapic.parse.files import LIMIT_BYTES, read_file

    title = file_title(path)
    if path != STDIN:
        return title, read_file(path)
    content = sys.stdin.buffer.read(LIMIT_BYTES + 1)
    if len(content) > LIMIT_BYTES:
        raise FileUnreadable(title, f"it has more than {LIMIT_BYTES >> 20} MiB")
    return title, content


def guest_type_option(default: str) -> Callable[[F], F]:
    """Return the option ``--type``; ``default`` says in words what holds without it."""
    from xenapic.model.guest_types import GuestType

    return click.option(
        "--type",
        "guest_type",
        type=click.Choice([kind.value for kind in GuestType]),
        help=f"Type of guest.  [default: {default}]",
    )


# -- a host ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class HostChoice:
    """The host that the options choose; without any, the host that the command runs on."""

    reports: tuple[str, ...] = ()
    processors: tuple[str, ...] = ()
    xen: str | None = None
    xen_options: str | None = None
    measure: bool = False


DEFAULT_XEN = "4.20"


def _releases() -> list[str]:
    from xenapic.model.releases import XEN_RELEASES

    return [row.name for row in XEN_RELEASES]


def _processors() -> Iterable[str]:
    from xenapic.apic.processors import PROCESSORS

    return PROCESSORS


def _similar_processors(name: str) -> str:
    """Return the processors of similar names, each with what it is."""
    from xenapic.apic.processors import PROCESSORS
    from xenapic.errors import NameUnknown

    near = NameUnknown.among("processor", name, PROCESSORS).near
    kinds = {"": "the real processor", "bochs": "Bochs' model", "qemu": "QEMU's model"}
    named = (f"{known} ({kinds[PROCESSORS[known].emulated_by]})" for known in near)
    return f"did you mean {' or '.join(named)}?" if near else ""


PROCESSOR = Name("processor", _processors, explain=_similar_processors)


class XenName(Name):
    """A release of Xen, or any version of one: a point release, a distribution's package."""

    def __init__(self) -> None:
        super().__init__("release of Xen", _releases)

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the text of a version whose release is known; fail with a suggestion otherwise."""
        from xenapic.errors import NameUnknown
        from xenapic.model.releases import xen_release

        try:
            xen_release(value)
        except NameUnknown:
            return super().convert(value, param, ctx)
        return value.strip()


RELEASE = XenName()


def host_options(function: F) -> F:
    """Add the options that choose a host."""
    for option in (
        click.option("--measure", is_flag=True, help="Measure this host first (see 'xenapic host')."),
        click.option("--xen-options", metavar="TEXT", help="Other boot options of Xen, e.g. apicv=0."),
        click.option(
            "--xen",
            type=RELEASE,
            metavar="RELEASE",
            help="Another release or version of Xen, e.g. 4.17-rc, 4.17.3 or 4.17.5-15.2.xcpng8.3.  "
            f"[default: the host's own; with --processor {DEFAULT_XEN}]",
        ),
        click.option(
            "--processor",
            "processors",
            multiple=True,
            type=PROCESSOR,
            metavar="NAME",
            help="A processor from the table instead of this host: a real one (sapphire-rapids-sp) or an "
            "emulator's model (sapphire_rapids).",
        ),
        click.option(
            "--host",
            "reports",
            multiple=True,
            type=FILE,
            help="A saved report (xenapic host --json) instead of this host.",
        ),
    ):
        function = option(function)
    return function


def hosts_of(choice: HostChoice, library: str | None) -> dict[str, Host]:
    """Return the chosen hosts by name; raise click's usage errors and `DocumentInvalid`."""
    if sum(map(bool, (choice.reports, choice.processors, choice.measure))) > 1:
        raise click.UsageError("--host, --processor and --measure exclude each other")
    if choice.processors:
        return dict(_named(name, choice) for name in choice.processors)
    hosts = {path: _report(path) for path in choice.reports} or _this_host(choice, library)
    if choice.xen is None and choice.xen_options is None:
        return hosts
    return {_title(name, choice): _under(host, choice) for name, host in hosts.items()}


def _title(name: str, choice: HostChoice, default: str | None = None) -> str:
    release = choice.xen or default
    return " ".join(filter(None, [name, f"Xen {release}" if release else "", choice.xen_options]))


def _under(host: Host, choice: HostChoice) -> Host:
    """Return the host as it would be under the Xen that the options choose."""
    from xenapic.model.rehost import host_under
    from xenapic.model.releases import xen_release

    release = xen_release(choice.xen) if choice.xen else None
    return host_under(host, release, choice.xen_options, extra_of(choice.xen))


def extra_of(xen: str | None) -> str:
    """Return what the Xen of ``--xen`` reports after its number; empty for a release by its name."""
    from xenapic.model.releases import DEVELOPMENT
    from xenapic.parse.xenversion import parse_version

    version = parse_version(xen) if xen and xen != DEVELOPMENT.name else None
    return version.extra if version else ""


def _this_host(choice: HostChoice, library: str | None) -> dict[str, Host]:
    import xenapic
    from xenapic.errors import Unavailable

    try:
        with xenapic.open(library) as xen:
            if choice.measure:
                xen.measure()
            return {"this host": xen.host()}
    except Unavailable as error:
        raise type(error)(f"{error}\n{ELSEWHERE}", error.errno) from None


ELSEWHERE = (
    "To ask about another host: --processor NAME with --xen RELEASE (no Xen is needed), or "
    "--host FILE with a report saved by 'xenapic host --json'."
)


def _report(path: str) -> Host:
    from xenapic.documents import from_file
    from xenapic.model.host import Host

    return from_file(path, Host)


def _named(name: str, choice: HostChoice) -> tuple[str, Host]:
    """Return the name and the host of a processor of the table."""
    from xenapic.apic.processors import processor
    from xenapic.model.named import named_host
    from xenapic.model.releases import xen_release

    release = xen_release(choice.xen or DEFAULT_XEN)
    host = named_host(processor(name), release, choice.xen_options or "", extra_of(choice.xen))
    return _title(name, choice, DEFAULT_XEN), host


# -- a policy --------------------------------------------------------------------------------------


def _aspects() -> list[str]:
    from xenapic.policy.terms import Aspect

    return [aspect.value for aspect in Aspect]


def _effects() -> list[str]:
    from xenapic.policy.terms import EFFECTS

    return [row.name for row in EFFECTS]


def _defects() -> Iterable[str]:
    from xenapic.policy.terms import ACCEPTABLE

    return ACCEPTABLE


def _wanted(verb: str, text: str) -> Callable[[F], F]:
    return click.option(
        f"--{verb}", multiple=True, metavar="ASPECT", type=Name("aspect", _aspects), help=text
    )


def policy_options(function: F) -> F:
    """Add the options that make up a policy."""
    as_in_xl = "As in xl.cfg of Xen 4.17-rc."
    for option in (
        click.option(
            "--accept",
            multiple=True,
            metavar="CODE",
            type=Name("defect", _defects),
            help=f"Accept this defect: {', '.join(_defects())}.",
        ),
        click.option("--hide-x2apic", is_flag=True, help="The toolstack hides x2APIC from the guest."),
        click.option("--assisted-x2apic", type=CHOICE, default="default", help=as_in_xl),
        click.option("--assisted-xapic", type=CHOICE, default="default", help=as_in_xl),
        click.option(
            "--effect",
            "effects",
            multiple=True,
            metavar="NAME",
            type=Name("effect", _effects),
            help=f"Require an effect: {', '.join(_effects())}.",
        ),
        _wanted("prefer", "It must be in force where that is possible."),
        _wanted("forbid", "It must not be in force."),
        _wanted("require", f"It must be in force. ASPECT is one of {', '.join(_aspects())}."),
    ):
        function = option(function)
    return function


def _read_policy(file: str) -> ReadPolicy:
    """Read a policy file; ``-`` is standard input."""
    from xenapic.policy.read import from_file, from_stream

    return from_stream(sys.stdin.buffer, file_title(file)) if file == STDIN else from_file(file)


def policy_of(file: str | None, options: dict[str, Any]) -> tuple[Policy, GuestType | None]:
    """Return the policy of a file and of the options, which override the file; and the file's guest type."""
    from xenapic.policy.terms import Aspect, Policy, Want

    policy, guest_type = Policy(), None
    if file is not None:
        read = _read_policy(file)
        policy, guest_type = read.policy, read.guest_type
        for note in read.notes:
            click.echo(f"{file_title(file)}: {note}", err=True)
    verbs = (("prefer", Want.PREFER), ("forbid", Want.FORBID), ("require", Want.REQUIRE))
    policy = policy.override((Aspect(name), want) for verb, want in verbs for name in options[verb])
    xapic, x2apic = FLAG[options["assisted_xapic"]], FLAG[options["assisted_x2apic"]]
    changed = replace(
        policy,
        effects=(*policy.effects, *options["effects"]),
        guest_x2apic=policy.guest_x2apic and not options["hide_x2apic"],
        accept=policy.accept | set(options["accept"]),
        assisted_xapic=policy.assisted_xapic if xapic is None else xapic,
        assisted_x2apic=policy.assisted_x2apic if x2apic is None else x2apic,
    )
    return changed, guest_type

"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from xenapic.errors import DocumentInvalid

if TYPE_CHECKING:
    from xenapic.model.guest_types import GuestType
    from xenapic.model.host import Host
    from xenapic.policy.mapping import ReadPolicy
    from xenapic.policy.terms import Aspect, Policy

__all__ = [
    "CHOICE",
    "FILE",
    "FLAG",
    "JSON",
    "OUTPUT",
    "HostChoice",
    "guest_type_option",
    "host_options",
    "hosts_of",
    "policy_of",
    "policy_options",
]

F = TypeVar("F", bound=Callable[..., Any])

JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON; 'xenapic schema' describes it.")
"""The option of every command that can print a JSON document."""

FILE = click.Path(exists=True, dir_okay=False)
OUTPUT = click.Path(dir_okay=False, allow_dash=True)
CHOICE = click.Choice(["yes", "no", "default"])
FLAG = {"yes": True, "no": False, "default": None}


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
    processor: str | None = None
    xen: str = "4.20"
    xen_options: str = ""
    measure: bool = False


def host_options(function: F) -> F:
    """Add the options that choose a host."""
    for option in (
        click.option("--measure", is_flag=True, help="Measure this host first (see 'xenapic host')."),
        click.option(
            "--xen-options", default="", metavar="TEXT", help="Boot options of that Xen, e.g. apicv=0."
        ),
        click.option(
            "--xen",
            default="4.20",
            show_default=True,
            metavar="RELEASE",
            help="Release of Xen on that processor, e.g. 4.17-rc.",
        ),
        click.option("--processor", metavar="NAME", help="A processor from the table instead of this host."),
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
    if sum(map(bool, (choice.reports, choice.processor, choice.measure))) > 1:
        raise click.UsageError("--host, --processor and --measure exclude each other")
    if choice.reports:
        return {path: _report(Path(path)) for path in choice.reports}
    if choice.processor:
        name = " ".join(filter(None, [choice.processor, f"Xen {choice.xen}", choice.xen_options]))
        return {name: _named(choice.processor, choice)}
    import xenapic

    with xenapic.open(library) as xen:
        if choice.measure:
            xen.measure()
        return {"this host": xen.host()}


def _report(path: Path) -> Host:
    from xenapic.documents import from_json
    from xenapic.model.host import Host

    try:
        return from_json(path.read_bytes(), Host)
    except DocumentInvalid as error:
        raise DocumentInvalid(f"{path}: {error}") from None


def _named(name: str, choice: HostChoice) -> Host:
    from xenapic.apic.processors import PROCESSORS
    from xenapic.model.named import named_host
    from xenapic.model.releases import XEN_RELEASES, xen_release

    processor = PROCESSORS.get(name)
    if processor is None:
        raise click.BadParameter(
            f"unknown processor {name!r}; known are {', '.join(PROCESSORS)}", param_hint="--processor"
        )
    try:
        release = xen_release(choice.xen)
    except KeyError:
        known = ", ".join(row.name for row in XEN_RELEASES)
        raise click.BadParameter(
            f"unknown release {choice.xen!r}; known are {known}", param_hint="--xen"
        ) from None
    return named_host(processor, release, choice.xen_options)


# -- a policy --------------------------------------------------------------------------------------


def _aspects(_ctx: object, _param: object, names: tuple[str, ...]) -> tuple[Aspect, ...]:
    from xenapic.policy.terms import Aspect

    known = {aspect.value: aspect for aspect in Aspect}
    for name in names:
        if name not in known:
            raise click.BadParameter(f"unknown aspect {name!r}; known are {', '.join(known)}")
    return tuple(known[name] for name in names)


def policy_options(function: F) -> F:
    """Add the options that make up a policy."""
    from xenapic.policy.terms import EFFECTS, Aspect

    effects = ", ".join(row.name for row in EFFECTS)
    aspects = ", ".join(aspect.value for aspect in Aspect)
    as_in_xl = "As in xl.cfg of Xen 4.17-rc."
    for option in (
        click.option("--accept", multiple=True, metavar="CODE", help="Accept this defect."),
        click.option("--hide-x2apic", is_flag=True, help="The toolstack hides x2APIC from the guest."),
        click.option("--assisted-x2apic", type=CHOICE, default="default", help=as_in_xl),
        click.option("--assisted-xapic", type=CHOICE, default="default", help=as_in_xl),
        click.option(
            "--effect", "effects", multiple=True, metavar="NAME", help=f"Require an effect: {effects}."
        ),
        click.option(
            "--prefer", multiple=True, metavar="ASPECT", callback=_aspects, help="Use it where possible."
        ),
        click.option(
            "--forbid", multiple=True, metavar="ASPECT", callback=_aspects, help="It must not be in force."
        ),
        click.option(
            "--require",
            multiple=True,
            metavar="ASPECT",
            callback=_aspects,
            help=f"It must be in force. ASPECT is one of {aspects}.",
        ),
    ):
        function = option(function)
    return function


def _read_policy(file: str) -> ReadPolicy:
    """Read a policy file; ``-`` is standard input."""
    from xenapic.parse.files import LIMIT_BYTES
    from xenapic.policy.read import from_file, read_policy

    if file != "-":
        return from_file(file)
    return read_policy(click.get_binary_stream("stdin").read(LIMIT_BYTES), "standard input")


def policy_of(file: str | None, options: dict[str, Any]) -> tuple[Policy, GuestType | None]:
    """Return the policy of a file and of the options, which override the file; and the file's guest type."""
    from xenapic.policy.terms import Policy, Want

    policy, guest_type = Policy(), None
    if file is not None:
        read = _read_policy(file)
        policy, guest_type = read.policy, read.guest_type
        for note in read.notes:
            click.echo(f"{file}: {note}", err=True)
    verbs = (("prefer", Want.PREFER), ("forbid", Want.FORBID), ("require", Want.REQUIRE))
    policy = policy.override((aspect, want) for verb, want in verbs for aspect in options[verb])
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

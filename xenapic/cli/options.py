"""Options shared by commands that look at a host: this one, a saved report, or a named one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import click

from xenapic.errors import DocumentInvalid
from xenapic.model.guest_types import GuestType
from xenapic.model.host import Host
from xenapic.policy.terms import EFFECTS, Aspect, Policy, Want

__all__ = ["CHOICE", "FLAG", "HostChoice", "host_options", "hosts_of", "policy_of", "policy_options"]

F = TypeVar("F", bound=Callable[..., Any])
CHOICE = click.Choice(["yes", "no", "default"])
FLAG = {"yes": True, "no": False, "default": None}


@dataclass(frozen=True)
class HostChoice:
    """Which host is meant; nothing chosen means this one."""

    reports: tuple[str, ...] = ()
    processor: str | None = None
    xen: str = "4.20"
    xen_options: str = ""
    measure: bool = False


def host_options(function: F) -> F:
    """Add the options that choose a host."""
    for option in (
        click.option("--measure", is_flag=True, help="Measure this host first (see 'xenapic host')."),
        click.option("--xen-options", default="", metavar="TEXT", help="Its boot options, e.g. apicv=0."),
        click.option(
            "--xen", default="4.20", show_default=True, metavar="RELEASE", help="Its Xen, e.g. 4.17-rc."
        ),
        click.option("--processor", metavar="NAME", help="A processor of the table instead of a host."),
        click.option(
            "--host",
            "reports",
            multiple=True,
            type=click.Path(exists=True, dir_okay=False),
            help="A saved report (xenapic host --json); several make a pool.",
        ),
    ):
        function = option(function)
    return function


def hosts_of(choice: HostChoice, library: str | None) -> dict[str, Host]:
    """Return the hosts that are meant, by name; raise click's usage errors and `DocumentInvalid`."""
    if sum(map(bool, (choice.reports, choice.processor, choice.measure))) > 1:
        raise click.UsageError("--host, --processor and --measure exclude each other")
    if choice.reports:
        return {path: _report(Path(path)) for path in choice.reports}
    if choice.processor:
        name = " ".join(filter(None, [choice.processor, f"Xen {choice.xen}", choice.xen_options]))
        return {name: _named(choice)}
    import xenapic

    with xenapic.open(library) as xen:
        if choice.measure:
            xen.measure()
        return {"this host": xen.host()}


def _report(path: Path) -> Host:
    from xenapic.documents import from_json

    try:
        return from_json(path.read_bytes(), Host)
    except DocumentInvalid as error:
        raise DocumentInvalid(f"{path}: {error}") from None


def _named(choice: HostChoice) -> Host:
    from xenapic.apic.processors import PROCESSORS
    from xenapic.model.named import named_host
    from xenapic.model.releases import XEN_RELEASES, xen_release

    processor = PROCESSORS.get(choice.processor or "")
    if processor is None:
        raise click.BadParameter(
            f"no processor {choice.processor!r}; there are {', '.join(PROCESSORS)}", param_hint="--processor"
        )
    try:
        release = xen_release(choice.xen)
    except KeyError:
        known = ", ".join(row.name for row in XEN_RELEASES)
        raise click.BadParameter(
            f"no release {choice.xen!r}; there are {known}", param_hint="--xen"
        ) from None
    return named_host(processor, release, choice.xen_options)


def _aspects(_ctx: object, _param: object, names: tuple[str, ...]) -> tuple[Aspect, ...]:
    known = {aspect.value: aspect for aspect in Aspect}
    for name in names:
        if name not in known:
            raise click.BadParameter(f"no aspect {name!r}; there are {', '.join(known)}")
    return tuple(known[name] for name in names)


def policy_options(function: F) -> F:
    """Add the options that make up a policy."""
    effects = ", ".join(row.name for row in EFFECTS)
    for option in (
        click.option("--accept", multiple=True, metavar="CODE", help="Run into this defect on purpose."),
        click.option("--hide-x2apic", is_flag=True, help="The toolstack hides x2APIC from the guest."),
        click.option("--assisted-x2apic", type=CHOICE, default="default", help="As in xl.cfg of 4.17-rc."),
        click.option("--assisted-xapic", type=CHOICE, default="default", help="As in xl.cfg of 4.17-rc."),
        click.option("--effect", "effects", multiple=True, metavar="NAME", help=f"One of {effects}."),
        click.option("--prefer", multiple=True, metavar="ASPECT", callback=_aspects),
        click.option("--forbid", multiple=True, metavar="ASPECT", callback=_aspects),
        click.option(
            "--require",
            multiple=True,
            metavar="ASPECT",
            callback=_aspects,
            help=f"One of {', '.join(aspect.value for aspect in Aspect)}.",
        ),
    ):
        function = option(function)
    return function


def policy_of(file: str | None, options: dict[str, Any]) -> tuple[Policy, GuestType | None]:
    """Return the policy that file and options make up, options on top; and the file's guest type."""
    policy, guest_type = Policy(), None
    if file is not None:
        from xenapic.policy.read import from_file

        policy, guest_type = from_file(Path(file))
    aspects = {**policy.aspects}
    for verb, want in (("prefer", Want.PREFER), ("forbid", Want.FORBID), ("require", Want.REQUIRE)):
        aspects.update(dict.fromkeys(options[verb], want))
    xapic, x2apic = FLAG[options["assisted_xapic"]], FLAG[options["assisted_x2apic"]]
    changed = replace(
        policy,
        aspects=aspects,
        effects=(*policy.effects, *options["effects"]),
        guest_x2apic=policy.guest_x2apic and not options["hide_x2apic"],
        accept=policy.accept | set(options["accept"]),
        assisted_xapic=policy.assisted_xapic if xapic is None else xapic,
        assisted_x2apic=policy.assisted_x2apic if x2apic is None else x2apic,
    )
    return changed, guest_type

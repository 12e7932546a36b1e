"""The options that say which host is meant: the same in every command that asks about one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import fields
from functools import wraps
from typing import Any, TypeVar

import click

from xenapic.cli.base import Name
from xenapic.cli.options import INPUT
from xenapic.frozen import dataclass

__all__ = ["DEFAULT_XEN", "HERE", "POOL", "PROCESSOR", "RELEASE", "HostChoice", "host_options"]

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class HostChoice:
    """The host that the options choose; without any, the host that the command runs on."""

    reports: tuple[str, ...] = ()
    logs: tuple[str, ...] = ()
    xl_infos: tuple[str, ...] = ()
    cpuinfos: tuple[str, ...] = ()
    processors: tuple[str, ...] = ()
    xen: str | None = None
    xen_options: str | None = None
    proposal: bool = False
    measure: bool = False

    @property
    def files(self) -> tuple[str, ...]:
        """The files that are read; ``-`` is standard input."""
        return (*self.reports, *self.logs, *self.xl_infos, *self.cpuinfos)

    @property
    def running(self) -> bool:
        """Whether the running Xen must be asked."""
        return not self.files and not self.processors


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


HERE = "here"
"""The processor of the machine that the command runs on, for ``--processor``."""


class ProcessorName(Name):
    """A row of the table, a CPUID signature, what a processor is sold as, or ``here``."""

    def __init__(self) -> None:
        super().__init__("processor", _processors, explain=_similar_processors)

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return a text that means a processor; fail with the reason or a suggestion otherwise."""
        from xenapic.apic.processors import PROCESSORS

        if value in PROCESSORS or value == HERE:
            return value
        from xenapic.apic.lookup import look_up, unknown_name

        if look_up(value):
            return value
        hint = unknown_name(value).hint
        if value and hint and "PROCESSORS" not in hint:
            self.fail(f"unknown processor {value!r}; {hint}", param, ctx)
        return super().convert(value, param, ctx)


PROCESSOR = ProcessorName()


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


OPTIONS = (
    click.option(
        "--host",
        "reports",
        multiple=True,
        type=INPUT,
        metavar="FILE",
        help="A saved report (xenapic host --json).",
    ),
    click.option(
        "--log",
        "logs",
        multiple=True,
        type=INPUT,
        metavar="FILE",
        help="A saved boot log of Xen: xl dmesg, a serial capture, a mail, a bug tool's archive. "
        "With --processor or --cpuinfo, this adds what Xen does not log. '-' is standard input, for every "
        "FILE here.",
    ),
    click.option(
        "--xl-info",
        "xl_infos",
        multiple=True,
        type=INPUT,
        metavar="FILE",
        help="Saved xl info, or xe host-cpu-info or host-param-list, of one host: alone, or with its --log.",
    ),
    click.option(
        "--cpuinfo",
        "cpuinfos",
        multiple=True,
        type=INPUT,
        metavar="FILE",
        help="A saved /proc/cpuinfo or lscpu: what would Xen use on this machine?",
    ),
    click.option(
        "--processor",
        "processors",
        multiple=True,
        type=PROCESSOR,
        metavar="NAME",
        help="A processor: a real one of the table (sapphire-rapids-sp), an emulator's model "
        "(sapphire_rapids), a CPUID signature (806ea), what it is sold as (i7-10710U), or 'here', the "
        "machine's own.",
    ),
    click.option(
        "--xen",
        type=RELEASE,
        metavar="RELEASE",
        help="Another release or version of Xen, e.g. 4.17-rc, 4.17.3 or 4.17.5-15.2.xcpng8.3.  "
        f"[default: the host's own; with --processor and --cpuinfo {DEFAULT_XEN}]",
    ),
    click.option("--xen-options", metavar="TEXT", help="Other boot options of Xen, e.g. apicv=0."),
    click.option(
        "--proposal",
        is_flag=True,
        help="With --processor: its Xen has one bit per control, the proposed interface of no release.",
    ),
    click.option(
        "--measure",
        is_flag=True,
        help="Measure this host first: read the controls from the VMCS of a throw-away domain.",
    ),
)
"""In the order of the help."""


POOL = click.option(
    "--pool",
    type=click.Path(file_okay=False),
    metavar="DIR",
    help="Every report in a directory: its files that end in .json.",
)
"""Of the commands that compare hosts."""


def host_options(function: F) -> F:
    """Add the options that choose a host; the command gets them as its argument ``choice``."""
    names = [field.name for field in fields(HostChoice)]

    @wraps(function)
    def collected(*args: Any, **options: Any) -> Any:
        choice = HostChoice(**{name: options.pop(name) for name in names})
        return function(*args, choice=choice, **options)

    for option in reversed(OPTIONS):
        collected = option(collected)
    return collected  # type: ignore[return-value]  # takes the options, and passes on one argument

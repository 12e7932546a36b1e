"""What the lab's subcommands share."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import click

from xenapic.cli.base import Name, suggestion

__all__ = [
    "JOBS",
    "MACHINE",
    "RECORD_DIR",
    "RELEASE",
    "XEN",
    "apicv_option",
    "machine_options",
    "names_in",
    "options_of",
]

F = TypeVar("F", bound=Callable[..., Any])


def _machines() -> Iterable[str]:
    from xenapic.lab.machines import MACHINES

    return MACHINES


def _releases() -> Iterable[str]:
    from xenapic.lab.xens import RELEASES

    return RELEASES


def _xens() -> Iterable[str]:
    from xenapic.lab.catalog import names

    return names()


class XenName(Name):
    """The name of a Xen of the lab, or the path of a tree with one, which has a slash."""

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return a known name or a path; fail with a suggestion for anything else."""
        return value if "/" in value else super().convert(value, param, ctx)


def _real_processor(name: str) -> str:
    """Return what to say when the name is that of a real processor."""
    from xenapic.apic.processors import PROCESSORS

    if name not in PROCESSORS or PROCESSORS[name].emulated_by:
        return ""
    near = suggestion(name.replace("-", "_"), _machines())
    return f"that is a real processor, and the lab boots emulators' models; {near or 'see xenapic lab list'}"


MACHINE = Name("machine", _machines, explain=_real_processor)
RELEASE = Name("release of Xen", _releases)
XEN = XenName("Xen", _xens)


def machine_options(function: F) -> F:
    """Add the options that choose a machine and its Xen."""
    for option in (
        click.option("--xen-args", default="", metavar="TEXT", help="More options for Xen's command line."),
        click.option(
            "--xen",
            default="4.17",
            show_default=True,
            type=XEN,
            metavar="NAME",
            help="Xen to boot: a release of Debian's, one that was added ('xenapic lab add'), or "
            "the path of a "
            "tree with a built one.",
        ),
        click.option(
            "--machine",
            "-m",
            default="epyc",
            show_default=True,
            type=MACHINE,
            metavar="NAME",
            help="Machine to emulate; 'xenapic lab list' lists them.",
        ),
    ):
        function = option(function)
    return function


# -- many boots --------------------------------------------------------------------------------------

JOBS = click.option("--jobs", type=int, help="Boots at a time.  [default: one per processor]")
RECORD_DIR = click.option("--record-dir", type=click.Path(file_okay=False), help="Save the recordings here.")


def apicv_option(default: str) -> Callable[[F], F]:
    """Return the option that says how Xen is booted."""
    return click.option(
        "--apicv",
        type=click.Choice(["on", "off", "both"]),
        default=default,
        show_default=True,
        help="Boot Xen as it is, with apicv=0, or both.",
    )


def options_of(apicv: str) -> list[str]:
    """Return Xen's options for each boot that `apicv_option` asks for."""
    from xenapic.verify.matrix import APICV_OFF

    return {"on": [""], "off": [APICV_OFF], "both": ["", APICV_OFF]}[apicv]


def names_in(text: str) -> list[str]:
    """Return the names in a list with commas."""
    return [name.strip() for name in text.split(",")]

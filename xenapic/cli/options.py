"""Options that several commands share."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import click

from xenapic.cli.base import Name, OutputFile

if TYPE_CHECKING:
    from xenapic.model.guest_types import GuestType
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
    "PROMETHEUS",
    "SELECT",
    "file_title",
    "guest_type_option",
    "one_form",
    "policy_of",
    "policy_options",
    "read_input",
    "stdin_once",
]

F = TypeVar("F", bound=Callable[..., Any])

JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON; 'xenapic schema' describes it.")
"""The option of every command that can print a JSON document."""

PROMETHEUS = click.option(
    "--prometheus",
    is_flag=True,
    help="Print metrics for the textfile collector of Prometheus' node exporter.",
)


def one_form(as_json: bool, prometheus: bool) -> None:
    """Raise a usage error if the output is asked for in two forms."""
    if as_json and prometheus:
        raise click.UsageError("--json and --prometheus exclude each other")


SELECT = click.option(
    "--select",
    default="",
    metavar="NAME,…",
    help="These states, registers (EOI, 0b0, 80b), aspects (create, vmcs, log, cpuid, access, interrupt, "
    "guest, exits), domains (default, -DELIVERY).  [default: all]",
)
"""The option of every command that verifies or compares."""
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


def stdin_once(*paths: str | None) -> None:
    """Raise a usage error if more than one of the inputs is standard input."""
    if paths.count(STDIN) > 1:
        raise click.UsageError("only one input can be '-': there is one standard input")


def guest_type_option(default: str) -> Callable[[F], F]:
    """Return the option ``--type``; ``default`` says in words what holds without it."""
    from xenapic.model.guest_types import GuestType

    return click.option(
        "--type",
        "guest_type",
        type=click.Choice([kind.value for kind in GuestType]),
        help=f"Type of guest.  [default: {default}]",
    )


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

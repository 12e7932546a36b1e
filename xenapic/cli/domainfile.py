"""A domain's configuration (xl.cfg, libvirt XML) on the command line: read, check, show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from xenapic.cli import output
from xenapic.cli.hosts import THIS_HOST

if TYPE_CHECKING:
    from collections.abc import Iterator

    from xenapic.model.checks import Check
    from xenapic.model.guest_types import GuestType
    from xenapic.model.host import Host
    from xenapic.toolstack.check import FileCheck

__all__ = ["as_checks", "check_on", "domain_text", "guest_type_of", "show_check"]

XL_CONF = "/etc/xen/xl.conf"
MOST_NAMED = 12
"""How many keys that were not looked at are named; ``--json`` has all."""


def domain_text(file: str | None) -> str | None:
    """Return the text of a domain's configuration; None for a policy in TOML, for stdin and for no file."""
    if file is None or file == "-":
        return None
    from xenapic.parse.files import read_file
    from xenapic.policy.read import Syntax, syntax_of

    content = read_file(file)
    if syntax_of(content) is Syntax.TOML:
        return None
    try:
        return content.decode()
    except UnicodeDecodeError:
        return content.decode("latin-1")


def check_on(text: str | None, hosts: Mapping[str, Host]) -> dict[str, FileCheck]:
    """Return what becomes of a configuration on each host; nothing without a configuration."""
    if text is None:
        return {}
    from xenapic.toolstack.check import check_file

    return {
        name: check_file(text, host, xl_conf=_xl_conf() if name == THIS_HOST else "")
        for name, host in hosts.items()
    }


def _xl_conf() -> str:
    """Return this host's xl.conf; empty where there is none, as on a host without xl."""
    from pathlib import Path

    try:
        return Path(XL_CONF).read_text("latin-1")
    except OSError:
        return ""


def guest_type_of(checks: Mapping[str, FileCheck]) -> GuestType | None:
    """Return the type of guest that the toolstack makes of a configuration; None if it makes none."""
    derived = (check.derived for check in checks.values())
    return next((request.guest_type for request in derived if request is not None), None)


def show_check(name: str, check: FileCheck) -> None:
    """Print what becomes of a configuration on a host."""
    if check.refused is not None:
        output.text(f"refused on {name}, before Xen is asked: {check.refused}")
    for problem in check.problems:
        output.text(f"Xen refuses it on {name}: {problem}")
    for problem in check.cautions:
        output.text(f"Xen may fail late on {name}: {problem}")
    for text in check.depends:
        output.text(f"on {name}, {text}")
    for text in check.notes:
        output.text(f"note: {text}")
    if check.possible and check.derived is not None:
        condition = " beyond what it depends on" if check.depends else ""
        output.text(f"nothing that xenapic checks forbids it{condition}; {_not_looked_at(check)}")


def _not_looked_at(check: FileCheck) -> str:
    keys = check.derived.not_considered if check.derived is not None else ()
    if not keys:
        return "all of the file was looked at"
    more = f" and {len(keys) - MOST_NAMED} more (--json names all)" if len(keys) > MOST_NAMED else ""
    return f"not looked at: {', '.join(map(output.printable, keys[:MOST_NAMED]))}{more}"


def as_checks(check: FileCheck) -> Iterator[Check]:
    """Yield what becomes of a configuration on a host, as lines of ``xenapic validate``."""
    from xenapic.model.checks import Area, Check, CheckVerdict

    area = Area.DOMAIN
    if check.refused is not None:
        advice = "Change the configuration; 'xenapic plan' shows the same"
        yield Check(
            "toolstack", area, CheckVerdict.FAIL, str(check.refused), "what the toolstack checks", advice
        )
    for verdict, problems in ((CheckVerdict.FAIL, check.problems), (CheckVerdict.WARN, check.cautions)):
        for problem in problems:
            text = f"{problem.field}={problem.value}: {problem.rule}"
            yield Check(problem.code, area, verdict, text, problem.source, problem.remedy.rstrip("."))
    advice = "Ask with a report of the host" if check.derived is not None else ""
    for text in check.depends:
        yield Check("depends", area, CheckVerdict.UNKNOWN, text, "", advice)
    if check.possible and check.derived is not None:
        yield Check("domain", area, CheckVerdict.PASS, "nothing that xenapic checks forbids the domain")

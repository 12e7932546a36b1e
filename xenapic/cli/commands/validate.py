"""``xenapic validate``. It needs no Xen when the options name a host."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from xenapic.cli import output
from xenapic.cli.base import Command
from xenapic.cli.domainfile import as_checks, check_on, domain_text, guest_type_of
from xenapic.cli.hostoptions import HostChoice, host_options
from xenapic.cli.hosts import hosts_of
from xenapic.cli.options import INPUT, JSON, guest_type_option, policy_of, policy_options, stdin_once
from xenapic.cli.status import Status

if TYPE_CHECKING:
    from xenapic.model.checks import Check
    from xenapic.model.guest_types import GuestType
    from xenapic.model.host import Host
    from xenapic.policy.terms import Policy
    from xenapic.toolstack.check import FileCheck


@click.command("validate", cls=Command)
@click.argument("policy_file", required=False, type=INPUT, metavar="[POLICY]")
@policy_options
@host_options
@guest_type_option("the policy file's, else pvh")
@click.option("-q", "--quiet", is_flag=True, help="Print only what is not PASS.")
@click.option("--strict", is_flag=True, help="WARN and UNKNOWN give exit status 1, too.")
@JSON
@click.pass_obj
def command(
    library: str | None,
    /,
    policy_file: str | None,
    choice: HostChoice,
    guest_type: str | None,
    quiet: bool,
    strict: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Check hosts, one line a check: PASS, WARN, FAIL or UNKNOWN, and what to do.

    The checks are about hardware, firmware, Xen's options, grant limits and known defects. With POLICY
    (a TOML file, an xl.cfg, a libvirt domain XML, or options) also about what becomes of it. Exit status 1
    means that a check failed; a warning alone gives 0.

    \b
      xenapic validate
      xenapic validate policy.toml --host report.json --quiet
      xenapic validate --processor broadwell-ep --xen 4.17.5 --json
    """
    from xenapic.model.checks import CheckVerdict, worst

    stdin_once(policy_file, *choice.files)
    text = domain_text(policy_file)
    policy, file_type = policy_of(policy_file, options)
    hosts = hosts_of(choice, library)
    files = check_on(text, hosts)
    asked = policy if policy_file is not None or policy.asked else None
    kind = guest_type or guest_type_of(files) or file_type
    checks = {name: _checks(host, asked, kind, files.get(name)) for name, host in hosts.items()}
    if as_json:
        from xenapic.documents.validations import Validation

        output.emit(Validation.of(checks))
    else:
        _show(checks, quiet)
    verdict = worst(tuple(check for results in checks.values() for check in results))
    if verdict is CheckVerdict.FAIL or (strict and verdict is not CheckVerdict.PASS):
        raise SystemExit(Status.REFUSED)


def _checks(
    host: Host, policy: Policy | None, guest_type: GuestType | str | None, file: FileCheck | None
) -> tuple[Check, ...]:
    from xenapic.model.guest_types import GuestType
    from xenapic.policy.validate import validate

    results = validate(host, policy, guest_type or GuestType.PVH)
    return (*results, *(as_checks(file) if file is not None else ()))


def _show(checks: Mapping[str, tuple[Check, ...]], quiet: bool) -> None:
    from xenapic.model.checks import CheckVerdict

    width = max(len(verdict.value) for verdict in CheckVerdict)
    for name, results in checks.items():
        host = f"{output.printable(name)}: " if len(checks) > 1 else ""
        for check in results:
            if quiet and check.verdict is CheckVerdict.PASS:
                continue
            words = output.printable(f"{host}{check.area.value}: {check}")
            label = check.verdict.value
            if output.width() is None:
                click.echo(f"{label:{width}}  {words}")
            else:
                output.text(f"{label:{width}}  {words}", hanging=" " * (width + 2))

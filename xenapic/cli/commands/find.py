"""``xenapic find``. It needs no Xen when the options name a host."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from xenapic.cli import output
from xenapic.cli.base import Command
from xenapic.cli.failures import show_reasons
from xenapic.cli.hostoptions import HostChoice, host_options
from xenapic.cli.hosts import hosts_of
from xenapic.cli.options import JSON

if TYPE_CHECKING:
    from xenapic.policy.finder import Finding, Setting


def _complete(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    from xenapic.policy.finder import SETTINGS

    return [name for name, row in SETTINGS.items() if row.aspect and name.startswith(incomplete)]


@click.command("find", cls=Command)
@click.argument("setting", required=False, metavar="[SETTING]", shell_complete=_complete)
@click.option("--everywhere", is_flag=True, help="Every release and every class of processors.")
@host_options
@JSON
@click.pass_obj
def command(
    library: str | None,
    /,
    setting: str | None,
    everywhere: bool,
    as_json: bool,
    choice: HostChoice,
) -> None:
    """Show what a setting of xl.cfg does on a host, for a PVH or HVM guest.

    SETTING is assisted_x2apic=0, assisted_x2apic=1, assisted_xapic=0 or assisted_xapic=1; without it, all
    four are shown. They mean nothing to a PV guest.

    \b
      xenapic find assisted_x2apic=0
      xenapic find assisted_x2apic=0 --processor skylake-sp --xen 4.20
      xenapic find assisted_x2apic=0 --everywhere
    """
    from xenapic.policy.finder import SETTINGS, find, setting_of

    settings = (setting_of(setting),) if setting else tuple(SETTINGS.values())
    if everywhere:
        if choice != HostChoice():
            raise click.UsageError("--everywhere looks at every release and processor, not at a host")
        findings = [finding for chosen in settings for finding in _everywhere(chosen)]
    else:
        hosts = hosts_of(choice, library)
        findings = [(name, find(host, chosen)) for name, host in hosts.items() for chosen in settings]
    if as_json:
        from xenapic.documents.findings import Findings

        output.emit(Findings.of(findings))
    elif everywhere:
        _show_everywhere(findings)
    else:
        _show_hosts(findings)


def _everywhere(setting: Setting) -> Iterator[tuple[str, Finding]]:
    from xenapic.model.named import named_host
    from xenapic.model.releases import XEN_RELEASES
    from xenapic.policy.finder import find, processor_classes

    for release in XEN_RELEASES:
        for kind in processor_classes():
            yield kind.title, find(named_host(kind.example, release), setting)


def _show_everywhere(findings: list[tuple[str, Finding]]) -> None:
    """Print a table for each setting: a row for each release, a column for each class of processors."""
    tables: dict[str, dict[str, dict[str, str]]] = {}
    for title, finding in findings:
        rows = tables.setdefault(finding.setting.text, {})
        rows.setdefault(finding.host.release.name, {})[title] = finding.text
    for number, (setting, rows) in enumerate(tables.items()):
        click.echo(f"{'' if number == 0 else chr(10)}{setting}:")
        titles = list(next(iter(rows.values())))
        output.table(("Xen", *titles), [(release, *row.values()) for release, row in rows.items()])


def _show_hosts(findings: list[tuple[str, Finding]]) -> None:
    from xenapic.apic.state import ApicState
    from xenapic.policy.plan import Refusal

    output.table(
        ("host", "setting", "what it does", "stays in the guest, xAPIC", "x2APIC"),
        [
            (
                name,
                finding.setting.text,
                finding.text,
                finding.stays(ApicState.XAPIC),
                finding.stays(ApicState.X2APIC),
            )
            for name, finding in findings
        ],
    )
    for name, finding in findings:
        if isinstance(finding.answer, Refusal):
            click.echo()
            output.text(f"xenapic plan refuses {finding.setting.text} on {name}:")
            show_reasons(finding.answer.reasons, "  ")

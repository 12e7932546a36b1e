"""The commands that talk to the running Xen."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

import xenapic
from xenapic.apic.features import CONTROL_FIELDS, FEATURES
from xenapic.cli import show, values
from xenapic.cli.show import JSON
from xenapic.errors import ConfigRefused, DomainNotFound
from xenapic.live.owners import OwnerState, owner_state
from xenapic.model.flags import names
from xenapic.model.info import DomainInfo
from xenapic.model.measured import Measurement
from xenapic.parse.ring import Origin, RingLine

if TYPE_CHECKING:
    from xenapic.policy.terms import Policy


@click.command()
@JSON
@click.pass_obj
def info(library: str | None, as_json: bool) -> None:
    """Show which Xen this is and what the host has."""
    with xenapic.open(library) as xen:
        version, physinfo = xen.version, xen.physinfo()
    if as_json:
        show.emit("info", show.info_json(version, physinfo))
        return
    arch = physinfo.arch_capabilities
    show.table(
        ("", ""),
        [
            ("Xen", version),
            ("changeset", version.changeset or "-"),
            ("guest types", " ".join(version.capabilities)),
            ("command line", version.commandline),
            ("CPUs", f"{physinfo.nr_cpus} at {physinfo.cpu_khz / 1000:.0f} MHz"),
            ("memory", f"{physinfo.total_pages // 256} MiB, {physinfo.free_pages // 256} MiB free"),
            ("capabilities", " ".join(names(physinfo.capabilities))),
            ("arch_capabilities", "no such field" if arch is None else " ".join(names(arch)) or "0"),
        ],
    )


@click.command()
@JSON
@click.option(
    "--probe", is_flag=True, help="Settle the per-domain interface with one create that cannot succeed."
)
@click.option(
    "--measure", is_flag=True, help="Read the controls from the VMCS of a throw-away domain, per APIC state."
)
@click.pass_obj
def host(library: str | None, as_json: bool, probe: bool, measure: bool) -> None:
    """Show what Xen uses of the processor's APIC acceleration, and where each fact is from.

    An answer is yes, no or unknown; unknown says how to find out.
    """
    with xenapic.open(library) as xen:
        if measure:
            xen.measure()
        report = xen.host(probe=probe)
    if as_json:
        show.emit("host", show.host_json(report))
        return
    technology = report.technology.value if report.technology else "no hardware virtualisation"
    click.echo(f"Xen {report.version} on {technology}\n")
    shown = [row for row in FEATURES if row.technology is report.technology or report.technology is None]
    facts = [(row.name, report.features[row.key]) for row in shown]
    facts += [
        ("choice per domain", report.interface),
        ("  assisted_xapic", report.assisted_xapic),
        ("  assisted_x2apic", report.assisted_x2apic),
    ]
    show.table(
        ("APIC feature", "used", "known from"),
        [(name, fact.answer.value, fact.source) for name, fact in facts],
    )
    if report.measured is not None:
        _show_measured(report.measured)
    ways = dict.fromkeys(fact.how for _name, fact in facts if fact.how)
    if ways:
        click.echo("\nTo find out what is unknown:")
    for way in ways:
        click.echo(f"  {way}")


def _show_measured(measured: Measurement) -> None:
    if not measured.done:
        click.echo(f"\nNot measured: {measured.why_not}.")
        return
    click.echo(f"\nMeasured with {measured.how}:\n")
    show.table(
        ("local APIC", *(field.printed for field in CONTROL_FIELDS.values())),
        [(state.value, *words.texts().values()) for state, words in measured.states.items()],
    )


@click.command("list")
@JSON
@click.option("--orphans", is_flag=True, help="Only domains whose creator ended without destroying them.")
@click.pass_obj
def list_domains(library: str | None, as_json: bool, orphans: bool) -> None:
    """List the domains.

    The last column says which ones xenapic made: 'pid N' while that process holds it,
    'orphan' when it died, 'handed over' when it was kept on purpose.
    """
    with xenapic.open(library) as xen:
        domains = xen.orphans() if orphans else xen.domains()
    if as_json:
        show.emit("list", {"domains": [show.domain_json(domain) for domain in domains]})
        return
    show.table(
        ("domid", "type", "state", "vCPUs", "MiB", "CPU s", "made by xenapic"),
        [
            (
                one.domid,
                one.guest_type.name,
                " ".join(name for name in names(one.flags) if name not in ("hvm_guest", "hap")),
                one.nr_online_vcpus,
                one.memory_kib // 1024,
                f"{one.cpu_time / 1e9:.1f}",
                _owner_text(one),
            )
            for one in domains
        ],
    )


def _owner_text(one: DomainInfo) -> str:
    owner = one.owner
    if owner is None:
        return "-"
    state = owner_state(owner)
    return {
        OwnerState.RELEASED: "handed over",
        OwnerState.RUNNING: f"pid {owner.pid}",
        OwnerState.ORPHAN: f"orphan of pid {owner.pid}",
        OwnerState.ELSEWHERE: f"pid {owner.pid} in another PID namespace",
    }[state]


@click.command()
@click.option(
    "--type",
    "preset",
    type=click.Choice(list(values.PRESETS)),
    help="Kind of guest.  [default: the policy's, else pvh]",
)
@click.option(
    "--policy",
    "policy_file",
    type=click.Path(exists=True, dir_okay=False),
    help="Keep to a policy: TOML, or an xl.cfg. See 'xenapic plan'.",
)
@click.option(
    "--vcpus", type=int, default=1, show_default=True, help="Number of vCPUs; they are allocated too."
)
@click.option("--memory", type=int, metavar="MIB", help="Limit of the domain's memory.")
@click.option(
    "--set",
    "fields",
    multiple=True,
    metavar="FIELD=VALUE",
    callback=values.assignment,
    help="Any field of createdomain; flags by name or number: flags=+nested_virt, altp2m=mixed.",
)
@click.option("--assisted-xapic", type=click.Choice(["yes", "no", "default"]), default="default")
@click.option("--assisted-x2apic", type=click.Choice(["yes", "no", "default"]), default="default")
@click.option("--dry-run", is_flag=True, help="Only check: nothing is created, Xen is not asked to create.")
@JSON
@click.pass_obj
def create(
    library: str | None,
    preset: str | None,
    policy_file: str | None,
    vcpus: int,
    memory: int | None,
    fields: dict[str, object],
    assisted_xapic: str,
    assisted_x2apic: str,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Check a domain's config, create it paused, and leave it.

    Every reason that stands against it is told at once, before Xen is called. The new
    domain's number goes to stdout.
    """
    chosen = {"max_vcpus": vcpus, **fields}
    chosen["assisted_xapic"] = (
        values.CHOICE[assisted_xapic] if assisted_xapic != "default" else fields.get("assisted_xapic")
    )
    chosen["assisted_x2apic"] = (
        values.CHOICE[assisted_x2apic] if assisted_x2apic != "default" else fields.get("assisted_x2apic")
    )
    policy, kind = _policy(policy_file)
    config = values.set_fields(preset or kind or "pvh", chosen)
    with xenapic.open(library) as xen:
        problems = xen.check(config, policy)
        domid = None
        if not problems and not dry_run:
            with xen.create_domain(config, policy) as domain:
                domain.set_max_vcpus(config.max_vcpus)
                if memory is not None:
                    domain.set_max_mem(memory * 1024)
                domain.release()
                domid = domain.domid
    if as_json:
        show.emit("create", {"domid": domid, "problems": [show.problem_json(one) for one in problems]})
        if problems:
            raise SystemExit(1)
    elif problems:
        raise ConfigRefused(problems)
    else:
        click.echo("Xen would be asked: no rule stands against it" if dry_run else domid)


def _policy(file: str | None) -> tuple[Policy | None, str | None]:
    """Read a policy file; return it and the type of guest it names."""
    if file is None:
        return None, None
    from xenapic.policy.read import from_file

    policy, kind = from_file(Path(file))
    return policy, kind.value if kind else None


@click.command()
@click.argument("domids", type=int, nargs=-1, metavar="[DOMID]...")
@click.option("--orphans", is_flag=True, help="Every domain whose creator ended without destroying it.")
@JSON
@click.pass_obj
def destroy(library: str | None, domids: tuple[int, ...], orphans: bool, as_json: bool) -> None:
    """Destroy domains by number, or all orphans."""
    if bool(domids) == orphans:
        raise click.UsageError("name the domains, or give --orphans")
    if 0 in domids:
        raise click.UsageError("domain 0 is dom0: it is not destroyed")
    destroyed, failed = [], []
    with xenapic.open(library) as xen:
        for domid in [one.domid for one in xen.orphans()] if orphans else domids:
            try:
                xen.domain(domid).destroy()
                destroyed.append(domid)
            except DomainNotFound as error:
                failed.append({"domid": domid, "code": error.code, "message": str(error)})
    if as_json:
        show.emit("destroy", {"destroyed": destroyed, "failed": failed})
    else:
        for domid in destroyed:
            click.echo(f"destroyed {domid}")
        for one in failed:
            click.echo(f"xenapic: {one['message']} [{one['code']}]", err=True)
    if failed:
        raise SystemExit(1)


@click.command()
@click.option("--follow", "-f", is_flag=True, help="Go on with what is written, until Ctrl-C.")
@click.option("--clear", is_flag=True, help="Empty the ring afterwards, for every reader on the host.")
@click.option(
    "--origin", type=click.Choice([one.value for one in Origin]), help="Only lines of Xen, of guests, …."
)
@click.option("--raw", is_flag=True, help="The ring's bytes as they are.")
@JSON
@click.pass_obj
def console(
    library: str | None, follow: bool, clear: bool, origin: str | None, raw: bool, as_json: bool
) -> None:
    """Print Xen's console ring, each line with its writer.

    Guests write into it too. Who wrote a line is told by Xen, not by the line.
    """
    if raw + follow + as_json > 1:
        raise click.UsageError("--raw, --follow and --json exclude each other")
    with xenapic.open(library) as xen:
        if raw:
            sys.stdout.buffer.write(xen.console.read())
        elif follow:
            _follow(xen, origin)
        else:
            lines = [line for line in xen.console.lines() if origin in (None, line.origin.value)]
            if as_json:
                show.emit("console", {"lines": [_line_json(line) for line in lines]})
            else:
                for line in lines:
                    click.echo(_line_text(line))
        if clear:
            xen.console.clear()


def _follow(xen: xenapic.Xen, origin: str | None) -> None:
    try:
        for line in xen.console.follow(from_start=True):
            if origin in (None, line.origin.value):
                click.echo(_line_text(line))
    except KeyboardInterrupt:
        pass


def _line_json(line: RingLine) -> dict[str, object]:
    return {"origin": line.origin.value, "domid": line.domid, "stamp": line.stamp, "text": line.text}


def _line_text(line: RingLine) -> str:
    who = f"d{line.domid}" if line.domid is not None else line.origin.value
    stamp = f"[{line.stamp}] " if line.stamp else ""
    return f"{who:>10} | {stamp}{show.printable(line.text)}"


@click.command()
@click.argument("name", type=click.Choice(list(show.SCHEMAS)))
def schema(name: str) -> None:
    """Print the JSON schema of a command's --json output."""
    click.echo(show.schema_text(name), nl=False)


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    r"""Print the code that makes a shell complete xenapic.

    \b
    bash:  xenapic completion bash > /etc/bash_completion.d/xenapic
    zsh:   xenapic completion zsh > "${fpath[1]}/_xenapic"
    fish:  xenapic completion fish > ~/.config/fish/completions/xenapic.fish
    """
    from click.shell_completion import get_completion_class

    from xenapic.cli.app import app

    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(app, {}, "xenapic", "_XENAPIC_COMPLETE").source())

"""The hosts that the options of a command choose (`xenapic.cli.hostoptions`)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from xenapic.cli.hostoptions import DEFAULT_XEN, HERE, HostChoice
from xenapic.cli.options import STDIN, read_input, stdin_once

if TYPE_CHECKING:
    from xenapic.apic.processors import Processor
    from xenapic.model.host import Host
    from xenapic.model.releases import XenRelease
    from xenapic.parse.hostinfo import HostInfo

__all__ = ["THIS_HOST", "extra_of", "host_of", "host_or_name", "hosts_of", "with_pool"]

THIS_HOST = "this host"
"""What the host that the command runs on is called in answers."""


def hosts_of(choice: HostChoice, library: str | None, probe: bool = False) -> dict[str, Host]:
    """Return the chosen hosts by name, and print what limits the trust in a file to stderr.

    ``probe`` is as for `xenapic.Xen.host`, for the host that the command runs on.
    Raises click's usage errors, and what is wrong with a file: `FileUnreadable`, `DocumentInvalid`,
    `LogInvalid`, `HostUnknown`.
    """
    _check(choice)
    hosts: dict[str, Host] = {}
    of_files = choice.logs or choice.xl_infos
    processors = () if of_files else choice.processors
    cpuinfos = () if of_files else choice.cpuinfos
    for make, values in (
        (_reported, choice.reports),
        (_logged, choice.logs),
        (_described, cpuinfos),
        (_named, processors),
    ):
        for value in values:
            name, host = make(value, choice)
            if name in hosts:
                raise click.UsageError(f"{name} is given twice")
            hosts[name] = host
    if choice.xl_infos and not choice.logs:
        hosts = dict([_informed(choice)])
    for host in hosts.values():
        for note in host.seen.notes if host.seen else ():
            click.echo(f"note: {note}", err=True)
    return hosts or _running(choice, library, probe)


def host_of(choice: HostChoice, library: str | None, probe: bool = False) -> tuple[str, Host]:
    """Return the name of the only host that the options choose, and the host; otherwise as `hosts_of`."""
    kinds = (
        ("--host", choice.reports),
        ("--log", choice.logs),
        ("--cpuinfo", choice.cpuinfos),
        ("--processor", choice.processors),
    )
    for option, values in kinds:
        if len(values) > 1:
            raise click.UsageError(f"{option} can be given only once here; 'xenapic plan' compares hosts")
    ((name, host),) = hosts_of(choice, library, probe).items()
    return name, host


def host_or_name(text: str, xen: str | None) -> tuple[str, Host]:
    """Return the host that a text is: a file with a report or a boot log, or the name of a processor.

    ``xen`` is the release for a named processor, and another release for a file. Raises as `hosts_of`.
    """
    choice = HostChoice(xen=xen)
    if text != STDIN and not os.path.exists(text):  # noqa: PTH110  (pathlib is slow to import)
        return _named(text, choice)
    name, content = read_input(text)
    return (_from_report if content.lstrip()[:1] == b"{" else _from_log)(name, content, choice)


def with_pool(choice: HostChoice, pool: str | None) -> HostChoice:
    """Return the choice with the reports of a directory; raise a usage error for an empty one."""
    if pool is None:
        return choice
    from dataclasses import replace
    from pathlib import Path

    reports = tuple(str(path) for path in sorted(Path(pool).glob("*.json")))
    if not reports:
        raise click.UsageError(f"{pool} has no report (*.json)")
    return replace(choice, reports=(*choice.reports, *reports))


def _check(choice: HostChoice) -> None:
    """Raise a usage error for options that exclude each other.

    A log goes with --xl-info and with one --processor or --cpuinfo, which add what Xen does not log.
    """
    of_files = choice.logs or choice.xl_infos
    described = (*choice.processors, *choice.cpuinfos)
    kinds = (choice.reports, of_files or choice.cpuinfos, of_files or choice.processors, choice.measure)
    if sum(map(bool, kinds)) - bool(of_files) > 1:
        raise click.UsageError(
            "--host, --log, --cpuinfo, --processor and --measure exclude each other; only --log and "
            "--xl-info go with one --processor or --cpuinfo, which adds what Xen does not log"
        )
    if of_files and described and (len(choice.logs) > 1 or len(described) > 1):
        raise click.UsageError("only one --log goes with one --processor or --cpuinfo")
    if choice.xl_infos and len(choice.logs) > 1:
        raise click.UsageError("--xl-info goes with one --log only, of the same host")
    if choice.proposal and (not choice.processors or of_files):
        raise click.UsageError(
            "--proposal goes with --processor; of any other host, physinfo says whether it has it"
        )
    stdin_once(*choice.files)


def _title(name: str, choice: HostChoice, default: str | None = None) -> str:
    release = choice.xen or default
    return " ".join(filter(None, [name, f"Xen {release}" if release else "", choice.xen_options]))


def extra_of(xen: str | None) -> str:
    """Return what the Xen of ``--xen`` reports after its number; empty for a release by its name."""
    from xenapic.model.releases import DEVELOPMENT
    from xenapic.parse.xenversion import parse_version

    version = parse_version(xen) if xen and xen != DEVELOPMENT.name else None
    return version.extra if version else ""


def _release(choice: HostChoice, default: str = DEFAULT_XEN) -> XenRelease:
    from xenapic.model.releases import xen_release

    return xen_release(choice.xen or default)


def _under(name: str, host: Host, choice: HostChoice) -> tuple[str, Host]:
    """Return the name and the host as it would be under the Xen that the options choose."""
    if choice.xen is None and choice.xen_options is None:
        return name, host
    from xenapic.model.rehost import host_under

    release = _release(choice) if choice.xen else None
    return _title(name, choice), host_under(host, release, choice.xen_options, extra_of(choice.xen))


# -- kinds of hosts ----------------------------------------------------------------------------------


def _running(choice: HostChoice, library: str | None, probe: bool) -> dict[str, Host]:
    import xenapic
    from xenapic.errors import Unavailable

    try:
        with xenapic.open(library) as xen:
            if choice.measure:
                xen.measure()
            host = xen.host(probe=probe)
    except Unavailable as error:
        raise type(error)(f"{error}\n{ELSEWHERE}", error.errno) from None
    return dict([_under(THIS_HOST, host, choice)])


ELSEWHERE = (
    "To ask about another host: --processor NAME with --xen RELEASE, --log FILE with a saved boot log, "
    "--cpuinfo FILE with a saved /proc/cpuinfo, or --host FILE with a report saved by 'xenapic host --json'. "
    "None of them needs a Xen."
)


def _reported(path: str, choice: HostChoice) -> tuple[str, Host]:
    return _from_report(*read_input(path), choice)


def _from_report(name: str, content: bytes, choice: HostChoice) -> tuple[str, Host]:
    from xenapic.documents import from_json
    from xenapic.errors import DocumentInvalid
    from xenapic.model.host import Host

    try:
        host = from_json(content, Host)
    except DocumentInvalid as error:
        raise error.in_file(name) from None
    return _under(name, host, choice)


def _logged(path: str, choice: HostChoice) -> tuple[str, Host]:
    return _from_log(*read_input(path), choice)


def _from_log(name: str, content: bytes, choice: HostChoice) -> tuple[str, Host]:
    from xenapic.model.logged import host_from_log

    row = _row_of(choice)
    info = _info(choice)
    logged = host_from_log(content, name=name, processor=row, info=info)
    if choice.xen and not logged.host.version.known:
        logged = host_from_log(content, name=name, release=_release(choice), processor=row, info=info)
    return _under(name, logged.host, choice)


def _info(choice: HostChoice) -> HostInfo | None:
    """Return what the files of --xl-info say together; the first that has a value counts."""
    from xenapic.model.logged import decoded
    from xenapic.parse.hostinfo import merged, parse_host_info

    parts = [parse_host_info(decoded(content), name) for name, content in map(read_input, choice.xl_infos)]
    return merged(parts) if parts else None


def _informed(choice: HostChoice) -> tuple[str, Host]:
    from xenapic.model.logged import host_from_info

    info, row = _info(choice), _row_of(choice)
    assert info is not None
    host = host_from_info(info, processor=row).host
    if choice.xen and not host.version.known:
        host = host_from_info(info, release=_release(choice), processor=row).host
    return _under(info.name, host, choice)


def _row_of(choice: HostChoice) -> Processor | None:
    """Return the processor that is named beside a log."""
    from xenapic.apic.processors import processor
    from xenapic.model.cpuinfo import processor_of
    from xenapic.parse.cpuinfo import parse_cpuinfo

    (named,) = choice.processors or (None,)
    if named not in (None, HERE):
        return processor(str(named))
    path = "/proc/cpuinfo" if named else next(iter(choice.cpuinfos), None)
    if path is None:
        return None
    name, content = read_input(path)
    return processor_of(parse_cpuinfo(content.decode("utf-8", "replace"), name), name).processor


def _described(path: str, choice: HostChoice) -> tuple[str, Host]:
    name, content = read_input(path)
    return _title(name, choice, DEFAULT_XEN), _from_cpuinfo(name, content, choice)


def _from_cpuinfo(name: str, content: bytes, choice: HostChoice) -> Host:
    from xenapic.model.cpuinfo import host_from_cpuinfo

    options, extra = choice.xen_options or "", extra_of(choice.xen)
    return host_from_cpuinfo(content, _release(choice), options, name=name, extra=extra)


def _named(name: str, choice: HostChoice) -> tuple[str, Host]:
    """Return the name and the host of a processor that a text names."""
    from xenapic.apic.processors import PROCESSORS, processor
    from xenapic.model.named import named_host

    if name == HERE:
        _file, content = read_input("/proc/cpuinfo")
        return _title("this machine", choice, DEFAULT_XEN), _from_cpuinfo("/proc/cpuinfo", content, choice)
    row, release = processor(name), _release(choice)
    if choice.proposal and not release.has_physinfo_arch_capabilities:
        raise click.UsageError(
            f"--proposal needs Xen 4.17 or later: physinfo of {release.name} has no place for it"
        )
    options = choice.xen_options or ""
    host = named_host(row, release, options, extra_of(choice.xen), proposal=choice.proposal)
    title = _title(name if name in PROCESSORS else f"{name} ({row.name})", choice, DEFAULT_XEN)
    return f"{title} with one bit per control" if choice.proposal else title, host

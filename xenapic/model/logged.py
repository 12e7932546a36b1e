"""A host that is known from a saved log: what `describe` would say about it, each fact with its line."""

from __future__ import annotations

from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from contextlib import suppress
from dataclasses import replace

from xenapic.apic.features import Technology
from xenapic.apic.lookup import by_brand, by_signature, combined
from xenapic.apic.processors import Processor
from xenapic.apic.signature import Signature
from xenapic.errors import HostUnknown, LogInvalid
from xenapic.frozen import dataclass
from xenapic.model import platform
from xenapic.model.completed import completed
from xenapic.model.evidence import Evidence
from xenapic.model.facts import Fact, unknown
from xenapic.model.flags import PHYSCAP
from xenapic.model.host import Host, describe_from
from xenapic.model.info import Version
from xenapic.model.informed import capabilities_of, contradictions, physinfo_of, version_with
from xenapic.model.named import UNKNOWN, USUAL, blank_physinfo, limits_from
from xenapic.model.releases import OLDER_RELEASES, XEN_RELEASES, XenRelease, chooses_alike
from xenapic.model.seen import Seen
from xenapic.parse.archive import Opened, is_archive, open_archive
from xenapic.parse.bootlog import BootLog
from xenapic.parse.commandline import CommandLine
from xenapic.parse.hostinfo import HostInfo, merged, parse_host_info
from xenapic.parse.logtext import SavedLog, parse_log

__all__ = ["LoggedHost", "decoded", "host_from_info", "host_from_log"]


@dataclass(frozen=True, slots=True)
class LoggedHost:
    """A host that is known from its log."""

    host: Host
    log: SavedLog
    """What was read: the processor's signature, Xen's options, the feature list."""
    warnings: tuple[str, ...]
    """What limits the trust in the log, and what contradicts it, in sentences."""


def host_from_log(
    text: str | bytes,
    *,
    name: str = "the log",
    release: XenRelease | None = None,
    processor: Processor | None = None,
    info: HostInfo | None = None,
) -> LoggedHost:
    """Return the host whose boot log was saved in a text: ``xl dmesg``, a serial capture, a mail.

    As bytes it can also be an archive with the log in it (`xenapic.parse.archive`), as bug tools make them.
    ``name`` is what to call the log in the sources of facts. ``release`` says which Xen wrote the log, if the
    log does not. ``info`` is what ``xl info`` or ``xe`` says about the same host (`parse_host_info`). What
    Xen does not log follows from the processor's row, if the log shows its signature or name or ``processor``
    is given, and if the row agrees with the log. What none of them shows is assumed to be usual, as for
    `named_host`: PV, hap, memory. `xenapic.parse.files.read_file` reads a file safely. Raises `LogInvalid` if
    the text has no line of Xen's about VMX or SVM, `FileUnreadable` if an archive is damaged.
    """
    more: tuple[str, ...] = ()
    if isinstance(text, bytes) and is_archive(text):
        opened = open_archive(text, name)
        more = opened.notes
        if opened.log is None:
            raise LogInvalid(name, "no file in it has a line of Xen's about VMX or SVM")
        name, text = opened.name, opened.log
        info = info or _info_of(opened)
    log = parse_log(decoded(text) if isinstance(text, bytes) else text, name)
    if log.technology is None:
        raise LogInvalid(
            name,
            "it has no line of Xen's about VMX or SVM. While Xen boots, it prints 'VMX: Supported advanced "
            "features:' or 'SVM: Supported advanced features:'; save the output of 'xl dmesg' soon after.",
        )
    return _host(
        replace(log, warnings=(*more, *log.warnings)), name, log.technology, release, processor, info
    )


def _info_of(opened: Opened) -> HostInfo | None:
    """Return what the files of an archive say besides the log."""
    parts = []
    for name, content in opened.infos:
        with suppress(LogInvalid):
            parts.append(parse_host_info(decoded(content), name))
    return merged(parts) if parts else None


def host_from_info(
    info: HostInfo, *, release: XenRelease | None = None, processor: Processor | None = None
) -> LoggedHost:
    """Return the host that ``xl info`` or ``xe`` describes, without a boot log; otherwise as `host_from_log`.

    Raises `HostUnknown` if neither the text nor a processor says whether it is VMX or SVM.
    """
    log = SavedLog(BootLog(True, doubt="there is no boot log", name=info.name))
    by_row = processor or next(iter(_informed_rows(info)), None)
    words = None if info.hw_caps is None else replace(blank_physinfo(None, USUAL), hw_cap=info.hw_caps)
    technology = words.technology if words else by_row.technology if by_row else None
    if technology is None and words is None:
        raise HostUnknown(
            f"{info.name} does not say whether the processor has VMX or SVM: it has no line hw_caps ('xl "
            "info'), and no known processor; a boot log or --processor says it"
        )
    return _host(log, info.name, technology, release, processor, info)


def _host(
    log: SavedLog,
    name: str,
    technology: Technology | None,
    release: XenRelease | None,
    processor: Processor | None,
    info: HostInfo | None,
) -> LoggedHost:
    """Put together what the log and the text say."""
    notes = [*log.warnings]
    version = _version(log, release)
    capabilities, said = _capabilities(log), PHYSCAP(0)
    if info is not None:
        if release is None or log.version is not None:
            notes += contradictions(version, log.options_known, info, name)
        version = version_with(version, info)
        has, said = capabilities_of(info, version.number)
        ruled_out = USUAL & ~capabilities
        capabilities = ((capabilities & ~said) | has) & ~ruled_out
        if has & ruled_out & PHYSCAP.hap:
            notes.append(f"by {name} Xen uses no EPT or NPT, but {info.place('virt_caps')} has hap")
    physinfo = blank_physinfo(technology, capabilities)
    if info is not None:
        physinfo = replace(physinfo_of(physinfo, info), hw_cap=physinfo.hw_cap)
        if info.hw_caps and replace(physinfo, hw_cap=info.hw_caps).technology is not technology:
            notes.append(f"{name} and {info.place('hw_caps')} are of different processors")
    source = name if info is None or info.name == name else f"{name} and {info.name}"
    evidence = Evidence(
        version,
        physinfo,
        log.boot,
        capabilities_from=f"{source}, or assumed where it does not say",
        technology_from=name,
    )
    host = _with_iommu(replace(describe_from(evidence), unknown=UNKNOWN & ~capabilities & ~said), log.boot)
    options_known = log.options_known or (info is not None and info.commandline is not None)
    if not options_known:
        host = _without_options(host, log, name)
    notes += _about_version(version)
    rows, signature, why = _processor(log, name)
    if not rows and info is not None:
        rows, signature = _informed_rows(info), signature or info.signature
        key = "family" if "family" in info.places else "modelname"
        why = f"{info.place(key)}, row {' or '.join(row.name for row in rows)}" if rows else ""
    if processor is not None:
        notes += _other_processor(processor, rows, why)
        rows, why = (processor,), f"the processor is said to be {processor.name}"
    seen = Seen(
        files=(name,) if info is None or info.name == name else (name, info.name),
        signature=None if signature is None or signature.stepping is None else f"{signature.eax:08x}",
        model=None if signature is None else str(signature),
        processor=log.brand or (info.values.get("modelname") if info else None) or None,
        rows=tuple(row.name for row in rows),
        feature_list=tuple(log.boot.where) if log.boot.technology else None,
        feature_list_gap=log.boot.gap or None,
        commandline_known=options_known,
        built_in=log.boot.built_in,
    )
    host = replace(host, seen=seen)
    if rows:
        host, more = completed(host, combined(rows), why)
        notes += more
    return LoggedHost(replace(host, seen=replace(seen, notes=tuple(notes))), log, tuple(notes))


def _informed_rows(info: HostInfo) -> tuple[Processor, ...]:
    """Return the rows that the processor can be by what ``xe`` says."""
    sold = by_brand(info.values.get("modelname", ""))
    if info.signature is None:
        return sold.rows if sold else ()
    rows = by_signature(info.signature)
    if sold and len(rows) > 1:
        rows = tuple(row for row in rows if row in sold.rows) or rows
    return rows


def decoded(data: bytes) -> str:
    """Return the text of a log, which is UTF-8 or UTF-16, or else is taken as Latin-1."""
    if data.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
        return data.decode("utf-16", "replace")
    start = data[:4096]
    zeros = (start[0::2].count(0), start[1::2].count(0))
    if max(zeros) > len(start) // 4 and min(zeros) < len(start) // 16:
        return data.decode("utf-16-be" if zeros[0] > zeros[1] else "utf-16-le", "replace")
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")


# -- the processor -----------------------------------------------------------------------------------


def _processor(log: SavedLog, name: str) -> tuple[tuple[Processor, ...], Signature | None, str]:
    """Return the rows that the processor can be, its signature as far as it is known, and how it is known."""
    sold = by_brand(log.brand) if log.brand else None
    if log.model is not None:
        rows = by_signature(log.model, log.technology)
        if sold and len(rows) > 1:
            rows = tuple(row for row in rows if row in sold.rows) or rows
        which = f"{name}, line {log.model_line}, shows a processor {log.model}"
        return rows, log.model, f"{which}, row {' or '.join(row.name for row in rows)}"
    if sold is None:
        return (), None, ""
    which = f"{name}, line {log.brand_line}: '{log.brand}'"
    rows = tuple(row for row in sold.rows if row.technology is log.technology)
    return rows, None, f"{which}, row {' or '.join(row.name for row in rows)}"


def _other_processor(processor: Processor, rows: tuple[Processor, ...], why: str) -> list[str]:
    """Return what to say if the log shows another processor than the one that was given."""
    if not rows or processor.name in {row.name for row in rows}:
        return []
    alike = any(
        (row.offers, row.unknown, row.technology)
        == (processor.offers, processor.unknown, processor.technology)
        for row in rows
    )
    end = "they offer the same" if alike else "they differ"
    return [f"{why}, but the processor is said to be {processor.name}: {end}"]


# -- facts -------------------------------------------------------------------------------------------


def _version(log: SavedLog, release: XenRelease | None) -> Version:
    major, minor, extra = log.version or (0, 0, "")
    if release is not None and (log.version is None or release.number != (major, minor)):
        (major, minor), extra = release.number, ""
    return Version(major, minor, extra, (), log.changeset, log.options)


def _about_version(version: Version) -> list[str]:
    """Return what does not hold for a Xen that is not modelled."""
    modelled = f"{OLDER_RELEASES[0].name} to {XEN_RELEASES[-1].name}"
    if not version.known or OLDER_RELEASES[0].number <= version.number <= XEN_RELEASES[-1].number:
        return []
    if chooses_alike(version.number):
        rest = "so does what follows for the other controls; a plan needs --xen"
    else:
        rest = "nothing else follows"
    return [f"Xen {version.release} is not modelled ({modelled} are): what it logged holds, and {rest}"]


def _capabilities(log: SavedLog) -> PHYSCAP:
    """Return the usual capabilities, without what the log rules out."""
    missing = PHYSCAP.hvm if log.hvm is False else PHYSCAP(0)
    if log.hap is False or CommandLine(log.options, log.boot.built_in).boolean("hap") is False:
        missing |= PHYSCAP.hap
    return (USUAL | PHYSCAP.shadow if missing & PHYSCAP.hap else USUAL) & ~missing


def _with_iommu(host: Host, log: BootLog) -> Host:
    """Return the host with the capabilities of the IOMMU that the log shows."""
    capabilities, left = host.physinfo.capabilities, host.unknown
    for fact, bit in (
        (platform.iommu(log), PHYSCAP.directio),
        (platform.shared_page_tables(log), PHYSCAP.iommu_hap_pt_share),
    ):
        if fact.known:
            capabilities = capabilities | bit if fact else capabilities & ~bit
            left &= ~bit
    return replace(host, physinfo=replace(host.physinfo, capabilities=capabilities), unknown=left)


def _without_options(host: Host, log: SavedLog, name: str) -> Host:
    """Return the host without what would follow from options that the log does not show."""
    limits = limits_from(host.grant_limits, log.boot.built_in)
    altp2m: Fact = host.altp2m
    hap = PHYSCAP.hap in host.physinfo.capabilities
    if host.technology is Technology.VMX and hap and not altp2m:
        altp2m = unknown(
            f"{name} does not show Xen's command line", "look for 'Command line:' in the whole log"
        )
    return replace(host, grant_limits=limits, altp2m=altp2m)

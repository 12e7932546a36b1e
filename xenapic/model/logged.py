"""A host that is known from a saved log: what `describe` would say about it, each fact with its line."""

from __future__ import annotations

from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from dataclasses import replace

from xenapic.apic.features import Technology
from xenapic.apic.lookup import by_brand, by_signature, combined
from xenapic.apic.processors import Processor
from xenapic.apic.signature import Signature
from xenapic.errors import LogInvalid
from xenapic.frozen import dataclass
from xenapic.model.completed import completed
from xenapic.model.evidence import Evidence
from xenapic.model.facts import Fact, unknown
from xenapic.model.flags import PHYSCAP
from xenapic.model.host import Host, describe_from
from xenapic.model.info import Version
from xenapic.model.named import UNKNOWN, USUAL, blank_physinfo, limits_from
from xenapic.model.releases import OLDER_RELEASES, XEN_RELEASES, XenRelease, chooses_alike
from xenapic.model.seen import Seen
from xenapic.parse.commandline import CommandLine
from xenapic.parse.logtext import SavedLog, parse_log

__all__ = ["LoggedHost", "host_from_log"]


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
) -> LoggedHost:
    """Return the host whose boot log was saved in a text: ``xl dmesg``, a serial capture, a mail.

    ``name`` is what to call the log in the sources of facts. ``release`` says which Xen wrote the log, if the
    log does not. What Xen does not log follows from the processor's row, if the log shows its
    signature or name or ``processor`` is given, and if the row agrees with the log. What neither shows is
    assumed to be usual, as for `named_host`: PV, hap, memory. `xenapic.parse.files.read_file` reads a file
    safely. Raises `LogInvalid` if the text has no line of Xen's about VMX or SVM.
    """
    log = parse_log(_decoded(text) if isinstance(text, bytes) else text, name)
    if log.technology is None:
        raise LogInvalid(
            name,
            "it has no line of Xen's about VMX or SVM. While Xen boots, it prints 'VMX: Supported advanced "
            "features:' or 'SVM: Supported advanced features:'; save the output of 'xl dmesg' soon after.",
        )
    version = _version(log, release)
    capabilities = _capabilities(log)
    evidence = Evidence(
        version,
        blank_physinfo(log.technology, capabilities),
        log.boot,
        capabilities_from=f"{name}, or assumed where it does not say",
        technology_from=name,
    )
    host = _with_iommu(replace(describe_from(evidence), unknown=UNKNOWN & ~capabilities))
    if not log.options_known:
        host = _without_options(host, log, name)
    rows, signature, why = _processor(log, name)
    notes = [*log.warnings, *_about_version(version)]
    if processor is not None:
        notes += _other_processor(processor, rows, why)
        rows, why = (processor,), f"the processor is said to be {processor.name}"
    seen = Seen(
        files=(name,),
        signature=None if signature is None or signature.stepping is None else f"{signature.eax:08x}",
        model=None if signature is None else str(signature),
        processor=log.brand or None,
        rows=tuple(row.name for row in rows),
        feature_list=tuple(log.boot.where) if log.boot.technology else None,
        feature_list_gap=log.boot.gap or None,
        commandline_known=log.options_known,
    )
    host = replace(host, seen=seen)
    if rows:
        host, more = completed(host, combined(rows), why)
        notes += more
    return LoggedHost(replace(host, seen=replace(seen, notes=tuple(notes))), log, tuple(notes))


def _decoded(data: bytes) -> str:
    """Return the text of a log, which is UTF-8 or UTF-16 with a mark, or else is taken as Latin-1."""
    if data.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
        return data.decode("utf-16", "replace")
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


BY_MACHINE = {"iommu": PHYSCAP.directio, "shared_page_tables": PHYSCAP.iommu_hap_pt_share}
"""Capabilities that the log shows."""


def _with_iommu(host: Host) -> Host:
    """Return the host with the capabilities of the IOMMU that the log shows."""
    capabilities, left = host.physinfo.capabilities, host.unknown
    for key, bit in BY_MACHINE.items():
        fact = host.machine[key]
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

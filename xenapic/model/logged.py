"""A host that is known from a saved log: what `describe` would say about it, each fact with its line."""

from __future__ import annotations

from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from dataclasses import replace

from xenapic.errors import LogInvalid
from xenapic.frozen import dataclass
from xenapic.model.evidence import Evidence
from xenapic.model.flags import PHYSCAP
from xenapic.model.host import Host, describe_from
from xenapic.model.info import Version
from xenapic.model.named import UNKNOWN, USUAL, blank_physinfo
from xenapic.model.releases import XenRelease
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
    """What limits the trust in the log, in sentences."""


def host_from_log(
    text: str | bytes, *, name: str = "the log", release: XenRelease | None = None
) -> LoggedHost:
    """Return the host whose boot log was saved in a text: ``xl dmesg``, a serial capture, a mail.

    ``name`` is what to call the log in the sources of facts. ``release`` says which Xen wrote the log, if the
    log does not. What a log never shows is assumed to be usual, as for `named_host`: PV, hap, grant tables,
    memory. `xenapic.parse.files.read_file` reads a file safely. Raises `LogInvalid` if the text has no line
    of Xen's about VMX or SVM.
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
    host = replace(describe_from(evidence), unknown=UNKNOWN & ~capabilities)
    return LoggedHost(host, log, log.warnings)


def _decoded(data: bytes) -> str:
    """Return the text of a log, which is UTF-8 or UTF-16 with a mark, or else is taken as Latin-1."""
    if data.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
        return data.decode("utf-16", "replace")
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _version(log: SavedLog, release: XenRelease | None) -> Version:
    major, minor, extra = log.version or (0, 0, "")
    if release is not None and (log.version is None or release.number != (major, minor)):
        (major, minor), extra = release.number, ""
    return Version(major, minor, extra, (), "", log.options)


def _capabilities(log: SavedLog) -> PHYSCAP:
    """Return the usual capabilities, without what the log rules out."""
    missing = PHYSCAP.hvm if log.hvm is False else PHYSCAP(0)
    if log.hap is False or CommandLine(log.options, log.boot.built_in).boolean("hap") is False:
        missing |= PHYSCAP.hap
    return (USUAL | PHYSCAP.shadow if missing & PHYSCAP.hap else USUAL) & ~missing

"""Read the log of a Xen that a person saved or pasted: ``xl dmesg``, a serial capture, a mail.

Such a text is believed, unlike the console ring (`xenapic.parse.bootlog`), because a person vouches for it.
But other programs quote it, wrap it, put time stamps before or after Xen's prefix, replace
blanks, join lines, or lose some. So nothing follows from a missing line, except in a feature list
that is complete (`xenapic.parse.featurelist`). If the text has several boots, the last one counts.
"""

from __future__ import annotations

import html
import quopri
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from xenapic.apic.features import Technology
from xenapic.parse.bootlog import BUILT_IN, VERSION, BootLog
from xenapic.parse.commandline import CommandLine
from xenapic.parse.featurelist import ITEMS, FeatureList, LogLine, find_list, plain

__all__ = ["SavedLog", "parse_log"]

PREFIX = "(XEN)"
BEFORE = re.compile(r"[^()]{0,120}")
"""What may be before Xen's prefix: quotation marks, time stamps, a host's name, but no guest's ``(d1)``."""
STAMPS = re.compile(r"(?:\[[ 0-9a-fA-FxTZ:.+\-]+\] ?)+")
"""Time stamps after the prefix; ``console_timestamps=`` sets their form."""
INVISIBLE = dict.fromkeys(map(ord, "\ufeff\u200b\u2060\0"))
"""Characters that mail programs and serial lines add: a byte order mark, zero-width blanks, NUL."""
ESCAPE_SEQUENCE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
"""What a boot loader sends to a terminal."""
GUEST = re.compile(r"[^()]{0,120}\(d\d{1,5}\) ?.*")
BANNER = re.compile(r"Xen (\d{1,4})\.(\d{1,4})(\S*)")
"""The line without a prefix before the one with the version."""
COMMAND_LINE = "Command line: "
LISTS = ("VMX: Supported advanced", "SVM: Supported advanced")
BOOTING = (COMMAND_LINE, "Bootloader: ", "Xen image load base", "CPU Vendor: ", *LISTS)
"""Lines of a boot. A debug key prints Xen's version too, but none of these."""
ENABLED = re.compile(r"HVM: (VMX|SVM) enabled")
FAILED = re.compile(r"(VMX|SVM): failed to initialise\.")
"""What Xen prints if it cannot use the processor's extension (``start_vmx``, ``start_svm``)."""
HAP = re.compile(r"HVM: Hardware Assisted Paging \(HAP\) (detected|not detected|detected but disabled)")
SIGNATURE = re.compile(r"CPU Vendor: .*\(raw ([0-9a-f]{8})\)")
NO_START = "the log may be an excerpt"


@dataclass(frozen=True)
class SavedLog:
    """What a saved log shows about a host."""

    boot: BootLog
    version: tuple[int, int, str] | None = None
    """Major and minor number and what follows, as in ``4``, ``17``, ``".5"``; None if no line has it."""
    options: str = ""
    """The options from the boot loader."""
    technology: Technology | None = None
    """The processor's extension; None if no line shows it."""
    hvm: bool | None = None
    """Whether Xen enabled the extension; None if no line shows it."""
    hap: bool | None = None
    """Whether Xen uses EPT or NPT; None if no line shows it."""
    signature: int | None = None
    """The processor's signature, CPUID 1 EAX; None if no line has it."""
    warnings: tuple[str, ...] = ()
    """What a reader must know about how far the log can be trusted."""


def parse_log(text: str, name: str = "the log") -> SavedLog:
    """Read a saved log; ``name`` is what to call it in the sources of facts. Any text can be read."""
    everything = list(_lines(text))
    warnings = []
    if not any(line.own for line in everything):
        everything = [
            LogLine(line.number, line.text, own=not GUEST.fullmatch(line.text)) for line in everything
        ]
        warnings.append(f"no line of {name} has Xen's prefix (XEN); every line was taken as Xen's")
    lines, boots = _last_boot(everything)
    if boots > 1:
        warnings.append(f"{name} has {boots} boots; the last one counts")
    features = _features(lines)
    own = tuple(line.text for line in lines if line.own)
    options = _continued(lines, COMMAND_LINE)
    built_in = _continued(lines, BUILT_IN)
    if CommandLine(f"{built_in} {options}").flag("console_to_ring"):
        warnings.append(f"dom0 can have written lines of {name} (console_to_ring)")
    boot = BootLog(
        trusted=True,
        whole=False,
        technology=features.technology if features else None,
        features=frozenset(features.items if features else ()),
        lines=own,
        gap=features.gap if features else "",
        built_in=built_in,
        doubt=NO_START,
        name=name,
        where=features.items if features else {},
    )
    return SavedLog(
        boot,
        version=_version(lines),
        options=options,
        technology=boot.technology or _failed(own),
        hvm=_hvm(own),
        hap=_hap(own, boot),
        signature=_signature(lines),
        warnings=tuple(warnings),
    )


# -- lines --------------------------------------------------------------------------------------------


def _lines(text: str) -> Iterator[LogLine]:
    """Yield the lines, two for a line with two prefixes."""
    for number, line in enumerate(_undone(text).split("\n"), 1):
        before, prefix, rest = line.partition(PREFIX)
        if not prefix or not BEFORE.fullmatch(before):
            yield LogLine(number, plain(line.strip(" \t>|")), own=False)
            continue
        for part in map(plain, rest.split(PREFIX)):
            stamps = STAMPS.match(part)
            yield LogLine(number, part[stamps.end() :] if stamps else part, own=True)


def _undone(text: str) -> str:
    """Return text without what terminals, mail (quoted-printable) and web pages put into it."""
    if "=3D" in text:  # mail encodes every = so, and a log has many
        text = quopri.decodestring(text.encode()).decode("utf-8", "replace")
    if "&gt;" in text or "&nbsp;" in text:
        text = html.unescape(text)
    return ESCAPE_SEQUENCE.sub("", text.translate(INVISIBLE))


def _last_boot(lines: Sequence[LogLine]) -> tuple[Sequence[LogLine], int]:
    """Return the lines of the last boot, and the number of boots."""
    versions = [at for at, line in enumerate(lines) if line.own and VERSION.fullmatch(line.text)]
    starts = versions[:1] + [
        at
        for at, end in pairwise([*versions, len(lines)][1:])
        if any(line.text.startswith(BOOTING) for line in lines[at:end] if line.own)
    ]
    if len(starts) > 1:
        start = starts[-1]
        while start and (not lines[start - 1].own or lines[start - 1].text.startswith(BUILT_IN)):
            start -= 1
        return lines[start:], len(starts)
    lists = [
        at for at, line in enumerate(lines) if line.own and line.text.startswith(("VMX: Supp", "SVM: Supp"))
    ]
    if len(lists) > 1:  # a second list without a version before it
        return lines[lists[-1] :], len(lists)
    return lines, 1


def _continued(lines: Sequence[LogLine], start: str) -> str:
    """Return the rest of the first line of Xen's that starts so, and of the lines wrapped from it."""
    for at, line in enumerate(lines):
        if line.own and line.text.startswith(start):
            parts = [line.text.removeprefix(start)]
            for following in lines[at + 1 :]:
                if following.own or not following.text or BANNER.fullmatch(following.text):
                    break
                parts.append(following.text)
            return " ".join(parts)
    return ""


# -- facts --------------------------------------------------------------------------------------------


def _features(lines: Sequence[LogLine]) -> FeatureList | None:
    """Return the feature list, or what is left of one without its header."""
    found = find_list(lines, wrapped=True)
    if found is not None:
        return found
    own = [line for line in lines if line.own]
    technology = next((Technology(match[1]) for line in own if (match := ENABLED.fullmatch(line.text))), None)
    items = [(line.number, line.text[2:]) for line in own if line.text.startswith("- ")]
    for each in (technology,) if technology else tuple(Technology):
        left = {text: number for number, text in reversed(items) if text in ITEMS[each] - SHARED}
        if left:
            return FeatureList(each, left, "its header is missing")
    return FeatureList(technology, gap="the list is missing") if technology else None


SHARED = ITEMS[Technology.VMX] & ITEMS[Technology.SVM]


def _version(lines: Sequence[LogLine]) -> tuple[int, int, str] | None:
    for line in lines:
        match = VERSION.fullmatch(line.text) if line.own else BANNER.fullmatch(line.text)
        if match:
            return int(match[1]), int(match[2]), match[3]
    return None


def _failed(own: Sequence[str]) -> Technology | None:
    return next((Technology(match[1]) for text in own if (match := FAILED.fullmatch(text))), None)


def _hvm(own: Sequence[str]) -> bool | None:
    if any(ENABLED.fullmatch(text) for text in own):
        return True
    return False if _failed(own) else None


def _hap(own: Sequence[str], boot: BootLog) -> bool | None:
    for text in own:
        if match := HAP.fullmatch(text):
            return match[1] == "detected"
    if boot.technology is None or boot.gap:
        return None
    # Without the processor's part there is no HAP; with it, Xen's option hap= decides.
    part = "Extended Page Tables (EPT)" if boot.technology is Technology.VMX else "Nested Page Tables (NPT)"
    return None if part in boot.features else False


def _signature(lines: Sequence[LogLine]) -> int | None:
    for at, line in enumerate(lines):
        following = lines[at + 1].text if at + 1 < len(lines) and not lines[at + 1].own else ""
        if line.own and (match := SIGNATURE.search(f"{line.text} {following}")):
            return int(match[1], 16)
    return None

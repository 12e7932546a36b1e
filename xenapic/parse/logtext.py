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
from itertools import pairwise

from xenapic.apic.features import Technology
from xenapic.apic.signature import Signature
from xenapic.frozen import dataclass
from xenapic.parse.bootlog import BUILT_IN, VERSION, BootLog
from xenapic.parse.commandline import CommandLine
from xenapic.parse.featurelist import ITEMS, WRAPPED_LINES, FeatureList, LogLine, find_list, plain

__all__ = ["SavedLog", "parse_log"]

PREFIX = "(XEN)"
BEFORE = re.compile(r"(?:(?!\(d\d{1,5}\)).){0,120}")
"""What may be before Xen's prefix: quotation marks, time stamps, a host's name, but no guest's ``(d1)``."""
STAMPS = re.compile(r"(?:\[[ 0-9a-fA-FxTZ:.+\-]+\] ?)+")
"""Time stamps after the prefix; ``console_timestamps=`` sets their form."""
INVISIBLE = dict.fromkeys(map(ord, "\ufeff\u200b\u2060\0"))
"""Characters that mail programs and serial lines add: a byte order mark, zero-width blanks, NUL."""
ESCAPE_SEQUENCE = re.compile(r"\x1b(?:\[[0-9;?]{0,40}[ -/]{0,3}[@-~]|[()*+][0-9A-Za-z]|[=>78cDEHM])")
"""What a boot loader, or a program that shows a log in colour, sends to a terminal."""
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
SIGNATURE = re.compile(
    r"CPU Vendor: .*Family \d+ \(0x([0-9a-f]{1,3})\), Model \d+ \(0x([0-9a-f]{1,2})\), Stepping (\d{1,2})\b"
    r"(?:.*\(raw ([0-9a-f]{8})\))?.*"
)
"""What Xen prints of CPUID leaf 1 since 4.9 (``identify_cpu``, ``xen/arch/x86/cpu/common.c``)."""
OLD_SIGNATURE = re.compile(r"microcode: .*\bsig=0x([0-9a-f]{5,8})\b.*")
MODEL_ONLY = re.compile(r"mwait-idle: v\S+ model 0x([0-9a-f]{1,2})\b")
"""Intel's family 6 (``mwait_idle_probe``)."""
BRAND = re.compile(r"CPU\d{1,4}: (\S.{0,60}?) stepping [0-9a-f]{1,2}\b")
"""What ``print_cpu_info`` prints of the processor's name."""
CHANGESET = "Latest ChangeSet: "
VENDORS = {"Intel": "GenuineIntel", "AMD": "AuthenticAMD", "Hygon": "HygonGenuine", "Shanghai": "Shanghai"}
NO_START = "the log may be an excerpt"


@dataclass(frozen=True)
class SavedLog:
    """What a saved log shows about a host."""

    boot: BootLog
    version: tuple[int, int, str] | None = None
    """Major and minor number and what follows, as in ``4``, ``17``, ``".5"``; None if no line has it."""
    options: str = ""
    """The options from the boot loader."""
    options_known: bool = False
    """Whether the log has the line with these options."""
    changeset: str = ""
    technology: Technology | None = None
    """The processor's extension; None if no line shows it."""
    hvm: bool | None = None
    """Whether Xen enabled the extension; None if no line shows it."""
    hap: bool | None = None
    """Whether Xen uses EPT or NPT; None if no line shows it."""
    signature: int | None = None
    """The processor's signature, CPUID 1 EAX; None if no line has it."""
    model: Signature | None = None
    """The same, or family and model alone where no line has more."""
    model_line: int = 0
    """The number of the line that shows `model`."""
    brand: str = ""
    """The processor's name; empty if no line has it."""
    brand_line: int = 0
    warnings: tuple[str, ...] = ()
    """What a reader must know about how far the log can be trusted."""


def parse_log(text: str, name: str = "the log") -> SavedLog:
    """Read a saved log; ``name`` is what to call it in the sources of facts. Any text can be read."""
    everything = list(_lines(text))
    warnings = []
    if not any(line.own for line in everything):
        everything = [
            LogLine(line.number, _unstamped(line.text), own=not GUEST.fullmatch(line.text))
            for line in everything
        ]
        warnings.append(f"no line of {name} has Xen's prefix (XEN); every line was taken as Xen's")
    lines, boots = _last_boot(everything)
    if boots > 1:
        warnings.append(f"{name} has {boots} boots; the last one counts")
    features = _features(lines)
    kept = [line for line in lines if line.own]
    own = tuple(line.text for line in kept)
    options = _continued(lines, COMMAND_LINE)
    built_in = _continued(lines, BUILT_IN) or ""
    model, model_line = _model(lines)
    brand, brand_line = _brand(lines)
    if CommandLine(f"{built_in} {options or ''}").flag("console_to_ring"):
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
        list_lines=features.lines if features else None,
        numbers=tuple(line.number for line in kept),
    )
    return SavedLog(
        boot,
        version=_version(lines),
        options=options or "",
        options_known=options is not None,
        changeset=_continued(lines, CHANGESET) or "",
        technology=boot.technology or _failed(own),
        hvm=_hvm(own),
        hap=_hap(own, boot),
        signature=model.eax if model and model.stepping is not None else None,
        model=model,
        model_line=model_line,
        brand=brand,
        brand_line=brand_line,
        warnings=tuple(warnings),
    )


# -- lines --------------------------------------------------------------------------------------------


def _lines(text: str) -> Iterator[LogLine]:
    """Yield the lines, two for a line with two prefixes."""
    for number, line in _undone(text):
        before, prefix, rest = line.partition(PREFIX)
        if not prefix or not BEFORE.fullmatch(before):
            yield LogLine(number, plain(line.strip(" \t>|")), own=False)
            continue
        for part in map(plain, rest.split(PREFIX)):
            yield LogLine(number, _unstamped(part), own=True)


def _unstamped(text: str) -> str:
    """Return a line without the time stamps at its start."""
    stamps = STAMPS.match(text)
    return text[stamps.end() :] if stamps else text


def _undone(text: str) -> Iterator[tuple[int, str]]:
    """Yield the lines with their numbers, without what terminals, mail and web pages put into them."""
    if "\n" not in text:  # an old Mac's line ends, or a terminal's
        text = text.replace("\r", "\n")
    web = "&gt;" in text or "&nbsp;" in text or "<br" in text or "<pre" in text
    mailed = "=3D" in text  # quoted-printable encodes every = so, and a log has many
    for number, line in _mailed(text) if mailed else enumerate(text.split("\n"), 1):
        plain = ESCAPE_SEQUENCE.sub("", line.translate(INVISIBLE))
        for part in BREAK.split(plain) if web else (plain,):
            yield number, html.unescape(TAG.sub("", part)) if web else part


BREAK = re.compile(r"<br ?/?>", re.IGNORECASE)
TAG = re.compile(r"</?(?:p|pre|div|span|code|tt|td|tr)\b[^<>]{0,200}>", re.IGNORECASE)


def _mailed(text: str) -> Iterator[tuple[int, str]]:
    """Yield the lines of quoted-printable text; one that was continued has the number of its first part."""
    parts: list[str] = []
    lines = text.split("\n")
    for number, line in enumerate(lines, 1):
        shown = line.rstrip(" \t\r")
        soft = shown.endswith("=") and number < len(lines)
        parts.append(shown[:-1] if soft else shown)
        if not soft:
            decoded = quopri.decodestring("".join(parts).encode()).decode("utf-8", "replace")
            yield number - len(parts) + 1, decoded
            parts = []


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


def _continued(lines: Sequence[LogLine], start: str) -> str | None:
    """Return the rest of the first line of Xen's that starts so, and of the lines wrapped from it."""
    bare = start.rstrip()
    for at, line in enumerate(lines):
        if line.own and (line.text.startswith(start) or line.text == bare):
            parts = [line.text.removeprefix(bare).lstrip()]
            for following in lines[at + 1 :]:
                if following.own or not following.text or BANNER.fullmatch(following.text):
                    break
                parts.append(following.text)
            return " ".join(parts).strip()
    return None


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


def _model(lines: Sequence[LogLine]) -> tuple[Signature | None, int]:
    """Return the processor's signature, or its family and model, and the number of the line."""
    for shows in (_by_vendor, _by_microcode, _by_idle_driver):
        for at, line in enumerate(lines):
            if line.own and (signature := shows(lines, at)):
                return signature, line.number
    return None, 0


def _brand(lines: Sequence[LogLine]) -> tuple[str, int]:
    """Return the processor's name and the number of its line."""
    for at, line in enumerate(lines):
        if line.own and line.text.startswith("CPU") and (match := BRAND.match(_joined(lines, at))):
            return match[1], line.number
    return "", 0


def _joined(lines: Sequence[LogLine], at: int) -> str:
    """Return a line with what may have been wrapped from it."""
    parts = [lines[at].text]
    for following in lines[at + 1 : at + 1 + WRAPPED_LINES]:
        if following.own:
            break
        parts.append(following.text)
    return " ".join(parts)


def _by_vendor(lines: Sequence[LogLine], at: int) -> Signature | None:
    text = lines[at].text
    if not text.startswith("CPU Vendor: "):
        return None
    match = SIGNATURE.fullmatch(_joined(lines, at))
    if match is None:
        return None
    vendor = VENDORS.get(text.removeprefix("CPU Vendor: ").partition(",")[0], "")
    if match[4]:
        return Signature.from_eax(int(match[4], 16), vendor)
    stepping = int(match[3])
    return Signature(int(match[1], 16), int(match[2], 16), stepping, vendor) if stepping < 16 else None


def _by_microcode(lines: Sequence[LogLine], at: int) -> Signature | None:
    match = OLD_SIGNATURE.fullmatch(lines[at].text)
    return Signature.from_eax(int(match[1], 16)) if match else None


def _by_idle_driver(lines: Sequence[LogLine], at: int) -> Signature | None:
    match = MODEL_ONLY.match(_joined(lines, at))
    return Signature(6, int(match[1], 16), None, VENDORS["Intel"]) if match else None

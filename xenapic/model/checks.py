"""What is right and wrong with a host: hardware, firmware, Xen's options, grant limits, known defects.

A check that fails means that guests cannot run, or that a security defect concerns the host. A warning means
that guests run, but slower than they could, or with a defect that a guest can run into.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import Enum

from xenapic.apic.features import FEATURES, Feature, Technology
from xenapic.errors import NameUnknown
from xenapic.frozen import dataclass
from xenapic.model.evidence import APICV_OFF, BY_APICV
from xenapic.model.exposure import Exposure, exposures
from xenapic.model.facts import Answer, Fact
from xenapic.model.flags import PHYSCAP
from xenapic.model.gnttab import DEFAULT_FRAMES, DEFAULT_MAPTRACK_FRAMES
from xenapic.model.host import Host
from xenapic.model.platform import OPT_OUT
from xenapic.parse.commandline import FALSE, TRUE, CommandLine

__all__ = ["CHECKS", "Area", "Check", "CheckVerdict", "check_host", "worst"]


class CheckVerdict(Enum):
    """The result of a check, from the best to the worst."""

    PASS = "PASS"
    """Nothing to do."""
    UNKNOWN = "UNKNOWN"
    """What is known about the host does not decide."""
    WARN = "WARN"
    """Guests run, but slower than they could, or with a defect."""
    FAIL = "FAIL"
    """Guests cannot run, a security defect concerns the host, or a policy is refused."""


class Area(Enum):
    """What a check is about."""

    HARDWARE = "hardware"
    FIRMWARE = "firmware"
    XEN = "Xen"
    GRANTS = "grants"
    DEFECT = "defect"
    POLICY = "policy"
    DOMAIN = "domain"


@dataclass(frozen=True, slots=True)
class Check:
    """One check and its result."""

    code: str
    """A stable name; for a defect or a refusal its own code, for a feature its key."""
    area: Area
    verdict: CheckVerdict
    text: str
    """What was seen."""
    source: str = ""
    """How it is known."""
    advice: str = ""
    """What to do; empty for PASS."""

    def __str__(self) -> str:
        source = f" ({self.source})" if self.source else ""
        advice = f" To do: {self.advice[0].upper()}{self.advice[1:]}." if self.advice else ""
        return f"{self.text}{source}.{advice} [{self.code}]"


def worst(checks: tuple[Check, ...]) -> CheckVerdict:
    """Return the worst verdict; PASS without checks."""
    order = list(CheckVerdict)
    return order[max((order.index(check.verdict) for check in checks), default=0)]


def check_host(host: Host) -> tuple[Check, ...]:
    """Return every check of a host, in the order of `CHECKS`."""
    return tuple(result for check in CHECKS for result in check(host))


# -- hardware ----------------------------------------------------------------------------------------

ENABLE = "Enable VT-x or AMD-V in the firmware's setup; a guest that needs neither is PV"
USED = {Answer.YES: CheckVerdict.PASS, Answer.NO: CheckVerdict.WARN, Answer.UNKNOWN: CheckVerdict.UNKNOWN}
NOT_ACCELERATION = (
    "external_interrupt_exiting",
    "cr8_load_exiting",
    "cr8_store_exiting",
    "tertiary_controls",
)
"""Controls that take no exit away from the guest by themselves."""


def _virtualization(host: Host) -> Iterator[Check]:
    why = host.physinfo.no_guest
    if why is None:
        technology = host.technology.value if host.technology else ""
        text = f"Xen uses {technology} for HVM and PVH guests"
        yield Check("virtualization", Area.HARDWARE, CheckVerdict.PASS, text)
        yield _hap(host)
        return
    yield Check("virtualization", Area.HARDWARE, CheckVerdict.FAIL, why.reason, why.source, ENABLE)


def _hap(host: Host) -> Check:
    if PHYSCAP.hap in host.physinfo.capabilities:
        return Check(
            "hap", Area.HARDWARE, CheckVerdict.PASS, "Xen uses hardware-assisted paging (EPT or NPT)"
        )
    text = "Xen uses shadow paging, which is slower"
    advice = "Remove hap=0 from Xen's options, or use a processor with EPT or NPT"
    return Check("hap", Area.HARDWARE, CheckVerdict.WARN, text, "physinfo.capabilities lacks hap", advice)


def _acceleration(host: Host) -> Iterator[Check]:
    if host.physinfo.no_guest:
        return
    if host.technology is Technology.SVM:
        text = "no Xen up to 4.22 uses AVIC: most accesses of a guest to its APIC are VM exits"
        advice = "Nothing helps on AMD; 'xenapic access' shows each access"
        yield Check("avic", Area.HARDWARE, CheckVerdict.WARN, text, "", advice)
        return
    for row in FEATURES:
        fact = host.features[row.key]
        unused = row.key == "ipi_virtualization" or row.key in NOT_ACCELERATION
        if row.technology is Technology.VMX and not unused:
            yield _feature(row, fact, CommandLine(host.version.commandline).boolean("apicv") is False)


def _feature(row: Feature, fact: Fact, apicv_off: bool) -> Check:
    verdict = USED[fact.answer]
    if verdict is CheckVerdict.PASS:
        return Check(row.key, Area.HARDWARE, verdict, f"Xen uses '{row.name}'", fact.source)
    if verdict is CheckVerdict.UNKNOWN:
        text = f"it is unknown whether Xen uses '{row.name}'"
        return Check(row.key, Area.HARDWARE, verdict, text, fact.source, fact.how)
    advice = "Use a processor that has it"
    if row.key in BY_APICV and (apicv_off or fact == APICV_OFF):
        advice = "Boot Xen without apicv=0, on a processor that has it"
    return Check(row.key, Area.HARDWARE, verdict, f"Xen does not use '{row.name}'", fact.source, advice)


# -- firmware ----------------------------------------------------------------------------------------


def _x2apic(host: Host) -> Iterator[Check]:
    fact, code = host.x2apic_mode, "host-x2apic"
    if fact.answer is Answer.YES:
        yield Check(code, Area.FIRMWARE, CheckVerdict.PASS, "Xen runs in x2APIC mode", fact.source)
    elif OPT_OUT in fact.source:
        text = "the firmware asks Xen to stay in xAPIC mode"
        advice = "Turn off 'x2APIC opt-out' in the firmware's setup, or update the firmware"
        yield Check("x2apic-opt-out", Area.FIRMWARE, CheckVerdict.WARN, text, fact.source, advice)
    elif fact.answer is Answer.NO:
        off = CommandLine(host.version.commandline).boolean("x2apic") is False
        advice = (
            "Remove x2apic=0 from Xen's options"
            if off
            else "Enable x2APIC and the IOMMU in the firmware's setup"
        )
        text = "Xen runs in xAPIC mode, which cannot reach a processor whose APIC ID is above 254"
        yield Check(code, Area.FIRMWARE, CheckVerdict.WARN, text, fact.source, advice)
    else:
        text = "it is unknown whether Xen runs in x2APIC mode or the firmware opted out of it"
        yield Check(code, Area.FIRMWARE, CheckVerdict.UNKNOWN, text, fact.source, fact.how)


def _remapping(host: Host) -> Iterator[Check]:
    fact, code = host.interrupt_remapping, "interrupt-remapping"
    if fact.answer is Answer.YES:
        yield Check(code, Area.FIRMWARE, CheckVerdict.PASS, "Xen uses interrupt remapping", fact.source)
    elif fact.answer is Answer.NO:
        text = "Xen does not use interrupt remapping: an assigned device can send any interrupt"
        advice = "Enable VT-d or AMD-Vi in the firmware's setup, and remove iommu=0 and iommu=no-intremap"
        yield Check(code, Area.FIRMWARE, CheckVerdict.WARN, text, fact.source, advice)
    else:
        text = "it is unknown whether Xen uses interrupt remapping"
        yield Check(code, Area.FIRMWARE, CheckVerdict.UNKNOWN, text, fact.source, fact.how)


# -- Xen ---------------------------------------------------------------------------------------------

BOOLEANS = ("apicv", "hap", "x2apic", "altp2m", "console_to_ring")
"""Options of Xen that matter here and take a boolean."""


def _release(host: Host) -> Iterator[Check]:
    code = "release"
    if not host.version.known:
        text, advice = "it is unknown which Xen this is", "Name it with --xen"
        yield Check(code, Area.XEN, CheckVerdict.UNKNOWN, text, "", advice)
        return
    try:
        row = host.release
    except NameUnknown:
        text = f"xenapic does not model Xen {host.version}"
        yield Check(
            code, Area.XEN, CheckVerdict.UNKNOWN, text, "", "Ask about the nearest release with --xen"
        )
        return
    if row.per_domain_apic:
        text, advice = f"Xen {host.version} is a development tree", "Use a release"
        yield Check(code, Area.XEN, CheckVerdict.WARN, text, host.interface.source, advice)
    else:
        yield Check(code, Area.XEN, CheckVerdict.PASS, f"the rules of Xen {row.name} are known")


def _options(host: Host) -> Iterator[Check]:
    options = CommandLine(host.version.commandline)
    source = "Xen's command line"
    if options.cut:
        text = "Xen reports only the first 1023 bytes of its options"
        yield Check(
            "options", Area.XEN, CheckVerdict.UNKNOWN, text, source, "Look at the boot loader's configuration"
        )
    problems = list(_option_problems(options))
    if not problems and not options.cut:
        yield Check("options", Area.XEN, CheckVerdict.PASS, "no option of Xen turns acceleration off", source)
    for text, advice in problems:
        yield Check("options", Area.XEN, CheckVerdict.WARN, text, source, advice)


def _option_problems(options: CommandLine) -> Iterator[tuple[str, str]]:
    if options.boolean("apicv") is False:
        yield "option apicv=0 turns APICv off for all guests", "Boot Xen without it"
    if options.flag("console_to_ring"):
        text = "option console_to_ring lets dom0 write into Xen's log, so nothing in the log is believed"
        yield text, "Boot Xen without it"
    for name in BOOLEANS:
        for value in options.values(name):
            if value and value not in TRUE + FALSE:
                yield (
                    f"option {name}={value} has no effect: Xen expects a boolean",
                    f"Write {name}=1 or {name}=0",
                )


# -- grant limits --------------------------------------------------------------------------------------


def _grants(host: Host) -> Iterator[Check]:
    limits = host.grant_limits
    for code, frames, known, usual, option in (
        ("grant-frames", limits.frames, limits.frames_known, DEFAULT_FRAMES, "gnttab_max_frames"),
        (
            "maptrack-frames",
            limits.maptrack_frames,
            limits.maptrack_frames_known,
            DEFAULT_MAPTRACK_FRAMES,
            "gnttab_max_maptrack_frames",
        ),
    ):
        text = f"a domain gets up to {frames} frames ({option})"
        if not known:
            unknown, advice = (
                f"it is unknown whether an option sets {option}",
                "Give --xen-options, or a report",
            )
            yield Check(code, Area.GRANTS, CheckVerdict.UNKNOWN, unknown, limits.source, advice)
        elif frames < 1 and code == "grant-frames":
            none = (
                f"{option}=0: Xen refuses every domain that asks for the host's default, and refuses it late"
            )
            yield Check(code, Area.GRANTS, CheckVerdict.FAIL, none, limits.source, f"Set {option} to {usual}")
        elif frames < usual:
            less = f"{text}, less than Xen's default of {usual}"
            yield Check(
                code, Area.GRANTS, CheckVerdict.WARN, less, limits.source, _grant_advice(option, usual)
            )
        else:
            yield Check(code, Area.GRANTS, CheckVerdict.PASS, text, limits.source)


def _grant_advice(option: str, usual: int) -> str:
    return f"Set {option} to {usual} or more: up to 4.17 a create that asks for more is refused late"


# -- defects -------------------------------------------------------------------------------------------

SECURITY = "XSA-"


def _defects(host: Host) -> Iterator[Check]:
    others = 0
    for exposed in exposures(host):
        if exposed.answer is Answer.NO:
            others += 1
        else:
            yield _defect(exposed)
    yield Check(
        "defects", Area.DEFECT, CheckVerdict.PASS, f"{others} other known defects do not concern this host"
    )


def _defect(exposed: Exposure) -> Check:
    row = exposed.defect
    verdict = CheckVerdict.UNKNOWN
    if exposed.answer is Answer.YES:
        security = any(SECURITY in text for text in (row.title, *row.sources))
        verdict = CheckVerdict.FAIL if security else CheckVerdict.WARN
    return Check(
        row.code, Area.DEFECT, verdict, row.title, exposed.text.removeprefix("yes; "), row.avoid.rstrip(".")
    )


CHECKS: tuple[Callable[[Host], Iterator[Check]], ...] = (
    _virtualization,
    _acceleration,
    _x2apic,
    _remapping,
    _release,
    _options,
    _grants,
    _defects,
)
"""Every kind of check of a host, in the order of the output."""

"""Whether a known defect concerns a host: its version of Xen has it, and the host's facts meet its condition.

A condition also speaks of guests (what they do, how they were created), which no host's facts decide.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from xenapic.apic.features import Technology
from xenapic.frozen import dataclass
from xenapic.model.defects import DEFECTS, Defect
from xenapic.model.facts import Answer, Fact, no, unknown, yes
from xenapic.model.fates import fate
from xenapic.model.flags import PHYSCAP
from xenapic.model.host import Host
from xenapic.parse.commandline import CommandLine
from xenapic.parse.xenversion import parse_version

__all__ = ["Exposure", "exposure", "exposures"]


@dataclass(frozen=True, slots=True)
class Exposure:
    """What is known about a defect on a host."""

    defect: Defect
    answer: Answer
    """Yes if the version has it and every fact that the condition names is there."""
    text: str
    """Why, in words: the version's fate, or the fact that rules the defect out."""


def exposures(host: Host) -> tuple[Exposure, ...]:
    """Return the answer for every defect of the table, in its order."""
    return tuple(exposure(defect, host) for defect in DEFECTS)


def exposure(defect: Defect, host: Host) -> Exposure:
    """Return whether a defect concerns a host."""
    version = parse_version(str(host.version)) if host.version.known else None
    if version is None:
        return Exposure(defect, Answer.UNKNOWN, "it is not known which Xen this is")
    told = fate(defect, version)
    if told.answer is Answer.NO:
        return Exposure(defect, Answer.NO, told.text)
    condition = _condition(defect, host)
    if condition.answer is Answer.YES:
        return Exposure(defect, told.answer, told.text)
    return Exposure(defect, condition.answer, condition.source)


def _condition(defect: Defect, host: Host) -> Fact:
    """Return whether the host's facts meet a defect's condition."""
    if not defect.needs:
        return yes("any host")
    answers = [_all_hold(text, host) for text in defect.needs]
    for wanted in (Answer.YES, Answer.UNKNOWN):
        for fact in answers:
            if fact.answer is wanted:
                return fact
    return answers[0]


def _all_hold(text: str, host: Host) -> Fact:
    """Return whether every word holds: one that does not decides, then one that is unknown."""
    facts = [_word(word, host) for word in text.split()]
    for wanted in (Answer.NO, Answer.UNKNOWN):
        for fact in facts:
            if fact.answer is wanted:
                return fact
    return facts[0]


OPPOSITE = {Answer.YES: Answer.NO, Answer.NO: Answer.YES, Answer.UNKNOWN: Answer.UNKNOWN}


def _word(word: str, host: Host) -> Fact:
    name = word.removeprefix("!")
    fact = WORDS[name](host) if name in WORDS else host.features[name]
    source = f"{name.replace('_', ' ')}: {fact.answer.value} ({fact.source})"
    return Fact(OPPOSITE[fact.answer] if word.startswith("!") else fact.answer, source, fact.how)


def _vmx(host: Host) -> Fact:
    return (yes if host.technology is Technology.VMX else no)("physinfo.hw_cap")


def _shadow(host: Host) -> Fact:
    if PHYSCAP.shadow in host.physinfo.capabilities:
        return yes("physinfo.capabilities")
    if PHYSCAP.shadow in host.unknown:
        return unknown("shadow paging depends on Xen's build", "xenapic host on that host")
    return no("physinfo.capabilities")


def _pvh_dom0(host: Host) -> Fact:
    options = CommandLine(host.version.commandline)
    pvh = any("pvh" in value.split(",") for value in options.values("dom0"))
    return (yes if pvh else no)("option dom0= on Xen's command line")


WORDS: Mapping[str, Callable[[Host], Fact]] = {
    "vmx": _vmx,
    "shadow": _shadow,
    "pvh_dom0": _pvh_dom0,
    "nested_virt": lambda host: host.nested_virt,
    "posted_by_iommu": lambda host: host.posted_by_iommu,
}
"""The words of `Defect.needs` that are no feature's key."""

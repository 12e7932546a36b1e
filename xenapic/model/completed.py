"""What the processor's row adds to a host of which Xen's own words are known, and where the two disagree.

Xen's log does not show 'virtualize x2APIC mode', for example. If the row of the processor explains everything
that is known about the host, what follows from the row is a fact too, with the row as its source. If it
does not, the log's facts stay, the row adds nothing, and both are said.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import product

from xenapic.apic.controls import CONTROLS, Controls, subsets
from xenapic.apic.features import Technology, feature
from xenapic.apic.processors import Processor
from xenapic.model.acceleration import host_controls
from xenapic.model.consequences import IMPLIED, uses
from xenapic.model.evidence import APICV_OFF, IN_LOG
from xenapic.model.facts import Fact, no, yes
from xenapic.model.host import Host
from xenapic.model.releases import XEN_RELEASES, activates_tertiary, chooses_alike
from xenapic.parse.commandline import CommandLine

__all__ = ["completed"]


def completed(host: Host, row: Processor, why: str) -> tuple[Host, tuple[str, ...]]:
    """Return the host with what a row adds, and what contradicts it, in sentences.

    ``why`` says how it is known that the processor is this one. Raises nothing.
    """
    if host.technology is not row.technology:
        return host, (f"{why}, which has {row.technology.value}, but the log is of another processor",)
    if host.technology is not Technology.VMX or not chooses_alike(host.version.number):
        return host, ()
    known = {key: host.features[key] for key in IMPLIED if host.features[key].known}
    possible = tuple(_possible(host, row))
    fitting = [used for used in possible if all(uses(key, used) is bool(fact) for key, fact in known.items())]
    if not fitting or host.physinfo.no_guest:
        return _contradicted(host, row, why, known, possible)
    features = dict(host.features)
    listed = host.seen is not None and host.seen.feature_list is not None
    left = IN_LOG.keys() if listed else ()  # a damaged list is not repaired
    for key in IMPLIED:
        answers = {uses(key, used) for used in fitting}
        if not features[key].known and len(answers) == 1 and key not in left:
            source = f"{why} ({row.source}), which agrees with all else that is known"
            features[key] = yes(source) if answers.pop() else no(source)
    return replace(host, features=features), ()


def _possible(host: Host, row: Processor) -> Iterator[Controls]:
    """Yield what Xen may use of such a processor, as far as its options and its version are known."""
    options = CommandLine(host.version.commandline)
    off = options.boolean("apicv") is False or APICV_OFF in host.features.values()
    apicv = (False,) if off else (True,) if host.commandline_known and not options.cut else (True, False)
    tertiary = activates_tertiary(host.version.number, host.version.extra)
    for activates, option, more in product(
        (True, False) if tertiary is None else (tertiary,),
        apicv,
        subsets(sorted(row.unknown & CONTROLS.keys())),
    ):
        release = replace(XEN_RELEASES[-1], tertiary_controls=activates)
        yield host_controls(release, Controls.of(*(row.offers & CONTROLS.keys()), *more), apicv=option)


def _contradicted(
    host: Host, row: Processor, why: str, known: Mapping[str, Fact], possible: tuple[Controls, ...]
) -> tuple[Host, tuple[str, ...]]:
    """Return the host with both answers in the sources of the facts where they differ."""
    if host.physinfo.no_guest:
        return host, ()
    features = dict(host.features)
    keys: dict[bool, list[str]] = {True: [], False: []}
    for key, fact in known.items():
        if any(uses(key, used) is bool(fact) for used in possible):
            continue
        otherwise = "lacks it" if fact else "offers it"
        features[key] = replace(fact, source=f"{fact.source}; but {why}, which {otherwise} ({row.source})")
        keys[bool(fact)].append(feature(key).name)
    notes = [
        f"{why}, which {'lacks' if used else 'offers'} {', '.join(names)} ({row.source}), but the log shows "
        f"that Xen {'uses' if used else 'does not use'} {'it' if len(names) == 1 else 'them'}"
        for used, names in keys.items()
        if names
    ]
    if not notes:
        notes = [f"{why} ({row.source}), but all of it together does not fit the log, so it adds nothing"]
    return replace(host, features=features), tuple(notes)

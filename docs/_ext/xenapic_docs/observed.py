"""Write the tables about the recordings of a real Xen."""

from __future__ import annotations

import json
import re
from collections import Counter
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import Any

from xenapic.apic.controls import Controls
from xenapic.apic.features import Technology
from xenapic.apic.state import ApicState
from xenapic.model.executed import Execution, executions
from xenapic.model.flags import MISC, names
from xenapic.model.releases import XEN_RELEASES
from xenapic.verify.check import Report, Verdict
from xenapic.verify.checks import check_file
from xenapic_docs.markdown import link, table

ROOT = Path(__file__).parents[3]
OBSERVED = ROOT / "tests" / "data" / "observed"


@lru_cache
def recordings() -> tuple[Report, ...]:
    """Return every recording, compared with the model."""
    return tuple(check_file(path) for path in sorted(OBSERVED.glob("*.json")))


def recordings_table() -> str:
    """Return how many recorded values agree with the model, by topic."""
    kinds = dict.fromkeys(
        one.topic
        for report in recordings()
        for one in report.checks
        if one.verdict is not Verdict.NOT_COVERED
    )
    body = []
    for report in recordings():
        counted = Counter(one.topic for one in report.checks if one.verdict is not Verdict.NOT_COVERED)
        body.append(
            (
                f"`{report.name.removesuffix('.json')}`",
                f"**{report.agree} of {report.compared}**",
                len(report.of(Verdict.NOT_COVERED)),
                *(counted[kind] or "–" for kind in kinds),
            )
        )
    return table(("recording", "agree", "not covered", *kinds), body)


RECORDED = ROOT / "tests" / "data" / "recorded"


@lru_cache
def executed(name: str) -> Report:
    """Return a recording that a row of the release table rests on, compared with the model."""
    path = next(home / f"{name}.json" for home in (RECORDED, OBSERVED) if (home / f"{name}.json").exists())
    return check_file(path)


def executed_table() -> str:
    """Return what each release rests on, by vendor: recordings with what they compare, or the source."""
    body: list[tuple[object, ...]] = []
    for release in XEN_RELEASES:
        for technology, vendor in ((Technology.VMX, "Intel"), (Technology.SVM, "AMD")):
            rows = executions(release.name, technology)
            if not rows:
                body.append((link(release.name, release.name), vendor, "*source*", "", "", "", ""))
            body += [
                (link(release.name, release.name), vendor, "*executed*", *_execution(row)) for row in rows
            ]
    return table(("release", "vendor", "rests on", "recording", "Xen", "build", "values that agree"), body)


def _execution(row: Execution) -> tuple[str, ...]:
    report = executed(row.recording)
    counted = Counter(one.topic for one in report.of(Verdict.AGREES))
    topics = ", ".join(f"{topic} {count}" for topic, count in counted.items())
    build = f"{'with' if row.shadow else 'without'} shadow paging{'' if row.apicv else ', `apicv=0`'}"
    return f"`{row.recording}`", f"{row.xen} on {row.processor}", build, f"**{report.agree}**: {topics}"


@lru_cache
def recorded() -> tuple[dict[str, Any], ...]:
    """Return the content of the recordings."""
    return tuple(json.loads(path.read_text()) for path in sorted(OBSERVED.glob("*.json")))


def coverage() -> str:
    """Return what the recordings cover, and what none of them contains."""
    found = recorded()
    states = {one["apic_mode"] for data in found for one in (*data["vmcs"], *data["guest"])}
    vmcs = [(int(one["pin_based"], 16), int(one["secondary"], 16)) for data in found for one in data["vmcs"]]
    seen = {Controls.from_words(pin, 0, secondary) for pin, secondary in vmcs}
    both = ("apic_register_virtualization", "virtual_interrupt_delivery")
    lacking = {
        "one of register virtualization and virtual-interrupt delivery without the other": not any(
            one.has(both[0]) != one.has(both[1]) for one in seen
        ),
        "posted interrupts": not any(one.has("posted_interrupts") for one in seen),
        **{f"an APIC in the state *{s.value}*": s.value not in states for s in ApicState},
    }
    lines = {
        "Releases": [data["xen"] for data in found],
        "Processors and options": [" ".join([data["processor"], *data["xen_options"]]) for data in found],
        "Recorded with": [data.get("emulator", "a real processor") for data in found],
        "None has": [what for what, is_so in lacking.items() if is_so],
    }
    return "".join(
        f"- {head}: {'; '.join(dict.fromkeys(words)) or 'nothing of note'}.\n"
        for head, words in lines.items()
    )


def recorded_words() -> str:
    """Return the secondary controls that were found in VMCSs, as recorded."""
    body = []
    states = (ApicState.XAPIC, ApicState.X2APIC, ApicState.RELOCATED)
    for data in recorded():
        where = " ".join([data["xen"], data["processor"], *data["xen_options"]])
        for flags, entries in groupby(data["vmcs"], lambda one: one["misc_flags"]):
            words = {one["apic_mode"]: one["secondary"] for one in entries}
            cells = (f"`{words[s.value]}`" if s.value in words else "–" for s in states)
            body.append((where, " ".join(names(MISC(flags))) or "0", *cells))
    return table(("Xen, processor, options", "misc_flags", "xAPIC", "x2APIC", "relocated"), body)


def recorded_costs() -> str:
    """Return what accesses cost in ticks, by the outcome that the model predicts."""
    pattern = re.compile(r"([\d.]+) ticks")
    found: dict[str, list[float]] = {}
    for report in recordings():
        for one in report.checks:
            match = pattern.search(one.found)
            if one.topic == "access" and match and one.verdict is Verdict.AGREES:
                found.setdefault(one.predicted.partition(";")[0], []).append(float(match[1]))
    return table(
        ("outcome by the model", "accesses recorded", "fewest ticks", "most ticks"),
        [(link(name), len(ticks), f"{min(ticks):g}", f"{max(ticks):g}") for name, ticks in found.items()],
    )

"""The text format of Prometheus, for the textfile collector of its node exporter.

A gauge that says *yes* or *no* has the value 1 or 0. Where the answer is unknown, the sample is missing, and
the gauge whose name ends in ``_known`` is 0. Names and labels are public; the texts of ``# HELP`` are not.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from xenapic.apic.features import FEATURES
from xenapic.exits.judgement import Removable
from xenapic.exits.reasons import reason_name
from xenapic.exits.report import ExitReport
from xenapic.frozen import dataclass
from xenapic.model.checks import CheckVerdict, check_host
from xenapic.model.exposure import exposures
from xenapic.model.facts import Answer, Fact
from xenapic.model.host import Host

__all__ = ["METRICS", "Sample", "exits_text", "host_text"]

METRICS: Mapping[str, str] = {
    "xenapic_xen_info": "The Xen that this host runs; always 1.",
    "xenapic_feature_used": "Whether Xen uses a feature of APIC acceleration for guests.",
    "xenapic_feature_known": "Whether it is known if Xen uses the feature.",
    "xenapic_feature_measured": "Whether the answer was read from the VMCS of a domain.",
    "xenapic_fact": "Whether something else holds for the host.",
    "xenapic_fact_known": "Whether the fact is known.",
    "xenapic_measured_timestamp_seconds": "When the controls were measured; missing if they were not.",
    "xenapic_grant_frames": "A domain's default number of grant frames; up to 4.17 also its maximum.",
    "xenapic_maptrack_frames": "A domain's default number of maptrack frames; up to 4.17 also its maximum.",
    "xenapic_defect_applies": "Whether a known defect of Xen concerns this host.",
    "xenapic_defect_known": "Whether it is known if the defect concerns this host.",
    "xenapic_checks": "Number of checks of 'xenapic validate' by verdict.",
    "xenapic_vm_exits": "VM exits of a domain while they were counted.",
    "xenapic_vm_exits_per_second": "VM exits of a domain per second while they were counted.",
    "xenapic_vm_exits_counted_seconds": "How long the VM exits of a domain were counted.",
    "xenapic_vm_exits_complete": "Whether every VM exit was counted; otherwise the numbers are lower bounds.",
    "xenapic_vm_exits_removable": "VM exits that acceleration removes (yes) or may remove (unknown).",
}
"""Every metric and what it means, in the order of the output. All are gauges."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One sample of a metric."""

    metric: str
    labels: tuple[tuple[str, str], ...]
    value: float

    def __str__(self) -> str:
        labels = ",".join(f'{name}="{_escaped(value)}"' for name, value in self.labels)
        value = str(int(self.value)) if self.value == int(self.value) else repr(self.value)
        return f"{self.metric}{{{labels}}} {value}" if labels else f"{self.metric} {value}"


def host_text(host: Host) -> str:
    """Return a host's facts, the defects that concern it and the number of failed checks, as metrics."""
    return _text(_host(host))


def exits_text(report: ExitReport) -> str:
    """Return a domain's VM exits, all vCPUs added up, as metrics."""
    return _text(_exits(report))


# -- the format --------------------------------------------------------------------------------------


def _text(samples: Iterable[Sample]) -> str:
    by_metric: dict[str, list[Sample]] = {}
    for sample in samples:
        by_metric.setdefault(sample.metric, []).append(sample)
    lines: list[str] = []
    for metric, meaning in METRICS.items():
        if metric in by_metric:
            lines += [f"# HELP {metric} {meaning}", f"# TYPE {metric} gauge", *map(str, by_metric[metric])]
    return "".join(f"{line}\n" for line in lines)


def _escaped(value: str) -> str:
    """Return a label's value as the format writes it."""
    return re.sub(r'[\\"]', r"\\\g<0>", _printable(value))


def _printable(value: str) -> str:
    """Return text whose characters that cannot be printed are replaced."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in value)


def _sample(metric: str, value: float, **labels: str) -> Sample:
    return Sample(metric, tuple(labels.items()), value)


# -- a host ------------------------------------------------------------------------------------------


def _host(host: Host) -> Iterator[Sample]:
    technology = host.technology.value if host.technology else "none"
    yield _sample("xenapic_xen_info", 1, xen=str(host.version), technology=technology)
    measured = host.measured.done if host.measured else False
    for row in FEATURES:
        fact = host.features[row.key]
        yield from _answer("xenapic_feature", "used", fact.answer, feature=row.key)
        by_vmcs = measured and fact.source.startswith("measured: ")
        yield _sample("xenapic_feature_measured", by_vmcs, feature=row.key)
    for name, fact in _facts(host).items():
        yield from _answer("xenapic_fact", "", fact.answer, fact=name)
    if measured and host.measured is not None:
        yield _sample("xenapic_measured_timestamp_seconds", host.measured.taken_at)
    limits = host.grant_limits
    if limits.frames_known:
        yield _sample("xenapic_grant_frames", limits.frames)
    if limits.maptrack_frames_known:
        yield _sample("xenapic_maptrack_frames", limits.maptrack_frames)
    for exposed in exposures(host):
        yield from _answer("xenapic_defect", "applies", exposed.answer, defect=exposed.defect.code)
    verdicts = [check.verdict for check in check_host(host)]
    for verdict in CheckVerdict:
        yield _sample("xenapic_checks", verdicts.count(verdict), verdict=verdict.value)


def _facts(host: Host) -> dict[str, Fact]:
    names = (
        "x2apic_mode",
        "interrupt_remapping",
        "posted_by_iommu",
        "nested_virt",
        "altp2m",
        "flask",
        "tboot",
    )
    return {name: getattr(host, name) for name in names}


def _answer(metric: str, suffix: str, answer: Answer, **labels: str) -> Iterator[Sample]:
    """Yield an answer as two samples; the first is missing for an unknown one."""
    known = answer is not Answer.UNKNOWN
    if known:
        yield _sample(f"{metric}_{suffix}" if suffix else metric, answer is Answer.YES, **labels)
    yield _sample(f"{metric}_known", known, **labels)


# -- VM exits ----------------------------------------------------------------------------------------


def _exits(report: ExitReport) -> Iterator[Sample]:
    domid = str(report.domid)
    sums: dict[tuple[tuple[str, str], ...], int] = {}
    for kind, count in report.kinds.items():
        labels = {
            "domid": domid,
            "reason": reason_name(kind.technology, kind.reason),
            "cause": kind.cause.value,
            "register": kind.register or "",
            "access": kind.operation.value if kind.operation else "",
            "removable": kind.removable.value,
        }
        key = tuple((name, _printable(value)) for name, value in labels.items())
        sums[key] = sums.get(key, 0) + count
    for key, count in sums.items():
        yield Sample("xenapic_vm_exits", key, count)
        yield Sample("xenapic_vm_exits_per_second", key, report.rate(count))
    yield _sample("xenapic_vm_exits_counted_seconds", report.seconds, domid=domid)
    yield _sample("xenapic_vm_exits_complete", report.complete, domid=domid)
    for removable in (Removable.YES, Removable.UNKNOWN):
        count = report.count(removable=removable)
        yield _sample("xenapic_vm_exits_removable", count, domid=domid, removable=removable.value)

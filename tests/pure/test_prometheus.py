"""Metrics: what Prometheus' own parser reads is what the host and the counts say."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings

import xenapic
from tests.documents import LIBRARY_VALUES
from tests.hosts import SVM, host
from xenapic.apic.controls import ControlWords
from xenapic.apic.state import ApicState
from xenapic.documents.prometheus import METRICS, exits_text, host_text
from xenapic.exits.judgement import Removable
from xenapic.exits.report import ExitReport
from xenapic.model.exposure import exposures
from xenapic.model.facts import Answer

parser = pytest.importorskip("prometheus_client.parser", reason="make installs it")

Key = tuple[str, frozenset[tuple[str, str]]]
VALUE = {Answer.YES: 1.0, Answer.NO: 0.0}


def read(text: str) -> dict[Key, float]:
    """Read metrics; check what holds for all of them."""
    samples: dict[Key, float] = {}
    for family in parser.text_string_to_metric_families(text):
        assert family.type == "gauge" and family.documentation == METRICS[family.name]
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in samples, "Prometheus refuses a sample that is there twice"
            samples[key] = sample.value
    assert all(name.startswith("xenapic_") for name, _labels in samples)
    return samples


def value(samples: dict[Key, float], name: str, **labels: str) -> float | None:
    return samples.get((name, frozenset(labels.items())))


@pytest.mark.parametrize(
    "made",
    [
        host(),
        host(start=100),
        host(hw_cap=SVM),
        host(
            measured=xenapic.Measurement(
                {s: ControlWords(0, 0x80200000, 1, 0) for s in ApicState}, "x", "", 7
            )
        ),
        xenapic.named_host(xenapic.processor("skylake-sp"), xenapic.xen_release("4.20")),
    ],
)
def test_a_host(made: xenapic.Host) -> None:
    samples = read(host_text(made))
    for key, fact in made.features.items():
        assert value(samples, "xenapic_feature_used", feature=key) == VALUE.get(fact.answer)
        assert value(samples, "xenapic_feature_known", feature=key) == fact.known
    for each in exposures(made):
        code = each.defect.code
        assert value(samples, "xenapic_defect_applies", defect=code) == VALUE.get(each.answer)
        assert value(samples, "xenapic_defect_known", defect=code) == (each.answer is not Answer.UNKNOWN)
    assert value(samples, "xenapic_fact_known", fact="x2apic_mode") == made.x2apic_mode.known
    assert value(samples, "xenapic_feature_measured", feature="tpr_shadow") == (made.measured is not None)
    assert value(samples, "xenapic_measured_timestamp_seconds") == (7 if made.measured else None)


def test_limits_that_are_not_known_are_missing() -> None:
    named = xenapic.named_host(xenapic.processor("skylake-sp"), xenapic.xen_release("4.20"))
    assert value(read(host_text(named)), "xenapic_grant_frames") is None
    assert value(read(host_text(host())), "xenapic_grant_frames") == 64


def test_a_label_is_escaped() -> None:
    made = host()
    extra = '.7\\n"}\n# TYPE evil counter\nevil 1\n\x00'
    made = replace(made, version=replace(made.version, extra=extra))
    samples = read(host_text(made))
    ((labels, _),) = [
        (dict(key[1]), number) for key, number in samples.items() if key[0] == "xenapic_xen_info"
    ]
    assert labels[
        "xen"
    ] == '4.17.7\\n"}\N{REPLACEMENT CHARACTER}# TYPE evil counter\N{REPLACEMENT CHARACTER}evil 1' + (
        "\N{REPLACEMENT CHARACTER}" * 2
    )
    assert not [key for key in samples if "evil" in key[0]]


@given(report=LIBRARY_VALUES["exits"])
@settings(max_examples=30, deadline=None)
def test_counts(report: ExitReport) -> None:
    samples = read(exits_text(report))
    counted = [number for key, number in samples.items() if key[0] == "xenapic_vm_exits"]
    assert sum(counted) == report.total
    domid = str(report.domid)
    for removable in (Removable.YES, Removable.UNKNOWN):
        expected = report.count(removable=removable)
        seen = value(samples, "xenapic_vm_exits_removable", domid=domid, removable=removable.value)
        assert seen == expected
    assert value(samples, "xenapic_vm_exits_complete", domid=domid) == report.complete

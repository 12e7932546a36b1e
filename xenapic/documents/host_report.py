"""Read a host's report (``xenapic host --json``) back into a `Host`, on any machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime
from typing import Any

from xenapic.apic.controls import ControlWords
from xenapic.apic.features import CONTROL_FIELDS, FEATURES, Technology
from xenapic.apic.state import ApicState
from xenapic.errors import ReportInvalid
from xenapic.model.facts import Answer, Fact, unknown
from xenapic.model.flags import PHYSCAP, PHYSCAP_X86
from xenapic.model.gnttab import GrantLimits
from xenapic.model.host import Host
from xenapic.model.info import PhysInfo, Version
from xenapic.model.measured import Measurement

__all__ = ["SCHEMA", "host_from_report"]

SCHEMA = "xenapic/host/1"
NOT_TOLD = unknown("the report does not tell", "make the report again with this version: xenapic host --json")
LATER_FACTS = ("tboot", "flask", "nested_virt", "altp2m")
"""Facts that the first reports did not hold."""
ANSWERS = {answer.value: answer for answer in Answer}


def host_from_report(report: Any) -> Host:
    """Return the host that a report (parsed JSON) is of; raise `ReportInvalid` when it is none."""
    schema = report.get("schema") if isinstance(report, Mapping) else None
    if schema != SCHEMA:
        raise ReportInvalid(f"not a host's report: its schema is {schema!r}, not {SCHEMA!r}")
    try:
        return _host(report)
    except (KeyError, TypeError, ValueError) as error:
        raise ReportInvalid(f"not a whole report of a host: {type(error).__name__}: {error}") from error


def _host(report: Mapping[str, Any]) -> Host:
    told = report["features"]
    later = {name: _fact(report[name]) if name in report else NOT_TOLD for name in LATER_FACTS}
    return Host(
        version=_version(report["version"]),
        physinfo=_physinfo(report["physinfo"]),
        technology=None if report["technology"] is None else Technology(report["technology"]),
        features={row.key: _fact(told[row.key]) if row.key in told else NOT_TOLD for row in FEATURES},
        interface=_fact(report["interface"]),
        assisted_xapic=_fact(report["assisted_xapic"]),
        assisted_x2apic=_fact(report["assisted_x2apic"]),
        tboot=later["tboot"],
        flask=later["flask"],
        nested_virt=later["nested_virt"],
        altp2m=later["altp2m"],
        grant_limits=GrantLimits(**report["grant_limits"]),
        measured=_measurement(report.get("measurement")),
    )


def _measurement(told: Mapping[str, Any] | None) -> Measurement | None:
    if told is None:
        return None
    return Measurement(
        states={
            ApicState(state): ControlWords(*(words[field.recorded] for field in CONTROL_FIELDS.values()))
            for state, words in told["states"].items()
        },
        how=told["how"] or "",
        why_not=told["why_not"] or "",
        taken_at=datetime.fromisoformat(told["taken_at"]).timestamp(),
    )


def _fact(told: Mapping[str, Any]) -> Fact:
    return Fact(ANSWERS[told["answer"]], told["source"], told["how"] or "")


def _version(told: Mapping[str, Any]) -> Version:
    known = {field.name: told[field.name] for field in fields(Version)}
    return Version(**{**known, "capabilities": tuple(known["capabilities"])})


def _physinfo(told: Mapping[str, Any]) -> PhysInfo:
    known = {field.name: told[field.name] for field in fields(PhysInfo)}
    arch = known["arch_capabilities"]
    known["capabilities"] = PHYSCAP(known["capabilities"]["value"])
    known["arch_capabilities"] = None if arch is None else PHYSCAP_X86(arch["value"])
    known["hw_cap"] = tuple(known["hw_cap"])
    return PhysInfo(**known)

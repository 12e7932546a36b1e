"""What the commands print: JSON for scripts, tables for people.

Each JSON document says its schema, ``xenapic/NAME/1``; within a version, keys
are only added. ``xenapic schema NAME`` prints it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime, timezone
from enum import Enum, IntFlag
from typing import Any
from uuid import UUID

import click

from xenapic.apic.controls import ControlWords
from xenapic.apic.features import CONTROL_FIELDS
from xenapic.errors import Problem
from xenapic.live.owners import owner_state
from xenapic.model.facts import Fact
from xenapic.model.flags import names
from xenapic.model.host import Host
from xenapic.model.info import DomainInfo, PhysInfo, Version
from xenapic.model.measured import Measurement

__all__ = [
    "JSON",
    "SCHEMAS",
    "domain_json",
    "emit",
    "host_json",
    "info_json",
    "printable",
    "problem_json",
    "schema_text",
    "table",
]

SCHEMAS = (
    "info",
    "host",
    "plan",
    "access",
    "explain",
    "spec-check",
    "inspect",
    "verify",
    "lab-verify",
    "list",
    "create",
    "destroy",
    "console",
    "exits",
    "machines",
)
VERSION = 1

JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON, described by 'xenapic schema'.")
"""The option of every command that can `emit`."""


def emit(name: str, body: dict[str, Any]) -> None:
    """Print a JSON document of a schema."""
    click.echo(json.dumps({"schema": f"xenapic/{name}/{VERSION}", **body}, indent=2))


def schema_text(name: str) -> str:
    """Return a JSON schema's text."""
    from importlib.resources import files

    return files("xenapic.cli").joinpath(f"schemas/{name}.json").read_text()


def table(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table."""
    from tabulate import tabulate

    click.echo(
        tabulate([list(row) for row in rows], headers=list(headers), tablefmt="simple", disable_numparse=True)
    )


def printable(text: str) -> str:
    """Return text that cannot steer a terminal: what is not printable is shown as an escape."""
    return "".join(char if char.isprintable() or char == "\t" else repr(char)[1:-1] for char in text)


def plain(value: object) -> Any:
    """Turn a value of the API into what JSON knows."""
    if isinstance(value, IntFlag):
        return {"value": int(value), "names": names(value)}
    if isinstance(value, Enum):
        return value.name if isinstance(value, int) else value.value
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    return value


def _flat(value: PhysInfo | Version) -> dict[str, Any]:
    return {field.name: plain(getattr(value, field.name)) for field in fields(value)}


def info_json(version: Version, physinfo: PhysInfo) -> dict[str, Any]:
    """Return the body of ``xenapic/info``."""
    return {"version": {**_flat(version), "release": version.release}, "physinfo": _flat(physinfo)}


def fact_json(fact: Fact) -> dict[str, Any]:
    """Return a fact: answer, source, and how to find out when it is unknown."""
    return {"answer": fact.answer.value, "source": fact.source, "how": fact.how or None}


def host_json(host: Host) -> dict[str, Any]:
    """Return the body of ``xenapic/host``."""
    return {
        "xen": str(host.version),
        "release": host.release.name,
        "technology": plain(host.technology),
        "features": {key: fact_json(fact) for key, fact in host.features.items()},
        "interface": fact_json(host.interface),
        "assisted_xapic": fact_json(host.assisted_xapic),
        "assisted_x2apic": fact_json(host.assisted_x2apic),
        "grant_limits": {
            "frames": host.grant_limits.frames,
            "maptrack_frames": host.grant_limits.maptrack_frames,
            "source": host.grant_limits.source,
        },
        "measurement": measurement_json(host.measured),
        **info_json(host.version, host.physinfo),
    }


def measurement_json(measured: Measurement | None) -> dict[str, Any] | None:
    """Return what was measured, per state of a local APIC; null when nobody asked for it."""
    if measured is None:
        return None
    taken = datetime.fromtimestamp(measured.taken_at, timezone.utc)
    return {
        "taken_at": taken.isoformat(timespec="seconds"),
        "how": measured.how or None,
        "why_not": measured.why_not or None,
        "states": {
            state.value: {**words_json(words), "controls": list(words.controls.keys)}
            for state, words in measured.states.items()
        },
    }


def words_json(words: ControlWords) -> dict[str, int]:
    """Return the four words of VM-execution controls."""
    return {field.recorded: getattr(words, key) for key, field in CONTROL_FIELDS.items()}


def domain_json(info: DomainInfo) -> dict[str, Any]:
    """Return one domain of ``xenapic/list``."""
    return {
        "domid": info.domid,
        "type": info.guest_type.name,
        "flags": names(info.flags),
        "shutdown_reason": plain(info.shutdown_reason),
        "memory_kib": info.memory_kib,
        "vcpus": info.nr_online_vcpus,
        "cpu_time_ns": info.cpu_time,
        "cpupool": info.cpupool,
        "handle": str(info.handle),
        "emulation_flags": names(info.emulation_flags),
        "misc_flags": names(info.misc_flags),
        "owner": owner_json(info),
    }


def owner_json(info: DomainInfo) -> dict[str, Any] | None:
    """Return whose the domain is; null when xenapic did not make it."""
    owner = info.owner
    if owner is None:
        return None
    return {"state": owner_state(owner).value, "pid": owner.pid or None}


def problem_json(problem: Problem) -> dict[str, Any]:
    """Return one reason of a refusal."""
    return {
        "code": problem.code,
        "field": problem.field,
        "value": plain(problem.value),
        "rule": problem.rule,
        "remedy": problem.remedy,
        "errno": problem.errno,
        "late": problem.late,
        "source": problem.source,
    }

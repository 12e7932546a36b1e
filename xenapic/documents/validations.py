"""``xenapic/validate``: the checks of hosts, and of a policy on them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from xenapic.frozen import dataclass
from xenapic.model.checks import Area, Check, CheckVerdict, worst

__all__ = ["HostCheckEntry", "ValidatedHost", "Validation"]


@dataclass(frozen=True, slots=True)
class HostCheckEntry:
    """One check and its result."""

    code: str
    """A stable name; for a defect, a refusal or a create rule its own code."""
    area: Area
    verdict: CheckVerdict
    text: str
    """What was seen."""
    source: str | None
    """How it is known."""
    advice: str | None
    """What to do."""

    @classmethod
    def of(cls, check: Check) -> HostCheckEntry:
        """Return the entry of a check."""
        return cls(
            check.code, check.area, check.verdict, check.text, check.source or None, check.advice or None
        )


@dataclass(frozen=True, slots=True)
class ValidatedHost:
    """The checks of one host."""

    verdict: CheckVerdict
    """The worst of the checks."""
    checks: tuple[HostCheckEntry, ...]


@dataclass(frozen=True, slots=True)
class Validation:
    """The checks of hosts, and of a policy on them."""

    SCHEMA: ClassVar[str] = "xenapic/validate/1"

    verdict: CheckVerdict
    """The worst of all checks."""
    hosts: Mapping[str, ValidatedHost]

    @classmethod
    def of(cls, checks: Mapping[str, tuple[Check, ...]]) -> Validation:
        """Return the document of each host's checks."""
        hosts = {
            name: ValidatedHost(worst(results), tuple(map(HostCheckEntry.of, results)))
            for name, results in checks.items()
        }
        return cls(worst(tuple(result for results in checks.values() for result in results)), hosts)

"""What the lab's dom0 is asked to do, and what it answers line by line."""

from __future__ import annotations

from xenapic.frozen import dataclass
from xenapic.xtf.results import XtfResult

__all__ = ["Event", "Job"]


@dataclass(frozen=True, slots=True)
class Job:
    """Tests to run in dom0."""

    tree: str
    names: tuple[str, ...]
    policy: str | None
    """A policy's file in dom0."""
    timeout: float
    memory_mib: int | None


@dataclass(frozen=True, slots=True)
class Event:
    """One of these has happened."""

    begun: str | None = None
    """A test begins."""
    result: XtfResult | None = None
    """A test has ended."""
    refused: str | None = None
    """This Xen has no plan for the policy."""

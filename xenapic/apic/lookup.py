"""Find the processor that a text means: its CPUID signature, or what it is sold as.

A name in the trade is looked up among those that were read from real processors; only if none fits, its
number says which generations it can be. If rows that differ can be meant, `combined` keeps what all of
them offer, and the rest is unknown.
"""

from __future__ import annotations

import re
from functools import cached_property

from xenapic.apic.brands import NO_ROW, SERIES, Missing, Series, plain_name, signature_read
from xenapic.apic.features import Technology
from xenapic.apic.processors import PROCESSORS, Processor
from xenapic.apic.signature import Signature, covers, parse_signature
from xenapic.errors import NameUnknown
from xenapic.frozen import dataclass

__all__ = ["Match", "by_brand", "by_signature", "combined", "look_up", "unknown_name", "why_no_row"]

LIMIT = 100
"""Characters in a name; CPUID has room for 48."""


@dataclass(frozen=True)
class Match:
    """The rows that a text can mean, and how that is known."""

    rows: tuple[Processor, ...]
    said: str
    """A sentence without its full stop."""

    @cached_property
    def processor(self) -> Processor:
        """The row, or all of them combined."""
        return combined(self.rows)


def by_signature(signature: Signature, technology: Technology | None = None) -> tuple[Processor, ...]:
    """Return the rows of real processors that have a signature, perhaps of one technology only.

    Without a vendor, Intel's and AMD's processors come before Zhaoxin's.
    """
    rows = [
        (row, each)
        for row in PROCESSORS.values()
        for each in row.signatures
        if technology in (None, row.technology) and covers(each, signature)
    ]
    known = [row for row, each in rows if "/" not in each]
    return tuple(dict.fromkeys(known or [row for row, _each in rows]))


def by_brand(name: str) -> Match | None:
    """Return what is sold under a name, as CPUID or a shop writes it; None if that is not known."""
    plain, shown = plain_name(name[:LIMIT]), name.strip()[:LIMIT]
    series = _series(plain)
    of_series = tuple(PROCESSORS[row] for row in series.rows) if series else ()
    text = signature_read(plain)
    signature = parse_signature(text) if text else None
    if signature:
        rows = by_signature(signature)
        rows = tuple(row for row in rows if row in of_series) or rows
        return Match(rows, f"{shown!r} has the CPUID signature {signature} (read from a real one)")
    if series is None:
        return None
    which = " or ".join(series.rows)
    return Match(of_series, f"{shown!r} is of the series {series.title}, which is {which}")


def _series(plain: str) -> Series | None:
    return next((series for series in SERIES if re.fullmatch(series.pattern, plain)), None)


def look_up(text: str) -> Match | None:
    """Return what a text means: a row's name, a signature or a name in the trade; None for nothing."""
    if text in PROCESSORS:
        return Match((PROCESSORS[text],), f"{text!r} is a name in the table")
    signature = parse_signature(text[:LIMIT])
    if signature:
        rows = by_signature(signature)
        said = f"{text.strip()!r} is the CPUID signature {signature}"
        if rows:
            return Match(rows, said)
    return by_brand(text)


def combined(rows: tuple[Processor, ...]) -> Processor:
    """Return a processor that offers what all of the rows offer; where they differ, it is unknown."""
    if len(rows) == 1:
        return rows[0]
    surely = frozenset.intersection(*(row.offers for row in rows))
    perhaps = frozenset.union(*(row.offers | row.unknown for row in rows))
    return Processor(
        " or ".join(row.name for row in rows),
        "; or ".join(row.title for row in rows),
        rows[0].technology,
        surely,
        perhaps - surely,
        "; ".join(f"{row.name}: {row.source}" for row in rows),
        notes="what only some of them offer is unknown",
    )


def _missing(text: str, signature: Signature | None) -> Missing | None:
    """Return the known processor without a row that a text means."""
    if signature:
        return next((row for row in NO_ROW if covers(row.signature, signature)), None)
    plain = plain_name(text[:LIMIT])
    return next((row for row in NO_ROW if row.pattern and re.fullmatch(row.pattern, plain)), None)


def why_no_row(text: str) -> str:
    """Return why a real processor that a text means has no row; empty if it means none of those."""
    missing = _missing(text, parse_signature(text[:LIMIT]))
    return f"{missing.title} has no row: {missing.why}" if missing else ""


def unknown_name(name: str) -> NameUnknown:
    """Return the error for a text that means no processor, with the reason or with what is near."""
    signature = parse_signature(name[:LIMIT])
    reason = why_no_row(name)
    if reason:
        return NameUnknown("processor", name, (), reason)
    if signature is None:
        return NameUnknown.among("processor", name, PROCESSORS, "xenapic.PROCESSORS has them all")
    rows = [row.name for row in by_signature(Signature(signature.family, signature.model))]
    hint = "other steppings of the model are known" if rows else "no processor of this model is known"
    return NameUnknown("processor", name, rows, f"CPUID signature {signature}: {hint}")

"""Check what two vCPUs of one guest found: INIT and SIPI, and each interrupt that one sent the other."""

from __future__ import annotations

from collections.abc import Iterator

from xenapic.apic.state import APIC_BASE_BSP, ApicState
from xenapic.loader.acpi import apic_id
from xenapic.model.ipi import LOWEST_PRIORITY
from xenapic.probe.pair import expected_receivers
from xenapic.verify.check import Check, compare
from xenapic.verify.guest import flags_shown, no_answer
from xenapic.verify.guest_records import IpiRecord, PairRecord
from xenapic.verify.subject import Subject

__all__ = ["ipi_words", "of_pair", "pair_checks"]

XAPIC_ID_SHIFT = 24
STARTS = (1, 2)
"""The second vCPU starts by each INIT and SIPI; a SIPI to one that runs does nothing."""
SPIV_AFTER_INIT = 0xFF


def of_pair(record: PairRecord) -> str:
    """Return the words for the guest that a record is about."""
    return f"two vCPUs, {flags_shown(record)}"


def pair_checks(record: PairRecord, subject: Subject) -> Iterator[Check]:
    """Yield every check of one guest with two vCPUs."""
    at = of_pair(record)
    if record.failed is not None:
        yield no_answer(record, "interrupt", at, subject, record.failed)
        return
    base = ApicState.XAPIC.apic_base & ~APIC_BASE_BSP
    for what, predicted, recorded in (
        ("starts by INIT and SIPI", str(STARTS), str(tuple(record.starts))),
        ("APIC_BASE of the second", f"{base:#x}", f"{record.second_apic_base:#x}"),
        ("ID of the second", f"{apic_id(1) << XAPIC_ID_SHIFT:#x}", f"{record.second_id:#x}"),
        ("SPIV after INIT", f"{SPIV_AFTER_INIT:#x}", f"{record.spiv_after_init:#x}"),
    ):
        yield compare("interrupt", f"{at}, {what}", predicted, recorded)
    for sent in record.ipis:
        yield _ipi(sent, at)


def ipi_words(sent: IpiRecord) -> str:
    """Return the words for an interrupt."""
    states = " and ".join(state.value for state in sent.states)
    return f"{states}, {sent.kind.value} from vCPU {sent.sender}"


def _ipi(sent: IpiRecord, at: str) -> Check:
    """Check that an interrupt arrived once at each vCPU that it was for; or once at one of them."""
    reached = expected_receivers(sent.kind, sent.sender, sent.states)
    possible = [_arrivals(reached, len(sent.arrivals))]
    if sent.kind.bits & LOWEST_PRIORITY:
        possible = [_arrivals({one}, len(sent.arrivals)) for one in sorted(reached)] or possible
    recorded = "a fault" if sent.fault is not None else _words(sent.arrivals)
    predicted = " or ".join(map(_words, possible))
    where = f"{at}, {ipi_words(sent)}"
    if sent.fault is None and tuple(sent.arrivals) in possible:
        recorded = predicted
    return compare("interrupt", where, predicted, recorded)


def _arrivals(reached: frozenset[int] | set[int], count: int) -> tuple[int, ...]:
    return tuple(int(number in reached) for number in range(count))


def _words(arrivals: tuple[int, ...]) -> str:
    return f"arrives {' and '.join(map(str, arrivals))} times"

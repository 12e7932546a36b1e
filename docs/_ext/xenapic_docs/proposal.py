"""Write the tables of the proposal from its executable model."""

from __future__ import annotations

from collections import Counter

from xenapic.apic.controls import Controls
from xenapic.apic.features import feature
from xenapic.apic.outcome import Kind, Operation
from xenapic.apic.processors import APICV, POSTED
from xenapic.apic.state import ApicState
from xenapic.errors import errno_name
from xenapic.glossary.controls import saved_by, spans
from xenapic.model.acceleration import VcpuApic, domain_choice, host_controls, vcpu_apic
from xenapic.model.apicbits import KNOWN, asked_word
from xenapic.model.flags import MISC, names
from xenapic.model.proposal import (
    APIC,
    CONTROL,
    NEEDS,
    Refused,
    available,
    leaf,
    requests,
    resolve,
    vcpu,
    viridian,
)
from xenapic.model.releases import DEVELOPMENT, XEN_RELEASES
from xenapic.policy.outlook import rows, share
from xenapic_docs.markdown import link, mark, shown, table
from xenapic_docs.releases import FLAG_WORDS, OFFERS, bitmap_cell

RELEASED = XEN_RELEASES[-1]

READ, WRITE = Operation.READ, Operation.WRITE


def proposal_bits() -> str:
    """Return the proposed bits."""
    return table(
        ("bit", "name", "control", "needs", "saves, with all the others on"),
        [
            (
                bit.value.bit_length() - 1,
                f"`XEN_X86_APIC_{bit.name}`",
                link(CONTROL[bit], feature(CONTROL[bit]).name),
                ", ".join(f"`{n}`" for n in names(NEEDS[bit])) or "nothing",
                _saved(CONTROL[bit]),
            )
            for bit in APIC
        ],
    )


def _saved(key: str) -> str:
    if key not in APICV:
        return "the exit for an interrupt from outside"
    parts = [
        f"{'xAPIC' if s is ApicState.XAPIC else 'x2APIC'} {op.value}s {spans(s, o)}"
        for (s, op), o in saved_by(key).items()
    ]
    return "; ".join(parts)


def proposal_encoding() -> str:
    """Return where the words are in those that every release has."""
    asked, off = asked_word(KNOWN), asked_word(APIC(0), KNOWN)
    return table(
        ("word", *(f"bits {_range(word)}" for word in (asked, off))),
        [
            ("`createdomain.arch.misc_flags`", "on", "off"),
            ("`physinfo.arch_capabilities`", "available", "default"),
            ("`getdomaininfo.arch_config.misc_flags`", "in force", "0"),
        ],
    )


def _range(word: int) -> str:
    return f"{(word & -word).bit_length() - 1} to {word.bit_length() - 1}"


def proposal_counts() -> str:
    """Return how every request is answered, host by host."""
    body = []
    for title, offers in OFFERS:
        host = host_controls(RELEASED, Controls.of(*offers))
        answers = Counter(_answer(resolve(available(host), on, off)) for on, off in requests())
        body.append(
            (title, *(answers[kind] for kind in ("resolved", "EINVAL", "ENODEV")), len(_different(host)))
        )
    return table(("the processor offers", "resolved", "EINVAL", "ENODEV", "different results"), body)


def _answer(found: APIC | Refused) -> str:
    return errno_name(found.errno) if isinstance(found, Refused) else "resolved"


def _different(host: Controls) -> set[APIC]:
    found = (resolve(available(host), on, off) for on, off in requests())
    return {one for one in found if isinstance(one, APIC)}


OFF = (APIC(0), *APIC)


def proposal_states() -> str:
    """Return the controls for each state when one bit is off, on a host that has them all."""
    host = host_controls(RELEASED, Controls.of(*POSTED))
    body = []
    for off in OFF:
        effective = resolve(available(host), APIC(0), off)
        assert isinstance(effective, APIC)
        cells = [
            vcpu(host, effective, state) for state in (ApicState.XAPIC, ApicState.X2APIC, ApicState.DISABLED)
        ]
        body.append(
            (
                f"`{off.name}` off" if off else "nothing asked",
                *(shown(one.controls) for one in cells),
                bitmap_cell(cells[1]),
                *(_stays_in(one) for one in cells[:2]),
                ", ".join(names(leaf(effective))) or "neither",
                mark(viridian(effective).msr_based_apic),
            )
        )
    return table(
        (
            "request",
            "xAPIC",
            "x2APIC",
            "disabled",
            "MSRs not intercepted in x2APIC mode",
            "stays, xAPIC",
            "stays, x2APIC",
            "CPUID base+4",
            "Viridian: use MSRs",
        ),
        body,
    )


def _stays_in(one: VcpuApic) -> str:
    found = list(rows((one,)))
    return ", ".join(f"{share(found, one.state, op)} {op.value}s" for op in (READ, WRITE))


def proposal_today() -> str:
    """Return what the historic flags asked for, in the proposed words, and what came of it."""
    host = host_controls(DEVELOPMENT, Controls.of(*APICV))
    body = []
    for flags in FLAG_WORDS:
        pairs = ((MISC.ASSISTED_XAPIC, APIC.ACCESS_PAGE), (MISC.ASSISTED_X2APIC, APIC.X2APIC_MODE))
        on = APIC(sum(bit for flag, bit in pairs if flag in flags))
        off = APIC(sum(bit for flag, bit in pairs if flag not in flags))
        effective = resolve(available(host), on, off)
        assert isinstance(effective, APIC)
        cells = []
        for state in (ApicState.XAPIC, ApicState.X2APIC):
            then = vcpu_apic(host, domain_choice(DEVELOPMENT, host, int(flags)), state)
            cells += [_how(then), _how(vcpu(host, effective, state))]
        body.append(("|".join(names(flags)) or "0", apic_names(on), apic_names(off), *cells))
    return table(
        (
            "misc_flags of 4.17-rc",
            "on",
            "off",
            "xAPIC then",
            "xAPIC proposed",
            "x2APIC then",
            "x2APIC proposed",
        ),
        body,
    )


def apic_names(word: APIC) -> str:
    return ", ".join(f"`{n}`" for n in names(word)) or "–"


def _how(one: VcpuApic) -> str:
    if any(row.outcome.kind is Kind.MEMORY for row in rows((one,))):
        return "**plain memory**"
    return _stays_in(one)

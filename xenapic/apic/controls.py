"""The VM-execution controls that affect APIC accesses: their words, names, and the rules between them.

Sources: Intel SDM volume 3C, "VM-execution control fields" (which bit) and "Checks on
VMX controls" (which combinations VM entry accepts).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, combinations

from xenapic.apic.features import CONTROL_FIELDS, FEATURES, Technology
from xenapic.frozen import dataclass

__all__ = [
    "CONTROLS",
    "ENTRY_RULES",
    "MASKS",
    "ControlWords",
    "Controls",
    "EntryRule",
    "effective",
    "every_choice",
    "subsets",
    "violations",
]

_KEYS = {field.name: field.key for field in CONTROL_FIELDS.values()}

CONTROLS: dict[str, tuple[str, int]] = {
    row.key: (_KEYS[row.field], 1 << row.bit) for row in FEATURES if row.technology is Technology.VMX
}
"""For the key of each control (`Feature.key`): the key of its word (`ControlField.key`) and its bit there."""

MASKS = {field: sum(bit for where, bit in CONTROLS.values() if where == field) for field in CONTROL_FIELDS}
"""The bits of each word that affect APIC accesses; this package ignores the others."""


@dataclass(frozen=True, slots=True)
class Controls:
    """The four words of VM-execution controls, reduced to the bits that affect APIC accesses."""

    pin_based: int = 0
    primary: int = 0
    secondary: int = 0
    tertiary: int = 0

    @classmethod
    def from_words(cls, pin_based: int, primary: int, secondary: int, tertiary: int = 0) -> Controls:
        """Return the controls from the words of a VMCS, without the bits that do not affect the APIC."""
        return cls(
            pin_based & MASKS["pin_based"],
            primary & MASKS["primary"],
            secondary & MASKS["secondary"],
            tertiary & MASKS["tertiary"],
        )

    @classmethod
    def of(cls, *keys: str) -> Controls:
        """Return the controls with these bits set, by `Feature.key`; raise KeyError for an unknown key."""
        words = dict.fromkeys(CONTROL_FIELDS, 0)
        for key in keys:
            field, bit = CONTROLS[key]
            words[field] |= bit
        return cls(**words)

    def has(self, key: str) -> bool:
        """Return True if a control is 1, by `Feature.key`; raise KeyError for an unknown key."""
        field, bit = CONTROLS[key]
        word: int = getattr(self, field)
        return bool(word & bit)

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys of the controls that are 1, in the order of `FEATURES`."""
        return tuple(key for key in CONTROLS if self.has(key))

    def __str__(self) -> str:
        return " ".join(self.keys) or "none"


@dataclass(frozen=True, slots=True)
class ControlWords:
    """The four words of VM-execution controls of a vCPU, with every bit."""

    pin_based: int
    primary: int
    secondary: int
    tertiary: int = 0
    """64 bits; 0 on a processor without tertiary controls and under a Xen that does not know them."""

    @property
    def controls(self) -> Controls:
        """The bits that affect APIC accesses."""
        return Controls.from_words(self.pin_based, self.primary, self.secondary, self.tertiary)

    def texts(self) -> dict[str, str]:
        """Return each word in hexadecimal, by `ControlField.key`."""
        return {key: field.text(getattr(self, key)) for key, field in CONTROL_FIELDS.items()}


def subsets(keys: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Yield every subset of these controls, smallest first: the states that unknown controls can be in."""
    return chain.from_iterable(combinations(keys, size) for size in range(len(keys) + 1))


def every_choice(keys: Iterable[str]) -> list[Controls]:
    """Return the controls with every subset of these bits set, by `Feature.key`."""
    choices = [dict.fromkeys(CONTROL_FIELDS, 0)]
    for key in keys:
        field, bit = CONTROLS[key]
        choices += [{**words, field: words[field] | bit} for words in choices]
    return [Controls(**words) for words in choices]


@dataclass(frozen=True, slots=True)
class EntryRule:
    """A rule that VM entry checks: if control ``when`` is 1, control ``key`` must be ``value``."""

    code: str
    when: str
    key: str
    value: bool
    text: str

    def broken(self, controls: Controls) -> bool:
        """Return True if this rule makes VM entry fail."""
        return controls.has(self.when) and controls.has(self.key) is not self.value


def _needs(when: str, key: str, text: str) -> EntryRule:
    return EntryRule(f"{when}-needs-{key}".replace("_", "-"), when, key, True, text)


ENTRY_RULES = (
    _needs(
        "virtualize_x2apic_mode", "tpr_shadow", "if 'use TPR shadow' is 0, 'virtualize x2APIC mode' must be 0"
    ),
    _needs(
        "apic_register_virtualization",
        "tpr_shadow",
        "if 'use TPR shadow' is 0, 'APIC-register virtualization' must be 0",
    ),
    _needs(
        "virtual_interrupt_delivery",
        "tpr_shadow",
        "if 'use TPR shadow' is 0, 'virtual-interrupt delivery' must be 0",
    ),
    _needs("ipi_virtualization", "tpr_shadow", "if 'use TPR shadow' is 0, 'IPI virtualization' must be 0"),
    EntryRule(
        "virtualize-x2apic-mode-excludes-virtualize-apic-accesses",
        "virtualize_x2apic_mode",
        "virtualize_apic_accesses",
        False,
        "if 'virtualize x2APIC mode' is 1, 'virtualize APIC accesses' must be 0",
    ),
    _needs(
        "virtual_interrupt_delivery",
        "external_interrupt_exiting",
        "if 'virtual-interrupt delivery' is 1, 'external-interrupt exiting' must be 1",
    ),
    _needs(
        "posted_interrupts",
        "virtual_interrupt_delivery",
        "if 'process posted interrupts' is 1, 'virtual-interrupt delivery' must be 1",
    ),
)
"""SDM volume 3C, "VM-execution control fields" (checks on VMX controls). 'Process posted interrupts' also
needs the VM-exit control 'acknowledge interrupt on exit', which every Xen sets. Secondary controls count
only while 'activate secondary controls' is 1; tertiary controls, while 'activate tertiary controls' is 1."""


def violations(controls: Controls) -> tuple[EntryRule, ...]:
    """Return every rule that makes VM entry fail with these controls; empty if entry succeeds."""
    return tuple(_broken(effective(controls)))


def effective(controls: Controls) -> Controls:
    """Return the controls that the processor obeys: a word that is not activated counts as 0."""
    secondary = controls.secondary if controls.has("secondary_controls") else 0
    tertiary = controls.tertiary if controls.has("tertiary_controls") else 0
    return Controls(controls.pin_based, controls.primary, secondary, tertiary)


def _broken(controls: Controls) -> Iterator[EntryRule]:
    return (rule for rule in ENTRY_RULES if rule.broken(controls))

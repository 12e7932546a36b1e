"""What a setting of xl.cfg does on a host: ``assisted_xapic`` and ``assisted_x2apic``, on any release.

Only 4.17-rc knows the settings. Everywhere else xl ignores them, and Xen refuses the flags that they stand
for. `find` says what that means for one host; `processor_classes` groups the processors that give the same
answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from enum import Enum
from functools import lru_cache

from xenapic.apic.features import Technology
from xenapic.apic.outcome import Operation
from xenapic.apic.processors import PROCESSORS, Processor
from xenapic.apic.state import ApicState
from xenapic.errors import PolicyInvalid
from xenapic.frozen import dataclass
from xenapic.model.facts import Answer
from xenapic.model.host import Host
from xenapic.model.named import named_host
from xenapic.model.releases import XEN_RELEASES
from xenapic.policy.outlook import Share, access_rows, share
from xenapic.policy.plan import Plan, Refusal, plan
from xenapic.policy.reasons import Code
from xenapic.policy.suggest import no_such
from xenapic.policy.terms import Aspect, Policy

__all__ = [
    "SETTINGS",
    "Finding",
    "ProcessorClass",
    "Setting",
    "SettingResult",
    "find",
    "processor_classes",
    "setting_of",
]


@dataclass(frozen=True, slots=True)
class Setting:
    """One line of an xl.cfg."""

    text: str
    policy: Policy
    aspect: Aspect | None = None
    """The control that it is meant to switch."""
    value: bool | None = None


def _setting(name: str, aspect: Aspect, value: bool) -> Setting:
    xapic = value if aspect is Aspect.APIC_ACCESSES else None
    x2apic = value if aspect is Aspect.X2APIC_MODE else None
    policy = Policy(assisted_xapic=xapic, assisted_x2apic=x2apic)
    return Setting(f"{name}={int(value)}", policy, aspect, value)


NEITHER = Setting("neither set", Policy())
SETTINGS: Mapping[str, Setting] = {
    row.text: row
    for row in (
        NEITHER,
        _setting("assisted_x2apic", Aspect.X2APIC_MODE, value=False),
        _setting("assisted_x2apic", Aspect.X2APIC_MODE, value=True),
        _setting("assisted_xapic", Aspect.APIC_ACCESSES, value=False),
        _setting("assisted_xapic", Aspect.APIC_ACCESSES, value=True),
    )
}
"""Every setting by its text."""


def setting_of(text: str) -> Setting:
    """Return the setting that a text means, apart from spaces and quotes; raise `PolicyInvalid`."""
    plain = "".join(text.split()).replace('"', "").replace("'", "")
    if plain in SETTINGS:
        return SETTINGS[plain]
    raise PolicyInvalid(no_such("setting", text, [name for name, row in SETTINGS.items() if row.aspect]))


class SettingResult(Enum):
    """What Xen and its toolstack do with a setting; stable, for programs."""

    DEFAULT = "default"
    """Nothing is set: the host's default."""
    IGNORED = "ignored"
    """Ignored, and the control is as the setting wants it anyway."""
    INEFFECTIVE = "ineffective"
    """Ignored, and the control stays the other way."""
    IGNORED_UNKNOWN = "ignored-unknown"
    """Ignored; it is unknown whether the control is on."""
    ACCEPTED = "accepted"
    """Accepted; the default is the same."""
    EVERY_ACCESS_EXITS = "every-access-exits"
    """Accepted: every access in x2APIC mode exits."""
    PLAIN_MEMORY = "plain-memory"
    """Accepted: the guest's APIC page becomes plain memory (a defect)."""
    NOT_OFFERED = "not-offered"
    """Refused with ENODEV: the host does not offer it."""
    UNDECIDED = "undecided"
    """It is unknown whether this Xen knows the setting."""
    NO_GUEST = "no-guest"
    """No PVH or HVM guest can run on the host."""


TEXTS = {
    SettingResult.DEFAULT: "the host's default",
    SettingResult.IGNORED: "ignored: {state} anyway",
    SettingResult.INEFFECTIVE: "ignored: stays {state}",
    SettingResult.IGNORED_UNKNOWN: "ignored: may be on or off",
    SettingResult.ACCEPTED: "accepted: {state} anyway",
    SettingResult.EVERY_ACCESS_EXITS: "accepted: every x2APIC access exits",
    SettingResult.PLAIN_MEMORY: "accepted: the APIC page is plain memory",
    SettingResult.NOT_OFFERED: "ENODEV: the host does not offer it",
    SettingResult.UNDECIDED: "unknown: this may be a Xen that knows the setting",
    SettingResult.NO_GUEST: "no PVH or HVM guest can run",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """What a setting does on a host, for a PVH guest (an HVM guest gets the same)."""

    setting: Setting
    host: Host
    result: SettingResult
    control: Answer
    """Whether the control that the setting is meant to switch is then in force."""
    in_force: Plan | None
    """What is then in force; None when no domain is created, or when that is unknown."""
    answer: Plan | Refusal
    """What `xenapic.policy.plan.plan` answers to the setting."""

    @property
    def text(self) -> str:
        """The result in words."""
        state = {Answer.YES: "on", Answer.NO: "off"}.get(self.control, "")
        return TEXTS[self.result].format(state=state)

    def shares(self, state: ApicState) -> dict[Operation, Share]:
        """Return how many accesses stay in the guest, by operation; empty when no domain is created."""
        if self.in_force is None:
            return {}
        rows = list(access_rows(self.in_force, state))
        return {operation: share(rows, state, operation) for operation in (Operation.READ, Operation.WRITE)}

    def stays(self, state: ApicState) -> str:
        """Return in words how many accesses stay in the guest in a state of its APIC."""
        shares = self.shares(state)
        if not shares:
            return "-"
        if any(each.memory for each in shares.values()):
            return "plain memory"
        if not any(each.stays or each.unknown for each in shares.values()):
            return "none: every access exits"
        return ", ".join(f"{each} {operation.value}s" for operation, each in shares.items())


ACCEPT = frozenset({Code.DEFECT_MEMORY.value})


def find(host: Host, setting: Setting) -> Finding:
    """Work out what a setting does on a host."""
    answer = plan(setting.policy, host)
    default = plan(NEITHER.policy, host)
    if isinstance(default, Refusal):
        return Finding(setting, host, SettingResult.NO_GUEST, Answer.NO, None, answer)
    if setting.aspect is None:
        return Finding(setting, host, SettingResult.DEFAULT, Answer.UNKNOWN, default, answer)
    if not host.interface.known:
        return Finding(setting, host, SettingResult.UNDECIDED, Answer.UNKNOWN, None, answer)
    if not host.interface:
        control = host.features[setting.aspect.value].answer
        return Finding(setting, host, _ignored(control, setting.value), control, default, answer)
    forced = plan(replace(setting.policy, accept=ACCEPT), host)
    if isinstance(forced, Refusal):
        return Finding(setting, host, SettingResult.NOT_OFFERED, Answer.NO, None, answer)
    control = forced.in_force[setting.aspect].answer
    return Finding(setting, host, _accepted(forced, default, setting), control, forced, answer)


def _ignored(control: Answer, value: bool | None) -> SettingResult:
    if control is Answer.UNKNOWN:
        return SettingResult.IGNORED_UNKNOWN
    return SettingResult.IGNORED if (control is Answer.YES) is value else SettingResult.INEFFECTIVE


def _accepted(forced: Plan, default: Plan, setting: Setting) -> SettingResult:
    if forced.misc_flags == default.misc_flags:
        return SettingResult.ACCEPTED
    if setting.aspect is Aspect.X2APIC_MODE:
        return SettingResult.EVERY_ACCESS_EXITS
    return SettingResult.PLAIN_MEMORY


# -- processors that Xen treats alike --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ProcessorClass:
    """Processors that Xen treats alike, as far as a guest's accesses to its APIC are concerned."""

    name: str
    title: str
    members: tuple[Processor, ...]

    @property
    def example(self) -> Processor:
        """The processor that represents the class: a real one if there is one."""
        return next((row for row in self.members if not row.emulated_by), self.members[0])


DECISIVE = tuple(aspect for aspect in Aspect if aspect is not Aspect.POSTED)
"""Aspects on which the outcome of accesses depends."""
CLASSES: Mapping[tuple[Aspect, ...], tuple[str, str]] = {
    DECISIVE: ("apicv", "Intel with APICv"),
    (Aspect.TPR_SHADOW, Aspect.APIC_ACCESSES): ("shadow", "Intel with TPR shadow alone"),
    (Aspect.TPR_SHADOW,): ("cr8", "Intel with TPR shadow for CR8 alone"),
    (): ("nothing", "Intel without TPR shadow"),
}
"""Name and title of an Intel class, by the aspects that the newest Xen uses on it."""
AMD = ("amd", "AMD, any")


@lru_cache(maxsize=1)
def processor_classes() -> tuple[ProcessorClass, ...]:
    """Return the processors of the table, grouped by what the newest Xen does with them."""
    groups: dict[tuple[str, str], list[Processor]] = {}
    for row in PROCESSORS.values():
        host = named_host(row, XEN_RELEASES[-1])
        used = tuple(aspect for aspect in DECISIVE if host.features[aspect.value])
        key = AMD if host.technology is Technology.SVM else CLASSES[used]
        groups.setdefault(key, []).append(row)
    return tuple(ProcessorClass(*key, tuple(members)) for key, members in groups.items())

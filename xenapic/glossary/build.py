"""Make the topics: every row of every table of the specification, in words."""

from __future__ import annotations

import errno
import inspect
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from enum import IntFlag
from functools import lru_cache
from importlib import import_module
from itertools import groupby, product

import xenapic.lab.errors  # noqa: F401  - its errors are subclasses of ours
from xenapic.apic.access import access_cr8
from xenapic.apic.controls import ENTRY_RULES, Controls
from xenapic.apic.features import FEATURES, Feature, Technology
from xenapic.apic.outcome import Kind, Operation, Outcome, SvmExit, VmxExit, exit_number
from xenapic.apic.processors import APICV, IPIV, PROCESSORS, Processor
from xenapic.apic.registers import REGISTERS, SLOT_SIZE, Reg, Register, msr_of
from xenapic.apic.state import ApicState
from xenapic.errors import XenApicError, errno_name
from xenapic.glossary import prose
from xenapic.glossary.topic import Topic, TopicKind, attribute_docs
from xenapic.model.acceleration import domain_choice, host_controls, vcpu_apic
from xenapic.model.conditions import FIRST, NEVER, Rule
from xenapic.model.defects import DEFECTS, Defect, defects_of
from xenapic.model.evidence import BY_APICV
from xenapic.model.facts import unknown
from xenapic.model.flags import CDF, EMU, MISC, PHYSCAP, PHYSCAP_X86
from xenapic.model.guest_types import GuestType
from xenapic.model.host import Host
from xenapic.model.named import named_host
from xenapic.model.releases import DEVELOPMENT, FIELD_SINCE, FLAG_SINCE, XEN_RELEASES, XenRelease
from xenapic.model.rules import RULES
from xenapic.model.typical import TYPICAL, Typical
from xenapic.policy.cautions import CautionCode
from xenapic.policy.outlook import AccessRow, rows
from xenapic.policy.plan import Refusal, plan
from xenapic.policy.reasons import Code
from xenapic.policy.terms import EFFECTS, Aspect, Effect, Policy, Want

__all__ = ["every_topic", "outcomes_of", "remedies_of", "saved_by", "span"]


def every_topic() -> Iterator[Topic]:
    """Yield every topic, kind by kind in the order of `TopicKind`."""
    for maker in MAKERS:
        yield from maker()


# -- terms, controls ---------------------------------------------------------------------------------


def _from_prose(kind: TopicKind, rows_: dict[str, prose.Prose]) -> Iterator[Topic]:
    for name, words in rows_.items():
        yield Topic(
            name,
            kind,
            name,
            words.text,
            words.effect,
            words.sdm,
            words.xen,
            words.see,
            prose.ALSO.get(name, ()),
        )


def _terms() -> Iterator[Topic]:
    return _from_prose(TopicKind.TERM, prose.TERMS)


def _controls() -> Iterator[Topic]:
    for row in FEATURES:
        words = prose.CONTROLS[row.key]
        effect = " ".join(filter(None, [words.effect, _saves(row), _ties(row.key)]))
        aliases = (row.name, row.name.removeprefix("use "), row.name.removeprefix("process "))
        see = (*words.see, *_rule_codes(row.key), *_capability(row))
        yield Topic(
            row.key,
            TopicKind.CONTROL,
            row.name,
            _place(row) + words.text,
            effect,
            words.sdm,
            words.xen,
            see,
            aliases,
        )


def _capability(row: Feature) -> tuple[str, ...]:
    """Return the name of the topic of a control's capability MSRs."""
    return () if row.technology is Technology.SVM else (row.capability.replace(", ", "/"),)


def _place(row: Feature) -> str:
    if row.technology is Technology.SVM:
        return f"AMD; offered in {row.capability}, bit {row.bit}. "
    return f"Intel; {row.field} controls, bit {row.bit}; offered in {row.capability}. "


def _rule_codes(key: str) -> tuple[str, ...]:
    return tuple(rule.code for rule in ENTRY_RULES if key in (rule.when, rule.key))


def _ties(key: str) -> str:
    texts = [rule.text for rule in ENTRY_RULES if rule.when == key]
    return f"VM entry asks: {'; '.join(texts)}." if texts else ""


def _needing(key: str) -> set[str]:
    """Return a control and all that cannot be 1 without it."""
    found = {key}
    while more := {r.when for r in ENTRY_RULES if r.value and r.key in found} - found:
        found |= more
    return found


Accesses = dict[tuple[ApicState, Operation], list[int]]
READ, WRITE = Operation.READ, Operation.WRITE


def saved_by(key: str) -> Accesses:
    """Return the accesses that stay in the guest under Xen with all of APICv, and leave once a control is 0.

    What cannot be 1 without the control is 0 then too.
    """
    release = XEN_RELEASES[-1]
    whole = host_controls(release, Controls.of(*APICV))
    without = host_controls(release, Controls.of(*(APICV - _needing(key))))
    found: Accesses = {}
    for state in (ApicState.XAPIC, ApicState.X2APIC):
        pairs = zip(_stay(release, whole, state), _stay(release, without, state), strict=True)
        for (offset, operation, before), (_, _, after) in pairs:
            if before and not after:
                offsets = found.setdefault((state, operation), [])
                if offset not in offsets:
                    offsets.append(offset)
    return found


def _stay(release: XenRelease, host: Controls, state: ApicState) -> Iterator[tuple[int, Operation, bool]]:
    for row in rows((vcpu_apic(host, domain_choice(release, host, 0), state),)):
        yield row.register.offset, row.operation, row.outcome.kind is Kind.STAYS


def _saves(row: Feature) -> str:
    if row.key not in APICV or prose.CONTROLS[row.key].effect:
        return ""
    found = saved_by(row.key)
    parts = [
        f"{WAY[state]} {operation.value}s {spans(state, offsets)}"
        for (state, operation), offsets in found.items()
    ]
    if not parts:
        return "No access stays or leaves because of it alone."
    return f"Of what stays in the guest with all of APICv, these leave once it is 0: {'; '.join(parts)}."


WAY = {ApicState.XAPIC: "xAPIC", ApicState.X2APIC: "x2APIC"}


def spans(state: ApicState, offsets: Iterable[int]) -> str:
    """Return offsets, or MSRs in x2APIC mode, as text, neighbours joined."""
    numbers = sorted(msr_of(offset) if state is ApicState.X2APIC else offset for offset in offsets)
    step = 1 if state is ApicState.X2APIC else SLOT_SIZE
    runs = (
        [number for _, number in run]
        for _, run in groupby(enumerate(numbers), lambda one: one[1] - one[0] * step)
    )
    return " ".join(f"{run[0]:03X}" if len(run) == 1 else f"{run[0]:03X}-{run[-1]:03X}" for run in runs)


def _entry_rules() -> Iterator[Topic]:
    for rule in ENTRY_RULES:
        yield Topic(
            rule.code,
            TopicKind.ENTRY_RULE,
            rule.text,
            f"VM entry checks: {rule.text}. Otherwise it fails, and the guest does not run.",
            sdm='SDM volume 3C, "Checks on VMX controls"',
            see=(rule.when, rule.key),
        )


def _capabilities() -> Iterator[Topic]:
    by_msr: dict[str, list[Feature]] = {}
    for row in FEATURES:
        for name in _capability(row):
            by_msr.setdefault(name, []).append(row)
    for name, found in by_msr.items():
        numbers = name.removeprefix("MSR ").split("/")
        what = ", ".join(f"{row.name} (bit {row.bit})" for row in found)
        text = f"Tells of {what}. A control may be 1 where the MSR's bit 32 + n is 1 (492: bit n)."
        if len(numbers) > 1:
            text += " Where IA32_VMX_BASIC bit 55 is 1 the second MSR counts."
        yield Topic(
            name,
            TopicKind.CAPABILITY,
            name,
            text,
            "Xen reads it at boot; dom0 cannot read it.",
            'SDM volume 3D, "VMX capability reporting facility"',
            prose.TAKEN,
            tuple(row.key for row in found),
            tuple(form for number in numbers for form in hex_forms(int(number, 16))),
        )


def hex_forms(number: int) -> tuple[str, ...]:
    """Return the ways in which people write a number that manuals have in hexadecimal."""
    plain = f"{number:x}"
    return tuple(
        dict.fromkeys(
            (f"0x{plain}", plain, f"{plain}h", f"0x{number:03x}", f"{number:03x}", f"{number:03x}h")
        )
    )


# -- states, registers, outcomes -----------------------------------------------------------------------


def _states() -> Iterator[Topic]:
    docs = attribute_docs_of(ApicState)
    for state, words in prose.STATES.items():
        text = f"IA32_APIC_BASE such as {state.apic_base:#x}. {docs.get(state.name, '')} {words.text}"
        yield Topic(
            state.value,
            TopicKind.STATE,
            f"APIC state {state.value}",
            " ".join(text.split()),
            words.effect,
            words.sdm,
            words.xen,
            words.see,
        )


@lru_cache
def _typical_rows(everything: bool) -> tuple[tuple[Typical, AccessRow], ...]:
    return tuple((one, row) for one in TYPICAL for row in rows((one.vcpu,), everything=everything))


def outcomes_of(offset: int) -> Iterator[tuple[str, Operation, str, Outcome]]:
    """Yield what becomes of a register's accesses: title of the situation, operation, values, outcome."""
    for one, row in _typical_rows(offset not in REGISTERS):
        if row.register.offset == offset:
            yield one.title, row.operation, row.value, row.outcome


RIGHTS = {"": "none", "r": "read only", "w": "write only", "rw": "read and write"}


def _registers() -> Iterator[Topic]:
    return map(register_topic, REGISTERS.values())


def register_topic(row: Register) -> Topic:
    """Return the topic of one register, reserved ones too."""
    xapic, x2apic = RIGHTS[row.xapic], RIGHTS[row.x2apic]
    where = f"xAPIC offset {row.offset:03X} ({xapic}), x2APIC MSR {row.msr:03X} ({x2apic})."
    effect = "\n".join(
        f"{title}, {operation.value}{f' ({value})' if value else ''}: {outcome}."
        for title, operation, value, outcome in outcomes_of(row.offset)
    )
    if row.offset == Reg.TASKPRI:
        effect += "".join(
            f"\nCR8 {operation.value} with TPR shadow: {access_cr8(Controls.of('tpr_shadow'), operation)}."
            for operation in (READ, WRITE)
        )
    named = bool(row.symbol)
    aliases = (row.name, f"APIC_{row.symbol}", f"APIC {row.symbol}") if named else ()
    return Topic(
        row.symbol or f"reserved {row.offset:03X}",
        TopicKind.REGISTER,
        row.name,
        where,
        effect or "No register is here in either mode.",
        'SDM volume 3A, "Local APIC register address map"',
        f"APIC_{row.symbol} (xen/arch/x86/include/asm/apicdef.h)" if named else "",
        aliases=(
            *aliases,
            *hex_forms(row.offset),
            *hex_forms(row.msr),
            *(f"msr {form}" for form in hex_forms(row.msr)),
            *(f"offset {form}" for form in hex_forms(row.offset)),
        ),
    )


def attribute_docs_of(kind: type) -> dict[str, str]:
    """Return what stands below the members of a class, by member."""
    found = attribute_docs(import_module(kind.__module__))
    start = f"{kind.__name__}."
    return {name.removeprefix(start): text for name, text in found.items() if name.startswith(start)}


def _outcomes() -> Iterator[Topic]:
    docs = attribute_docs_of(Kind)
    for kind, words in prose.KINDS.items():
        yield Topic(
            kind.value,
            TopicKind.OUTCOME,
            f"outcome: {kind.value}",
            " ".join(filter(None, [docs.get(kind.name, ""), words.text])),
            see=words.see,
            aliases=(f"Kind.{kind.name}", kind.name.replace("_", " ")),
        )


def _completions() -> Iterator[Topic]:
    for one, words in prose.COMPLETIONS.items():
        yield Topic(
            one.value,
            TopicKind.COMPLETION,
            one.value,
            f"What the processor does to complete an access that stays. {words.text}",
            sdm=words.sdm or prose.PAGE,
            see=words.see,
            aliases=(f"Completion.{one.name}",),
        )


def _exits() -> Iterator[Topic]:
    for one, words in prose.EXITS.items():
        number = exit_number(one)
        vmx = isinstance(one, VmxExit)
        aliases = (
            number,
            f"exit {number}",
            f"reason {number}",
            f"exit reason {number}",
            f"{type(one).__name__}.{one.name}",
        )
        what = f"VMX basic exit reason {number}" if vmx else f"#VMEXIT code {number}"
        yield Topic(
            one.name,
            TopicKind.EXIT,
            what,
            f"{what}. {words.text}",
            _ends_so(one),
            words.sdm,
            words.xen,
            words.see,
            aliases,
        )


def _ends_so(reason: VmxExit | SvmExit) -> str:
    """Name the typical situations in which an access ends in an exit."""
    titles = dict.fromkeys(
        one.title
        for one, row in _typical_rows(everything=False)
        if reason is row.outcome.reason or reason in row.outcome.may_exit
    )
    return f"Accesses end in it here: {'; '.join(titles)}." if titles else ""


# -- settings, flags, options, releases, defects -------------------------------------------------------


def _settings() -> Iterator[Topic]:
    return _from_prose(TopicKind.SETTING, prose.SETTINGS)


FLAG_WORDS: tuple[tuple[type[IntFlag], str, str, str], ...] = (
    (MISC, "XEN_X86_", "createdomain.arch.misc_flags", "xen/include/public/arch-x86/xen.h"),
    (PHYSCAP_X86, "XEN_SYSCTL_PHYSCAP_X86_", "physinfo.arch_capabilities", "xen/include/public/sysctl.h"),
    (CDF, "XEN_DOMCTL_CDF_", "createdomain.flags", "xen/include/public/domctl.h"),
    (EMU, "XEN_X86_EMU_", "createdomain.arch.emulation_flags", "xen/include/public/arch-x86/xen.h"),
)
FLAG_SEE = {
    "MISC.ASSISTED_XAPIC": ("assisted_xapic", "virtualize_apic_accesses", "assisted-hardware", "assisted-pv"),
    "MISC.ASSISTED_X2APIC": ("assisted_x2apic", "virtualize_x2apic_mode", "assisted-hardware", "assisted-pv"),
    "PHYSCAP_X86.ASSISTED_XAPIC": ("virtualize_apic_accesses", "assisted-xapic-avoids-nothing"),
    "PHYSCAP_X86.ASSISTED_X2APIC": ("x2APIC assistance",),
}


def _flags() -> Iterator[Topic]:
    for kind, prefix, word, header in FLAG_WORDS:
        docs = attribute_docs_of(kind)
        for member in kind:
            name = str(member.name)
            yield Topic(
                f"{kind.__name__}.{name}",
                TopicKind.FLAG,
                f"{prefix}{name}",
                " ".join(
                    filter(None, [f"Bit {member.value.bit_length() - 1} of {word}.", docs.get(name, "")])
                ),
                f"Releases that know it: {_knowing(kind, member)}.",
                xen=header,
                see=(*FLAG_SEE.get(f"{kind.__name__}.{name}", ()), *_rules_of(kind)),
                aliases=(name, f"{prefix}{name}"),
            )


KNOWN: dict[type[IntFlag], Callable[[XenRelease], IntFlag]] = {
    MISC: lambda release: release.misc_flags,
    CDF: lambda release: release.flags,
    EMU: lambda release: release.emulation_flags,
    PHYSCAP_X86: lambda release: PHYSCAP_X86(3 if release.per_domain_apic else 0),
}


def _knowing(kind: type[IntFlag], member: IntFlag) -> str:
    return joined([release.name for release in XEN_RELEASES if member & KNOWN[kind](release)])


def _rules_of(kind: type[IntFlag]) -> tuple[str, ...]:
    return {MISC: ("misc-flags-unknown",), CDF: ("flags-unknown",), EMU: ("emulation-combination",)}.get(
        kind, ()
    )


def joined(names: list[str]) -> str:
    """Return names of releases as text, all of them as one word."""
    return "all" if len(names) == len(XEN_RELEASES) else ", ".join(names) or "none"


def _options() -> Iterator[Topic]:
    for topic in _from_prose(TopicKind.OPTION, prose.OPTIONS):
        if topic.name == "apicv":
            yield _with_see(topic, BY_APICV)
        else:
            yield topic


def _with_see(topic: Topic, more: Iterable[str]) -> Topic:
    return replace(topic, see=(*topic.see, *more))


def _releases() -> Iterator[Topic]:
    for release in XEN_RELEASES:
        choice = "A domain can choose" if release.per_domain_apic else "APIC acceleration is host-wide"
        fields = [
            f"createdomain gains {name}" for name, since in FIELD_SINCE.items() if since == release.number
        ]
        fields += [f"flag {flag.name}" for flag, since in FLAG_SINCE.items() if since == release.number]
        text = [
            prose.RELEASES.get(release.name, ""),
            f"{choice}. misc_flags it knows: {int(release.misc_flags):#x}.",
        ]
        if fields:
            text.append(f"New: {', '.join(fields)}.")
        if not release.has_physinfo_arch_capabilities:
            text.append("physinfo has no arch_capabilities.")
        found = defects_of(release.name)
        yield Topic(
            release.name,
            TopicKind.RELEASE,
            f"Xen {release.name}",
            " ".join(filter(None, text)),
            f"Known defects of its .0: {', '.join(one.code for one in found) or 'none'}.",
            see=("assisted_xapic", "assisted_x2apic", "decided host-wide", *(one.code for one in found)),
            aliases=(f"Xen {release.name}", f"{release.name}.0"),
        )


EVIDENCE = {
    "observed": "In the recordings of a real Xen.",
    "executed": "Made to happen by this project's tests.",
    "source": "Read from the source, not reproduced.",
}


def _defects() -> Iterator[Topic]:
    return map(_defect, DEFECTS)


def _defect(row: Defect) -> Topic:
    until = f"until {row.until}" if row.until else "not fixed"
    text = f"Since {row.since}, {until}. {row.points} It takes: {row.condition} Avoid it so: {row.avoid}"
    sources = "; ".join([*row.sources, *(f"commit {commit}" for commit in row.commits)])
    return Topic(
        row.code,
        TopicKind.DEFECT,
        row.title,
        f"{row.effect} {EVIDENCE[row.evidence]}",
        " ".join(text.split()),
        xen=sources,
        see=row.releases,
        aliases=tuple(
            part for source in row.sources for part in source.split(", ") if part.startswith(("XSA", "CVE"))
        ),
    )


# -- policy ------------------------------------------------------------------------------------------


def _wants() -> Iterator[Topic]:
    docs = attribute_docs_of(Want)
    for want, text in prose.WANTS.items():
        yield Topic(
            want.value,
            TopicKind.WANT,
            f"policy: {want.value}",
            f"{docs.get(want.name, '')} {text}",
            see=("aspect",),
        )


def _effects() -> Iterator[Topic]:
    return map(_effect, EFFECTS)


def _effect(row: Effect) -> Topic:
    takes = ", ".join(f"{want.value} '{aspect.title}'" for aspect, want in row.wants)
    return Topic(
        row.name,
        TopicKind.EFFECT,
        row.text,
        f"{row.text[:1].upper()}{row.text[1:]}. As aspects: {takes}.",
        see=tuple(aspect.value for aspect, _want in row.wants),
    )


def remedies_of() -> dict[Code, dict[str, None]]:
    """Return for each code of refusal what its remedies say, collected from policies that are refused so."""
    found: dict[Code, dict[str, None]] = {code: {} for code in Code}
    for answer in (plan(*case) for case in _refused()):
        for reason in answer.reasons if isinstance(answer, Refusal) else ():
            found[reason.code].update(dict.fromkeys(one.kind.value for one in reason.remedies))
    return found


Asked = tuple[Policy, Host, GuestType]


def _refused() -> Iterator[Asked]:
    """Yield cases that are refused, for every code at least one."""
    full, small = PROCESSORS["sapphire-rapids-sp"], PROCESSORS["westmere"]
    amd = PROCESSORS["zen4"]
    released, chosen = XEN_RELEASES[-1], DEVELOPMENT
    hosts = [named_host(row, release) for row in (full, small, amd) for release in (released, chosen)]
    hosts.append(named_host(full, released, "apicv=0"))
    hosts.append(replace(hosts[0], features=dict.fromkeys(hosts[0].features, NOT_KNOWN)))
    physinfo = replace(hosts[0].physinfo, capabilities=PHYSCAP.pv)
    hosts.append(replace(hosts[0], physinfo=physinfo))
    asked = [Policy(dict.fromkeys(Aspect, want)) for want in (Want.REQUIRE, Want.FORBID)]
    asked.append(replace(asked[0], guest_x2apic=False))
    asked.append(replace(asked[0], assisted_xapic=False))
    yield from product(asked, hosts, (GuestType.PVH, GuestType.PV))


NOT_KNOWN = unknown("made up", "xenapic host --measure")


def _refusals() -> Iterator[Topic]:
    docs = attribute_docs_of(Code)
    found = remedies_of()
    for code in Code:
        if code is Code.DEFECT_MEMORY:
            continue  # the defect's topic says it
        ways = "; ".join(found[code])
        yield Topic(
            code.value,
            TopicKind.REFUSAL,
            f"refused: {code.value}",
            docs.get(code.name, ""),
            f"What would make it possible: {ways}.",
            see=("plan", "aspect"),
            aliases=(f"Code.{code.name}",),
        )


def _warnings() -> Iterator[Topic]:
    docs = attribute_docs_of(CautionCode)
    for code in CautionCode:
        text = docs.get(code.name) or WARNS[code]
        yield Topic(
            code.value,
            TopicKind.WARNING,
            f"warning: {code.value}",
            text,
            "The plan stands.",
            see=("plan",),
            aliases=(f"CautionCode.{code.name}",),
        )


WARNS = {
    CautionCode.NOT_HAD: "Preferred, and will not be in force.",
    CautionCode.UNKNOWN: "Preferred, and it is not known whether it will be in force.",
    CautionCode.DEFECT: "The policy accepts a defect by its code, and the plan runs into it.",
}


# -- create, errors, processors ------------------------------------------------------------------------


def span(rule: Rule) -> str:
    """Return the releases that a rule holds for."""
    if rule.needs_interface:
        return DEVELOPMENT.name
    since = "since {}.{}".format(*rule.since) if rule.since != FIRST else ""
    until = "before {}.{}".format(*rule.until) if rule.until != NEVER else ""
    return " ".join(filter(None, [since, until])) or "all"


def _create_rules() -> Iterator[Topic]:
    by_code: dict[str, list[Rule]] = {}
    for rule in RULES:
        by_code.setdefault(rule.code, []).append(rule)
    for code, found in by_code.items():
        yield _create_rule(code, found)
    for code, words in prose.OWN_CODES.items():
        yield Topic(code, TopicKind.CREATE_RULE, f"refused: {code}", words.text, NO_CALL, see=words.see)


NO_CALL = "Refused before Xen is called."
LATE = " Late: where Xen finds it, an Intel host goes down."


def _create_rule(code: str, found: list[Rule]) -> Topic:
    first = found[0]
    text = " ".join(f"{_sentence(rule.rule)} (Releases: {span(rule)}.)" for rule in found)
    answers = dict.fromkeys(errno_name(rule.errno) for rule in found if rule.errno is not None)
    said = f"Xen answers {' or '.join(answers)}." if answers else "Xen might take it; refused here."
    remedies = " ".join(dict.fromkeys(rule.remedy for rule in found))
    return Topic(
        code,
        TopicKind.CREATE_RULE,
        f"refused: {code} ({first.field})",
        text,
        f"{said}{LATE if any(rule.late for rule in found) else ''} {remedies}",
        xen="; ".join(dict.fromkeys(rule.source for rule in found)),
        see=(*answers, *(("late",) if first.late else ())),
    )


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _errnos() -> Iterator[Topic]:
    for name, text in prose.ERRNOS.items():
        codes = dict.fromkeys(r.code for r in RULES if r.errno is not None and errno_name(r.errno) == name)
        of_create = f"From a create it means one of: {', '.join(codes)}." if codes else ""
        number = getattr(errno, name)
        yield Topic(
            name,
            TopicKind.ERRNO,
            f"errno {number}, {os.strerror(number)}",
            " ".join(filter(None, [text, of_create])),
            "A release build of Xen logs no reason." if codes else "",
            see=tuple(codes),
            aliases=(f"errno {number}", *(("ENOTSUP",) if number == errno.EOPNOTSUPP else ())),
        )


def _errors() -> Iterator[Topic]:
    waiting: list[type[XenApicError]] = [XenApicError]
    while waiting:
        kind = waiting.pop(0)
        waiting += kind.__subclasses__()
        doc = inspect.cleandoc(kind.__doc__ or "")
        yield Topic(
            kind.code,
            TopicKind.ERROR,
            f"exception {kind.__name__}",
            " ".join(doc.split()),
            see=() if kind is XenApicError else (kind.__mro__[1].code,),  # type: ignore[attr-defined]
            aliases=(kind.__name__,),
        )


def _processors() -> Iterator[Topic]:
    return map(_processor, PROCESSORS.values())


def _processor(row: Processor) -> Topic:
    names = {feature.key: feature.name for feature in FEATURES}
    offers = ", ".join(name for key, name in names.items() if key in row.offers) or "nothing of this"
    unsure = ", ".join(name for key, name in names.items() if key in row.unknown)
    kind = f"{row.emulated_by}'s model of it" if row.emulated_by else "the real processor"
    text = f"{row.title}, {kind}. Offers: {offers}.{f' Not known: {unsure}.' if unsure else ''}"
    return Topic(
        row.name,
        TopicKind.PROCESSOR,
        row.title,
        f"{text} Source: {row.source}.",
        _sentence(row.notes) if row.notes else "",
        see=tuple(key for key in names if key in row.offers & DIFFER),
        aliases=(row.title, *((row.name.partition("@")[0],) if "@" in row.name else ())),
    )


DIFFER = (IPIV | {"avic", "x2avic"}) - {
    "external_interrupt_exiting",
    "cr8_load_exiting",
    "cr8_store_exiting",
    "msr_bitmaps",
}
"""Controls in which processors differ: worth a reference."""

MAKERS: tuple[Callable[[], Iterator[Topic]], ...] = (
    _terms,
    _controls,
    _entry_rules,
    _capabilities,
    _states,
    _registers,
    _outcomes,
    _completions,
    _exits,
    _settings,
    _flags,
    _options,
    _releases,
    _defects,
    _wants,
    _effects,
    _refusals,
    _warnings,
    _create_rules,
    _errnos,
    _errors,
    _processors,
)

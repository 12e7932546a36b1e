"""Write the specification's tables from the code that decides."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import groupby, product
from pathlib import Path
from typing import Any, Literal

from xenapic.apic.access import Kind, Operation, Outcome, exit_number, virtualized_reads, virtualized_writes
from xenapic.apic.controls import ENTRY_RULES, Controls
from xenapic.apic.features import FEATURES, Technology, feature
from xenapic.apic.processors import APICV, POSTED, PROCESSORS, TPR, X2APIC, Processor
from xenapic.apic.registers import REGISTERS, SELF_IPI, SLOTS, msr_of
from xenapic.apic.state import ApicState
from xenapic.errors import errno_name
from xenapic.glossary import Topic, TopicKind, topics
from xenapic.glossary.build import remedies_of, saved_by, spans
from xenapic.model.acceleration import (
    APIC_BITS,
    VcpuApic,
    arch_capabilities,
    cpuid_leaf,
    domain_choice,
    host_controls,
    vcpu_apic,
    viridian_hints,
)
from xenapic.model.defects import DEFECTS, Defect
from xenapic.model.flags import MISC, names
from xenapic.model.host import BY_APICV, Host
from xenapic.model.named import named_host
from xenapic.model.proposal import APIC, CONTROL, NEEDS, Refused, available, leaf, resolve, vcpu, viridian
from xenapic.model.releases import DEVELOPMENT, FIELD_SINCE, FLAG_SINCE, XEN_RELEASES, XenRelease
from xenapic.model.typical import TYPICAL
from xenapic.policy.outlook import access_rows, hvm_leaf, rows
from xenapic.policy.plan import Code, Plan, Refusal, plan
from xenapic.policy.terms import EFFECTS, Aspect, Policy
from xenapic.verify.check import Report, Verdict
from xenapic.verify.recording import check_file

OBSERVED = Path(__file__).parent.parent / "tests" / "data" / "observed"
RELEASED = XEN_RELEASES[-1]
READ, WRITE = Operation.READ, Operation.WRITE

Row = Sequence[object]


def markdown(headers: Row, body: Iterable[Row]) -> str:
    """Return a Markdown table."""
    lines = [headers, ["---"] * len(headers), *body]
    return "".join("| " + " | ".join(_cell(cell) for cell in line) + " |\n" for line in lines)


def _cell(value: object) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")


def slug(*parts: str) -> str:
    """Return a label for a place in the documentation."""
    return re.sub(r"[^a-z0-9]+", "-", " ".join(parts).lower()).strip("-")


def topic_label(topic: Topic) -> str:
    """Return the label of a topic's place in the glossary."""
    return slug("topic", topic.kind.value, topic.name)


def link(name: str, text: str = "") -> str:
    """Return a link to a topic of the glossary."""
    return f"[{text or f'`{name}`'}](#{topic_label(topics()[name])})"


SHORT = {
    "tpr_shadow": "TPR shadow",
    "virtualize_apic_accesses": "APIC accesses",
    "virtualize_x2apic_mode": "x2APIC mode",
    "apic_register_virtualization": "registers",
    "virtual_interrupt_delivery": "delivery",
    "posted_interrupts": "posted",
    "cr8_load_exiting": "CR8-load exits",
    "cr8_store_exiting": "CR8-store exits",
}
"""How the tables call the controls that differ."""


def shown(controls: object) -> str:
    """Return the controls that differ between situations, in words."""
    keys = controls.keys if isinstance(controls, Controls) else ()
    return ", ".join(SHORT[key] for key in SHORT if key in keys) or "none of these"


def mark(yes: object) -> str:
    """Return yes or nothing."""
    return "yes" if yes else "–"


# -- the finder --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Kindred:
    """Processors of which Xen makes the same, as far as a guest's APIC accesses go."""

    name: str
    title: str
    members: tuple[Processor, ...]

    @property
    def example(self) -> Processor:
        """The processor that stands for all: a real one where there is one."""
        return next((row for row in self.members if not row.emulated_by), self.members[0])


DECIDES = [aspect for aspect in Aspect if aspect is not Aspect.POSTED]
"""Aspects on which the outcome of accesses hangs."""


def _made_of_it(row: Processor) -> tuple[object, ...]:
    host = named_host(row, RELEASED)
    return (row.technology, *(host.features[aspect.value].answer for aspect in DECIDES))


@lru_cache
def kindreds() -> tuple[Kindred, ...]:
    """Return the processors, grouped by what Xen makes of them."""
    groups: dict[tuple[object, ...], list[Processor]] = {}
    for row in PROCESSORS.values():
        groups.setdefault(_made_of_it(row), []).append(row)
    return tuple(_kindred(tuple(members)) for members in groups.values())


def _kindred(members: tuple[Processor, ...]) -> Kindred:
    host = named_host(members[0], RELEASED)
    if host.technology is Technology.SVM:
        return Kindred("amd", "AMD, any", members)
    used = [aspect for aspect in DECIDES if host.features[aspect.value]]
    if len(used) == len(DECIDES):
        return Kindred("apicv", "Intel with APICv", members)
    if used == [Aspect.TPR_SHADOW, Aspect.APIC_ACCESSES]:
        return Kindred("shadow", "Intel with TPR shadow alone", members)
    if not used:
        return Kindred("nothing", "Intel without TPR shadow", members)
    raise AssertionError(f"no name for processors of which Xen uses {used}")


Given = dict[Literal["assisted_xapic", "assisted_x2apic"], bool]
SETTINGS: tuple[tuple[str, Given], ...] = (
    ("neither set", {}),
    ("assisted_x2apic=0", {"assisted_x2apic": False}),
    ("assisted_x2apic=1", {"assisted_x2apic": True}),
    ("assisted_xapic=0", {"assisted_xapic": False}),
    ("assisted_xapic=1", {"assisted_xapic": True}),
)
ASPECT = {"assisted_xapic": Aspect.APIC_ACCESSES, "assisted_x2apic": Aspect.X2APIC_MODE}


@dataclass(frozen=True)
class Finding:
    """What a setting of xl.cfg does on a release with a processor."""

    does: str
    """What Xen and its toolstack do with it."""
    result: Plan | None
    """What is in force then; None when no domain is created."""
    answer: Plan | Refusal
    """What xenapic says to it."""

    def stays(self, state: ApicState) -> str:
        """Tell how many accesses stay in the guest in a state of its APIC."""
        return "–" if self.result is None else _share(self.result, state)


def _share(one: Plan, state: ApicState) -> str:
    found = list(access_rows(one, state))
    if any(row.outcome.kind is Kind.MEMORY for row in found):
        return "**plain memory**"
    parts = []
    for operation in (READ, WRITE):
        mine = [
            row.outcome.kind is Kind.STAYS
            for row in found
            if row.operation is operation and operation.value[0] in row.register.rights(state)
        ]
        parts.append(f"{sum(mine)} of {len(mine)} {operation.value}s")
    return (
        ", ".join(parts) if any(not part.startswith("0 ") for part in parts) else "none: every access leaves"
    )


ACCEPT_ALL = frozenset({Code.DEFECT_MEMORY.value})


@lru_cache
def finding(release: XenRelease, row: Processor, setting: str) -> Finding:
    """Work out what a setting does."""
    given = dict(SETTINGS)[setting]
    host = named_host(row, release)
    policy = Policy(assisted_xapic=given.get("assisted_xapic"), assisted_x2apic=given.get("assisted_x2apic"))
    answer = plan(policy, host)
    default = plan(Policy(), host)
    assert isinstance(default, Plan)
    if not given:
        return Finding("the host's default", default, answer)
    ((name, value),) = given.items()
    if not release.per_domain_apic:
        return Finding(_not_looked_at(ASPECT[name], value, host), default, answer)
    forced = plan(replace(policy, accept=ACCEPT_ALL), host)
    if isinstance(forced, Refusal):
        return Finding("**ENODEV**: the host does not offer it", None, answer)
    return Finding(_taken(forced, default, name, value), forced, answer)


def _not_looked_at(aspect: Aspect, value: bool, host: Host) -> str:
    on = bool(host.features[aspect.value])
    if on is value:
        return f"ignored: {'on' if on else 'off'} anyway"
    return f"ignored: **stays {'on' if on else 'off'}**"


def _taken(forced: Plan, default: Plan, name: str, value: bool) -> str:
    if forced.misc_flags == default.misc_flags:
        return "taken: the default" if value else "taken: off anyway"
    if name == "assisted_x2apic":
        return "taken: **every x2APIC access leaves**"
    return "taken: **the APIC's page is plain memory**"


def detail_label(release: XenRelease, kind: Kindred) -> str:
    """Return the label of the place where a finding is told in full."""
    return slug("here", "choice" if release.per_domain_apic else "host wide", kind.name)


def matrix(setting: str) -> str:
    """Return what a setting does: a row for each release, a column for each kind of processor."""
    body = [
        [
            link(release.name, release.name),
            *(
                f"{finding(release, kind.example, setting).does} [→](#{detail_label(release, kind)})"
                for kind in kindreds()
            ),
        ]
        for release in XEN_RELEASES
    ]
    headers = ["Xen", *(f"[{kind.title}](#{slug('kind', kind.name)})" for kind in kindreds())]
    return markdown(headers, body)


def which_processor() -> str:
    """Return which processor is of which kind."""
    parts: list[str] = []
    for kind in kindreds():
        real = [f"{row.title} (`{row.name}`)" for row in kind.members if not row.emulated_by]
        models = [f"`{row.name}`" for row in kind.members if row.emulated_by]
        lines = [
            f"({slug('kind', kind.name)})=\n**{kind.title}**\n",
            f"{ALSO.get(kind.name, '')}{'; '.join(real) or 'No real one.'}\n",
            f"Emulators' models: {', '.join(models)}.\n" if models else "",
        ]
        parts += filter(None, lines)
    return "\n".join(parts)


ALSO = {
    "shadow": "Every other Intel processor too, when Xen was booted with `apicv=0`. ",
    "nothing": "32-bit: Xen does not run on it. ",
}


def details() -> str:
    """Return every finding in full: one section for each way of deciding and kind of processor."""
    parts = []
    for choice, kind in product((False, True), kindreds()):
        release = next(one for one in reversed(XEN_RELEASES) if one.per_domain_apic is choice)
        title = f"{kind.title}, {'4.17-rc' if choice else 'every release but 4.17-rc'}"
        parts.append(f"({detail_label(release, kind)})=\n### {title}\n\n{_detail(release, kind.example)}")
    return "\n".join(parts)


def _detail(release: XenRelease, row: Processor) -> str:
    body = []
    for setting, given in SETTINGS:
        found = finding(release, row, setting)
        body.append(
            (
                f"`{setting}`" if given else setting,
                found.does,
                found.stays(ApicState.XAPIC),
                found.stays(ApicState.X2APIC),
                _told(found.result),
                _verdict(found.answer),
            )
        )
    headers = (
        "in xl.cfg",
        "what it does",
        "stays in the guest, xAPIC",
        "x2APIC",
        "CPUID base+4",
        "`xenapic plan`",
    )
    command = f"xenapic plan --processor {row.name} --xen {release.name} --assisted-x2apic no"
    return f"{markdown(headers, body)}\n{_ways(release, row)}Try: `{command}`\n"


def _told(result: Plan | None) -> str:
    if result is None:
        return "–"
    bits = hvm_leaf(result)
    return "unknown" if bits is None else ", ".join(names(bits & APIC_BITS)) or "neither"


def _verdict(answer: Plan | Refusal) -> str:
    if isinstance(answer, Plan):
        return ", ".join(["plan", *(link(one.code.value) for one in answer.warnings)])
    return "refused: " + ", ".join(link(reason.code.value) for reason in answer.reasons)


def _ways(release: XenRelease, row: Processor) -> str:
    """Return what remains for somebody who wants it off."""
    answer = finding(release, row, "assisted_x2apic=0").answer
    if isinstance(answer, Plan):
        return ""
    ways = "\n".join(f"- {remedy.text}" for reason in answer.reasons for remedy in reason.remedies)
    return f"To have 'virtualize x2APIC mode' off all the same:\n\n{ways}\n\n"


# -- the hardware ------------------------------------------------------------------------------------


def controls_table() -> str:
    """Return every control: where it is, and what it does."""
    return markdown(
        ("control", "field", "bit", "offered in", "effect"),
        [
            (link(row.key, row.name), row.field, row.bit, row.capability, topics()[row.key].effect)
            for row in FEATURES
        ],
    )


def entry_rules() -> str:
    """Return the rules between controls."""
    return markdown(
        ("code", "VM entry fails unless"),
        [(link(rule.code), _title(rule.text)) for rule in ENTRY_RULES],
    )


def _title(text: str) -> str:
    """Return text with a capital, but for the names that begin small."""
    return text if text.startswith(("xAPIC", "x2APIC", "VM")) else f"{text[:1].upper()}{text[1:]}"


SETS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("no TPR shadow", ()),
    ("TPR shadow", ("tpr_shadow",)),
    ("TPR shadow, delivery", ("tpr_shadow", "virtual_interrupt_delivery")),
    ("TPR shadow, registers", ("tpr_shadow", "apic_register_virtualization")),
    (
        "TPR shadow, registers, delivery",
        ("tpr_shadow", "apic_register_virtualization", "virtual_interrupt_delivery"),
    ),
)


def page_sets() -> str:
    """Return which accesses to the page are virtualized, by combination of controls."""
    body = []
    for title, keys in SETS:
        controls = Controls.of("secondary_controls", "virtualize_apic_accesses", *keys)
        reads, writes = virtualized_reads(controls), virtualized_writes(controls)
        body.append(
            (
                title,
                spans(ApicState.XAPIC, reads) or "none",
                spans(ApicState.XAPIC, writes) or "none",
                *_completed(controls),
            )
        )
    return markdown(
        (
            "controls, with 'virtualize APIC accesses' 1",
            "reads virtualized",
            "writes virtualized",
            "of the writes, stay",
            "exit after (56)",
        ),
        body,
    )


def _completed(controls: Controls) -> tuple[str, str]:
    from xenapic.apic.access import access_page

    ends: dict[bool, list[int]] = {True: [], False: []}
    for offset in sorted(virtualized_writes(controls)):
        outcome = access_page(controls, offset, WRITE, value=SELF_IPI)
        ends[outcome.kind is Kind.STAYS].append(offset)
    return spans(ApicState.XAPIC, ends[True]) or "none", spans(ApicState.XAPIC, ends[False]) or "none"


def msr_sets() -> str:
    """Return which MSR accesses that the bitmap lets through are virtualized, by combination of controls."""
    from xenapic.apic.access import MsrBitmap, access_msr

    body = []
    for title, keys in SETS[1:]:
        controls = Controls.of("secondary_controls", "msr_bitmaps", "virtualize_x2apic_mode", *keys)
        cells = []
        for operation in (READ, WRITE):
            found = [
                offset
                for offset in SLOTS
                if access_msr(controls, MsrBitmap(0, 0), msr_of(offset), operation).kind is not Kind.PHYSICAL
            ]
            cells.append(spans(ApicState.X2APIC, found) or "none")
        body.append((title, *cells))
    return markdown(
        ("controls, with 'virtualize x2APIC mode' 1", "RDMSR virtualized", "WRMSR virtualized"), body
    )


def brief(outcome: Outcome) -> str:
    """Return an outcome in a word or two."""
    if outcome.reason is None:
        return outcome.kind.value
    after = " after" if outcome.kind is Kind.EXITS_AFTER else ""
    return f"exit {exit_number(outcome.reason)}{after}"


def access_table() -> str:
    """Return every register's accesses in the typical situations."""
    columns = [
        {(r.register.offset, r.operation, r.value): r.outcome for r in rows((one.vcpu,))} for one in TYPICAL
    ]
    body = []
    for offset, row in REGISTERS.items():
        for operation in (READ, WRITE):
            cells = [_outcome_cell(column, offset, operation) for column in columns]
            place = f"{link(row.symbol)} {offset:03X}, {row.msr:03X}"
            body.append((place, operation.value, *cells))
    return markdown(("register", "", *(number for number, _ in enumerate(TYPICAL, 1))), body)


def _outcome_cell(
    column: dict[tuple[int, Operation, str], Outcome], offset: int, operation: Operation
) -> str:
    found = {value: one for (at, op, value), one in column.items() if (at, op) == (offset, operation)}
    texts = dict.fromkeys(brief(one) for one in found.values())
    if len(texts) > 1:
        return "; ".join(f"{brief(one)} ({value})" for value, one in found.items())
    return next(iter(texts), "–")


def typical_table() -> str:
    """Return what the typical situations are."""
    return markdown(
        ("", "situation", "who is in it", "controls"),
        [(n, one.title, one.where, shown(one.vcpu.controls)) for n, one in enumerate(TYPICAL, 1)],
    )


# -- Xen ---------------------------------------------------------------------------------------------

OFFERS: tuple[tuple[str, set[str] | frozenset[str]], ...] = (
    ("nothing", {"external_interrupt_exiting", "msr_bitmaps"}),
    ("TPR shadow, APIC accesses", TPR),
    ("…and x2APIC mode", X2APIC),
    ("…and registers, delivery", APICV),
    ("…and posted interrupts", POSTED),
)


def _all_releases(make: Callable[[XenRelease], str]) -> str:
    """Return what is the same for releases once, headed by their names."""
    made = [(release.name, make(release)) for release in XEN_RELEASES]
    groups = {text: [name for name, other in made if other == text] for _, text in made}
    if len(groups) == 1:
        return f"The same in every release from {made[0][0]} to {made[-1][0]}:\n\n{made[0][1]}"
    return "\n".join(f"**{', '.join(which)}**\n\n{text}" for text, which in groups.items())


def boot_table() -> str:
    """Return what Xen takes at boot."""

    def of(release: XenRelease) -> str:
        body = [
            (title, *(shown(host_controls(release, Controls.of(*offers), apicv=on)) for on in (True, False)))
            for title, offers in OFFERS
        ]
        return markdown(("the processor offers", "Xen takes", "with `apicv=0`"), body)

    return _all_releases(of)


FLAG_WORDS = (MISC(0), MISC.ASSISTED_XAPIC, MISC.ASSISTED_X2APIC, MISC.ASSISTED_XAPIC | MISC.ASSISTED_X2APIC)


def _flag_words(release: XenRelease, host: Controls) -> tuple[MISC, ...]:
    """Return what misc_flags can say of the APIC on a host; more is refused."""
    if not release.per_domain_apic:
        return FLAG_WORDS[:1]
    offered = int(arch_capabilities(release, host) or 0) << 1
    return tuple(word for word in FLAG_WORDS if not int(word) & ~offered)


def _hosts_and_flags(
    release: XenRelease, offers: Iterable[tuple[str, set[str] | frozenset[str]]]
) -> Iterator[tuple[str, Controls, MISC]]:
    for title, offered in offers:
        host = host_controls(release, Controls.of(*offered))
        for flags in _flag_words(release, host):
            yield title, host, flags


def state_table() -> str:
    """Return the controls and the bitmap for each state, on hosts with and without APICv."""

    def of(release: XenRelease) -> str:
        body = []
        for title, host, flags in _hosts_and_flags(release, OFFERS[2:4]):
            for state in ApicState:
                one = vcpu_apic(host, domain_choice(release, host, int(flags)), state)
                said = "|".join(names(flags)) or "0"
                body.append(
                    (
                        _host_title(title),
                        *((said,) if release.per_domain_apic else ()),
                        state.value,
                        shown(one.controls),
                        _opened(one),
                        _behind(one),
                    )
                )
        headers = (
            "host",
            *(("misc_flags",) if release.per_domain_apic else ()),
            "APIC",
            "controls",
            "MSRs not intercepted",
            "FEE00000 without the control",
        )
        return markdown(headers, body)

    return _all_releases(of)


def _host_title(title: str) -> str:
    return "with APICv" if "registers" in title else "TPR shadow alone"


def _opened(one: VcpuApic) -> str:
    read = [n << 4 for n in range(256) if not one.bitmap.read >> n & 1]
    write = [n << 4 for n in range(256) if not one.bitmap.write >> n & 1]
    parts = [
        f"{word} {spans(ApicState.X2APIC, found)}"
        for word, found in (("read", read), ("write", write))
        if found
    ]
    return "; ".join(parts) or "none"


def _behind(one: VcpuApic) -> str:
    controls = one.controls
    if isinstance(controls, Controls) and controls.has("virtualize_apic_accesses"):
        return "(the control is set)"
    return "not mapped: exit 48" if one.state is ApicState.RELOCATED else one.backing.value


def told_table() -> str:
    """Return what guests and toolstacks are told."""

    def of(release: XenRelease) -> str:
        body = []
        for title, host, flags in _hosts_and_flags(release, OFFERS[1:4]):
            bits = cpuid_leaf(release, host, domain_choice(release, host, int(flags))) & APIC_BITS
            hints = viridian_hints(host)
            word = arch_capabilities(release, host)
            reported = "no such field" if word is None else "|".join(names(word)) or "0"
            said = ("|".join(names(flags)) or "0",) if release.per_domain_apic else ()
            body.append(
                (
                    title,
                    *said,
                    ", ".join(names(bits)) or "neither",
                    mark(hints.msr_based_apic),
                    mark(hints.apic_overlay),
                    reported,
                )
            )
        said_header = ("misc_flags",) if release.per_domain_apic else ()
        return markdown(
            (
                "the processor offers",
                *said_header,
                "CPUID base+4 EAX",
                "Viridian: use MSRs",
                "Viridian: overlay",
                "physinfo.arch_capabilities",
            ),
            body,
        )

    return _all_releases(of)


def release_table() -> str:
    """Return the releases and in what they differ."""
    return markdown(
        (
            "release",
            "choice per domain",
            "`arch_capabilities`",
            "`misc_flags` known",
            "tertiary controls",
            "new in createdomain",
            "known defects of its .0",
        ),
        [
            (
                link(r.name, r.name),
                mark(r.per_domain_apic),
                mark(r.has_physinfo_arch_capabilities),
                f"{int(r.misc_flags):#x}",
                "activated where offered" if r.tertiary_controls else "not activated",
                ", ".join(_new_in(r)) or "–",
                sum(r.name in row.releases for row in DEFECTS),
            )
            for r in XEN_RELEASES
        ],
    )


def _new_in(release: XenRelease) -> Iterator[str]:
    yield from (f"`{name}`" for name, since in FIELD_SINCE.items() if since == release.number)
    yield from (f"flag `{flag.name}`" for flag, since in FLAG_SINCE.items() if since == release.number)


def flags_table() -> str:
    """Return each flag, its meaning and the releases that know it."""
    found = [topic for topic in topics().values() if topic.kind is TopicKind.FLAG]
    return markdown(
        ("flag", "meaning", "releases"),
        [(link(t.name, f"`{t.name}`"), t.text, t.effect.partition(": ")[2]) for t in found],
    )


# -- policies ----------------------------------------------------------------------------------------


def aspects_table() -> str:
    """Return the aspects, and where each can be had or left out."""
    flags = {Aspect.APIC_ACCESSES: "`assisted_xapic`", Aspect.X2APIC_MODE: "`assisted_x2apic`"}
    return markdown(
        (
            "aspect",
            "SDM name",
            "first processor on which Xen uses it",
            "host-wide switch",
            "choice in 4.17-rc",
        ),
        [
            (
                link(aspect.value),
                aspect.title,
                _first_used(aspect),
                "`apicv=`" if aspect.value in BY_APICV else "none",
                flags.get(aspect, "–"),
            )
            for aspect in Aspect
        ],
    )


def _first_used(aspect: Aspect) -> str:
    real = (row for row in PROCESSORS.values() if not row.emulated_by)
    return next(row.title for row in real if named_host(row, RELEASED).features[aspect.value])


def effects_table() -> str:
    """Return the effects and what they take."""
    return markdown(
        ("effect", "what the guest gets", "aspects"),
        [
            (
                link(row.name),
                _title(row.text),
                "; ".join(f"{want.value} {SHORT[aspect.value]}" for aspect, want in row.wants),
            )
            for row in EFFECTS
        ],
    )


def codes_table() -> str:
    """Return every code of refusal, with what would remove it."""
    found = remedies_of()
    return markdown(
        ("code", "why", "what would make it possible"),
        [
            (
                link(code.value),
                topics()[code.value].text if code is not Code.DEFECT_MEMORY else topics()[code.value].title,
                "; ".join(found[code]),
            )
            for code in Code
        ],
    )


def kind_table(kind: TopicKind) -> str:
    """Return all topics of a kind, briefly."""
    return markdown(("", "meaning"), [(link(t.name), t.text) for t in topics().values() if t.kind is kind])


def processors_table() -> str:
    """Return every processor and what it offers."""
    keys = (*SHORT, "ipi_virtualization", "avic", "x2avic")
    keys = tuple(key for key in keys if not key.startswith("cr8_"))
    return markdown(
        (
            "name",
            "processor",
            *(SHORT.get(key) or feature(key).name for key in keys),
            "is",
            "source",
            "notes",
        ),
        [
            (
                f"`{row.name}`",
                row.title,
                *("yes" if key in row.offers else "?" if key in row.unknown else "–" for key in keys),
                f"{row.emulated_by}'s model" if row.emulated_by else "real",
                row.source,
                row.notes,
            )
            for row in PROCESSORS.values()
        ],
    )


# -- defects -----------------------------------------------------------------------------------------


def defects_table() -> str:
    """Return which release has which defect."""
    return markdown(
        ("defect", *(r.name for r in XEN_RELEASES), "known by"),
        [
            (
                f"[{row.title}](#{slug('defect', row.code)})",
                *("**x**" if r.name in row.releases else "" for r in XEN_RELEASES),
                row.evidence,
            )
            for row in DEFECTS
        ],
    )


# -- recordings --------------------------------------------------------------------------------------


@lru_cache
def recordings() -> tuple[Report, ...]:
    """Return every recording, held against the model."""
    return tuple(check_file(path) for path in sorted(OBSERVED.glob("*.json")))


def recordings_table() -> str:
    """Return how many recorded values agree with the model, by topic."""
    kinds = dict.fromkeys(
        one.topic
        for report in recordings()
        for one in report.checks
        if one.verdict is not Verdict.NOT_COVERED
    )
    body = []
    for report in recordings():
        counted = Counter(one.topic for one in report.checks if one.verdict is not Verdict.NOT_COVERED)
        body.append(
            (
                f"`{report.name.removesuffix('.json')}`",
                f"**{report.agree} of {report.compared}**",
                len(report.of(Verdict.NOT_COVERED)),
                *(counted[kind] or "–" for kind in kinds),
            )
        )
    return markdown(("recording", "agree", "not covered", *kinds), body)


@lru_cache
def recorded() -> tuple[dict[str, Any], ...]:
    """Return what the recordings hold."""
    return tuple(json.loads(path.read_text()) for path in sorted(OBSERVED.glob("*.json")))


def coverage() -> str:
    """Return what the recordings cover, and what none of them has."""
    found = recorded()
    states = {one["apic_mode"] for data in found for one in (*data["vmcs"], *data["guest"])}
    vmcs = [(int(one["pin_based"], 16), int(one["secondary"], 16)) for data in found for one in data["vmcs"]]
    seen = {Controls.from_words(pin, 0, secondary) for pin, secondary in vmcs}
    both = ("apic_register_virtualization", "virtual_interrupt_delivery")
    lacking = {
        "one of register virtualization and virtual-interrupt delivery without the other": not any(
            one.has(both[0]) != one.has(both[1]) for one in seen
        ),
        "posted interrupts": not any(one.has("posted_interrupts") for one in seen),
        **{f"an APIC in the state *{s.value}*": s.value not in states for s in ApicState},
    }
    lines = {
        "Releases": [data["xen"] for data in found],
        "Processors and options": [" ".join([data["processor"], *data["xen_options"]]) for data in found],
        "Recorded with": [data.get("emulator", "a real processor") for data in found],
        "None has": [what for what, is_so in lacking.items() if is_so],
    }
    return "".join(
        f"- {head}: {'; '.join(dict.fromkeys(words)) or 'nothing of note'}.\n"
        for head, words in lines.items()
    )


def recorded_words() -> str:
    """Return the secondary controls that were found in VMCSs, as recorded."""
    body = []
    states = (ApicState.XAPIC, ApicState.X2APIC, ApicState.RELOCATED)
    for data in recorded():
        where = " ".join([data["xen"], data["processor"], *data["xen_options"]])
        for flags, entries in groupby(data["vmcs"], lambda one: one["misc_flags"]):
            words = {one["apic_mode"]: one["secondary"] for one in entries}
            cells = (f"`{words[s.value]}`" if s.value in words else "–" for s in states)
            body.append((where, " ".join(names(MISC(flags))) or "0", *cells))
    return markdown(("Xen, processor, options", "misc_flags", "xAPIC", "x2APIC", "relocated"), body)


def recorded_costs() -> str:
    """Return what accesses cost in ticks, by what the model says of them."""
    pattern = re.compile(r"([\d.]+) ticks")
    found: dict[str, list[float]] = {}
    for report in recordings():
        for one in report.checks:
            match = pattern.search(one.found)
            if one.topic == "access" and match and one.verdict is Verdict.AGREES:
                found.setdefault(one.predicted.partition(";")[0], []).append(float(match[1]))
    return markdown(
        ("outcome by the model", "accesses recorded", "fewest ticks", "most ticks"),
        [(link(name), len(ticks), f"{min(ticks):g}", f"{max(ticks):g}") for name, ticks in found.items()],
    )


# -- the proposal ------------------------------------------------------------------------------------


def proposal_bits() -> str:
    """Return the proposed bits."""
    return markdown(
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


def proposal_counts() -> str:
    """Return what becomes of every request, host by host."""
    body = []
    for title, offers in OFFERS:
        host = host_controls(RELEASED, Controls.of(*offers))
        answers = Counter(_answer(resolve(available(host), on, off)) for on, off in every_request())
        body.append(
            (title, *(answers[kind] for kind in ("resolved", "EINVAL", "ENODEV")), len(_different(host)))
        )
    return markdown(("the processor offers", "resolved", "EINVAL", "ENODEV", "different results"), body)


def every_request() -> Iterator[tuple[APIC, APIC]]:
    """Yield each way of saying default, on or off of each bit."""
    for wants in product((0, 1, 2), repeat=len(APIC)):
        pairs = list(zip(APIC, wants, strict=True))
        yield APIC(sum(b for b, w in pairs if w == 1)), APIC(sum(b for b, w in pairs if w == 2))


def _answer(found: APIC | Refused) -> str:
    return errno_name(found.errno) if isinstance(found, Refused) else "resolved"


def _different(host: Controls) -> set[APIC]:
    found = (resolve(available(host), on, off) for on, off in every_request())
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
                _opened(cells[1]),
                *(_stays_in(one) for one in cells[:2]),
                ", ".join(names(leaf(effective))) or "neither",
                mark(viridian(effective).msr_based_apic),
            )
        )
    return markdown(
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
    kinds = {op: [r.outcome.kind is Kind.STAYS for r in found if r.operation is op] for op in (READ, WRITE)}
    return ", ".join(f"{sum(k)} of {len(k)} {op.value}s" for op, k in kinds.items())


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
        body.append(("|".join(names(flags)) or "0", _names(on), _names(off), *cells))
    return markdown(
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


def _names(word: APIC) -> str:
    return ", ".join(f"`{n}`" for n in names(word)) or "–"


def _how(one: VcpuApic) -> str:
    if any(row.outcome.kind is Kind.MEMORY for row in rows((one,))):
        return "**plain memory**"
    return _stays_in(one)


# -- the glossary ------------------------------------------------------------------------------------


def glossary() -> str:
    """Return every topic, by kind."""
    parts = []
    for kind in TopicKind:
        found = [topic for topic in topics().values() if topic.kind is kind]
        plural = PLURAL.get(kind, f"{kind.value}s")
        parts.append(f"## {_title(plural)}\n")
        parts += [_entry(topic) for topic in found]
    return "\n".join(parts)


PLURAL = {TopicKind.SETTING: "settings of xl.cfg", TopicKind.ERRNO: "errnos"}


def _entry(topic: Topic) -> str:
    name = f"`{topic.name}`" if topic.title == topic.name else f"`{topic.name}` – {topic.title}"
    lines = [f"({topic_label(topic)})=\n**{name}**\n", f"{topic.text}\n"]
    if topic.effect:
        lines.append("\n".join(f"{line}  " for line in topic.effect.splitlines()) + "\n")
    for label, text in (("SDM", topic.sdm), ("Xen", topic.xen)):
        if text:
            lines.append(f"*{label}:* {text.removeprefix(label).lstrip()}\n")
    if topic.see:
        lines.append(f"*See:* {', '.join(link(name) for name in topic.see)}\n")
    return "\n".join(lines)


def defect_sections() -> str:
    """Return each defect in full."""
    return "\n".join(_defect_section(row) for row in DEFECTS)


def _defect_section(row: Defect) -> str:
    where = ", ".join(row.releases) or "no release since 4.15"
    lines = [
        f"({slug('defect', row.code)})=\n## {row.title}\n",
        f"Code {link(row.code)}. In the .0 of: {where}. {row.points}\n",
        f"{row.effect}\n",
        f"*It takes:* {row.condition}\n",
        f"*Avoid it:* {row.avoid}\n",
        f"*Since* {row.since}; *until* {row.until or 'now'}. *Known by:* {row.evidence}.\n",
        f"*Sources:* {'; '.join([*row.sources, *row.commits])}\n",
    ]
    return "\n".join(lines)


FRAGMENTS: dict[str, Callable[[], str]] = {
    "matrix_x2apic_off": lambda: matrix("assisted_x2apic=0"),
    "matrix_xapic_off": lambda: matrix("assisted_xapic=0"),
    "matrix_x2apic_on": lambda: matrix("assisted_x2apic=1"),
    "which_processor": which_processor,
    "details": details,
    "controls": controls_table,
    "entry_rules": entry_rules,
    "page_sets": page_sets,
    "msr_sets": msr_sets,
    "access": access_table,
    "typical": typical_table,
    "boot": boot_table,
    "states": state_table,
    "told": told_table,
    "xen_releases": release_table,
    "flags": flags_table,
    "aspects": aspects_table,
    "effects": effects_table,
    "codes": codes_table,
    "wants": lambda: kind_table(TopicKind.WANT),
    "warnings": lambda: kind_table(TopicKind.WARNING),
    "outcomes": lambda: kind_table(TopicKind.OUTCOME),
    "completions": lambda: kind_table(TopicKind.COMPLETION),
    "settings": lambda: kind_table(TopicKind.SETTING),
    "options": lambda: kind_table(TopicKind.OPTION),
    "terms": lambda: kind_table(TopicKind.TERM),
    "apic_states": lambda: kind_table(TopicKind.STATE),
    "processors": processors_table,
    "defects": defects_table,
    "defect_sections": defect_sections,
    "recordings": recordings_table,
    "coverage": coverage,
    "recorded_words": recorded_words,
    "recorded_costs": recorded_costs,
    "proposal_bits": proposal_bits,
    "proposal_counts": proposal_counts,
    "proposal_states": proposal_states,
    "proposal_today": proposal_today,
    "glossary": glossary,
}
"""Name of a fragment that a page includes, and what makes it."""


def write(into: Path) -> None:
    """Write every fragment as a Markdown file; what did not change keeps its time, for Sphinx's sake."""
    into.mkdir(parents=True, exist_ok=True)
    for name, make in FRAGMENTS.items():
        path, text = into / f"{name}.md", make()
        if not path.exists() or path.read_text() != text:
            path.write_text(text)

"""Write the finder: what a setting of xl.cfg does, by release and processor."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product
from typing import Literal

from xenapic.apic.features import Technology
from xenapic.apic.outcome import Operation
from xenapic.apic.processors import PROCESSORS, Processor
from xenapic.apic.state import ApicState
from xenapic.model.acceleration import APIC_BITS
from xenapic.model.flags import names
from xenapic.model.host import Host
from xenapic.model.named import named_host
from xenapic.model.releases import XEN_RELEASES, XenRelease
from xenapic.policy.outlook import access_rows, hvm_leaf, share
from xenapic.policy.plan import Plan, Refusal, plan
from xenapic.policy.reasons import Code
from xenapic.policy.terms import Aspect, Policy
from xenapic_docs.markdown import link, slug, table

RELEASED = XEN_RELEASES[-1]

READ, WRITE = Operation.READ, Operation.WRITE


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
    shares = {operation: share(found, state, operation) for operation in (READ, WRITE)}
    if any(each.memory for each in shares.values()):
        return "**plain memory**"
    if not any(each.stays for each in shares.values()):
        return "none: every access leaves"
    return ", ".join(f"{each} {operation.value}s" for operation, each in shares.items())


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
                f"{finding(release, kind.example, setting).does}\u00a0[→](#{detail_label(release, kind)})"
                for kind in kindreds()
            ),
        ]
        for release in XEN_RELEASES
    ]
    headers = ["Xen", *(f"[{kind.title}](#{slug('kind', kind.name)})" for kind in kindreds())]
    return table(headers, body)


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
    return f"{table(headers, body)}\n{_ways(release, row)}Try: `{command}`\n"


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

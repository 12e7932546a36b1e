"""What Xen would answer to a create: build the request from a config, and check it against every rule."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache

from xenapic.errors import HostUnknown, Problem
from xenapic.frozen import dataclass
from xenapic.model.apicbits import ASKED, misc_shown
from xenapic.model.conditions import Rule, Situation
from xenapic.model.config import CreateRequest, DomainConfig
from xenapic.model.flags import CDF, EMU, MISC, names
from xenapic.model.host import Host
from xenapic.model.releases import FIELD_SINCE, XenRelease
from xenapic.model.rules import RULES

__all__ = [
    "ASSISTED_FLAGS",
    "Creation",
    "Dependency",
    "assistance_by_default",
    "check_request",
    "pages_to_fit",
    "prepare_request",
    "rules_of",
]


@dataclass(frozen=True, slots=True)
class Dependency:
    """A rule that a request may break: whether it does depends on what is not known about the host."""

    problem: Problem
    """What Xen says if the rule is broken."""
    fact: str
    """What it depends on, in words."""

    def __str__(self) -> str:
        return f"{self.problem.field}={self.problem.value}: depends on {self.fact} [{self.problem.code}]"


@dataclass(frozen=True, slots=True)
class Creation:
    """A request, and every reason why it cannot be sent or why Xen would refuse it."""

    request: CreateRequest
    problems: tuple[Problem, ...]
    depends: tuple[Dependency, ...] = ()
    """Rules whose answer depends on what is not known about the host."""

    @property
    def errno(self) -> int:
        """The errno that Xen would answer, 0 if it would create the domain."""
        return next((problem.errno for problem in self.problems if problem.errno is not None), 0)

    @property
    def errnos(self) -> frozenset[int]:
        """Every errno that Xen may answer: one, or two while a fact that decides is unknown."""
        first = next((problem for problem in self.problems if problem.errno is not None), None)
        answers = (first.errno, first.or_errno) if first else (0,)
        return frozenset(number for number in answers if number is not None)

    @property
    def harmless(self) -> bool:
        """Whether sending the request does no harm: Xen creates the domain, or refuses it early."""
        return not any(problem.late or problem.errno is None for problem in self.problems)


# -- a request: the numbers that Xen gets ---------------------------------------------------------------


def check_request(request: CreateRequest, situation: Situation) -> Creation:
    """Return the request with every rule that it breaks, in Xen's order.

    A rule that needs what is not known about the host is not counted as broken; `Creation.depends` has it.
    """
    release = situation.host.release
    if not release.create_rules:
        raise HostUnknown(f"the rules by which Xen {release.name} refuses a create are not modelled")
    rows = rules_of(release, bool(situation.host.per_control))
    possible = situation.possibilities()
    if not possible:
        return Creation(
            request, tuple(_problem(row, request) for row in rows if row.broken(request, situation))
        )
    facts = {row: _deciding(row, request, situation, possible) for row in rows}
    certain = (row for row, fact in facts.items() if not fact and row.broken(request, situation))
    return Creation(
        request,
        tuple(_problem(row, request) for row in certain),
        tuple(Dependency(_problem(row, request), fact) for row, fact in facts.items() if fact),
    )


def _deciding(
    row: Rule, request: CreateRequest, situation: Situation, possible: Mapping[str, Situation]
) -> str:
    """Return the unknown facts that decide a rule, in words; empty if it is decided without them."""
    if row.errno is None:
        return ""  # a precaution of our own is taken with what is known
    broken = row.broken(request, situation)
    return " and ".join(fact for fact, other in possible.items() if row.broken(request, other) != broken)


def pages_to_fit(request: CreateRequest, situation: Situation) -> int:
    """Return how many pages must be free for a request that broke no rule, to break none later.

    On the same host, nothing else changes; domain numbers and CPU pools must be checked again.
    """
    rows = rules_of(situation.host.release, bool(situation.host.per_control))
    return max((row.pages(request, situation) for row in rows if row.pages), default=0)


@cache
def rules_of(release: XenRelease, per_control: bool = False) -> tuple[Rule, ...]:
    """Return the rules of a release, in Xen's order; ``per_control`` says that it has the proposal's."""
    return tuple(
        row
        for row in RULES
        if row.since <= release.number < row.until
        and (release.per_domain_apic or not row.needs_interface)
        and (per_control or not row.needs_bits)
    )


def _problem(row: Rule, request: CreateRequest) -> Problem:
    return Problem(
        code=row.code,
        field=row.field,
        value=_shown(row.field, getattr(request, row.field)),
        rule=row.rule,
        remedy=row.remedy,
        errno=row.errno,
        or_errno=row.or_errno,
        late=row.late,
        source=row.source,
    )


FLAG_FIELDS = {"flags": CDF, "emulation_flags": EMU, "misc_flags": MISC}


def _shown(field: str, value: int) -> object:
    kind = FLAG_FIELDS.get(field)
    if field == "misc_flags" and value & ASKED:
        return f"{value:#x} ({misc_shown(value)})"
    return ("|".join(names(kind(value))) or "0") if kind else value


# -- a config: what people write ------------------------------------------------------------------------

ASSISTED_FLAGS = MISC.ASSISTED_XAPIC | MISC.ASSISTED_X2APIC


def prepare_request(config: DomainConfig, situation: Situation, planned: MISC | None = None) -> Creation:
    """Build the request for a config and check it.

    ``planned`` are the assisted flags that a policy's plan chose; None means that there is no policy, so
    the domain gets the host's default. `xenapic.policy.creation.prepare` makes the plan.
    """
    host = situation.host
    assisted = assistance_by_default(host, config.is_hvm) if planned is None else planned
    checked = check_request(_request(config, host, assisted), situation)
    own = (*_missing_fields(config, host), *_conflicting_flags(config, planned))
    return Creation(checked.request, (*own, *checked.problems), checked.depends)


def assistance_by_default(host: Host, hvm: bool) -> MISC:
    """Return the assisted flags of a domain for which nothing is asked.

    As libxl of 4.17-rc set them: everything that the host offers. Other releases have no such flags.
    """
    flags = MISC(0)
    if hvm and host.interface:
        if host.assisted_xapic:
            flags |= MISC.ASSISTED_XAPIC
        if host.assisted_x2apic:
            flags |= MISC.ASSISTED_X2APIC
    return flags


def _request(config: DomainConfig, host: Host, assisted: MISC) -> CreateRequest:
    """Return the numbers for Xen: defaults filled in, 0 in fields that the release lacks."""
    has = host.release.has_field
    grant_opts = 1 if config.grant_opts is None else config.grant_opts
    return CreateRequest(
        ssidref=config.ssidref,
        flags=int(config.flags),
        iommu_opts=int(config.iommu_opts),
        max_vcpus=config.max_vcpus,
        max_evtchn_port=config.max_evtchn_port,
        max_grant_frames=config.max_grant_frames,
        max_maptrack_frames=config.max_maptrack_frames,
        grant_opts=grant_opts if has("grant_opts") else 0,
        altp2m=int(config.altp2m) if has("altp2m") else 0,
        altp2m_nr=config.altp2m_nr if has("altp2m_nr") else 0,
        vmtrace_size=config.vmtrace_size,
        cpupool_id=config.cpupool_id if has("cpupool_id") else 0,
        emulation_flags=int(config.emulation_flags),
        misc_flags=int(config.misc_flags | assisted),
        domid=config.domid,
    )


@cache
def _neutral() -> DomainConfig:
    return DomainConfig()


def _missing_fields(config: DomainConfig, host: Host) -> Iterator[Problem]:
    release, neutral = host.release, _neutral()
    for field, since in FIELD_SINCE.items():
        value = getattr(config, field)
        if release.has_field(field) or value == getattr(neutral, field):
            continue
        yield Problem(
            code="field-missing",
            field=field,
            value=value,
            rule=f"Xen {release.number_text} does not have this field; the first that has it is "
            "{}.{}".format(*since),
            remedy="Leave it at its default.",
            errno=None,
            late=False,
            source="xen/include/public/domctl.h",
        )


def _conflicting_flags(config: DomainConfig, planned: MISC | None) -> Iterator[Problem]:
    """Yield a problem if ``misc_flags`` sets an assisted flag that the policy's plan leaves out."""
    if planned is None:
        return
    conflicting = config.misc_flags & ASSISTED_FLAGS & ~planned
    if conflicting:
        yield Problem(
            code="assisted-flags-conflict",
            field="misc_flags",
            value=_shown("misc_flags", int(config.misc_flags)),
            rule=f"the policy's plan leaves out {' and '.join(names(MISC(conflicting)))}",
            remedy="Leave the assisted flags out of misc_flags: the policy chooses them.",
            errno=None,
            late=False,
            source="the policy",
        )

"""A configuration compared with a host: the toolstack's answer, then every rule by which Xen refuses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from xenapic.errors import Problem, ToolstackRefused
from xenapic.frozen import dataclass
from xenapic.model.conditions import UNKNOWN_CAPABILITIES, Situation
from xenapic.model.create import Creation, Dependency, check_request
from xenapic.model.facts import Answer
from xenapic.model.flags import CDF, PHYSCAP
from xenapic.model.host import Host
from xenapic.model.releases import XEN_RELEASES
from xenapic.toolstack.nested import nested_notes
from xenapic.toolstack.request import POOLS, DerivedRequest, derive_request, to_create_request

__all__ = ["FileCheck", "check_file"]

SHARED_TABLES = "whether the IOMMU can share page tables with HAP"
POOLS_OF_HOST = "the CPU pools of the host"


@dataclass(frozen=True, kw_only=True)
class FileCheck:
    """What becomes of a configuration on a host."""

    derived: DerivedRequest | None
    """The request that the toolstack sends; None when it refuses the configuration, or is not modelled."""
    refused: ToolstackRefused | None = None
    """The toolstack's refusal, on any host that this one may be."""
    problems: tuple[Problem, ...] = ()
    """Rules of Xen that the request breaks, in Xen's order."""
    cautions: tuple[Problem, ...] = ()
    """Requests that Xen may accept or refuse late; xenapic itself does not send them."""
    depends: tuple[str, ...] = ()
    """What decides, and is not known about this host."""
    notes: tuple[str, ...] = ()
    """What happens otherwise than the configuration says."""

    @property
    def possible(self) -> bool:
        """Whether nothing that xenapic checks forbids the domain."""
        return self.refused is None and not self.problems


def check_file(
    text: str,
    host: Host,
    xl_conf: str = "",
    pools: Mapping[str, int] | None = None,
    extra: Iterable[str] = (),
) -> FileCheck:
    """Return what becomes of an xl.cfg or a libvirt domain XML on a host.

    ``xl_conf`` is the text of the host's xl.conf; ``pools`` are the numbers of its CPU pools by name, None
    when they are not known; ``extra`` are settings that follow the file. A host that is only named may have
    an IOMMU, shadow paging or other limits: what depends on them is in `FileCheck.depends`. Raises
    `PolicyInvalid` when ``extra`` is not made of settings.
    """
    lines = tuple(extra)
    if not host.release.create_rules:
        return _not_modelled(text, host, xl_conf, pools, lines)
    words = _possible_capabilities(host)
    answers = {word: _derive(text, host, word, xl_conf, pools, lines) for word in words}
    derived = [answer for answer in answers.values() if isinstance(answer, DerivedRequest)]
    depends = _toolstack_depends(host, answers)
    if not derived:
        refusal = answers[words[-1]]
        assert isinstance(refusal, ToolstackRefused)
        if pools is None and refusal.keys == ("pool",) and "pool=" not in "".join(lines):
            known = check_file(text, host, xl_conf, None, (*lines, 'pool="Pool-0"'))
            return replace(known, depends=(f"the pool depends on {POOLS_OF_HOST}", *known.depends))
        return FileCheck(derived=None, refused=refusal)
    return _checked(derived[0], host, depends)


def _not_modelled(
    text: str, host: Host, xl_conf: str, pools: Mapping[str, int] | None, lines: tuple[str, ...]
) -> FileCheck:
    """Return what can be said on a release whose rules are not modelled: nested virtualization's defects."""
    oldest = XEN_RELEASES[0]
    try:
        everything = sum(PHYSCAP)
        asked = derive_request(text, oldest, everything, xl_conf, pools or POOLS, lines)
    except ToolstackRefused:
        asked = None
    nested = asked is not None and asked.request.flags & CDF.nested_virt
    return FileCheck(
        derived=None,
        depends=(
            f"whether the file is taken is not known: the rules of Xen {host.release.name} and its toolstacks"
            f" are not modelled, those from {oldest.name} on are",
        ),
        notes=tuple(nested_notes(host)) if nested else (),
    )


Derivation = DerivedRequest | ToolstackRefused


def _derive(
    text: str,
    host: Host,
    capabilities: PHYSCAP,
    xl_conf: str,
    pools: Mapping[str, int] | None,
    extra: tuple[str, ...],
) -> Derivation:
    physinfo = host.physinfo
    try:
        return derive_request(
            text,
            xen=host.release,
            capabilities=int(capabilities),
            xl_conf=xl_conf,
            pools=POOLS if pools is None else pools,
            extra=extra,
            arch_capabilities=int(physinfo.arch_capabilities or 0),
            cpus=_cpus(host),
            nodes=None if host.unknown else physinfo.nr_nodes,
        )
    except ToolstackRefused as error:
        return error


def _cpus(host: Host) -> int | None:
    """Return how many CPUs a host has; None if it is only named, or some are offline, whose numbers count."""
    physinfo = host.physinfo
    known = not host.unknown and physinfo.nr_cpus == physinfo.max_cpu_id + 1
    return physinfo.nr_cpus if known else None


def _possible_capabilities(host: Host) -> list[PHYSCAP]:
    """Return the capability words that the host may have, as far as libxl tells them apart."""
    words = [host.physinfo.capabilities]
    for capability in (PHYSCAP.directio, PHYSCAP.iommu_hap_pt_share, PHYSCAP.shadow):
        if capability in host.unknown:
            words += [word | capability for word in words]
    return words


def _toolstack_depends(host: Host, answers: Mapping[PHYSCAP, Derivation]) -> tuple[str, ...]:
    """Return what the toolstack's answer depends on: each unknown capability that can change it."""
    found = []
    for capability, text in {**UNKNOWN_CAPABILITIES, PHYSCAP.iommu_hap_pt_share: SHARED_TABLES}.items():
        if capability not in host.unknown:
            continue
        for word, answer in answers.items():
            other = answers.get(word | capability)
            if other is not None and _differs(answer, other):
                found.append(f"{_said(answer, other)} depends on {text}")
                break
    return tuple(dict.fromkeys(found))


def _differs(one: Derivation, other: Derivation) -> bool:
    if isinstance(one, DerivedRequest) and isinstance(other, DerivedRequest):
        return one.fields != other.fields
    return isinstance(one, DerivedRequest) or isinstance(other, DerivedRequest)


def _said(one: Derivation, other: Derivation) -> str:
    if isinstance(one, ToolstackRefused):
        return f'whether {one.tool} refuses it ("{one.message}")'
    assert isinstance(other, DerivedRequest)
    names = [name for name, value in other.fields.items() if one.fields.get(name) != value]
    return ", ".join(names)


def _checked(derived: DerivedRequest, host: Host, depends: tuple[str, ...]) -> FileCheck:
    checks = [_xen(fields, host) for fields in (derived.fields, *derived.more)]
    problems = [problem for check in checks for problem in check.problems]
    rules = [
        dependency
        for check in checks
        for dependency in check.depends
        if not any(text.endswith(dependency.fact) for text in depends)
    ]
    return FileCheck(
        derived=derived,
        problems=tuple(problem for problem in problems if problem.errno is not None),
        cautions=tuple(problem for problem in problems if problem.errno is None),
        depends=(*depends, *map(_rule_depends, rules), *_cpu_depends(derived, host), *_label_depends(host)),
        notes=tuple(_notes(derived, host)),
    )


def _xen(fields: Mapping[str, int], host: Host) -> Creation:
    """Check one request. The label that libxl sets is left out: without Flask it does not count."""
    pool_known = fields.get("cpupool_id", 0) == 0
    request = replace(to_create_request(fields), ssidref=0)
    without_flask = replace(host, flask=replace(host.flask, answer=Answer.NO))
    checked = check_request(request, Situation(without_flask))
    pool = () if pool_known else (Dependency(_pool_problem(fields["cpupool_id"]), POOLS_OF_HOST),)
    return replace(checked, depends=(*checked.depends, *pool))


def _pool_problem(number: int) -> Problem:
    return Problem(
        "cpupool-empty",
        "cpupool_id",
        number,
        "this CPU pool may have no CPUs",
        "Give the pool a CPU first, or use another pool.",
        None,
        True,
        "sched_init_domain, xen/common/sched/core.c",
    )


def _rule_depends(dependency: Dependency) -> str:
    problem = dependency.problem
    return f"{problem.field}={problem.value} depends on {dependency.fact} [{problem.code}]"


def _cpu_depends(derived: DerivedRequest, host: Host) -> list[str]:
    """Return the settings that xl compares with the host's CPUs and nodes, which are not known."""
    names = [name for name in ("cpus", "vnuma") if name in derived.considered]
    if _cpus(host) is not None or not names:
        return []
    return [f"whether xl refuses {' and '.join(names)} depends on the CPUs and NUMA nodes of the host"]


def _label_depends(host: Host) -> list[str]:
    return ["the security label depends on Flask's policy"] if host.flask.answer is Answer.YES else []


def _notes(derived: DerivedRequest, host: Host) -> list[str]:
    notes = list(derived.warnings)
    if derived.request.flags & CDF.nested_virt:
        notes += nested_notes(host)
    asked = "altp2m" in derived.considered or "altp2mhvm" in derived.considered
    if asked and derived.release.number < (4, 21) and host.altp2m.answer is Answer.NO:
        notes.append(
            f"altp2m has no effect for the guest on this host ({host.altp2m.source}); before 4.21 Xen does"
            " not refuse it"
        )
    return notes

"""Write the tables about Xen: what each release does with the processor's controls."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from xenapic.apic.controls import Controls
from xenapic.apic.features import Technology
from xenapic.apic.processors import APICV, POSTED, TPR, X2APIC
from xenapic.apic.state import ApicState
from xenapic.glossary import TopicKind, topics
from xenapic.glossary.controls import spans
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
from xenapic.model.defects import DEFECTS
from xenapic.model.executed import executions
from xenapic.model.flags import MISC, names
from xenapic.model.releases import FIELD_SINCE, FLAG_SINCE, XEN_RELEASES, XenRelease
from xenapic_docs.markdown import link, mark, shown, table

OFFERS: tuple[tuple[str, set[str] | frozenset[str]], ...] = (
    ("nothing", {"external_interrupt_exiting", "msr_bitmaps"}),
    ("TPR shadow, APIC accesses", TPR),
    ("…and x2APIC mode", X2APIC),
    ("…and registers, delivery", APICV),
    ("…and posted interrupts", POSTED),
)


def _all_releases(make: Callable[[XenRelease], str]) -> str:
    """Return each distinct text once, under the names of the releases that share it."""
    made = [(release.name, make(release)) for release in XEN_RELEASES]
    groups = {text: [name for name, other in made if other == text] for _, text in made}
    if len(groups) == 1:
        return f"The same in every release from {made[0][0]} to {made[-1][0]}:\n\n{made[0][1]}"
    return "\n".join(f"**{', '.join(which)}**\n\n{text}" for text, which in groups.items())


def boot_table() -> str:
    """Return what Xen uses after boot."""

    def of(release: XenRelease) -> str:
        body = [
            (title, *(shown(host_controls(release, Controls.of(*offers), apicv=on)) for on in (True, False)))
            for title, offers in OFFERS
        ]
        return table(("the processor offers", "Xen uses", "with `apicv=0`"), body)

    return _all_releases(of)


FLAG_WORDS = (MISC(0), MISC.ASSISTED_XAPIC, MISC.ASSISTED_X2APIC, MISC.ASSISTED_XAPIC | MISC.ASSISTED_X2APIC)


def flag_words(release: XenRelease, host: Controls) -> tuple[MISC, ...]:
    """Return the values of misc_flags for the APIC that a host accepts."""
    if not release.per_domain_apic:
        return FLAG_WORDS[:1]
    offered = int(arch_capabilities(release, host) or 0) << 1
    return tuple(word for word in FLAG_WORDS if not int(word) & ~offered)


def _hosts_and_flags(
    release: XenRelease, offers: Iterable[tuple[str, set[str] | frozenset[str]]]
) -> Iterator[tuple[str, Controls, MISC]]:
    for title, offered in offers:
        host = host_controls(release, Controls.of(*offered))
        for flags in flag_words(release, host):
            yield title, host, flags


def state_table() -> str:
    """Return the controls and the bitmap for each state, on hosts with and without APICv."""

    def of(release: XenRelease) -> str:
        body = []
        for title, host, flags in _hosts_and_flags(release, OFFERS[2:4]):
            for state in ApicState:
                one = vcpu_apic(host, domain_choice(release, host, int(flags)), state)
                said = ", ".join(names(flags)) or "0"
                body.append(
                    (
                        _host_title(title),
                        *((said,) if release.per_domain_apic else ()),
                        state.value,
                        shown(one.controls),
                        bitmap_cell(one),
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
        return table(headers, body)

    return _all_releases(of)


def _host_title(title: str) -> str:
    return "with APICv" if "registers" in title else "TPR shadow alone"


def bitmap_cell(one: VcpuApic) -> str:
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
    """Return what guests and toolstacks can read."""

    def of(release: XenRelease) -> str:
        body = []
        for title, host, flags in _hosts_and_flags(release, OFFERS[1:4]):
            bits = cpuid_leaf(release, host, domain_choice(release, host, int(flags))) & APIC_BITS
            hints = viridian_hints(host)
            word = arch_capabilities(release, host)
            reported = "no such field" if word is None else ", ".join(names(word)) or "0"
            said = (", ".join(names(flags)) or "0",) if release.per_domain_apic else ()
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
        return table(
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
    """Return the releases and their differences."""
    return table(
        (
            "release",
            "choice per domain",
            "`arch_capabilities`",
            "`misc_flags` known",
            "tertiary controls",
            "new in createdomain",
            "known defects of its .0",
            "Intel",
            "AMD",
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
                *(_rests_on(r, technology) for technology in Technology),
            )
            for r in XEN_RELEASES
        ],
    )


def _rests_on(release: XenRelease, technology: Technology) -> str:
    rows = executions(release.name, technology)
    return f"*executed* ({', '.join(dict.fromkeys(row.xen for row in rows))})" if rows else "*source*"


def _new_in(release: XenRelease) -> Iterator[str]:
    yield from (f"`{name}`" for name, since in FIELD_SINCE.items() if since == release.number)
    yield from (f"flag `{flag.name}`" for flag, since in FLAG_SINCE.items() if since == release.number)


def flags_table() -> str:
    """Return each flag, its meaning and the releases that know it."""
    found = [topic for topic in topics().values() if topic.kind is TopicKind.FLAG]
    return table(
        ("flag", "meaning", "releases"),
        [(link(t.name, f"`{t.name}`"), t.text, t.effect.partition(": ")[2]) for t in found],
    )

"""Known defects of Xen around the local APIC and its acceleration. Pure data.

``spans`` says which versions have a defect; ``points`` says the same in words. All of it was derived from
Xen's git history: the commits named here, and the tags and stable branches that contain them or their
cherry-picks, up to 4.22.0 and master c447b7308b (August 2026).
"SDM" is volume 3C of Intel's manual, "APIC virtualization and virtual interrupts" unless noted.
"""

from __future__ import annotations

from functools import cache
from typing import Literal

from xenapic.frozen import dataclass
from xenapic.model.acceleration import PLAIN_MEMORY_CODE
from xenapic.model.releases import XEN_RELEASES, xen_release
from xenapic.parse.xenversion import FINAL, Point, parse_version

__all__ = ["DEFECTS", "Defect", "Evidence", "defects_of"]

Evidence = Literal["observed", "executed", "source"]
"""``observed``: seen in the recordings of a real Xen; ``executed``: reproduced by this project's tests;
``source``: read in Xen's source (and the SDM), not reproduced here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Defect:
    """A defect: what happens and to whom, which Xens have it, and how to avoid it."""

    code: str
    """A stable name."""
    title: str
    effect: str
    """What happens, and to whom."""
    since: str
    """The first release or commit that has it."""
    until: str = ""
    """The first that no longer has it; empty if it was never fixed."""
    spans: tuple[tuple[str, str], ...] = ()
    """Upstream's versions that have it: from the first, up to but without the second; an empty second has no
    end. A row whose ``since`` starts with "before" may be older than its first span."""
    points: str = ""
    """The point releases that differ from their .0."""
    condition: str
    """The hardware, flags and guest state that trigger it."""
    avoid: str
    needs: tuple[str, ...] = ()
    """What of `condition` a host's facts decide; empty if nothing. One of the texts must hold, and a text holds if
    every word does: a feature's key, or a word of `xenapic.model.exposure`; ``!`` negates."""
    commits: tuple[str, ...] = ()
    """The Xen commits that introduced and fixed it."""
    sources: tuple[str, ...] = ()
    """Advisories, list messages (date, id), or files and functions."""
    evidence: Evidence

    @property
    def releases(self) -> tuple[str, ...]:
        """The names in `XEN_RELEASES` whose .0 has it; empty if it was fixed before 4.15."""
        return tuple(name for name, points in DOT_ZERO.items() if any(self.has(point) for point in points))

    def has(self, point: Point) -> bool:
        """Return True if a point of upstream's history has the defect."""
        return any(first <= point < end for first, end in self.intervals)

    @property
    def intervals(self) -> tuple[tuple[Point, Point], ...]:
        """The `spans` as points, which can be compared."""
        return _intervals(self.spans)

    def fixed_after(self, point: Point) -> str:
        """Return the version that ends the defect for this point; empty if none does."""
        pairs = zip(self.spans, self.intervals, strict=True)
        return next((span[1] for span, (first, end) in pairs if first <= point < end), "")


@cache
def _intervals(spans: tuple[tuple[str, str], ...]) -> tuple[tuple[Point, Point], ...]:
    return tuple((_point(first), _point(end) if end else NEVER) for first, end in spans)


def _point(text: str) -> Point:
    version = parse_version(text)
    assert version is not None, text
    return version.first


NEVER = (999, 0, 0, 0)
DOT_ZERO: dict[str, tuple[Point, ...]] = {
    row.name: tuple((*row.number, 0, rank) for rank in range(4))
    if row.per_domain_apic
    else ((*row.number, 0, FINAL),)
    for row in XEN_RELEASES
}
"""The points that a row of `XEN_RELEASES` stands for: the .0; for 4.17-rc the tree before it, up to rc3."""


NOTHING = "Nothing: no option changes it."
OLD = "Run a supported release."


DEFECTS = (
    # -- the per-domain interface of 4.17-rc ----------------------------------------------------------
    Defect(
        code=PLAIN_MEMORY_CODE,
        title="Without the xAPIC flag, the guest's APIC is plain memory",
        effect="Every access of the guest to its APIC page reads or writes ordinary memory: the version "
        "register is 0, nothing exits, and there is no interrupt controller. A guest that switches to x2APIC "
        "mode at once survives; any other hangs.",
        since="2ce11ce249 (11 July 2022)",
        until="e5ac68a011 (17 November 2022), in 4.17.0-rc4 and 4.17.0",
        spans=(("4.17.0-unstable", "4.17.0-rc4"),),
        points="4.17.0-rc1, rc2 and rc3 have it.",
        condition="The host can virtualize APIC accesses, the domain is created without ASSISTED_XAPIC, and "
        "the guest uses xAPIC mode. The page remains mapped at 0xFEE00000 "
        "(domain_creation_finished) while the control that intercepts it is 0.",
        avoid="Set ASSISTED_XAPIC for every HVM-type domain wherever the host offers it.",
        needs=("virtualize_apic_accesses",),
        commits=("2ce11ce249", "e5ac68a011"),
        sources=("xen/arch/x86/hvm/vmx/vmcs.c construct_vmcs", "vmx.c domain_creation_finished"),
        evidence="observed",
    ),
    Defect(
        code="pvh-dom0-apic-memory",
        title="A PVH dom0 gets neither assisted flag",
        effect="Xen builds dom0 with misc_flags 0 or MSR_RELAXED. So a PVH dom0 gets plain memory as its xAPIC "
        f"(see {PLAIN_MEMORY_CODE}) and x2APIC mode without assistance.",
        since="2ce11ce249 (11 July 2022)",
        until="e5ac68a011 (17 November 2022), in 4.17.0-rc4 and 4.17.0",
        spans=(("4.17.0-unstable", "4.17.0-rc4"),),
        condition="dom0=pvh on a host that can virtualize APIC accesses.",
        avoid="Use a PV dom0.",
        needs=("virtualize_apic_accesses pvh_dom0",),
        commits=("2ce11ce249", "e5ac68a011"),
        sources=("xen/arch/x86/setup.c create_dom0",),
        evidence="source",
    ),
    Defect(
        code="assisted-xapic-avoids-nothing",
        title="xAPIC assistance is offered where it avoids exits for the TPR only",
        effect="physinfo reports ASSISTED_XAPIC if the host has 'virtualize APIC accesses', whatever else it "
        "lacks. With TPR shadow only, every access except 080 still exits (recorded: about 4800 ticks, as on a "
        "host without assistance); only an EOI write gets cheaper (870).",
        since="6b2b9b3405 (11 July 2022)",
        until="e5ac68a011 (17 November 2022) removed the bit",
        spans=(("4.17.0-unstable", "4.17.0-rc4"),),
        condition="A host without register virtualization and virtual-interrupt delivery, or with apicv=0.",
        avoid="Go by the controls, not by the bit.",
        needs=("virtualize_apic_accesses !apic_register_virtualization !virtual_interrupt_delivery",),
        commits=("6b2b9b3405", "e5ac68a011"),
        sources=(
            "xen-devel 4 November 2022, 'hvm/apic: repurpose the reporting of the APIC assist options', "
            "<20221104161815.38007-1-roger.pau@citrix.com>",
        ),
        evidence="observed",
    ),
    Defect(
        code="viridian-ignores-assisted-flags",
        title="The Viridian leaves ignore the per-domain flags",
        effect="Leaf 4's hint (use MSRs for the APIC) and leaf 6's APIC overlay bit follow the host only: "
        "they tell a domain without the flags about assistance that is turned off for it.",
        since="2ce11ce249 (11 July 2022)",
        until="e5ac68a011 (17 November 2022) removed the flags",
        spans=(("4.17.0-unstable", "4.17.0-rc4"),),
        condition="A Viridian domain whose flags differ from what the host offers.",
        avoid="Leave the flags at the host's default for Viridian domains.",
        needs=("vmx",),
        commits=("2ce11ce249", "e5ac68a011"),
        sources=("xen/arch/x86/hvm/viridian/viridian.c cpuid_viridian_leaves",),
        evidence="source",
    ),
    Defect(
        code="pv-domain-corruption",
        title="Creating a PV domain corrupts its struct domain",
        effect="arch_domain_create writes the two flags into the HVM half of a union that PV domains use for "
        "something else.",
        since="2ce11ce249 (11 July 2022)",
        until="399bcbf281 (23 August 2022)",
        spans=(("4.17.0-unstable", "4.17.0-rc1"),),
        points="Only snapshots between the two commits have it; 4.17.0-rc1 has the fix.",
        condition="Any PV domain.",
        avoid="Use 4.17.0-rc1 or later.",
        commits=("2ce11ce249", "399bcbf281"),
        sources=("xen/arch/x86/domain.c arch_domain_create",),
        evidence="source",
    ),
    Defect(
        code="ocaml-arch-capabilities-null",
        title="The OCaml binding turns the empty list of APIC capabilities into a null pointer",
        effect="Xenctrl.physinfo has an invalid value in place of the capability list. Walking the list "
        "crashes the toolstack, and so does an OCaml 5 runtime that comes across the value.",
        since="e5ac68a011 (17 November 2022): the revert of the interface",
        until="99e4554893 in 4.18.0, db8d48abd3 in 4.17.2",
        spans=(("4.17.0-rc4", "4.17.2"),),
        points="4.17.0 and 4.17.1.",
        condition="x86 and a toolstack in OCaml.",
        avoid="Do not use arch_capabilities in OCaml.",
        commits=("e5ac68a011", "99e4554893", "db8d48abd3"),
        sources=("tools/ocaml/libs/xc/xenctrl_stubs.c physinfo_arch_caps",),
        evidence="source",
    ),
    # -- the APIC-access page -------------------------------------------------------------------------
    Defect(
        code="apic-access-page-shared",
        title="All guests of the host share one APIC-access page (XSA-412)",
        effect="A guest whose APIC is not in xAPIC mode can read and write a page that every other HVM-type "
        "guest has mapped too. Guests can use it to communicate, and a guest that uses it by accident "
        "corrupts data.",
        since="58850b9074 in 4.16.0",
        until="3b5beaf490 in 4.17.0-rc3; 62e7fb702d in 4.16.3",
        spans=(("4.16.0", "4.16.3"), ("4.17.0-unstable", "4.17.0-rc3")),
        points="4.16.0 to 4.16.2, 4.17.0-rc1 and rc2; not rc3. In rc1 and rc2 the shared page is also the "
        f"APIC of every guest without the xAPIC flag ({PLAIN_MEMORY_CODE}).",
        condition="The host can virtualize APIC accesses; the guest's APIC is hardware-disabled, or in "
        "x2APIC mode with assistance.",
        avoid="Update.",
        needs=("virtualize_apic_accesses",),
        commits=("58850b9074", "3b5beaf490", "62e7fb702d"),
        sources=("XSA-412, CVE-2022-42327",),
        evidence="source",
    ),
    Defect(
        code="late-refused-create-panic",
        title="A create refused late takes the host down",
        effect="Xen stops with 'Xen BUG at common/domain.c'. The per-domain APIC-access page holds a domain "
        "reference. domain_create's error path sets the reference count to DOMAIN_DESTROYED, then frees the "
        "page, which drops a reference, and _domain_destroy finds the wrong count.",
        since="4.14.0: c793d13944 counts such pages, ea3daabff5 makes the APIC page one of them, b3344bb1ca "
        "frees it on this path",
        spans=(("4.14.0", "4.16.0"), ("4.16.3", "4.17.0-unstable"), ("4.17.0-rc3", "")),
        points="4.16.0 to 4.16.2, 4.17.0-rc1 and rc2 do not have it (58850b9074: one global page, no "
        "reference); the fix of XSA-412 brought it back in 4.16.3 and rc3. No release has a fix, nor does "
        "master.",
        condition="An Intel host that can virtualize APIC accesses, and an HVM-type create that fails after "
        "arch_domain_create because of grant options, CPU pool, security label or memory.",
        avoid="Check each request before Xen sees it; never use a create that fails as a dry run.",
        needs=("virtualize_apic_accesses",),
        commits=("c793d13944", "ea3daabff5", "b3344bb1ca", "58850b9074", "3b5beaf490", "62e7fb702d"),
        sources=("xen/common/domain.c domain_create, _domain_destroy", "vmx.c vmx_alloc_vlapic_mapping"),
        evidence="executed",
    ),
    Defect(
        code="late-refused-shadow-panic",
        title="A create without hap that is refused late takes the host down, on any vendor",
        effect="Xen stops with a page fault at address 0 in shadow_blow_tables. domain_create's error path frees "
        "d->vcpu first; arch_domain_destroy then finds the domain's shadow memory still there and calls "
        "shadow_teardown, which reads d->vcpu[0].",
        since="e7aa55c0aa (11 October 2022) calls shadow_blow_tables from shadow_teardown, a92dc2bb30 makes it read "
        "d->vcpu[0]; 4.17.0-rc3, 4.16.3, 4.15.4",
        spans=(("4.15.4", "4.16.0"), ("4.16.3", "4.17.0-unstable"), ("4.17.0-rc3", "")),
        points="4.15.4 and 4.16.3 onwards have it by backport (XSA-410); 4.17.0-rc2 stops in debug builds only. "
        "462de8ad45 (4.18) moves the call from shadow_final_teardown to paging_final_teardown and leaves it. No "
        "release has a fix, nor does master. Seen on 4.17-rc; read in the source of the others.",
        condition="A Xen with shadow paging, and an HVM-type create without hap that fails after arch_domain_create "
        "because of grant options, CPU pool, security label or memory. AMD hosts too.",
        avoid="Use hap. Check each request before Xen sees it; never use a create that fails as a dry run.",
        needs=("shadow",),
        commits=("e7aa55c0aa", "a92dc2bb30", "462de8ad45"),
        sources=(
            "xen/arch/x86/mm/shadow/common.c shadow_blow_tables, shadow_teardown",
            "xen/arch/x86/mm/paging.c paging_final_teardown",
            "xen/common/domain.c domain_create",
        ),
        evidence="observed",
    ),
    Defect(
        code="refused-create-keeps-number",
        title="A create that is refused early keeps its number until the host reboots",
        effect="do_domctl takes the number before domain_create checks the request, and does not give it back if the "
        "check fails. A toolstack that asks for this number again gets EEXIST, although no such domain exists. "
        "Creates that ask for any number skip it.",
        since="2d50650607 in 4.21.0",
        spans=(("4.21.0", ""),),
        points="Every point release so far, and master.",
        condition="A create that asks for a number and that Xen refuses early: before it builds the domain.",
        avoid="Check each request before Xen sees it, or let Xen choose the number.",
        commits=("2d50650607",),
        sources=("xen/common/domctl.c do_domctl", "xen/common/domid.c domid_alloc"),
        evidence="observed",
    ),
    Defect(
        code="apic-page-memory-outside-xapic",
        title="Outside xAPIC mode the APIC page is memory, not a hole",
        effect="At 0xFEE00000 there is a page of memory that the domain's vCPUs share; on a processor there "
        "would be nothing. A vCPU outside xAPIC mode can use it while another vCPU is still in xAPIC mode.",
        since="4ae289712c (2007) in its per-domain form",
        spans=(("4.0.0", ""),),
        points="In 4.16.0 to 4.16.2 all domains share the page, see apic-access-page-shared.",
        condition="The host can virtualize APIC accesses; the domain was unpaused at least once; the vCPU's "
        "APIC is hardware-disabled, or in x2APIC mode with assistance, or the toolstack gave it "
        "another base.",
        avoid="Do not access 0xFEE00000 outside xAPIC mode.",
        needs=("virtualize_apic_accesses",),
        commits=("4ae289712c", "68b92ee7fe", "3b5beaf490"),
        sources=("message of 3b5beaf490", "vmx.c domain_creation_finished, vmx_vlapic_msr_changed"),
        evidence="source",
    ),
    Defect(
        code="x2apic-mode-mmio-tpr",
        title="In x2APIC mode without assistance, the TPR still responds at its address",
        effect="Xen keeps 'virtualize APIC accesses' and TPR shadow set, so loads and stores at 0xFEE00080 "
        "reach the virtual TPR without an exit, although the MMIO interface should be off. Accesses to other "
        "offsets exit, and no APIC responds.",
        since="21c4d089ba (7 December 2010), for 4.1",
        spans=(("4.1.0", ""),),
        condition="A host with TPR shadow and 'virtualize APIC accesses' but without x2APIC assistance (for "
        "example with apicv=0), and a guest in x2APIC mode.",
        avoid="Do not access 0xFEE00080 in x2APIC mode.",
        needs=("tpr_shadow virtualize_apic_accesses !virtualize_x2apic_mode",),
        commits=("21c4d089ba",),
        sources=("vmx.c vmx_vlapic_msr_changed", "SDM, virtualizing reads from the APIC-access page"),
        evidence="source",
    ),
    Defect(
        code="apic-window-moves",
        title="A guest that moves its APIC window loses its APIC",
        effect="A guest can write any base to IA32_APIC_BASE, but the page that Xen maps never moves, so the "
        "APIC stops working. Fixed releases answer with #GP; a toolstack can still load any base.",
        since="4ae289712c (2007)",
        until="3b5e03b939 in 4.12.0",
        spans=(("4.0.0", "4.12.0"),),
        condition="A guest writes a base other than 0xFEE00000 while its APIC is in xAPIC mode.",
        avoid=OLD,
        commits=("4ae289712c", "3b5e03b939"),
        sources=("xen/arch/x86/hvm/vlapic.c guest_wrmsr_apic_base",),
        evidence="source",
    ),
    # -- x2APIC mode ----------------------------------------------------------------------------------
    Defect(
        code="x2apic-reserved-reads",
        title="Reads of x2APIC registers that do not exist do not fault",
        effect="With the bitmap open for 800-8FF, RDMSR of reserved and write-only registers (80B, 80E, "
        "831, 83F, 840-8FF) returns the virtual-APIC page instead of #GP: 80E gives FFFFFFFF, 831 "
        "the ICR's destination. The same guest without register virtualization gets #GP.",
        since="825ea023c1 in 4.3.0",
        spans=(("4.3.0", ""),),
        condition="Register virtualization and x2APIC mode; in 4.17-rc also the x2APIC flag.",
        avoid="Boot Xen with apicv=0.",
        needs=("apic_register_virtualization virtualize_x2apic_mode",),
        commits=("825ea023c1",),
        sources=(
            "SDM, virtualizing MSR-based APIC accesses: RDMSR of any ECX in 800H-8FFH reads 8 bytes of the "
            "page",
            "vmx.c vmx_vlapic_msr_changed",
            "vlapic.c guest_rdmsr_x2apic",
        ),
        evidence="source",
    ),
    Defect(
        code="x2apic-icr-destination-lost",
        title="The x2APIC ICR reads back without its destination",
        effect="RDMSR 830 reads 8 bytes at 300H of the page, but Xen stores the high half at 310H, so bits "
        "63:32 read as 0. Sending interrupts is not affected.",
        since="825ea023c1 in 4.3.0",
        spans=(("4.3.0", ""),),
        condition="Register virtualization and x2APIC mode; in 4.17-rc also the x2APIC flag.",
        avoid="Do not read the destination back, or boot Xen with apicv=0.",
        needs=("apic_register_virtualization virtualize_x2apic_mode",),
        commits=("825ea023c1",),
        sources=("SDM, virtualizing MSR-based APIC accesses", "vlapic.c guest_wrmsr_x2apic (APIC_ICR2)"),
        evidence="source",
    ),
    Defect(
        code="x2apic-ldr-from-vcpu",
        title="The x2APIC logical ID is derived from the vCPU number, not from the APIC ID",
        effect="The LDR does not follow from the APIC ID by the architecture's formula. A guest that computes "
        "one from the other sends logical interrupts to the wrong vCPU. Domains that migrate in keep their "
        "values.",
        since="f9e0cccf7b in 4.5.0",
        until="90309854fd in 4.19.0; 61d032e322 in 4.18.1; eac655d6be in 4.17.3",
        spans=(("4.5.0", "4.17.3"), ("4.18.0-unstable", "4.18.1")),
        points="Fixed in 4.17.3 and 4.18.1; 4.15 and 4.16 were never fixed.",
        condition="x2APIC mode and more than one vCPU.",
        avoid="Update, and restart the domains.",
        commits=("f9e0cccf7b", "90309854fd", "61d032e322", "eac655d6be"),
        sources=("vlapic.c set_x2apic_id, lapic_load_fixup (bug_x2apic_ldr_vcpu_id)",),
        evidence="source",
    ),
    Defect(
        code="x2apic-msr-range-too-wide",
        title="MSRs 900 to BFF are treated as x2APIC registers",
        effect="Xen's MSR code cannot reach other MSRs in that range (981, IA32_TME_CAPABILITY).",
        since="8d0a20587e in 4.5.0, named MSR_X2APIC_LAST by 689bc62444 in 4.12.0",
        until="13316827fa in 4.17.0-rc1; 89fe6d0ede in 4.16.2; df3395f6b2 in 4.15.4",
        spans=(("4.5.0", "4.15.4"), ("4.16.0", "4.16.2"), ("4.17.0-unstable", "4.17.0-rc1")),
        points="4.15.0 to 4.15.3, 4.16.0 and 4.16.1, and 4.17's tree up to 27 July 2022 (no rc).",
        condition="Processors that have other MSRs there (Ice Lake and later).",
        avoid="Update.",
        commits=("8d0a20587e", "689bc62444", "13316827fa", "89fe6d0ede", "df3395f6b2"),
        sources=("xen/arch/x86/msr.c guest_rdmsr",),
        evidence="source",
    ),
    Defect(
        code="x2apic-msr-read-leak",
        title="Reads of MSRs 900 to BFF show Xen's memory to the guest (XSA-108)",
        effect="The emulated read runs past the end of the APIC page into memory of Xen or of another guest.",
        since="4.1",
        until="61fdda7acf in 4.5.0; c6de14eebd in 4.4.2; 534084207c in 4.3.4",
        spans=(("4.1.0", "4.3.4"), ("4.4.0", "4.4.2")),
        condition="An HVM guest in x2APIC mode.",
        avoid=OLD,
        commits=("61fdda7acf", "c6de14eebd", "534084207c"),
        sources=("XSA-108, CVE-2014-7188",),
        evidence="source",
    ),
    Defect(
        code="x2apic-intercepts-left-open",
        title="MSR intercepts opened for x2APIC mode stay open after it",
        effect="A guest that leaves x2APIC mode can reach those MSRs of the physical local APIC.",
        since="825ea023c1 in 4.3.0",
        until="72af6f455a in 4.5.0; c9e1e5b6b1 in 4.4.2; c7d1bb848e in 4.3.4",
        spans=(("4.3.0", "4.3.4"), ("4.4.0", "4.4.2")),
        condition="x2APIC assistance, and a guest that disables its APIC after using x2APIC mode.",
        avoid=OLD,
        needs=("virtualize_x2apic_mode",),
        commits=("825ea023c1", "72af6f455a", "c9e1e5b6b1", "c7d1bb848e"),
        sources=("vmx.c vmx_vlapic_msr_changed",),
        evidence="source",
    ),
    Defect(
        code="x2apic-apicv-without-mode",
        title="APIC virtualization does nothing in x2APIC mode",
        effect="Xen sets register virtualization and virtual-interrupt delivery without 'virtualize x2APIC "
        "mode'; without it they do not affect RDMSR and WRMSR.",
        since="f62b02e177 (17 September 2012)",
        until="825ea023c1 in 4.3.0",
        points="No release has it: 4.3.0 is the first with either commit.",
        condition="A guest in x2APIC mode on an APICv host.",
        avoid=OLD,
        commits=("f62b02e177", "825ea023c1"),
        sources=(
            "xen-devel 29 January 2013, '[PATCH v4 2/2] Xen: Fix VMCS setting for x2APIC mode guest while "
            "enabling APICV'",
        ),
        evidence="source",
    ),
    # -- what guests are told -------------------------------------------------------------------------
    Defect(
        code="cpuid-x2apic-virt-overstates",
        title="CPUID's X2APIC_VIRT promises more than the hardware delivers",
        effect="The bit is meant to say that RDMSR and WRMSR run without exits. But writes to all registers "
        "except 808, 80B and 83F exit, including the ICR (830), and so do reads of 80A, 838 and 839.",
        since="3196856c65 in 4.5.0",
        spans=(("4.5.0", ""),),
        condition="x2APIC mode, register virtualization and virtual-interrupt delivery; in 4.17-rc also the "
        "x2APIC flag.",
        avoid="Do not rely on the bit for IPIs without exits; measure them.",
        needs=("virtualize_x2apic_mode apic_register_virtualization virtual_interrupt_delivery",),
        commits=("3196856c65",),
        sources=("cpuid_hypervisor_leaves (traps.c, since 4.21 cpuid.c), its comment",),
        evidence="observed",
    ),
    Defect(
        code="viridian-hint-wrong-feature",
        title="The Viridian hint to use MSRs for the APIC tests the wrong feature",
        effect="The hint is about EOI, ICR and TPR and should be absent on a host with virtual-interrupt "
        "delivery, but Xen tests register virtualization. If a host has only one of the two, Windows uses "
        "the slower way.",
        since="7f2e992b82 in 4.3.0",
        spans=(("4.3.0", ""),),
        condition="A Viridian domain on a host with only one of the two features.",
        avoid="Nothing is needed on hosts with both or neither, where it makes no difference.",
        needs=(
            "apic_register_virtualization !virtual_interrupt_delivery",
            "virtual_interrupt_delivery !apic_register_virtualization",
        ),
        commits=("7f2e992b82",),
        sources=(
            "xen-devel 10 to 14 November 2022, <69841767-ccc4-5eeb-6e9c-d59dfb197ea5@citrix.com> and "
            "replies: agreed to be wrong",
            "viridian.c cpuid_viridian_leaves",
        ),
        evidence="source",
    ),
    # -- registers ------------------------------------------------------------------------------------
    Defect(
        code="esr-not-latched",
        title="The error status register is plain storage",
        effect="A write should latch and show the errors since the previous write. Instead a write has no "
        "effect, or, in xAPIC mode with register virtualization, later reads return the value written.",
        since="f7c8af3a64 (30 October 2006)",
        until="b28b590d4a in 4.21.0; 4a480e7a14 in 4.20.1; da239140a4 in 4.19.2; 70b6b7cc10 in 4.18.5",
        spans=(("4.0.0", "4.18.5"), ("4.19.0-unstable", "4.19.2"), ("4.20.0-unstable", "4.20.1")),
        points="Fixed in 4.18.5, 4.19.2 and 4.20.1, whose saved LAPIC record is larger by pending_esr.",
        condition="A guest that uses 280 or MSR 828.",
        avoid="Update.",
        commits=("f7c8af3a64", "b28b590d4a", "4a480e7a14", "da239140a4", "70b6b7cc10"),
        sources=("vlapic.c vlapic_reg_write, vlapic_error",),
        evidence="source",
    ),
    Defect(
        code="vlapic-error-deadlock",
        title="An APIC error with an illegal error vector deadlocks the CPU (XSA-462)",
        effect="vlapic_error calls itself while it holds its lock. The CPU spins, and the watchdog takes the "
        "host down.",
        since="5f32d186a8 in 4.5.0",
        until="c42d9ec61f in 4.20.0; 9358a7fad7 in 4.19.1; 641b8f2a92 in 4.18.4; 3ef9196234 in 4.17.6; "
        "1765a3e0d1 in 4.16.7",
        spans=(
            ("4.5.0", "4.16.7"),
            ("4.17.0-unstable", "4.17.6"),
            ("4.18.0-unstable", "4.18.4"),
            ("4.19.0-unstable", "4.19.1"),
        ),
        points="4.15 was never fixed.",
        condition="An HVM-type guest that unmasks LVT error with a vector below 16 and then causes an error.",
        avoid="Update.",
        commits=("5f32d186a8", "c42d9ec61f", "9358a7fad7", "641b8f2a92", "3ef9196234", "1765a3e0d1"),
        sources=("XSA-462, CVE-2024-45817", "vlapic.c vlapic_error"),
        evidence="source",
    ),
    Defect(
        code="tmict-kept-in-deadline-mode",
        title="With register virtualization, a write to the initial count sticks in TSC-deadline mode",
        effect="The processor stores the value before Xen gets the write. Xen ignores the write but does not "
        "remove the value, so a read of 380 returns it, while Xen's own code would return 0. No timer "
        "starts.",
        since="f62b02e177 in 4.3.0",
        spans=(("4.3.0", ""),),
        condition="xAPIC mode, register virtualization, and the LVT timer in TSC-deadline mode. In x2APIC "
        "mode Xen intercepts reads of 838.",
        avoid="Do not read the initial count in TSC-deadline mode.",
        needs=("apic_register_virtualization",),
        commits=("f62b02e177",),
        sources=("vlapic.c vlapic_reg_write, vlapic_read_aligned", "SDM, APIC-write emulation"),
        evidence="source",
    ),
    Defect(
        code="interrupts-pending-while-disabled",
        title="Interrupts become pending in an APIC that software has disabled",
        effect="IO-APIC, MSI, Viridian and event-channel upcall vectors are set in IRR, although a disabled "
        "APIC accepts none. Linux warns about them when it enables the APIC.",
        since="4fe21ad371 and 85715f4bc7 (before 4.0), fda96b7382, 26fba3c855, 7b5b8ca7df",
        until="f1d7aac1e3, 831419f829, f5d0279839 in 4.18.0; in 4.17.1 and 4.16.3 by backport",
        spans=(("4.0.0", "4.16.3"), ("4.17.0-unstable", "4.17.1")),
        points="Fixed in 4.16.3 and 4.17.1; 4.15 was never fixed.",
        condition="An interrupt is sent to a vCPU before it enables its APIC.",
        avoid="Update.",
        commits=(
            "f1d7aac1e3",
            "831419f829",
            "f5d0279839",
            "54bb56e128",
            "5810edc049",
            "26f39b3d70",
            "07bbac08b5",
            "a61f93d597",
            "4ad5975d4e",
        ),
        sources=("vlapic.c vlapic_reg_write (APIC_SPIV)", "hvm/irq.c hvm_assert_evtchn_irq"),
        evidence="source",
    ),
    # -- TPR and CR8 ----------------------------------------------------------------------------------
    Defect(
        code="cr8-is-always-the-tpr",
        title="CR8 has no value of its own when the APIC is disabled",
        effect="MOV CR8 reads and writes the virtual TPR in every state of the APIC, and never exits with TPR "
        "shadow. In the maintainer's words, the handling of CR8 is 'quite wrong': it needs separate storage "
        "and other intercepts.",
        since="before 4.0",
        spans=(("4.0.0", ""),),
        condition="A 64-bit guest that uses CR8 while its APIC is hardware-disabled.",
        avoid=NOTHING,
        sources=("message of 14fd9b5642, 17 March 2025", "hvm.c hvm_mov_to_cr, hvm_mov_from_cr"),
        evidence="source",
    ),
    Defect(
        code="cr8-not-emulated",
        title="MOV CR8 is missing from the instruction emulator",
        effect="If Xen emulates the instruction, for instance under introspection, the emulation fails and "
        "the guest crashes.",
        since="before 4.0",
        until="14fd9b5642 in 4.21.0; f14c523da1 in 4.20.1; d74241aae5 in 4.19.2; 74071cb36d in 4.18.5",
        spans=(("4.0.0", "4.18.5"), ("4.19.0-unstable", "4.19.2"), ("4.20.0-unstable", "4.20.1")),
        points="Fixed in 4.18.5, 4.19.2 and 4.20.1.",
        condition="MOV CR8 reaches the emulator instead of the hardware.",
        avoid="Update.",
        commits=("14fd9b5642", "f14c523da1", "d74241aae5", "74071cb36d"),
        sources=("xen/arch/x86/hvm/emulate.c hvmemul_read_cr, hvmemul_write_cr",),
        evidence="source",
    ),
    Defect(
        code="real-tpr-exposed",
        title="Domains without a local APIC control the processor's own TPR (XSA-256)",
        effect="Such PVH guests can crash the host. On Intel, the acceleration is not turned off completely, "
        "which leaves the guest in control of the real Task Priority Register.",
        since="4.8.0",
        until="0aa6158b67 in 4.11.0; a6780c122b in 4.10.1; 395cb3f9b4 in 4.9.2; 1093876034 in 4.8.4",
        spans=(("4.8.0", "4.8.4"), ("4.9.0", "4.9.2"), ("4.10.0", "4.10.1")),
        condition="A PVH domain created without LAPIC emulation; fixed releases refuse to create one.",
        avoid=OLD,
        commits=("0aa6158b67", "a6780c122b", "395cb3f9b4", "1093876034"),
        sources=("XSA-256",),
        evidence="source",
    ),
    # -- interrupt delivery ---------------------------------------------------------------------------
    Defect(
        code="posted-while-suppressed-stuck",
        title="An interrupt posted to a preempted vCPU may wait for the next one",
        effect="While SN is set, posting an interrupt sets its bit in PIR but not ON. When the vCPU is scheduled "
        "again, SN is cleared, but vmx_sync_pir_to_irr looks at PIR only if ON is 1. So the interrupt waits "
        "until another vector sets ON; raising the same vector again does not help.",
        since="a3019170b2 and 4b759ce163 in 4.7.0",
        spans=(("4.7.0", ""),),
        condition="Posted interrupts, iommu=intpost (off by default, 'due to some corner cases in the "
        "implementation'), and a domain with an assigned device.",
        avoid="Leave iommu=intpost off.",
        needs=("posted_by_iommu posted_interrupts",),
        commits=("a3019170b2", "4b759ce163"),
        sources=(
            "vmx.c vmx_deliver_posted_intr, vmx_sync_pir_to_irr, vmx_pi_switch_to",
            "docs/misc/xen-command-line.pandoc, intpost",
        ),
        evidence="source",
    ),
    Defect(
        code="apic-write-assertion",
        title="A debug build stops at an APIC write without register virtualization",
        effect="vmx_handle_apic_write asserts that register virtualization is on. But with virtual-interrupt "
        "delivery only, a write to 300 that is not a fixed self-IPI causes the same exit, and the assertion "
        "stops Xen. Release builds work.",
        since="f62b02e177 in 4.3.0",
        spans=(("4.3.0", ""),),
        condition="A debug build on a host with virtual-interrupt delivery but no register virtualization.",
        avoid="Use a release build, or boot Xen with apicv=0.",
        needs=("virtual_interrupt_delivery !apic_register_virtualization",),
        commits=("f62b02e177",),
        sources=("vmx.c vmx_handle_apic_write", "SDM, virtualizing writes to the APIC-access page"),
        evidence="source",
    ),
    # -- nested virtualization ------------------------------------------------------------------------
    Defect(
        code="nested-x2apic-entry-fails",
        title="A nested guest cannot run while its hypervisor uses x2APIC mode",
        effect="Merging the controls of both levels sets 'virtualize x2APIC mode' and 'virtualize APIC "
        "accesses' at the same time, which VM entry refuses (error 7, SecondaryExec 000014fb).",
        since="before 4.14",
        until="da9290639e in 4.14.0",
        spans=(("4.13.0", "4.14.0"),),
        condition="Nested virtualization on Intel, L1 in x2APIC mode with assistance.",
        avoid=OLD,
        needs=("nested_virt virtualize_x2apic_mode",),
        commits=("da9290639e",),
        sources=("vvmx.c nvmx_update_secondary_exec_control",),
        evidence="source",
    ),
    Defect(
        code="nested-x2apic-msrs-open",
        title="A nested guest may reach the processor's own x2APIC MSRs",
        effect="MSRs that Xen opens for an assisted L1 remain open for its L2, which runs without x2APIC "
        "virtualization.",
        since="c47984aabe (18 February 2020)",
        until="7b2b93d30c (19 February 2020), both in 4.14.0",
        points="No release has it.",
        condition="Nested virtualization on Intel, L1 in x2APIC mode with assistance.",
        avoid=OLD,
        needs=("nested_virt virtualize_x2apic_mode",),
        commits=("c47984aabe", "7b2b93d30c"),
        sources=("vvmx.c, message of 7b2b93d30c",),
        evidence="source",
    ),
    Defect(
        code="nested-interrupt-status",
        title="Virtual-interrupt delivery loses interrupts of a nested hypervisor",
        effect="On an exit to L1, Xen writes a wrong guest interrupt status unless 'acknowledge interrupt on "
        "exit' is in use, and does not update the EOI-exit bitmap at all.",
        since="before 4.14",
        until="55d035f8e9, 25df013e7a, 6a761c6fcd in 4.14.0",
        spans=(("4.13.0", "4.14.0"),),
        condition="Nested virtualization on a host with virtual-interrupt delivery.",
        avoid=OLD,
        needs=("nested_virt virtual_interrupt_delivery",),
        commits=("f96e1469ad", "8b3721c542", "55d035f8e9", "25df013e7a", "6a761c6fcd"),
        sources=("vvmx.c nvmx_update_apicv",),
        evidence="source",
    ),
)
"""Grouped by subject; the defect that made the per-domain interface unusable comes first."""


def defects_of(release_name: str) -> tuple[Defect, ...]:
    """Return the defects of a release's .0, by its name in `XEN_RELEASES`; raise `NameUnknown` if none."""
    name = xen_release(release_name).name
    return tuple(row for row in DEFECTS if name in row.releases)

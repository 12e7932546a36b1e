"""The releases of Xen and their fields and flags of createdomain. A new release is a new row here.

``4.17-rc`` is the development tree that had the per-domain interface (July to
November 2022, 4.17.0-rc1 to rc3). It calls itself 4.17 and shares 4.17's ABI.

Sources: ``xen/include/public/domctl.h`` and ``arch-x86/xen.h`` of each release;
``tests/abi`` compares the rows with the recorded layouts and constants.
"""

from __future__ import annotations

import re
from functools import lru_cache

from xenapic._xenctrl.since import FIELDS
from xenapic.errors import NameUnknown
from xenapic.frozen import dataclass
from xenapic.model.flags import CDF, EMU, IOMMU, MISC, known_bits
from xenapic.parse.xenversion import WITH_INTERFACE, parse_version

__all__ = [
    "DEVELOPMENT",
    "FIELD_SINCE",
    "OLDER_RELEASES",
    "XEN_RELEASES",
    "XenRelease",
    "activates_tertiary",
    "chooses_alike",
    "xen_release",
]

ALTP2M_FIELDS = {"altp2m": ("altp2m_opts", "altp2m"), "altp2m_nr": ("altp2m",)}
"""Members of C's createdomain that hold two fields of ours: a word up to 4.20, a structure since."""
OTHER_NAMES = {name for names in ALTP2M_FIELDS.values() for name in names}

FIELD_SINCE: dict[str, tuple[int, int]] = {
    **{name: since for name, since in FIELDS["xen_domctl_createdomain"].items() if name not in OTHER_NAMES},
    **{
        ours: min(FIELDS["xen_domctl_createdomain"][name] for name in names)
        for ours, names in ALTP2M_FIELDS.items()
    },
}
"""Fields of createdomain that the oldest release lacks, with the first release that has each.

Derived from the marks in ``xenapic/abi/decl/domctl.h``."""

FLAG_SINCE: dict[CDF, tuple[int, int]] = {CDF.vpmu: (4, 16), CDF.trap_unmapped_accesses: (4, 21)}
"""Flags that 4.15 lacks, with the first release that has each."""


@dataclass(frozen=True, slots=True)
class XenRelease:
    """What a release has that matters for creating domains."""

    name: str
    number: tuple[int, int]
    per_domain_apic: bool = False
    """Whether ``misc_flags`` has ASSISTED_XAPIC and ASSISTED_X2APIC."""
    tertiary_controls: bool = True
    """Whether Xen activates the tertiary controls where it can (February 2024, and point releases since)."""
    create_rules: bool = True
    """Whether the rules of its createdomain are modelled."""

    @property
    def number_text(self) -> str:
        """The number as Xen reports it: ``"4.17"`` for 4.17-rc too."""
        return "{}.{}".format(*self.number)

    def has_field(self, name: str) -> bool:
        """Return True if createdomain has the field."""
        return self.number >= FIELD_SINCE.get(name, (0, 0))

    @property
    def has_physinfo_arch_capabilities(self) -> bool:
        """Whether physinfo has the field ``arch_capabilities``."""
        return self.number >= FIELDS["xen_sysctl_physinfo"]["arch_capabilities"]

    @property
    def flags(self) -> CDF:
        """Every ``XEN_DOMCTL_CDF_*`` that the release knows."""
        unknown = sum(int(flag) for flag, since in FLAG_SINCE.items() if self.number < since)
        return CDF(known_bits(CDF) & ~unknown)

    @property
    def misc_flags(self) -> MISC:
        """Every bit of ``misc_flags`` that the release knows."""
        return MISC(known_bits(MISC)) if self.per_domain_apic else MISC.MSR_RELAXED

    @property
    def emulation_flags(self) -> EMU:
        """Every ``XEN_X86_EMU_*``; the same in all releases."""
        return EMU(known_bits(EMU))

    @property
    def iommu_opts(self) -> IOMMU:
        """Every ``XEN_DOMCTL_IOMMU_*``; the same in all releases."""
        return IOMMU(known_bits(IOMMU))


XEN_RELEASES = (
    XenRelease("4.15", (4, 15)),
    XenRelease("4.16", (4, 16)),
    XenRelease("4.17-rc", (4, 17), per_domain_apic=True, tertiary_controls=False),
    XenRelease("4.17", (4, 17)),
    XenRelease("4.18", (4, 18)),
    XenRelease("4.19", (4, 19)),
    XenRelease("4.20", (4, 20)),
    XenRelease("4.21", (4, 21)),
    XenRelease("4.22", (4, 22)),
)
"""Oldest first."""

OLDER_RELEASES = (
    XenRelease("4.13", (4, 13), tertiary_controls=False, create_rules=False),
    XenRelease("4.14", (4, 14), tertiary_controls=False, create_rules=False),
)
"""Releases of which only the acceleration is modelled.

Their ``vmx_init_vmcs_config``, ``vmx_vlapic_msr_changed`` and CPUID leaf do with the APIC's controls what
4.15 does without the tertiary ones (stable branches, compared). Their createdomain is another: it lacks
``nested_virt``, ``vmtrace_size`` and ``misc_flags``, so no rule of 4.15 was carried over.
"""

DEVELOPMENT = XEN_RELEASES[2]

CHOICE_SINCE = (4, 3)
"""The first release that chooses its VMX controls as all do up to the newest (the same two functions)."""


def chooses_alike(number: tuple[int, int]) -> bool:
    """Return True if a Xen chooses its VMX controls by the rules that are modelled, as far as is known."""
    return number == (0, 0) or CHOICE_SINCE <= number <= XEN_RELEASES[-1].number


TERTIARY_SINCE = {(4, 15): 6, (4, 16): 6, (4, 17): 4, (4, 18): 2}
"""The first point release that activates the tertiary controls; 4.19 and later always do (d779e3f98c)."""
POINT = re.compile(r"\.(\d{1,4})")


def activates_tertiary(number: tuple[int, int], extra: str) -> bool | None:
    """Return True if a Xen activates the tertiary controls where it can; None if it is not known.

    ``extra`` is what follows the number, for example ``".7"``.
    """
    if number == (0, 0) or (number == (4, 19) and "-unstable" in extra):
        return None
    if number not in TERTIARY_SINCE:
        return number > max(TERTIARY_SINCE)
    point = POINT.match(extra)
    if "-rc" in extra:
        return False
    return int(point[1]) >= TERTIARY_SINCE[number] if point else None


@lru_cache(maxsize=64)  # every rule asks for the release of its host
def xen_release(name: str, per_domain: bool = False) -> XenRelease:
    """Return the row of a release or of a version in it; raise `NameUnknown` if there is none.

    The name can be a release (``"4.17"``, ``"4.17-rc"``), a point release, what Xen prints
    (``"4.20.5-pre"``) or a distribution's version (``"4.17.5-15.2.xcpng8.3"``). ``per_domain`` picks 4.17-rc,
    the row with the per-domain interface, for 4.17.
    """
    version = parse_version(name)
    if version is not None:
        candidate = 0 < version.last[3] <= WITH_INTERFACE
        interface = version.number == DEVELOPMENT.number and (per_domain or candidate)
        for row in (*OLDER_RELEASES, *XEN_RELEASES):
            if row.number == version.number and row.per_domain_apic == interface:
                return row
    known = [row.name for row in (*OLDER_RELEASES, *XEN_RELEASES)]
    raise NameUnknown.among("release of Xen", name, known, f"known are {', '.join(known)}")

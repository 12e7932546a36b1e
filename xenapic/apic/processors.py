"""Which processor offers which control: real generations and the emulators' models. Pure data.

A row holds what the processor's capability MSRs (Intel: allowed-1) or CPUID (AMD) offer, before
a hypervisor or the firmware takes anything away. The processor lacks whatever its row neither offers nor
lists as unknown. A real processor is known by its CPUID signature (family, model and, where it matters,
stepping), since what a processor is called in the trade can mislead: `xenapic.apic.brands` has those names. Names with hyphens are real processors. Names with underscores, and `epyc` and `ryzen`, are
the emulators' names for their models. A model can differ from the real processor: Bochs gives its Haswell and
Broadwell an APIC virtualization that no real client processor had before Ice Lake and Comet Lake-S.

Sources named in the rows:

- "InstLatx64": register dumps of real processors, github.com/InstLatx64/InstLatx64 at 087af2c, by file
  name; MSRs 481 to 48E for Intel, CPUID 8000000A for AMD. The dumps do not have MSR 492.
- "VmxCaps": a table of VMX capability MSRs, github.com/honorarybot/VmxCaps at 7b425c2.
- "QEMU": target/i386/cpu.c, the words FEAT_VMX_PINBASED_CTLS, FEAT_VMX_PROCBASED_CTLS and
  FEAT_VMX_SECONDARY_CTLS of a CPU model. QEMU does not know tertiary controls.
- "Bochs": cpu/cpudb/intel or amd (a model's extensions) and cpu/vmcs.cc (the controls that follow from them),
  tags REL_2_7_FINAL, REL_2_8_FINAL, REL_3_0_FINAL.

"Activate tertiary controls" was a reserved bit until 2020. The first dump that has it is Tiger Lake's.
"""

from __future__ import annotations

from collections.abc import Set
from functools import partial

from xenapic.apic.controls import CONTROLS, Controls
from xenapic.apic.features import Technology
from xenapic.errors import NameUnknown
from xenapic.frozen import dataclass

__all__ = ["PROCESSORS", "Processor", "allowed", "emulated", "processor"]

NOTHING: frozenset[str] = frozenset()
SHADOW = frozenset(
    {"external_interrupt_exiting", "cr8_load_exiting", "cr8_store_exiting", "tpr_shadow", "msr_bitmaps"}
)
"""The oldest set: the TPR stays in the guest where it is reached through CR8, not in the APIC page."""
TPR = SHADOW | {"secondary_controls", "virtualize_apic_accesses"}
"""The TPR stays in the APIC page too."""
X2APIC = TPR | {"virtualize_x2apic_mode"}
APICV = X2APIC | {"apic_register_virtualization", "virtual_interrupt_delivery"}
POSTED = APICV | {"posted_interrupts"}
TERTIARY = POSTED | {"tertiary_controls"}
IPIV = TERTIARY | {"ipi_virtualization"}

AVIC = frozenset({"avic"})
X2AVIC = AVIC | {"x2avic"}

IPI = frozenset({"ipi_virtualization"})


@dataclass(frozen=True, slots=True)
class Processor:
    """A processor and the features it offers, by `Feature.key`."""

    name: str
    title: str
    technology: Technology
    offers: frozenset[str]
    unknown: frozenset[str]
    """Features about which no source says anything."""
    source: str
    emulated_by: str = ""
    """"bochs" or "qemu"; empty for a real processor."""
    notes: str = ""
    signatures: tuple[str, ...] = ()
    """The CPUID signatures that it has, as `xenapic.apic.signature.covers` reads them; a model's has none."""


def _row(  # noqa: PLR0913  (a row has that many columns)
    technology: Technology,
    name: str,
    title: str,
    offers: Set[str],
    source: str,
    *,
    unknown: Set[str] = NOTHING,
    emulated_by: str = "",
    notes: str = "",
    signatures: tuple[str, ...] = (),
) -> Processor:
    known = frozenset(offers), frozenset(unknown)
    return Processor(name, title, technology, *known, source, emulated_by, notes, signatures)


_intel = partial(_row, Technology.VMX)
_amd = partial(_row, Technology.SVM)


def _bochs(name: str, title: str, offers: Set[str], source: str, notes: str = "") -> Processor:
    return _intel(name, title, offers, f"Bochs {source}", emulated_by="bochs", notes=notes)


OLDER = "@bochs-2.7"
"""The end of a row's name when it describes a model of Bochs 2.7 that 2.8 and later have differently."""
_NO_POSTED = "Bochs 2.7 does not implement posted interrupts; 2.8 and later do"
_PAGE = "VM entry fails: Bochs needs a page-aligned posted-interrupt descriptor, Xen aligns it to 64 bytes"
_UNLIKE = "the real processor offers neither APIC-register virtualization nor virtual-interrupt delivery"

_INTEL = (
    _bochs(
        "core_duo_t2400_yonah",
        "Core Duo T2400 (Yonah)",
        {"external_interrupt_exiting", "msr_bitmaps"},
        "2.7 to 3.0 core_duo_t2400_yonah",
        "32-bit, so Xen does not run on it",
    ),
    _intel(
        "conroe",
        "Core 2, Xeon 3000 and 5100 (Conroe, Merom, Woodcrest), stepping 6",
        SHADOW,
        "InstLatx64 GenuineIntel00006F6_Conroe (X6800)",
        notes="no secondary controls, so no EPT; other steppings of the model are not known",
        signatures=("06-0f-06",),
    ),
    _intel(
        "penryn",
        "Core 2, Xeon 5400 (Penryn)",
        TPR,
        "QEMU 5.0, Penryn; InstLatx64 GenuineIntel0010676_Yorkfield (X9650), GenuineIntel00106D1_Dunnington",
        notes="no EPT",
        signatures=("06-17", "06-1d"),
    ),
    _bochs("core2_penryn_t9600", "Core 2 T9600 (Penryn)", TPR, "2.7 to 3.0 core2_penryn_t9600", "no EPT"),
    _intel(
        "tunnel-creek",
        "Atom E600 (Tunnel Creek)",
        SHADOW,
        "InstLatx64 GenuineIntel0020661_TunnelCreek_CPUID2",
        notes="no secondary controls; 32-bit, so Xen does not run on it",
        signatures=("06-26",),
    ),
    _intel(
        "nehalem",
        "Core i7, Xeon 5500 (Nehalem)",
        X2APIC,
        "QEMU 5.0, Nehalem",
        notes="no unrestricted guest",
        signatures=("06-1a", "06-1e"),
    ),
    _bochs(
        "corei5_lynnfield_750",
        "Core i5-750 (Lynnfield)",
        X2APIC,
        "2.7 to 3.0 corei5_lynnfield_750",
        "no unrestricted guest",
    ),
    _intel(
        "westmere",
        "Core i3 to i7, Xeon 5600 (Westmere)",
        X2APIC,
        "InstLatx64 GenuineIntel00206C2_Gulftown_01 (W3670); VmxCaps, Arrandale and Clarkdale",
        signatures=("06-25", "06-2c"),
    ),
    _bochs("corei5_arrandale_m520", "Core i5-520M (Arrandale)", X2APIC, "2.7 to 3.0 corei5_arrandale_m520"),
    _intel(
        "sandy-bridge-client",
        "Core 2nd generation, Xeon E3 (Sandy Bridge)",
        X2APIC,
        "VmxCaps, Sandy Bridge (i5-2320)",
        signatures=("06-2a",),
    ),
    _intel(
        "sandy-bridge-ep",
        "Xeon E5 (Sandy Bridge-EP)",
        X2APIC,
        "InstLatx64 GenuineIntel00206D5_SandyBridgeEP, GenuineIntel00206D6_SandyBridgeE",
        signatures=("06-2d",),
    ),
    _bochs(
        "corei7_sandy_bridge_2600k" + OLDER,
        "Core i7-2600K (Sandy Bridge)",
        X2APIC,
        "2.7 corei7_sandy_bridge_2600K",
    ),
    _bochs(
        "corei7_sandy_bridge_2600k",
        "Core i7-2600K (Sandy Bridge)",
        TPR,
        "2.8, 3.0 corei7_sandy_bridge_2600K",
        "'virtualize x2APIC mode' is commented out since 2.8; the real processor offers it",
    ),
    _intel(
        "ivy-bridge-client",
        "Core 3rd generation, Xeon E3 v2 (Ivy Bridge)",
        X2APIC,
        "InstLatx64 GenuineIntel00306A9_IvyBridge (i7-3770K)",
        signatures=("06-3a",),
    ),
    _intel(
        "ivy-bridge-ep",
        "Xeon E5 v2 (Ivy Bridge-EP)",
        POSTED,
        "Intel Xeon E5-1600/2600/4600 v2 datasheet volume 1, 3.1.2 (APICv); QEMU 5.0, IvyBridge",
        notes="the first with APIC virtualization; not in the Core i7-4930K of the same die"
        " (InstLatx64 GenuineIntel00306E4_IvyBridgeE)",
        signatures=("06-3e",),
    ),
    _intel(
        "ivy-bridge-e",
        "Core i7-4800 and i7-4900 X series (Ivy Bridge-E)",
        X2APIC,
        "InstLatx64 GenuineIntel00306E4_IvyBridgeE (i7-4930K)",
        notes="the same signature as Xeon E5 v2, which offers APIC virtualization",
        signatures=("06-3e",),
    ),
    _bochs(
        "corei7_ivy_bridge_3770k",
        "Core i7-3770K (Ivy Bridge)",
        X2APIC,
        "2.7 to 3.0 corei7_ivy_bridge_3770K",
    ),
    _intel(
        "bay-trail",
        "Atom E3800 and Z3700, Celeron J1000 and N2000 (Bay Trail)",
        TPR,
        "InstLatx64 GenuineIntel0030673_Silvermont3 (J1900), GenuineIntel0030679_Silvermont",
        signatures=("06-37",),
    ),
    _intel(
        "avoton",
        "Atom C2000 (Avoton, Rangeley)",
        TPR,
        "InstLatx64 GenuineIntel00406D8_Avoton_CPUID2 (C2750)",
        signatures=("06-4d",),
    ),
    _intel(
        "haswell-client",
        "Core 4th generation, Xeon E3 v3 (Haswell)",
        X2APIC,
        "InstLatx64 GenuineIntel00306C3_Haswell (i7-4770), GenuineIntel00306C3_HaswellXeon; VmxCaps, Haswell",
        signatures=("06-3c", "06-45", "06-46"),
    ),
    _intel(
        "haswell-ep",
        "Xeon E5 v3 (Haswell-EP)",
        POSTED,
        "InstLatx64 GenuineIntel00306F2_HaswellEP (E5-2699 v3), GenuineIntel00306F2_HaswellE2 (i7-5820K)",
        signatures=("06-3f",),
    ),
    _bochs(
        "corei7_haswell_4770",
        "Core i7-4770 (Haswell)",
        APICV,
        "2.7 to 3.0 corei7_haswell_4770",
        _UNLIKE,
    ),
    _intel(
        "broadwell-client",
        "Core 5th generation (Broadwell)",
        X2APIC,
        "InstLatx64 GenuineIntel00306D4_Broadwell2 (i5-5250U), GenuineIntel0040671_BroadwellH (i7-5775C)",
        signatures=("06-3d", "06-47"),
    ),
    _intel(
        "broadwell-ep",
        "Xeon E5 v4 (Broadwell-EP), Xeon D-1500 (Broadwell-DE)",
        POSTED,
        "InstLatx64 GenuineIntel00406F1_BroadwellE_02 (E5-2620 v4), GenuineIntel0050662_BroadwellDE (D-1540)",
        signatures=("06-4f", "06-56"),
    ),
    _intel(
        "braswell",
        "Celeron N3000, Atom x5 and x7 (Braswell, Cherry Trail)",
        TPR,
        "InstLatx64 GenuineIntel00406C3_Braswell (N3150), GenuineIntel00406C3_CherryTrail",
        signatures=("06-4c",),
    ),
    _bochs("broadwell_ult", "Core M-5Y70 (Broadwell)", APICV, "2.7 to 3.0 broadwell_ult", _UNLIKE),
    _intel(
        "skylake-client",
        "Core 6th generation, Xeon E3 v5 (Skylake)",
        X2APIC,
        "InstLatx64 GenuineIntel00506E3_SkyLake_01 (i7-6700K); VmxCaps, Skylake (i5-6500)",
        notes="QEMU's Skylake-Client leaves out 'virtualize x2APIC mode'",
        signatures=("06-4e", "06-5e"),
    ),
    _intel(
        "apollo-lake",
        "Celeron N3300 to J3500, Pentium N4200, Atom E3900 (Apollo Lake)",
        POSTED,
        "InstLatx64 GenuineIntel00506C9_Goldmont2 (J3455), GenuineIntel00506CA_Goldmont_01",
        signatures=("06-5c",),
    ),
    _intel(
        "kaby-lake-u",
        "Core 7th and 8th generation, mobile U and Y (Kaby Lake, Amber Lake)",
        X2APIC,
        "InstLatx64 GenuineIntel00806E9_Kabylake, GenuineIntel00806E9_AmberLakeY",
        signatures=("06-8e-09",),
    ),
    _intel(
        "kaby-lake-r",
        "Core 8th generation, mobile U (Kaby Lake-R, Coffee Lake-U)",
        X2APIC,
        "InstLatx64 GenuineIntel00806EA_Kabylake; VmxCaps, Coffee Lake (i3-8109U)",
        unknown={"posted_interrupts"},
        notes="VmxCaps shows posted interrupts in MSR 48D of the i3-8109U and not in MSR 481; the dump of the same signature has them in neither. Xen uses them only with virtual-interrupt delivery, which both lack",
        signatures=("06-8e-0a",),
    ),
    _intel(
        "whiskey-lake",
        "Core 8th generation, mobile U (Whiskey Lake)",
        X2APIC,
        "InstLatx64 GenuineIntel00806EB_WhiskeyLake",
        signatures=("06-8e-0b",),
    ),
    _intel(
        "coffee-lake",
        "Core 7th to 9th generation, Xeon E3 v6, E-2100 and E-2200 (Kaby Lake, Coffee Lake)",
        X2APIC,
        "InstLatx64 GenuineIntel00906E9_Kabylake (i7-7700K), GenuineIntel00906EA_Coffeelake (i7-8700K),"
        " GenuineIntel00906ED_CoffeeLake",
        signatures=("06-9e",),
    ),
    _intel(
        "skylake-sp",
        "Xeon Scalable, Core X (Skylake-SP)",
        POSTED,
        "InstLatx64 GenuineIntel0050654_SkylakeXeon_20 (Platinum 8160); VmxCaps, Skylake-X (i9-9980XE)",
        signatures=("06-55-00:04",),
    ),
    _bochs(
        "corei7_skylake_x" + OLDER,
        "Core i7-7800X (Skylake-X)",
        APICV,
        "2.7 corei7_skylake-x",
        _NO_POSTED,
    ),
    _bochs("corei7_skylake_x", "Core i7-7800X (Skylake-X)", POSTED, "2.8, 3.0 corei7_skylake-x", _PAGE),
    _intel(
        "denverton",
        "Atom C3000 (Denverton)",
        POSTED,
        "InstLatx64 GenuineIntel00506F1_Denverton (C3958); QEMU 5.0, Denverton",
        signatures=("06-5f",),
    ),
    _intel(
        "gemini-lake",
        "Celeron N4000 and J4000, Pentium Silver N5000 (Gemini Lake)",
        POSTED,
        "InstLatx64 GenuineIntel00706A1_GoldmontPlus_CPUID2 (J4105), GenuineIntel00706A8_GoldmontPlus",
        signatures=("06-7a",),
    ),
    _intel(
        "cannon-lake",
        "Core i3-8121U (Cannon Lake)",
        X2APIC,
        "InstLatx64 GenuineIntel0060663_CannonLake_CPUID2",
        signatures=("06-66",),
    ),
    _bochs(
        "corei3_cnl",
        "Core i3-8121U (Cannon Lake)",
        X2APIC,
        "2.7 to 3.0 corei3_cnl",
        "the same as the real processor (InstLatx64 GenuineIntel0060663_CannonLake)",
    ),
    _intel(
        "cascade-lake-sp",
        "Xeon Scalable 2nd generation (Cascade Lake)",
        POSTED,
        "InstLatx64 GenuineIntel0050657_CascadeLakeSP (Gold 5215); QEMU 5.0, Cascadelake-Server",
        signatures=("06-55-05:07",),
    ),
    _intel(
        "ice-lake-client",
        "Core 10th generation (Ice Lake)",
        POSTED,
        "InstLatx64 GenuineIntel00706E5_IceLakeY (i7-1065G7)",
        notes="QEMU's Icelake-Client leaves it all out",
        signatures=("06-7e",),
    ),
    _intel(
        "comet-lake-u",
        "Core 10th generation, mobile U (Comet Lake-U)",
        X2APIC,
        "InstLatx64 GenuineIntel00806EC_CometLake_CPUID3 (i3-10110U), GenuineIntel00A0660_CometLake_CPUID1 (i7-10710U);"
        " VmxCaps, Comet Lake (i3-10110U)",
        notes="stepping 0CH of model 8EH is also sold as Core 8th generation (Whiskey Lake)",
        signatures=("06-8e-0c", "06-a6"),
    ),
    _intel(
        "comet-lake-h",
        "Core 10th generation, mobile H (Comet Lake-H)",
        POSTED,
        "InstLatx64 GenuineIntel00A0652_CometLake_CPUID1; apicv and posted_intr in the vmx flags of"
        " github.com/newrelic/newrelic-java-agent pull 572 (i7-10750H)",
        signatures=("06-a5-02",),
    ),
    _intel(
        "lakefield",
        "Core i5-L16G7 (Lakefield)",
        POSTED,
        "InstLatx64 GenuineIntel00806A1_Lakefield",
        signatures=("06-8a",),
    ),
    _intel(
        "comet-lake-s",
        "Core 10th generation, desktop (Comet Lake-S)",
        POSTED,
        "InstLatx64 GenuineIntel00A0655_CometLake (i9-10900K)",
        notes="stepping 5 of model A5H: Comet Lake-U offers what Coffee Lake does",
        signatures=("06-a5-05",),
    ),
    _intel(
        "snow-ridge",
        "Atom P5900 (Snow Ridge)",
        POSTED,
        "QEMU 5.0, Snowridge",
        unknown={"tertiary_controls", *IPI},
        signatures=("06-86",),
    ),
    _intel(
        "elkhart-lake",
        "Celeron J6400, Atom x6000E (Elkhart Lake)",
        POSTED,
        "InstLatx64 GenuineIntel0090661_ElkhartLake_CPUID01",
        signatures=("06-96",),
    ),
    _intel(
        "jasper-lake",
        "Celeron N4500 and N5100, Pentium Silver N6000 (Jasper Lake)",
        POSTED,
        "InstLatx64 GenuineIntel00906C0_JasperLake_01 (N6005)",
        signatures=("06-9c",),
    ),
    _intel(
        "tiger-lake",
        "Core 11th generation, mobile (Tiger Lake)",
        TERTIARY,
        "InstLatx64 GenuineIntel00806C1_TigerLake_01 (i5-1135G7), GenuineIntel00806D1_TigerLakeH_CPUID1",
        unknown=IPI,
        signatures=("06-8c", "06-8d"),
    ),
    _intel(
        "ice-lake-sp",
        "Xeon Scalable 3rd generation (Ice Lake-SP)",
        POSTED,
        "InstLatx64 GenuineIntel00606A6_ICX (Platinum 8351N); QEMU 5.0, Icelake-Server",
        signatures=("06-6a",),
    ),
    _intel(
        "rocket-lake",
        "Core 11th generation, desktop, Xeon E-2300 (Rocket Lake)",
        POSTED,
        "InstLatx64 GenuineIntel00A0671_RocketLake_01 (i9-11900K), GenuineIntel00A0671_RocketLakeE_01",
        signatures=("06-a7",),
    ),
    _bochs(
        "corei7_icelake_u" + OLDER,
        "Core i7-1065G7 (Ice Lake)",
        APICV,
        "2.7 corei7_icelake-u",
        _NO_POSTED,
    ),
    _bochs("corei7_icelake_u", "Core i7-1065G7 (Ice Lake)", POSTED, "2.8, 3.0 corei7_icelake-u", _PAGE),
    _bochs("tigerlake" + OLDER, "Core i5-1135G7 (Tiger Lake)", APICV, "2.7 tigerlake", _NO_POSTED),
    _bochs(
        "tigerlake",
        "Core i5-1135G7 (Tiger Lake)",
        POSTED,
        "2.8, 3.0 tigerlake",
        f"{_PAGE}; the real processor offers tertiary controls too",
    ),
    _intel(
        "alder-lake",
        "Core 12th generation (Alder Lake)",
        TERTIARY,
        "InstLatx64 GenuineIntel0090672_AlderLake_02 (i5-12400);"
        " no ipi_virt in the vmx flags that Linux 6.4 or later shows for a Core i7-1260P",
        signatures=("06-97", "06-9a"),
    ),
    _intel(
        "alder-lake-n",
        "Processor N-series, Core i3-N300 (Alder Lake-N, Twin Lake)",
        TERTIARY,
        "InstLatx64 GenuineIntel00B06E0_AlderLakeN_02, GenuineIntel00B06E0_TwinLake_01",
        unknown=IPI,
        signatures=("06-be",),
    ),
    _intel(
        "raptor-lake",
        "Core 13th and 14th generation, Xeon E-2400 and 6300P (Raptor Lake, Bartlett Lake)",
        TERTIARY,
        "InstLatx64 GenuineIntel00B0671_RaptorLake_01 (i9-13900K), GenuineIntel00B06A2_RaptorLakeP_02,"
        " GenuineIntel00B06A3_RaptorLakeP_01, GenuineIntel00B06F2_RaptorLakeS_02, GenuineIntel00B0674_BartlettLake_01",
        unknown=IPI,
        notes="a Xeon 6315P is one too; model BFH is an Alder Lake die, which also Core 12th generation has",
        signatures=("06-b7", "06-ba", "06-bf"),
    ),
    _intel(
        "sapphire-rapids-sp",
        "Xeon Scalable 4th generation (Sapphire Rapids)",
        IPIV,
        "InstLatx64 GenuineIntel00806F8_SapphireRapids_05 (w7-2475X); github.com/archspec/archspec-json,"
        " tests/targets/linux-unknown-sapphirerapids (Platinum 8480+); IPI virtualization: KVM list,"
        " 'Don't advertise PV IPI to userspace if IPIs are virtualized', June 2022, on Linux d588bb9be1da",
        notes="the first with IPI virtualization",
        signatures=("06-8f",),
    ),
    _bochs(
        "sapphire_rapids",
        "Xeon w9-3475X (Sapphire Rapids)",
        TERTIARY,
        "2.8, 3.0 sapphire_rapids",
        f"not in 2.7; {_PAGE}; Bochs does not implement IPI virtualization",
    ),
    _intel(
        "emerald-rapids-sp",
        "Xeon Scalable 5th generation (Emerald Rapids)",
        TERTIARY,
        "InstLatx64 GenuineIntel00C06F2_EmeraldRapids_01 (Gold 5520+)",
        unknown=IPI,
        signatures=("06-cf",),
    ),
    _intel(
        "meteor-lake",
        "Core Ultra, series 1 (Meteor Lake)",
        TERTIARY,
        "InstLatx64 GenuineIntel00A06A4_MeteorLake_10 (Ultra 7 155H); no ipi_virt in the vmx flags of"
        " github.com/erpalma/throttled issue 356",
        signatures=("06-aa",),
    ),
    _intel(
        "granite-rapids",
        "Xeon 6 with P-cores (Granite Rapids)",
        TERTIARY,
        "InstLatx64 GenuineIntel00A06D1_GraniteRapids_03 (Xeon 658X); QEMU, GraniteRapids",
        unknown=IPI,
        signatures=("06-ad",),
    ),
    _intel(
        "lunar-lake",
        "Core Ultra 200V (Lunar Lake)",
        TERTIARY,
        "InstLatx64 GenuineIntel00B06D1_LunarLake_04 (Ultra 9 288V)",
        unknown=IPI,
        signatures=("06-bd",),
    ),
    _intel(
        "arrow-lake-u",
        "Core Ultra 200U (Arrow Lake-U)",
        TERTIARY,
        "InstLatx64 GenuineIntel00B0650_ArrowLakeU_03",
        unknown=IPI,
        signatures=("06-b5",),
    ),
    _intel(
        "arrow-lake-h",
        "Core Ultra 200H (Arrow Lake-H)",
        TERTIARY,
        "InstLatx64 GenuineIntel00C0652_ArrowLakeH_04",
        unknown=IPI,
        signatures=("06-c5",),
    ),
    _intel(
        "arrow-lake-s",
        "Core Ultra, series 2, desktop and HX (Arrow Lake-S, Arrow Lake-HX)",
        IPIV,
        "InstLatx64 GenuineIntel00C0662_ArrowLake_08 (Ultra 7 265K); ipi_virt in the vmx flags of"
        " github.com/archspec/archspec-json, tests/targets/linux-ubuntu26.04-arrowlake_s (Ultra 9 285)",
        signatures=("06-c6",),
    ),
    _intel(
        "bartlett-lake",
        "Core 9 273PQE (Bartlett Lake-S with P-cores)",
        TERTIARY,
        "InstLatx64 GenuineIntel00D0670_BartlettLake_01",
        unknown=IPI,
        signatures=("06-d7",),
    ),
    _intel(
        "wildcat-lake",
        "Core 5 320, Core 7 350 (Wildcat Lake)",
        TERTIARY,
        "InstLatx64 GenuineIntel00D0651_WildcatLake_02",
        unknown=IPI,
        signatures=("06-d5",),
    ),
    _bochs(
        "arrow_lake",
        "Core Ultra 5 245K (Arrow Lake)",
        TERTIARY,
        "3.0 arrow_lake",
        f"not in 2.7 and 2.8; {_PAGE}; Bochs does not implement IPI virtualization",
    ),
    _intel(
        "zhaoxin-zx-c",
        "Eden X4, KaiXian ZX-C (Zhaoxin, VIA)",
        SHADOW | {"secondary_controls", "virtualize_x2apic_mode"},
        "InstLatx64 CentaurHauls00006FE_CNR_Isaiah, CentaurHauls00006FE_CNR_Isaiah_CPUID3",
        notes="'virtualize x2APIC mode' without 'virtualize APIC accesses'",
        signatures=("zhaoxin/06-0f-0e",),
    ),
    _intel(
        "zhaoxin-kx-6000",
        "KaiXian KX-U6000, KX-6000 (Zhaoxin)",
        SHADOW | {"secondary_controls"},
        "InstLatx64 CentaurHauls00307B0_6640MA, CentaurHauls00307B1_ZXE, CentaurHauls00307B2_KX6000_01",
        signatures=("zhaoxin/07-3b",),
    ),
    _intel(
        "centaur-cns",
        "CHA (Centaur CNS)",
        APICV,
        "InstLatx64 CentaurHauls0040672_CNS_04",
        signatures=("zhaoxin/06-47-02",),
    ),
    _intel(
        "zhaoxin-kx-7000",
        "KaiXian KX-7000, KaiSheng KH-40000 (Zhaoxin)",
        POSTED,
        "InstLatx64 CentaurHauls00507B3_KX40000_01, CentaurHauls00607B1_KX7000_05",
        signatures=("zhaoxin/07-5b", "zhaoxin/07-6b"),
    ),
)

_AMD = (
    _amd(
        "k8-rev-f",
        "Opteron 2200 and 8200, Athlon 64 X2 (K8, revision F and G)",
        NOTHING,
        "InstLatx64 AuthenticAMD0040F12_K8_SantaRosa_CPUID_S2 (Opteron 2210 HE), AuthenticAMD0060FB1_K8_Brisbane",
        notes="no nested paging",
        signatures=("0f-41", "0f-43", "0f-5f", "0f-6b", "0f-7f"),
    ),
    _amd(
        "turion64_tyler",
        "Turion 64 X2 TL-60 (Tyler)",
        NOTHING,
        "Bochs 2.7 to 3.0 turion64_tyler",
        emulated_by="bochs",
        notes="no nested paging",
    ),
    _amd(
        "opteron-k10",
        "Opteron 2300 to 6100, Phenom (K10)",
        NOTHING,
        "InstLatx64 AuthenticAMD0100F21_K10_Barcelona (Opteron 2347 HE), AuthenticAMD0100F91_K10_MagnyCours",
        signatures=("10-02", "10-04", "10-05", "10-06", "10-08", "10-09", "10-0a"),
    ),
    _amd(
        "griffin",
        "Turion X2 (K11, Griffin)",
        NOTHING,
        "InstLatx64 AuthenticAMD0200F30_K11_Griffin",
        signatures=("11-03",),
    ),
    _amd(
        "llano",
        "A-series and E2-3000 (K12, Llano)",
        NOTHING,
        "InstLatx64 AuthenticAMD0300F10_K12_Llano (A8-3850)",
        signatures=("12-01",),
    ),
    _amd(
        "bobcat",
        "C, E and G-T series (Bobcat)",
        NOTHING,
        "InstLatx64 AuthenticAMD0500F10_K14_Bobcat (E-350), AuthenticAMD0500F20_K14_Bobcat",
        signatures=("14-00", "14-01", "14-02"),
    ),
    _amd(
        "phenom_8650_toliman",
        "Phenom X3 8650 (Toliman)",
        NOTHING,
        "Bochs 2.7 to 3.0 phenomx3_8650_toliman",
        emulated_by="bochs",
    ),
    _amd(
        "bulldozer",
        "Opteron 6200 and 6300, FX (Bulldozer, Piledriver)",
        NOTHING,
        "InstLatx64 AuthenticAMD0600F12_Interlagos (Opteron 6274), AuthenticAMD0600F20_K15_AbuDhabi"
        " (Opteron 6376)",
        signatures=("15-00", "15-01", "15-02"),
    ),
    _amd("zambezi", "FX-4100 (Zambezi)", NOTHING, "Bochs 2.7 to 3.0 zambezi", emulated_by="bochs"),
    _amd(
        "trinity",
        "A-series 4000 to 6000 (Trinity, Richland)",
        NOTHING,
        "InstLatx64 AuthenticAMD0610F01_K15_Piledriver_CPUID2 (A10-5800K), AuthenticAMD0610F31_K15_Richland",
        signatures=("15-10", "15-13"),
    ),
    _amd(
        "kaveri",
        "A-series 7000 and 8000, Athlon X4 (Kaveri, Godavari)",
        NOTHING,
        "InstLatx64 AuthenticAMD0630F01_K15_Kaveri (A10-7850K), AuthenticAMD0630F81_K15_Godavari",
        signatures=("15-30", "15-38"),
    ),
    _amd(
        "jaguar",
        "A4 and A6, Athlon 5000, Opteron X, GX (Kabini, Temash, Beema, Steppe Eagle)",
        NOTHING,
        "InstLatx64 AuthenticAMD0700F01_K16_Kabini (A4-5000), AuthenticAMD0730F01_K16_Beema_CPUID2, AuthenticAMD0720F61_K16_Cato",
        signatures=("16-00", "16-26", "16-30"),
    ),
    _amd("trinity_apu", "A8-5600K (Trinity)", NOTHING, "Bochs 2.7 to 3.0 trinity_apu", emulated_by="bochs"),
    _amd(
        "excavator",
        "FX-8800P, A-series 8000 and 9000 (Carrizo, Bristol Ridge, Stoney Ridge)",
        AVIC,
        "InstLatx64 AuthenticAMD0660F01_K15_Carrizo, AuthenticAMD0660F51_K15_BristolRidge,"
        " AuthenticAMD0670F00_K15_StoneyRidge",
        notes="the first with AVIC",
        signatures=("15-60", "15-65", "15-70"),
    ),
    _amd(
        "zen1",
        "EPYC 7001, Ryzen 1000 (Zen)",
        AVIC,
        "InstLatx64 AuthenticAMD0800F12_K17_Zen (EPYC 7551P), AuthenticAMD0800F11_K17_Zen_CPUID4"
        " (Ryzen 1800X)",
        notes="erratum 1235: Linux keeps AVIC's IPI virtualization off on family 17h (8de4a1c8164e);"
        " CPUID 8000000A is all 0 where firmware disabled SVM",
        signatures=("17-00", "17-01"),
    ),
    _amd(
        "zen-plus",
        "Ryzen 2000, Threadripper 2000 (Zen+, Pinnacle Ridge)",
        AVIC,
        "InstLatx64 AuthenticAMD0800F82_K17_ZenP (Ryzen 2700X), AuthenticAMD0800F82_K17_PinnacleRidge_01",
        notes="erratum 1235: Linux keeps AVIC's IPI virtualization off on family 17h (8de4a1c8164e)",
        signatures=("17-08",),
    ),
    _amd(
        "raven-ridge",
        "Ryzen 2000G to 3000U, Athlon 200 to 3000 (Raven Ridge, Picasso, Dali)",
        AVIC,
        "InstLatx64 AuthenticAMD0810F10_K17_Zen (Ryzen 2500U), AuthenticAMD0810F81_K17_Picasso, AuthenticAMD0820F01_K17_Dali",
        notes="erratum 1235: Linux keeps AVIC's IPI virtualization off on family 17h (8de4a1c8164e)",
        signatures=("17-11", "17-18", "17-20"),
    ),
    _amd(
        "subor-z",
        "Ryzen of the Subor Z+ (Fenghuang Raven)",
        AVIC,
        "InstLatx64 AuthenticAMD0850F00_K17_Zen_CPUID2",
        notes="erratum 1235: Linux keeps AVIC's IPI virtualization off on family 17h (8de4a1c8164e)",
        signatures=("17-50",),
    ),
    _amd(
        "hygon-dhyana",
        "Hygon C86 3000, 5000 and 7000 (Dhyana)",
        AVIC,
        "InstLatx64 HygonGenuine0900F02_Hygon, HygonGenuine0900F11_Hygon_01, HygonGenuine0900F22_Hygon_01, HygonGenuine0910F00_Hygon_01",
        signatures=("18-00", "18-01", "18-02", "18-10"),
    ),
    _amd(
        "epyc",
        "EPYC (QEMU's model without KVM)",
        NOTHING,
        "QEMU 7.2 target/i386/cpu.c, TCG_SVM_FEATURES",
        emulated_by="qemu",
        notes="the real processor offers AVIC",
    ),
    _amd(
        "ryzen",
        "Ryzen 7 1700 (Zen)",
        NOTHING,
        "Bochs 2.7 to 3.0 ryzen",
        emulated_by="bochs",
        notes="Bochs does not implement AVIC; the real processor offers it",
    ),
    _amd(
        "zen2",
        "EPYC 7002, Ryzen 3000 (Zen 2)",
        AVIC,
        "InstLatx64 AuthenticAMD0830F10_K17_Rome (EPYC 7742), AuthenticAMD0870F10_K17_Matisse",
        notes="erratum 1235: Linux keeps AVIC's IPI virtualization off on family 17h (8de4a1c8164e)",
        signatures=("17-31", "17-71"),
    ),
    _amd(
        "renoir",
        "Ryzen 4000 to 7020, mobile and APU (Renoir, Lucienne, Mendocino)",
        AVIC,
        "InstLatx64 AuthenticAMD0860F01_K17_Renoir_CPUID2, AuthenticAMD0860F81_K17_Lucienne_CPUID04, AuthenticAMD08A0F00_K17_Mendocino_02",
        notes="erratum 1235: Linux keeps AVIC's IPI virtualization off on family 17h (8de4a1c8164e)",
        signatures=("17-60", "17-68", "17-a0"),
    ),
    _amd(
        "zen2-console",
        "4700S, 4800S, Custom APU 0405 and 0932 (Van Gogh)",
        AVIC,
        "InstLatx64 AuthenticAMD0840F70_K17, AuthenticAMD0880F40_K17, AuthenticAMD0890F02_K17_VanGogh_01, AuthenticAMD0890F10_K17_VanGogh_01",
        notes="erratum 1235: Linux keeps AVIC's IPI virtualization off on family 17h (8de4a1c8164e)",
        signatures=("17-47", "17-84", "17-90", "17-91"),
    ),
    _amd(
        "zen3-epyc",
        "EPYC 7003 (Zen 3, Milan)",
        NOTHING,
        "InstLatx64 AuthenticAMD0A00F11_K19_Milan_02 (EPYC 7763), AuthenticAMD0A00F11_K19_Milan_CPUID1"
        " (EPYC 7713)",
        notes="CPUID does not show AVIC, unlike that of the client parts (Linux: kvm_amd.force_avic)",
        signatures=("19-01",),
    ),
    _amd(
        "zen3-ryzen",
        "Ryzen 5000 (Zen 3, Vermeer, Cezanne, Barcelo)",
        AVIC,
        "InstLatx64 AuthenticAMD0A20F10_K19_Vermeer (Ryzen 5950X), AuthenticAMD0A50F00_K19_Cezanne",
        signatures=("19-21", "19-50"),
    ),
    _amd(
        "rembrandt",
        "Ryzen 6000 and 7035, mobile (Rembrandt)",
        AVIC,
        "InstLatx64 AuthenticAMD0A40F41_K19_Rembrandt_01 (Ryzen 6900HX)",
        signatures=("19-44",),
    ),
    _amd(
        "zen4",
        "EPYC 9004, 8004 and 4004, Ryzen 7000 (Zen 4: Genoa, Bergamo, Storm Peak, Raphael)",
        X2AVIC,
        "InstLatx64 AuthenticAMD0A10F11_K19_Genoa_01 (EPYC 9654), AuthenticAMD0A60F12_K19_Raphael_01"
        " (Ryzen 7600)",
        notes="the first with x2AVIC",
        signatures=("19-11", "19-18", "19-61", "19-a0"),
    ),
    _amd(
        "phoenix",
        "Ryzen 7040, 8040 and 8000G, Z1 (Phoenix, Hawk Point)",
        {"x2avic"},
        "InstLatx64 AuthenticAMD0A70F41_K19_Phoenix_03, AuthenticAMD0A70F52_K19_HawkPoint_01, AuthenticAMD0A70F52_K19_Phoenix_01, AuthenticAMD0A70F80_K19_Phoenix2_01, AuthenticAMD0A70FC0_K19_HawkPoint2_01",
        unknown=AVIC,
        notes="four of the five dumps show x2AVIC without AVIC, one both; the firmware decides",
        signatures=("19-74", "19-75", "19-78", "19-7c"),
    ),
    _amd(
        "zen5-epyc",
        "EPYC 9005, Threadripper 9000 (Zen 5, Turin, Shimada Peak)",
        X2AVIC,
        "InstLatx64 AuthenticAMD0B00F21_K20_Turin_01 (EPYC 9655), AuthenticAMD0B10F10_K20_TurinD_03,"
        " AuthenticAMD0B00F81_K20_ShimadaPeak_03",
        signatures=("1a-02", "1a-08", "1a-11"),
    ),
    _amd(
        "strix",
        "Ryzen AI 300, Ryzen AI Max (Strix Point, Krackan Point, Gorgon Point, Strix Halo)",
        X2AVIC,
        "InstLatx64 AuthenticAMD0B20F40_K20_StrixPoint_06, AuthenticAMD0B60F00_K20_KrackanPoint_03, AuthenticAMD0B60F80_K20_GorgonPoint_01, AuthenticAMD0B70F00_K20_StrixHalo_01",
        signatures=("1a-24", "1a-60", "1a-68", "1a-70"),
    ),
    _amd(
        "granite-ridge",
        "Ryzen 9000 (Zen 5, Granite Ridge)",
        NOTHING,
        "InstLatx64 AuthenticAMD0B40F40_K20_GraniteRidge_02 (9950X), AuthenticAMD0B40F40_K20_GraniteRidge_06 (9950X3D)",
        unknown=X2AVIC,
        notes="three of the four dumps of this signature show neither AVIC nor x2AVIC, one both",
        signatures=("1a-44",),
    ),
)

PROCESSORS: dict[str, Processor] = {row.name: row for row in (*_INTEL, *_AMD)}
"""By name: Intel, then AMD, oldest first. If Bochs 2.7 has a model differently, its row comes first."""


def processor(name: str) -> Processor:
    """Return the processor that a text names: a row's name, a CPUID signature, or what it is sold as.

    ``"skylake-sp"``, ``"806ea"``, ``"06-8e-0a"`` and ``"i7-10710U"`` are such texts. Where several rows can be
    meant, the result says what all of them offer, and the rest is unknown. Raises `NameUnknown`, which suggests
    similar names, if nothing is meant.
    """
    row = PROCESSORS.get(name)
    if row is not None:
        return row
    from xenapic.apic.lookup import look_up, unknown_name  # the names in the trade cost time to read

    match = look_up(name)
    if match is None:
        raise unknown_name(name)
    return match.processor


def emulated(name: str, release: tuple[int, int]) -> Processor:
    """Return the row of an emulator's model in a release of Bochs; raise `NameUnknown` if there is none."""
    older = PROCESSORS.get(name + OLDER)
    if older and release < (2, 8):
        return older
    if name not in PROCESSORS:
        raise NameUnknown.among("processor", name, PROCESSORS, "xenapic.PROCESSORS has them all")
    return PROCESSORS[name]


def allowed(row: Processor) -> Controls:
    """Return the VMX controls that a processor certainly offers; none for AMD."""
    return Controls.of(*(row.offers & CONTROLS.keys()))

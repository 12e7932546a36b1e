"""Which processor offers which control: real generations and the emulators' models. Pure data.

A row holds what the processor's capability MSRs (Intel: allowed-1) or CPUID (AMD) offer, before
a hypervisor or the firmware takes anything away. The processor lacks whatever its row neither offers nor
lists as unknown. Names with hyphens are real processors. Names with underscores, and `epyc` and `ryzen`, are
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

from xenapic.apic.controls import CONTROLS, Controls
from xenapic.apic.features import Technology
from xenapic.errors import NameUnknown
from xenapic.frozen import dataclass

__all__ = ["PROCESSORS", "Processor", "allowed", "emulated", "processor"]

NOTHING: frozenset[str] = frozenset()
TPR = frozenset(
    {
        "external_interrupt_exiting",
        "cr8_load_exiting",
        "cr8_store_exiting",
        "tpr_shadow",
        "msr_bitmaps",
        "secondary_controls",
        "virtualize_apic_accesses",
    }
)
"""The oldest set, which virtualizes the TPR only."""
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


def _intel(
    name: str,
    title: str,
    offers: Set[str],
    source: str,
    *,
    unknown: Set[str] = NOTHING,
    emulated_by: str = "",
    notes: str = "",
) -> Processor:
    return Processor(
        name, title, Technology.VMX, frozenset(offers), frozenset(unknown), source, emulated_by, notes
    )


def _amd(
    name: str, title: str, offers: Set[str], source: str, *, emulated_by: str = "", notes: str = ""
) -> Processor:
    return Processor(name, title, Technology.SVM, frozenset(offers), NOTHING, source, emulated_by, notes)


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
        "penryn",
        "Core 2, Xeon 5400 (Penryn)",
        TPR,
        "QEMU 5.0, Penryn; InstLatx64 GenuineIntel0010676_Yorkfield (X9650), GenuineIntel00106D1_Dunnington",
        notes="no EPT",
    ),
    _bochs("core2_penryn_t9600", "Core 2 T9600 (Penryn)", TPR, "2.7 to 3.0 core2_penryn_t9600", "no EPT"),
    _intel(
        "nehalem",
        "Core i7, Xeon 5500 (Nehalem)",
        X2APIC,
        "QEMU 5.0, Nehalem",
        notes="no unrestricted guest",
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
    ),
    _bochs("corei5_arrandale_m520", "Core i5-520M (Arrandale)", X2APIC, "2.7 to 3.0 corei5_arrandale_m520"),
    _intel(
        "sandy-bridge-client",
        "Core 2nd generation (Sandy Bridge)",
        X2APIC,
        "VmxCaps, Sandy Bridge (i5-2320)",
    ),
    _intel(
        "sandy-bridge-ep",
        "Xeon E5 (Sandy Bridge-EP)",
        X2APIC,
        "InstLatx64 GenuineIntel00206D5_SandyBridgeEP, GenuineIntel00206D6_SandyBridgeE",
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
        "Core 3rd generation (Ivy Bridge)",
        X2APIC,
        "InstLatx64 GenuineIntel00306A9_IvyBridge (i7-3770K)",
    ),
    _intel(
        "ivy-bridge-ep",
        "Xeon E5 v2 (Ivy Bridge-EP)",
        POSTED,
        "Intel Xeon E5-1600/2600/4600 v2 datasheet volume 1, 3.1.2 (APICv); QEMU 5.0, IvyBridge",
        notes="the first with APIC virtualization; not in the Core i7-4930K of the same die"
        " (InstLatx64 GenuineIntel00306E4_IvyBridgeE)",
    ),
    _bochs(
        "corei7_ivy_bridge_3770k",
        "Core i7-3770K (Ivy Bridge)",
        X2APIC,
        "2.7 to 3.0 corei7_ivy_bridge_3770K",
    ),
    _intel(
        "haswell-client",
        "Core 4th generation, Xeon E3 v3 (Haswell)",
        X2APIC,
        "InstLatx64 GenuineIntel00306C3_Haswell (i7-4770), GenuineIntel00306C3_HaswellXeon; VmxCaps, Haswell",
    ),
    _intel(
        "haswell-ep",
        "Xeon E5 v3 (Haswell-EP)",
        POSTED,
        "InstLatx64 GenuineIntel00306F2_HaswellEP (E5-2699 v3), GenuineIntel00306F2_HaswellE2 (i7-5820K)",
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
    ),
    _intel(
        "broadwell-ep",
        "Xeon E5 v4 (Broadwell-EP), Xeon D-1500 (Broadwell-DE)",
        POSTED,
        "InstLatx64 GenuineIntel00406F1_BroadwellE_02 (E5-2620 v4), GenuineIntel0050662_BroadwellDE (D-1540)",
    ),
    _bochs("broadwell_ult", "Core M-5Y70 (Broadwell)", APICV, "2.7 to 3.0 broadwell_ult", _UNLIKE),
    _intel(
        "skylake-client",
        "Core 6th generation (Skylake)",
        X2APIC,
        "InstLatx64 GenuineIntel00506E3_SkyLake_01 (i7-6700K); VmxCaps, Skylake (i5-6500)",
        notes="QEMU's Skylake-Client leaves out 'virtualize x2APIC mode'",
    ),
    _intel(
        "coffee-lake",
        "Core 7th to 9th generation (Kaby Lake, Coffee Lake)",
        X2APIC,
        "InstLatx64 GenuineIntel00906E9_Kabylake (i7-7700K), GenuineIntel00906EA_Coffeelake (i7-8700K)",
    ),
    _intel(
        "skylake-sp",
        "Xeon Scalable, Core X (Skylake-SP)",
        POSTED,
        "InstLatx64 GenuineIntel0050654_SkylakeXeon_20 (Platinum 8160); VmxCaps, Skylake-X (i9-9980XE)",
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
    ),
    _intel(
        "ice-lake-client",
        "Core 10th generation (Ice Lake)",
        POSTED,
        "InstLatx64 GenuineIntel00706E5_IceLakeY (i7-1065G7)",
        notes="QEMU's Icelake-Client leaves it all out",
    ),
    _intel(
        "comet-lake-s",
        "Core 10th generation, desktop (Comet Lake-S)",
        POSTED,
        "InstLatx64 GenuineIntel00A0655_CometLake (i9-10900K)",
        notes="only model A5H: Comet Lake-U offers what Coffee Lake does (VmxCaps, i3-10110U)",
    ),
    _intel(
        "snow-ridge",
        "Atom P5900 (Snow Ridge)",
        POSTED,
        "QEMU 5.0, Snowridge",
        unknown={"tertiary_controls", *IPI},
    ),
    _intel(
        "tiger-lake",
        "Core 11th generation, mobile (Tiger Lake)",
        TERTIARY,
        "InstLatx64 GenuineIntel00806C1_TigerLake_01 (i5-1135G7)",
        unknown=IPI,
    ),
    _intel(
        "ice-lake-sp",
        "Xeon Scalable 3rd generation (Ice Lake-SP)",
        POSTED,
        "InstLatx64 GenuineIntel00606A6_ICX (Platinum 8351N); QEMU 5.0, Icelake-Server",
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
    ),
    _intel(
        "sapphire-rapids-sp",
        "Xeon Scalable 4th generation (Sapphire Rapids)",
        IPIV,
        "InstLatx64 GenuineIntel00806F8_SapphireRapids_05 (w7-2475X); github.com/archspec/archspec-json,"
        " tests/targets/linux-unknown-sapphirerapids (Platinum 8480+); IPI virtualization: KVM list,"
        " 'Don't advertise PV IPI to userspace if IPIs are virtualized', June 2022, on Linux d588bb9be1da",
        notes="the first with IPI virtualization",
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
    ),
    _intel(
        "meteor-lake",
        "Core Ultra, series 1 (Meteor Lake)",
        TERTIARY,
        "InstLatx64 GenuineIntel00A06A4_MeteorLake_10 (Ultra 7 155H); no ipi_virt in the vmx flags of"
        " github.com/erpalma/throttled issue 356",
    ),
    _intel(
        "granite-rapids",
        "Xeon 6 with P-cores (Granite Rapids)",
        TERTIARY,
        "InstLatx64 GenuineIntel00A06D1_GraniteRapids_03 (Xeon 658X); QEMU, GraniteRapids",
        unknown=IPI,
    ),
    _intel(
        "arrow-lake-s",
        "Core Ultra, series 2, desktop (Arrow Lake-S)",
        IPIV,
        "InstLatx64 GenuineIntel00C0662_ArrowLake_08 (Ultra 7 265K); ipi_virt in the vmx flags of"
        " github.com/archspec/archspec-json, tests/targets/linux-ubuntu26.04-arrowlake_s (Ultra 9 285)",
    ),
    _bochs(
        "arrow_lake",
        "Core Ultra 5 245K (Arrow Lake)",
        TERTIARY,
        "3.0 arrow_lake",
        f"not in 2.7 and 2.8; {_PAGE}; Bochs does not implement IPI virtualization",
    ),
)

_AMD = (
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
    ),
    _amd("zambezi", "FX-4100 (Zambezi)", NOTHING, "Bochs 2.7 to 3.0 zambezi", emulated_by="bochs"),
    _amd("trinity_apu", "A8-5600K (Trinity)", NOTHING, "Bochs 2.7 to 3.0 trinity_apu", emulated_by="bochs"),
    _amd(
        "excavator",
        "FX-8800P, A-series (Carrizo, Excavator)",
        AVIC,
        "InstLatx64 AuthenticAMD0660F01_K15_Carrizo",
        notes="the first with AVIC",
    ),
    _amd(
        "zen1",
        "EPYC 7001, Ryzen 1000 (Zen)",
        AVIC,
        "InstLatx64 AuthenticAMD0800F12_K17_Zen (EPYC 7551P), AuthenticAMD0800F11_K17_Zen_CPUID4"
        " (Ryzen 1800X)",
        notes="erratum 1235: Linux keeps AVIC's IPI virtualization off on family 17h (8de4a1c8164e);"
        " CPUID 8000000A is all 0 where firmware disabled SVM",
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
    ),
    _amd(
        "zen3-epyc",
        "EPYC 7003 (Zen 3, Milan)",
        NOTHING,
        "InstLatx64 AuthenticAMD0A00F11_K19_Milan_02 (EPYC 7763), AuthenticAMD0A00F11_K19_Milan_CPUID1"
        " (EPYC 7713)",
        notes="CPUID does not show AVIC, unlike that of the client parts (Linux: kvm_amd.force_avic)",
    ),
    _amd(
        "zen3-ryzen",
        "Ryzen 5000 (Zen 3, Vermeer, Cezanne)",
        AVIC,
        "InstLatx64 AuthenticAMD0A20F10_K19_Vermeer (Ryzen 5950X), AuthenticAMD0A50F00_K19_Cezanne",
    ),
    _amd(
        "zen4",
        "EPYC 9004, Ryzen 7000 (Zen 4)",
        X2AVIC,
        "InstLatx64 AuthenticAMD0A10F11_K19_Genoa_01 (EPYC 9654), AuthenticAMD0A60F12_K19_Raphael_01"
        " (Ryzen 7600)",
        notes="the first with x2AVIC; some Phoenix and Hawk Point machines show x2AVIC without AVIC",
    ),
    _amd(
        "zen5-epyc",
        "EPYC 9005 (Zen 5, Turin)",
        X2AVIC,
        "InstLatx64 AuthenticAMD0B00F21_K20_Turin_01 (EPYC 9655)",
    ),
)

PROCESSORS: dict[str, Processor] = {row.name: row for row in (*_INTEL, *_AMD)}
"""By name: Intel, then AMD, oldest first. If Bochs 2.7 has a model differently, its row comes first."""


def processor(name: str) -> Processor:
    """Return the row with this name; raise `NameUnknown`, which suggests similar names, if there is none."""
    if name not in PROCESSORS:
        raise NameUnknown.among("processor", name, PROCESSORS, "xenapic.PROCESSORS has them all")
    return PROCESSORS[name]


def emulated(name: str, release: tuple[int, int]) -> Processor:
    """Return the row of an emulator's model in a release of Bochs; raise `NameUnknown` if there is none."""
    older = PROCESSORS.get(name + OLDER)
    return older if older and release < (2, 8) else processor(name)


def allowed(row: Processor) -> Controls:
    """Return the VMX controls that a processor certainly offers; none for AMD."""
    return Controls.of(*(row.offers & CONTROLS.keys()))

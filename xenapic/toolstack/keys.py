"""The keys of an xl.cfg: which decide the create request, which can be refused, which do neither."""

from __future__ import annotations

from xenapic.frozen import dataclass
from xenapic.model.releases import XenRelease

__all__ = ["FIRST", "KEYS", "OTHERS", "Key", "known"]

FIRST, NEVER = (4, 15), (9, 9)


@dataclass(frozen=True, slots=True)
class Key:
    """A key that is looked at."""

    name: str
    field: str
    """The field of the request, or empty when the key can only make xl or libxl refuse."""
    text: str
    since: tuple[int, int] = FIRST


KEYS: tuple[Key, ...] = (
    Key(
        "type",
        "flags, arch.emulation_flags",
        "is pv (also when absent), pvh or hvm; the beginning of a name is enough",
    ),
    Key("builder", "flags, arch.emulation_flags", "is the old spelling of type: hvm, or generic for pv"),
    Key("hap", "flags", "sets hap; by default on if the host has it; not PV"),
    Key("oos", "flags", "0 sets oos_off; not PV"),
    Key("nestedhvm", "flags", "sets nested_virt; not PV; excludes altp2m"),
    Key("passthrough", "flags, iommu_opts", "sets iommu unless disabled; sync_pt sets no_sharept"),
    Key("pci", "flags, iommu_opts", "with devices, passthrough is enabled by default"),
    Key("dtdev", "flags, iommu_opts", "with devices, passthrough is enabled by default"),
    Key("vpmu", "flags", "sets vpmu; libxl refuses it without physinfo's vpmu", (4, 16)),
    Key("vcpus", "max_vcpus", "is the number if maxvcpus is not given; at most 1024"),
    Key("maxvcpus", "max_vcpus", "must not be below vcpus"),
    Key("vnuma", "max_vcpus", "its nodes give vCPUs and maxmem; not with PV nor with memory below maxmem"),
    Key("cpus", "", "ranges of CPUs of which the host has some"),
    Key("cpus_soft", "", "ranges of CPUs"),
    Key("max_event_channels", "max_evtchn_port", "absent or 0: 1023"),
    Key("max_grant_frames", "max_grant_frames", "absent: xl.conf's, else -1 for the host's default"),
    Key("max_maptrack_frames", "max_maptrack_frames", "absent: xl.conf's, else -1 for the host's default"),
    Key("max_grant_version", "grant_opts", "absent: xl.conf's, else the host's highest; at most 15", (4, 16)),
    Key("vmtrace_buf_kb", "vmtrace_size", "in KiB, rounded up to 4 KiB, in 32 bits"),
    Key("pool", "cpupool_id", "name or number of a CPU pool; a field since 4.17"),
    Key(
        "altp2m", "altp2m_opts, altp2m.opts", "a field since 4.19; before, libxl sets an HVM parameter later"
    ),
    Key("altp2mhvm", "altp2m_opts, altp2m.opts", "the old spelling; HVM only"),
    Key("altp2m_count", "altp2m.nr", "absent: 10 for an HVM guest with altp2m, else 0", (4, 21)),
    Key("hvm_pirq", "arch.emulation_flags", "sets USE_PIRQ; HVM only", (4, 19)),
    Key("msr_relaxed", "arch.misc_flags", "sets MSR_RELAXED"),
    Key("name", "", "must be there"),
    Key("uuid", "", "must be a UUID"),
    Key("memory", "", "below maxmem it means populate-on-demand, which excludes an IOMMU, vnuma and altp2m"),
    Key("maxmem", "", "see memory"),
    Key(
        "kernel",
        "",
        "PV and PVH need it, or bootloader, or firmware; HVM needs it with a ramdisk or command line",
    ),
    Key("bootloader", "", "see kernel"),
    Key("ramdisk", "", "see kernel"),
    Key("cmdline", "", "see kernel"),
    Key("root", "", "see kernel"),
    Key("extra", "", "see kernel"),
    Key("firmware", "", "HVM: a BIOS; PV and PVH: pvgrub32, pvgrub64"),
    Key("bios", "", "must fit the device model"),
    Key("device_model_version", "", "since 4.21 qemu-xen alone"),
    Key("device_model_stubdomain_override", "", "a second domain is created, PV with one vCPU"),
    Key("device_model_stubdomain_seclabel", "", "without XSM a warning"),
    Key("device_model_args", "", "must be a list"),
    Key("device_model_args_pv", "", "must be a list"),
    Key("device_model_args_hvm", "", "must be a list"),
    Key("init_seclabel", "", "without XSM a warning"),
    Key("seclabel", "", "without XSM a warning"),
    Key("vuart", "", "one of its values"),
    Key("on_poweroff", "", "one of its values"),
    Key("on_reboot", "", "one of its values"),
    Key("on_watchdog", "", "one of its values"),
    Key("on_crash", "", "one of its values"),
    Key("on_soft_reset", "", "one of its values"),
    Key("tsc_mode", "", "one of its values"),
    Key("timer_mode", "", "one of its values; not PV"),
    Key("viridian", "", "a list of groups, or a number"),
    Key("mmio_hole", "", "256 to 3840 MiB"),
    Key("smbios", "", "a list of TYPE=TEXT", (4, 18)),
    Key("ms_vm_genid", "", "generate or none"),
    Key("mca_caps", "", "a list with lmce"),
    Key("ioports", "", "a list of ranges"),
    Key("irqs", "", "a list of numbers"),
    Key("iomem", "", "a list of ranges"),
    Key("llc_colors", "", "a list of ranges", (4, 20)),
    Key("xenstore_quota", "", "a list of NAME=NUMBER", (4, 22)),
    Key("vga", "", "one of its values"),
    Key("stdvga", "", "another spelling of vga"),
    Key("videoram", "", "enough for the card"),
    Key("hdtype", "", "one of its values"),
    Key("gfx_passthru", "", "a number or one of its values"),
    Key("vendor_device", "", "one of its values"),
    Key("vnclisten", "", "without a display when vncdisplay names one"),
    Key("vncdisplay", "", "see vnclisten"),
    Key("spice", "", "turns spiceusbredirection on"),
    Key("spiceusbredirection", "", "excludes usb and usbdevice"),
    Key("usbversion", "", "excludes usb and usbdevice"),
    Key("usb", "", "see usbversion"),
    Key("usbdevice", "", "see usbversion"),
    Key("gic_version", "", "Arm's, checked on x86 too"),
    Key("tee", "", "Arm's, checked on x86 too"),
    Key("sve", "", "Arm's, checked on x86 too", (4, 18)),
    Key("arm_sci", "", "Arm's, checked on x86 too", (4, 21)),
    Key("trap_unmapped_accesses", "", "Arm's; true is refused on x86", (4, 21)),
)
"""Every key that is looked at."""

ASSISTED = (
    Key(
        "assisted_xapic",
        "arch.misc_flags",
        "sets ASSISTED_XAPIC; 4.17-rc alone; absent: as the host offers",
    ),
    Key(
        "assisted_x2apic",
        "arch.misc_flags",
        "sets ASSISTED_X2APIC; 4.17-rc alone; absent: as the host offers",
    ),
)

SINCE_4_15 = """
acpi acpi_firmware acpi_laptop_slate acpi_s3 acpi_s4 apic bios_path_override boot bootloader_args
cap channel cpu_weight cpuid device_model device_model_override device_model_user
device_tree disk display dm_restrict driver_domain e820_host extratime firmware_override hpet keymap
latency localtime nographic nomigrate nx opengl p9 pae pci_msitranslate pci_permissive
pci_power_mgmt pci_seize period pvcalls pvshim pvshim_cmdline pvshim_extra pvshim_path rdm
rdm_mem_boundary rtc_timeoffset sdl serial shadow_memory slice smbios_firmware soundhw
spice_clipboard_sharing spice_image_compression spice_streaming_video spiceagent_mouse
spicedisable_ticketing spicehost spicepasswd spiceport spicetls_port spicevdagent stubdomain_kernel
stubdomain_memory stubdomain_ramdisk usbctrl usbdev vdispl vfb vif vif2 vkb vkb_device vnc vncpasswd
vncunused vncviewer vpt_align vsnd vtpm xauthority xen_platform_pci xend_suspend_evtchn_compat
"""

OTHERS: dict[str, tuple[int, int]] = {
    **dict.fromkeys(SINCE_4_15.split(), FIRST),
    "stubdomain_cmdline": (4, 16),
    "bootloader_restrict": (4, 18),
    "bootloader_user": (4, 18),
    "virtio": (4, 18),
    "nr_spis": (4, 19),
    "xen_platform_pci_bar_uc": (4, 21),
    "xenstore_feature_mask": (4, 21),
}
"""The keys that xl knows besides, with the first release that does: they are not looked at."""


def known(release: XenRelease) -> dict[str, bool]:
    """Return the keys that xl of a release knows, each with whether it is looked at."""
    rows = (*KEYS, *(ASSISTED if release.per_domain_apic else ()))
    looked_at = {row.name: True for row in rows if row.since <= release.number}
    return {**{name: False for name, since in OTHERS.items() if since <= release.number}, **looked_at}

"""xl's parser: from the settings of an xl.cfg to what libxl is asked for.

Follows ``parse_config_data`` (``tools/xl/xl_parse.c``) and ``parse_global_config`` (``tools/xl/xl.c``) of
each release in their own order, since the first refusal ends xl. Not followed: the syntax of disks,
network cards and other devices, ``cpuid=`` (its mistakes are only warnings).
"""

from __future__ import annotations

from collections.abc import Callable

from xenapic.errors import PolicyInvalid, ToolstackRefused
from xenapic.frozen import dataclass
from xenapic.model.guest_types import GuestType
from xenapic.model.releases import XenRelease
from xenapic.parse.xlcfg import read_xl_cfg
from xenapic.toolstack import affinity, xllists
from xenapic.toolstack.choices import CHOICES, Choice
from xenapic.toolstack.reader import PARSE, Getter, OutOfBounds, refused
from xenapic.toolstack.wanted import DEFAULT_KIB, HostFacts, Wanted, signed32, unsigned32

__all__ = ["Defaults", "global_defaults", "parse"]

GLOBAL = "parse_global_config, tools/xl/xl.c"
GRANTS = ("max_grant_frames", "max_maptrack_frames", "max_grant_version")
BINARY_SINCE = (4, 20)
"""Debian's xl of 4.20 is built with a C library whose strtol() reads 0b, that of 4.17 is not."""
MIN_MMIO_HOLE = 0x10000000
MAX_MMIO_HOLE = 0xF0000000
DIRECT_BOOT = ("cmdline", "root", "extra")


@dataclass(frozen=True, slots=True)
class Defaults:
    """What xl.conf sets for every domain; -1 leaves it to libxl."""

    max_grant_frames: int = -1
    max_maptrack_frames: int = -1
    max_grant_version: int = -1
    assisted_xapic: int = -1
    assisted_x2apic: int = -1


def getter(text: str, release: XenRelease, message: str, source: str) -> Getter:
    """Return the getters of a file; raise `ToolstackRefused` for a syntax error."""
    try:
        settings = read_xl_cfg(text)
    except PolicyInvalid as error:
        raise ToolstackRefused(message, "xl", 1, (), str(error), source) from None
    return Getter(settings, binary=release.number >= BINARY_SINCE)


def global_defaults(text: str, release: XenRelease) -> Defaults:
    """Read xl.conf; raise `ToolstackRefused` for one at which every xl command ends."""
    get = getter(text, release, "Failed to parse config file: Invalid argument", GLOBAL)
    numbers: dict[str, int] = {}
    for key in GRANTS:
        if key != "max_grant_version" or release.has_field("grant_opts"):
            numbers[key] = _bounded(get, key, -1, GLOBAL, "xl.conf's ")
    if release.per_domain_apic:
        for key in ("assisted_xapic", "assisted_x2apic"):
            number = get.number(key)
            numbers[key] = -1 if number is None else signed32(number)
    return Defaults(**numbers)


def parse(text: str, release: XenRelease, defaults: Defaults, host: HostFacts) -> tuple[Wanted, Getter]:
    """Read a domain's file; raise `ToolstackRefused` where xl ends."""
    get = getter(text, release, "Failed to parse config: Invalid argument", PARSE)
    wanted = Wanted(type=_type(get))
    run = Run(get, wanted, release, defaults, host)
    for step in STEPS:
        step(run)
    return wanted, get


@dataclass(frozen=True, slots=True)
class Run:
    """One file on its way through the parser."""

    get: Getter
    wanted: Wanted
    release: XenRelease
    defaults: Defaults
    host: HostFacts

    def choose(self, place: str) -> None:
        """Check the keys of one place in xl's order that must have one of a few values."""
        for row in CHOICES[place]:
            if row.since <= self.release.number < row.until and self.wanted.type in row.types:
                self.chosen(row)

    def chosen(self, row: Choice) -> None:
        """Check one key; raise `ToolstackRefused` for a value that it cannot have."""
        if row.numbers is not None:
            number = self.get.number(row.key, quiet=True)
            if number is not None:
                if number not in row.numbers:
                    raise refused(row.number_message.format(number), (row.key,), f"{row.key} is 0 to 3")
                return
        text = self.get.text(row.key)
        if text is not None and (text if row.exact else text.lower()) not in row.values:
            because = f"{row.key} must be one of {', '.join(row.values)}"
            raise refused(row.message.format(text), (row.key,), because, row.status)


def _type(get: Getter) -> GuestType:
    kind = None
    text = get.text("type")
    if text is not None:
        kind = next((one for one in XL_TYPES if one.value.startswith(text)), None)
        if kind is None:
            raise refused(f"Invalid domain type {text}.", ("type",), "type is hvm, pv or pvh, or begins one")
    text = get.text("builder")
    if text is None:
        return kind or GuestType.PV
    known = {"hvm": GuestType.HVM, "generic": GuestType.PV}
    built = next((one for name, one in known.items() if name.startswith(text)), None)
    if built is None:
        raise refused(f"Invalid domain type {text}.", ("builder",), "builder is hvm or generic")
    if kind not in (None, built):
        message = 'Contradicting "builder" and "type" options specified.'
        raise refused(message, ("builder", "type"), f"builder says {built.value}, type {text!r}")
    return built


XL_TYPES = (GuestType.HVM, GuestType.PV, GuestType.PVH)
"""In xl's order: ``"p"`` is PV."""


def _identity(run: Run) -> None:
    get, wanted = run.get, run.wanted
    wanted.labelled = get.text("init_seclabel") or get.text("seclabel")
    wanted.hap = get.flag("hap")
    if get.text("name") is None:
        raise refused("Domain name must be specified.", ("name",), "the file sets no name")
    uuid = get.text("uuid")
    if uuid is not None and not xllists.is_uuid(uuid):
        raise refused(f"Failed to parse UUID: {uuid}", ("uuid",), "a UUID is 8-4-4-4-12 hexadecimal digits")
    wanted.oos = get.flag("oos")
    wanted.pool = get.text("pool")
    if run.release.number >= (4, 22):
        xllists.xenstore_quota(get)


def _memory(run: Run) -> None:
    get, wanted = run.get, run.wanted
    for key, field in (("memory", "memory_kib"), ("maxmem", "max_memory_kib")):
        number = get.number(key)
        if number is not None:
            setattr(wanted, field, number * 1024 % (1 << 64))
    if run.release.number >= (4, 20):
        xllists.llc_colors(get)


def _vcpus(run: Run) -> None:
    """Read ``vcpus`` and ``maxvcpus``; since 4.22 a number below 1 counts as 1."""
    get, wanted = run.get, run.wanted
    given = get.number("vcpus")
    vcpus = given or 0
    if run.release.number >= (4, 22):
        vcpus = max(vcpus, 1)
        given = vcpus
    if given is not None:
        wanted.vcpu_bits = signed32(vcpus)
        if wanted.vcpu_bits < 0:
            raise refused("Unable to allocate cpumap", ("vcpus",), f"vcpus={given} is negative in 32 bits")
    maximum = get.number("maxvcpus")
    if maximum is not None:
        wanted.max_vcpus = signed32(maximum)
    run.choose("early")
    xllists.vnuma(get, wanted, run.host)
    if wanted.max_memory_kib == DEFAULT_KIB:
        wanted.max_memory_kib = wanted.memory_kib
    if wanted.max_vcpus == 0:
        wanted.max_vcpus = signed32(vcpus)
    if wanted.max_vcpus < vcpus:
        because = f"vcpus={vcpus} is more than maxvcpus={wanted.max_vcpus}"
        raise refused("xl: maxvcpus < vcpus", ("vcpus", "maxvcpus"), because)
    wanted.hard_affinity = affinity.hard_maps(get, wanted.max_vcpus, run.host)
    affinity.soft_maps(get, wanted.max_vcpus, run.host)


def _bounded(get: Getter, key: str, default: int, source: str = PARSE, where: str = "") -> int:
    try:
        number = get.bounded(key)
    except OutOfBounds:
        because = f"{where}{key} must be a number from 0 to 2147483647; xl ends without a message"
        raise ToolstackRefused("", "xl", 1, (key,), because, source) from None
    return default if number is None else number


def _grants(run: Run) -> None:
    for key in GRANTS:
        if key != "max_grant_version" or run.release.has_field("grant_opts"):
            setattr(run.wanted, key, _bounded(run.get, key, getattr(run.defaults, key)))
    run.choose("actions")


def _devices(run: Run) -> None:
    get, wanted = run.get, run.wanted
    wanted.devices = xllists.pci(get) + len(get.texts("dtdev"))
    run.choose("passthrough")
    wanted.passthrough = (get.text("passthrough") or "default").lower()


def _machine(run: Run) -> None:
    get, wanted = run.get, run.wanted
    run.choose("tsc")
    video = get.number("videoram")
    if video is not None:
        wanted.video_kib = video * 1024 % (1 << 64)
    wanted.event_channels = unsigned32(get.number("max_event_channels") or 0)
    wanted.kernel = get.text("kernel")
    wanted.direct_boot = get.text("ramdisk") is not None or any(
        get.text(key) is not None for key in DIRECT_BOOT
    )
    if wanted.type is GuestType.PV and _given(get, "timer_mode"):
        message = 'ERROR: "timer_mode" option is not supported for PV guests.'
        raise refused(message, ("timer_mode", "type"), "timer_mode is set for a PV guest", 3)
    run.choose("timer")
    wanted.nested = get.flag("nestedhvm")


def _given(get: Getter, key: str) -> bool:
    return get.text(key) is not None


def _hvm(run: Run) -> None:
    get, wanted = run.get, run.wanted
    if wanted.type is not GuestType.HVM:
        return
    if wanted.kernel is not None and wanted.kernel.rstrip("/").rpartition("/")[2] == "hvmloader":
        get.warn('you seem to be using "kernel" to override the HVM firmware; xl ignores it')
        wanted.kernel = None
    run.choose("bios")
    wanted.bios = _bios_of(get.text("bios"))
    if run.release.number >= (4, 19):
        wanted.hvm_pirq = get.flag("hvm_pirq")
    xllists.viridian(get)
    hole = get.number("mmio_hole")
    if hole is not None and not MIN_MMIO_HOLE <= hole * (1 << 20) % (1 << 64) <= MAX_MMIO_HOLE:
        raise refused(f'ERROR: invalid value {hole} for "mmio_hole"', ("mmio_hole",), "256 to 3840 MiB")
    wanted.altp2m_hvm = get.flag("altp2mhvm")
    if wanted.altp2m_hvm is not None:
        get.warn('Specifying "altp2mhvm" is deprecated. Please use "altp2m" instead.')
    if run.release.number >= (4, 18):
        xllists.smbios(get)
    run.choose("genid")
    xllists.mca_caps(get)
    firmware = get.text("firmware")
    if firmware is not None:
        named = firmware.lower() in BIOSES
        wanted.bios = _bios_of(firmware) if named else "ovmf" if "uefi".startswith(firmware) else wanted.bios


BIOSES = ("unknown", "rombios", "seabios", "ovmf")


def _bios_of(text: str | None) -> str | None:
    return None if text is None or text.lower() == "unknown" else text.lower()


def _kernel(run: Run) -> None:
    """A PV or PVH guest needs something to start."""
    get, wanted = run.get, run.wanted
    if wanted.type is GuestType.HVM:
        return
    firmware = get.text("firmware")
    if firmware is not None:
        if wanted.kernel is not None:
            message = "ERROR: both kernel and firmware specified"
            raise refused(message, ("kernel", "firmware"), "a PV or PVH guest has one of them")
        if not any(name.startswith(firmware) for name in ("pvgrub32", "pvgrub64")):
            message = "ERROR: only pvgrub{32|64} supported as firmware options"
            raise refused(message, ("firmware",), f"firmware={firmware!r} for a PV or PVH guest")
        wanted.kernel = firmware
    if wanted.kernel is None and get.text("bootloader") is None:
        because = "a PV or PVH guest needs kernel, bootloader or firmware"
        raise refused(
            "Neither kernel nor bootloader specified", ("kernel", "bootloader", "firmware"), because
        )


def _altp2m(run: Run) -> None:
    get, wanted = run.get, run.wanted
    run.choose("altp2m")
    number = get.number("altp2m", quiet=True)
    text = get.text("altp2m", quiet=True)
    if number is not None:
        wanted.altp2m = number
    elif text is not None:
        wanted.altp2m = CHOICES["altp2m"][0].values.index(text.lower())
    if run.release.has_field("altp2m_nr"):
        wanted.altp2m_count = get.number("altp2m_count", quiet=True)
        if wanted.altp2m_count is not None and not 0 <= wanted.altp2m_count <= 0xFFFF:
            message = f'ERROR: invalid value {wanted.altp2m_count} for "altp2m_count"'
            raise refused(message, ("altp2m_count",), "altp2m_count has 16 bits")
    wanted.vmtrace_kib = signed32(get.number("vmtrace_buf_kb", quiet=True) or 0)
    xllists.ioports(get)
    xllists.irqs(get)
    xllists.iomem(get)


def _device_model(run: Run) -> None:
    get, wanted = run.get, run.wanted
    run.choose("device_model")
    wanted.device_model = get.text("device_model_version")
    wanted.stubdomain = get.flag("device_model_stubdomain_override")
    wanted.stubdomain_label = get.text("device_model_stubdomain_seclabel")
    for key in ("device_model_args", "device_model_args_pv", "device_model_args_hvm"):
        if key in get.settings and get.items(key) is None:
            raise refused(f"xl: Unable to parse {key}.", (key,), f"{key} must be a list", 3)
    run.choose("screen")
    if wanted.type is GuestType.HVM:
        _screen(run)
    run.choose("arm")


def _screen(run: Run) -> None:
    get, wanted = run.get, run.wanted
    wanted.vga = get.text("vga")
    if wanted.vga is None:
        standard = get.number("stdvga")
        wanted.vga = None if standard is None else "stdvga" if standard else "cirrus"
    wanted.spice = get.flag("spice")
    wanted.usb_redirection = signed32(get.number("spiceusbredirection") or 0)
    wanted.usb = bool(get.flag("usb")) or "usbdevice" in get.settings
    wanted.usb_version = signed32(get.number("usbversion") or 0)
    if ":" in (get.text("vnclisten") or "") and signed32(get.number("vncdisplay") or 0):
        message = "ERROR: Display specified both in vnclisten and vncdisplay!"
        raise refused(message, ("vnclisten", "vncdisplay"), "both name a display")


def _last(run: Run) -> None:
    get, wanted, release = run.get, run.wanted, run.release
    if release.number >= (4, 21):
        wanted.trap_unmapped = get.flag("trap_unmapped_accesses")
        xllists.arm_sci(get)
    wanted.msr_relaxed = get.flag("msr_relaxed")
    if wanted.msr_relaxed is not None:
        get.warn("msr_relaxed will be removed in future versions.")
    if release.per_domain_apic and wanted.type is not GuestType.PV:
        for key in ("assisted_xapic", "assisted_x2apic"):
            setattr(wanted, key, _assisted(run, key))
    if release.number >= (4, 16):
        wanted.vpmu = get.flag("vpmu")
    affinity.refuse_empty(wanted.hard_affinity)


def _assisted(run: Run, key: str) -> bool | None:
    number = run.get.number(key)
    if number is None and key in run.get.settings:
        raise refused("", (key,), f"{key} must be a number; xl ends after its warning")
    default = getattr(run.defaults, key)
    if number is None:
        return None if default == -1 else default != 0
    return number != 0


STEPS: tuple[Callable[[Run], None], ...] = (
    _identity,
    _memory,
    _vcpus,
    _grants,
    _devices,
    _machine,
    _hvm,
    _kernel,
    _altp2m,
    _device_model,
    _last,
)
"""In xl's order."""

"""libvirt's Xen driver: from a domain's XML to what libxl is asked for.

Follows ``libxlMakeDomCreateInfo``, ``libxlMakeDomBuildInfo``, ``libxlMakeVnumaList``, ``libxlMakePCIList``
and ``libxlMakeVideo`` (``src/libxl/libxl_conf.c``), and the parser (``src/conf``), of libvirt 11.3. The XML
has no word for oos, altp2m, vPMU, vmtrace, CPU pools, the grant version and maptrack frames: libxl's defaults
hold.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from xml.etree.ElementTree import Element

from xenapic.errors import PolicyInvalid, ToolstackRefused
from xenapic.model.guest_types import GuestType
from xenapic.parse.domainxml import read_domain_xml
from xenapic.toolstack.wanted import Wanted

__all__ = ["PATHS", "STATUS", "parse", "paths", "paths_of"]

CONF = "src/libxl/libxl_conf.c"
XML = "src/conf/domain_conf.c"
STATUS = 1
"""virsh's exit status."""
MAX_VCPUS = 16384
TYPES = {"hvm": GuestType.HVM, "xenpvh": GuestType.PVH, "xen": GuestType.PV, "linux": GuestType.PV}
CARDS = {"vga": ("stdvga", 16), "xen": ("stdvga", 16), "cirrus": ("cirrus", 8), "qxl": ("qxl", 128)}
"""libxl's card and the least video memory in MiB, by libvirt's model."""
HEX_UUID = re.compile(r"\s*(?:-?[0-9a-fA-F]){32}\s*")
POWERS = "bkmgtpe"
UNIT = re.compile(r"(?:(b)(?:ytes?)?|([kmgtpe])(i?b)?)?", re.IGNORECASE)
KIB = 1024
MAX_KIB = (1 << 54) - 1

PATHS: dict[str, tuple[str, str]] = {
    "@type": ("", "must be xen"),
    "name": ("", "must be there"),
    "uuid": ("", "must be a UUID"),
    "os/type": ("flags, arch.emulation_flags", "hvm, xenpvh for PVH, or xen for PV"),
    "vcpu": ("max_vcpus", "the maximum; at most 1024"),
    "memory": ("", "must be there, unless NUMA cells give it"),
    "currentMemory": ("", "below memory it means populate-on-demand, which excludes an IOMMU and vNUMA"),
    "features/hap": ("flags", "hap; by default on when the host has it; not PV"),
    "features/xen": ("flags, iommu_opts", "passthrough: iommu, and no_sharept for mode sync_pt"),
    "devices/hostdev": ("flags, iommu_opts", "a PCI device makes passthrough default to on"),
    "devices/interface": ("flags, iommu_opts", "one of type hostdev counts as a PCI device"),
    "devices/controller": (
        "max_evtchn_port, max_grant_frames",
        "xenbus: maxEventChannels, maxGrantFrames",
    ),
    "devices/video": ("", "the first card's model and memory; HVM only"),
    "cpu": ("flags", "nested_virt, for host-passthrough with vmx or svm required; NUMA cells"),
    "os/kernel": ("", "HVM needs it with an initrd or a command line"),
    "os/initrd": ("", "see os/kernel"),
    "os/cmdline": ("", "see os/kernel"),
    "os/loader": ("", "type pflash means OVMF; HVM only"),
    "os/@firmware": ("", "efi means OVMF; HVM only"),
}
"""What is looked at in the XML: the fields that it decides, and how."""
CONTAINERS = ("os", "features", "devices")


def refused(message: str, path: str, because: str, source: str = XML) -> ToolstackRefused:
    """Return libvirt's refusal."""
    return ToolstackRefused(message, "libvirt", STATUS, (path,), because, source)


def parse(text: str) -> tuple[Wanted, Element]:
    """Read a domain's XML; raise `ToolstackRefused` where libvirt refuses it."""
    try:
        root = read_domain_xml(text)
    except PolicyInvalid as error:
        message = "(domain_definition)"
        raise ToolstackRefused(message, "libvirt", STATUS, (), str(error), XML) from None
    wanted = Wanted(type=_identity(root))
    _sizes(root, wanted)
    _features(root, wanted)
    if wanted.type is not GuestType.PV:
        wanted.nested = _nested(root)
    if wanted.type is GuestType.HVM:
        _firmware(root, wanted)
        _video(root, wanted)
    _controllers(root, wanted)
    wanted.devices = sum(map(_is_pci, root.iterfind("devices/*")))
    return wanted, root


def paths(root: Element) -> Iterator[str]:
    """Yield the paths of what the XML holds, each once, as deep as `PATHS` names them."""
    found = ["@type"] if "type" in root.attrib else []
    for child in root:
        if child.tag in CONTAINERS:
            found += [f"{child.tag}/@{name}" for name in child.attrib]
            found += [f"{child.tag}/{inner.tag}" for inner in child]
        else:
            found.append(child.tag)
    yield from dict.fromkeys(found)


PATH_OF = {
    "type": "os/type",
    "vcpus": "vcpu",
    "pci": "devices/hostdev",
    "passthrough": "features/xen",
    "maxmem": "memory",
    "memory": "currentMemory",
    "vnuma": "cpu",
    "nestedhvm": "cpu",
    "kernel": "os/kernel",
    "ramdisk": "os/initrd",
    "cmdline": "os/cmdline",
    "bios": "os/loader",
}
"""What XML has for the keys of an xl.cfg that libxl's refusals name."""


def paths_of(keys: tuple[str, ...]) -> tuple[str, ...]:
    """Return the paths for the keys of a refusal; keys that XML does not have are left out."""
    return tuple(dict.fromkeys(PATH_OF[key] for key in keys if key in PATH_OF))


def _identity(root: Element) -> GuestType:
    kind = root.get("type")
    if kind != "xen":
        message = f"unexpected domain type {kind}, expecting xen" if kind else "missing domain type attribute"
        raise refused(message, "@type", "libvirt's Xen driver takes <domain type='xen'> only")
    if not _text(root, "name"):
        raise refused("missing domain name", "name", "the XML has no name")
    uuid = _text(root, "uuid")
    if uuid and HEX_UUID.fullmatch(uuid) is None:
        raise refused("malformed uuid element", "uuid", f"{uuid!r} is no UUID")
    guest = _text(root, "os/type") or ("xen" if root.find("bootloader") is not None else "")
    if guest not in TYPES:
        message = f"unknown OS type '{guest}'" if guest else "an os <type> must be specified"
        raise refused(message, "os/type", "os/type is hvm, xenpvh or xen")
    return TYPES[guest]


def _text(root: Element, path: str) -> str:
    element = root.find(path)
    return "" if element is None else "".join(element.itertext()).strip()


def _sizes(root: Element, wanted: Wanted) -> None:
    text = _text(root, "vcpu")
    if text and not (text.isascii() and text.isdigit() and len(text) <= 10):
        raise refused("maximum vcpus count must be an integer", "vcpu", f"vcpu is {text[:40]!r}")
    wanted.max_vcpus = wanted.vcpu_bits = int(text or 1)
    if wanted.max_vcpus == 0:
        raise refused("domain config can't have 0 maximum vCPUs", "vcpu", "vcpu is 0")
    if wanted.max_vcpus > MAX_VCPUS:
        message = f"Maximum CPUs greater than {MAX_VCPUS} not supported"
        raise refused(message, "vcpu", f"vcpu is {wanted.max_vcpus}")
    _current(root, wanted.max_vcpus)
    cells = root.findall("cpu/numa/cell")
    wanted.vnuma_nodes = len(cells)
    total = sum(_kib(cell.get("memory"), cell.get("unit"), "cpu") for cell in cells)
    total = total or _kib(_text(root, "memory") or None, _unit(root, "memory"), "memory")
    if not total:
        message = "Memory size must be specified via <memory> or in the <numa> configuration"
        raise refused(message, "memory", "no size of memory is given")
    current = _kib(_text(root, "currentMemory") or None, _unit(root, "currentMemory"), "currentMemory")
    wanted.max_memory_kib = _whole_mib(total)
    wanted.memory_kib = _whole_mib(current if 0 < current <= total else total)


def _current(root: Element, maximum: int) -> None:
    element = root.find("vcpu")
    text = None if element is None else element.get("current")
    if text is None:
        return
    if not (text.isascii() and text.isdigit() and len(text) <= 10):
        message = f"Invalid value for attribute 'current' in element 'vcpu': '{text}'. Expected integer value"
        raise refused(message, "vcpu", "the attribute current must be a number")
    if int(text) > maximum:
        message = f"maxvcpus must not be less than current vcpus ({maximum} < {text})"
        raise refused(message, "vcpu", "the attribute current is above the maximum")


def _unit(root: Element, path: str) -> str | None:
    element = root.find(path)
    return None if element is None else element.get("unit")


def _kib(text: str | None, unit: str | None, path: str) -> int:
    """Return a size in KiB, rounded up; 0 for none. Units are as in ``virScaleInteger``."""
    if text is None:
        return 0
    match = UNIT.fullmatch("KiB" if unit is None else unit)
    if not (text.isascii() and text.isdigit()) or len(text) > 20 or match is None:
        raise refused(f"could not parse element {path}", path, f"{text[:40]!r} {unit or ''} is no size")
    power = POWERS.index((match[2] or "b").lower())
    base = 1000 if (match[3] or "").lower() == "b" else KIB
    kib: int = -(-int(text) * base**power // KIB)
    if kib > MAX_KIB:
        raise refused(f"value too large: {text}{unit or ''}", path, "the size does not fit into 64 bits")
    return kib


def _whole_mib(kib: int) -> int:
    return -(-kib // KIB) * KIB


def _features(root: Element, wanted: Wanted) -> None:
    hap = root.find("features/hap")
    if hap is not None and wanted.type is not GuestType.PV:
        wanted.hap = _switch(hap, "features/hap")
    passthrough = root.find("features/xen/passthrough")
    if passthrough is None:
        return
    mode = passthrough.get("mode")
    if mode not in (None, "sync_pt", "share_pt"):
        raise refused(
            f"unknown mode '{mode}' for Xen passthrough feature", "features/xen", "sync_pt or share_pt"
        )
    if passthrough.get("state") is None:
        message = "Missing required attribute 'state' in element 'passthrough'"
        raise refused(message, "features/xen", "passthrough needs state='on' or 'off'")
    on = _switch(passthrough, "features/xen")
    wanted.passthrough = "disabled" if not on else mode or "enabled"


def _switch(element: Element, path: str) -> bool:
    state = element.get("state")
    if state not in (None, "on", "off"):
        message = f"Invalid value for attribute 'state' in element '{element.tag}': '{state}'."
        raise refused(message, path, "the attribute state is on or off")
    return state != "off"


def _nested(root: Element) -> bool | None:
    """Return whether nested virtualisation is asked for: the host is assumed to have the feature named.

    libvirt's own default (``nested_hvm`` in ``/etc/libvirt/libxl.conf``) is off.
    """
    cpu = root.find("cpu")
    if cpu is None or cpu.get("mode") != "host-passthrough":
        return None
    nested = False
    for feature in cpu.iterfind("feature"):
        policy = feature.get("policy", "require")
        if feature.get("name") in ("vmx", "svm") and policy != "optional":
            nested = policy in ("force", "require")
    return nested


def _firmware(root: Element, wanted: Wanted) -> None:
    loader, os = root.find("os/loader"), root.find("os")
    efi = os is not None and os.get("firmware") == "efi"
    if efi or (loader is not None and loader.get("type") == "pflash"):
        wanted.bios = "ovmf"
    wanted.kernel = _text(root, "os/kernel") or None
    wanted.direct_boot = bool(_text(root, "os/initrd") or _text(root, "os/cmdline"))


def _video(root: Element, wanted: Wanted) -> None:
    model = root.find("devices/video/model")
    if model is None:
        if root.find("devices/video") is None and root.find("devices/graphics") is None:
            wanted.vga, wanted.video_kib = "none", 0
        return
    kind = model.get("type", "cirrus")
    if kind not in CARDS:
        message = f"video type {kind} is not supported by libxl"
        raise refused(message, "devices/video", f"libxl has {', '.join(CARDS)}", CONF)
    wanted.vga, least = CARDS[kind]
    text = model.get("vram")
    if text is None:
        return
    if not (text.isascii() and text.isdigit() and len(text) <= 10):
        raise refused(f"cannot parse video vram '{text}'", "devices/video", "vram is a number of KiB")
    if int(text) < least * KIB:
        message = f"videoram must be at least {least}MB for {'VGA' if least == 16 else kind.upper()}"
        raise refused(message, "devices/video", f"vram is {text} KiB", CONF)
    wanted.video_kib = int(text)


def _controllers(root: Element, wanted: Wanted) -> None:
    for controller in root.iterfind("devices/controller"):
        if controller.get("type") == "xenbus":
            wanted.event_channels = _limit(controller, "maxEventChannels") or wanted.event_channels
            frames = _limit(controller, "maxGrantFrames")
            wanted.max_grant_frames = frames if frames > 0 else wanted.max_grant_frames


def _limit(controller: Element, name: str) -> int:
    """Return a limit; 0, and what libvirt ignores, for none."""
    text = controller.get(name)
    if text is None:
        return 0
    if re.fullmatch(r"-?[0-9]{1,10}", text) is None or not -(1 << 31) <= int(text) < 1 << 31:
        message = f"Invalid value for attribute '{name}' in element 'controller': '{text}'."
        raise refused(message, "devices/controller", f"{name} is a number of 32 bits")
    return max(int(text), 0)


def _is_pci(device: Element) -> bool:
    """Return True for a device of the host's that libvirt passes to libxl as a PCI device."""
    if device.tag == "interface":
        return device.get("type") == "hostdev"
    return (
        device.tag == "hostdev"
        and device.get("mode", "subsystem") == "subsystem"
        and device.get("type") == "pci"
    )

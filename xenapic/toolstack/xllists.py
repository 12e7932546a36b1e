"""Keys of an xl.cfg that hold lists or structured text: what makes xl refuse them (``xl_parse.c``)."""

from __future__ import annotations

import re
from typing import NoReturn

from xenapic.model.viridian import GROUPS
from xenapic.parse.xlcfg import XlValue, c_number
from xenapic.toolstack.pcispec import pci_error
from xenapic.toolstack.reader import Getter, refused
from xenapic.toolstack.wanted import DEFAULT_KIB, ULONG_MAX, HostFacts, Wanted

__all__ = [
    "arm_sci",
    "iomem",
    "ioports",
    "irqs",
    "is_uuid",
    "llc_colors",
    "mca_caps",
    "pci",
    "smbios",
    "viridian",
    "vnuma",
    "xenstore_quota",
]

UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
UINT32_MAX = (1 << 32) - 1
BLANK = r"[ \t\n\v\f\r]*"
HEX = re.compile(rf"{BLANK}[+-]?(?:0[xX])?[0-9a-fA-F]+")
DECIMAL = re.compile(rf"{BLANK}([+-]?)([0-9]+)")
IOMEM = re.compile(rf"{HEX.pattern},{HEX.pattern}(@{HEX.pattern})?")
SMBIOS = (
    "bios_vendor",
    "bios_version",
    "system_manufacturer",
    "system_product_name",
    "system_version",
    "system_serial_number",
    "baseboard_manufacturer",
    "baseboard_product_name",
    "baseboard_version",
    "baseboard_serial_number",
    "baseboard_asset_tag",
    "baseboard_location_in_chassis",
    "enclosure_manufacturer",
    "enclosure_serial_number",
    "enclosure_asset_tag",
    "battery_manufacturer",
    "battery_device_name",
    "oem",
)
MAX_OEM_STRINGS = 99


def is_uuid(text: str) -> bool:
    """Return True for what libuuid's ``uuid_parse`` reads."""
    return UUID.fullmatch(text) is not None


def strtoul(text: str) -> int | None:
    """Return what C's ``strtoul`` with base 10 reads from the start of a text; None for nothing."""
    match = DECIMAL.match(text)
    if match is None:
        return None
    number = min(int(match[2][-40:]), ULONG_MAX)
    return -number % (ULONG_MAX + 1) if match[1] == "-" else number


def pci(get: Getter) -> int:
    """Return how many PCI devices are given."""
    specs = get.texts("pci")
    for spec in specs:
        status = pci_error(spec)
        if status:
            message = f"unable to parse PCI_SPEC_STRING `{spec}' for passthrough"
            raise refused(message, ("pci",), f"{spec!r} is no PCI device", status)
    return len(specs)


def viridian(get: Getter) -> None:
    """Check a list of enlightenments; a number or nothing is fine."""
    for name in _plain(get.items("viridian", quiet=True)):
        if name not in ("all", "defaults") and name.removeprefix("!").lower() not in GROUPS:
            bare = name.removeprefix("!")
            raise refused(f"xl: unknown viridian enlightenment '{bare}'", ("viridian",), "no such group", 3)


def mca_caps(get: Getter) -> None:
    """Check a list of MCA capabilities."""
    if "mca_caps" not in get.settings:
        return
    items = get.items("mca_caps", quiet=True)
    if items is None:
        raise refused("ERROR: unable to parse mca_caps.", ("mca_caps",), "mca_caps must be a list", 3)
    for name in _plain(items):
        if name != "lmce":
            message = f"ERROR: unrecognized MCA capability '{name}'."
            raise refused(message, ("mca_caps",), "only lmce is known", 3)


def smbios(get: Getter) -> None:
    """Check SMBIOS strings. Since 4.18."""
    if "smbios" not in get.settings:
        return
    items = get.items("smbios")
    if items is None:
        raise refused("xl: Unable to parse smbios options.", ("smbios",), "smbios must be a list")
    oem = 0
    for place, item in enumerate(items):
        text = item if isinstance(item, str) else None
        if text is None:
            _smbios(f"xl: Unable to get element #{place} in smbios list")
        name, equals, value = text.partition("=")
        if not equals:
            _smbios(f"xl: failed to split \"{text}\" at '='")
        if not value:
            _smbios(f'xl: empty value not allowed for smbios "{name}="')
        if name.lower() not in SMBIOS:
            _smbios(f"xl: unknown smbios type '{name}'")
        oem += name.lower() == "oem"
        if oem > MAX_OEM_STRINGS:
            _smbios("xl: smbios limited to 99 oem strings")


def _smbios(message: str) -> NoReturn:
    raise refused(message, ("smbios",), "an item is TYPE=TEXT, with one of xl's types")


def llc_colors(get: Getter) -> None:
    """Check a list of colours of the last-level cache. Since 4.20."""
    for place, item in enumerate(get.items("llc_colors") or ()):
        if isinstance(item, list):
            message = f"xl: Can't get element {place} in LLC color list"
            raise refused(message, ("llc_colors",), "an item is a number or FIRST-LAST")
        match = re.match(rf"{BLANK}([0-9]+)(?:-{BLANK}([0-9]+))?", item)
        if match is None:
            message = f"xl: Invalid LLC color range: {item}"
            raise refused(message, ("llc_colors",), "an item is a number or FIRST-LAST")
        if match[2] and int(match[1][-40:]) > int(match[2][-40:]):
            message = f"xl: Start LLC color is greater than end: {item}"
            raise refused(message, ("llc_colors",), "an item is a number or FIRST-LAST")


def xenstore_quota(get: Getter) -> None:
    """Check the quotas in xenstore. Since 4.22."""
    for place, item in enumerate(get.items("xenstore_quota") or ()):
        if isinstance(item, list):
            message = f"xl: Can't get element {place} in Xenstore quota list"
            raise refused(message, ("xenstore_quota",), "an item is NAME=NUMBER")
        _name, equals, value = item.partition("=")
        if not equals:
            message = f'Quota specification "{item}" lacks "=".'
            raise refused(message, ("xenstore_quota",), "an item is NAME=NUMBER")
        number = c_number(value, get.binary)
        if number is None or not 0 <= number <= UINT32_MAX:
            message = f'Quota specification "{item}" uses illegal value "{value}".'
            raise refused(message, ("xenstore_quota",), "an item is NAME=NUMBER")


def arm_sci(get: Getter) -> None:
    """Check ``arm_sci``. Since 4.21."""
    for part in (get.text("arm_sci", quiet=True) or "").split(","):
        if part.startswith("type=") and part[5:].lower() not in ("none", "scmi_smc"):
            message = f"Unknown ARM_SCI type: {part[5:]}"
            raise refused(message, ("arm_sci",), "its types are none and scmi_smc")


def ioports(get: Getter) -> None:
    """Check ranges of I/O ports: hexadecimal FIRST or FIRST-LAST."""
    for place, item in enumerate(get.items("ioports") or ()):
        if isinstance(item, list):
            message = f"xl: Unable to get element #{place} in ioport list"
            raise refused(message, ("ioports",), "an item is FIRST or FIRST-LAST")
        first, end = _hex(item)
        wrong = first is None
        if first is not None and item[end : end + 1] == "-":
            last, after = _hex(item[end + 1 :])
            wrong = last is None or end + 1 + after != len(item)
            first = max(first, last or 0)
        if wrong:
            message = f"xl: Invalid argument parsing ioport: {item}"
            raise refused(message, ("ioports",), "an item is FIRST or FIRST-LAST")
        if first is not None and first >= UINT32_MAX:
            raise refused(f"xl: ioport {first:x} too big", ("ioports",), "a port has 32 bits")


def _hex(text: str) -> tuple[int | None, int]:
    """Return what ``strtoul`` with base 16 reads, and where it stops."""
    match = HEX.match(text)
    if match is None:
        return None, 0
    return min(int(match[0].strip()[-40:].replace("+", ""), 16), ULONG_MAX) % (ULONG_MAX + 1), match.end()


def irqs(get: Getter) -> None:
    """Check numbers of interrupts."""
    for place, item in enumerate(get.items("irqs") or ()):
        if isinstance(item, list):
            raise refused(f"xl: Unable to get element {place} in irq list", ("irqs",), "an item is a number")
        number = strtoul(item)
        if number is None or DECIMAL.fullmatch(item) is None:
            raise refused(f"xl: Invalid argument parsing irq: {item}", ("irqs",), "an item is a number")
        if number >= UINT32_MAX:
            raise refused(f"xl: irq {number:x} too big", ("irqs",), "an interrupt has 32 bits")


def iomem(get: Getter) -> None:
    """Check ranges of memory: hexadecimal FRAME,COUNT or FRAME,COUNT@GUEST_FRAME."""
    for place, item in enumerate(get.items("iomem") or ()):
        if isinstance(item, list):
            raise refused(f"xl: Unable to get element {place} in iomem list", ("iomem",), "an item is text")
        if IOMEM.fullmatch(item) is None:
            message = f"xl: Invalid argument parsing iomem: {item}"
            raise refused(message, ("iomem",), "an item is FRAME,COUNT or FRAME,COUNT@GUEST_FRAME")


def vnuma(get: Getter, wanted: Wanted, host: HostFacts) -> None:
    """Read the virtual NUMA nodes, which set the memory and the number of vCPUs.

    That the host has the nodes, and without ``maxvcpus`` so many CPUs, is checked if the host's are known.
    """
    nodes = get.items("vnuma", quiet=True)
    if not nodes:
        return
    wanted.vnuma_nodes = len(nodes)
    vcpus = kib = 0
    for node in nodes:
        if isinstance(node, str):
            raise refused("xl: cannot get vnode config option list", ("vnuma",), "each node is a list")
        for item in node:
            if isinstance(item, str):
                more_kib, more_vcpus = _vnode_option(item, host)
                kib, vcpus = kib + more_kib, vcpus + more_vcpus
    if wanted.max_vcpus not in (0, vcpus):
        message = "xl: vnuma vcpus and maxvcpus= mismatch"
        raise refused(message, ("vnuma", "maxvcpus"), f"the nodes have {vcpus} vCPUs")
    if wanted.max_vcpus == 0 and host.cpus is not None and vcpus > host.cpus:
        message = "xl: vnuma specifies more vcpus than pcpus, use maxvcpus= to override this check."
        raise refused(message, ("vnuma",), f"the nodes have {vcpus} vCPUs; CPUs of the host: {host.cpus}")
    wanted.max_vcpus = vcpus
    if wanted.max_memory_kib not in (DEFAULT_KIB, kib):
        message = "xl: maxmem and vnuma memory size mismatch"
        raise refused(message, ("vnuma", "maxmem"), f"the nodes have {kib} KiB")
    wanted.max_memory_kib = kib


def _vnode_option(item: str, host: HostFacts) -> tuple[int, int]:
    """Return KiB and vCPUs of one option of a node."""
    name, equals, value = item.partition("=")
    if not equals or not name or not value:
        raise refused(f'xl: failed to split "{item}" into pair', ("vnuma",), "an option is NAME=VALUE")
    name, value = name.strip(), value.strip()
    if name == "size":
        return _ulong(value) << 10, 0
    if name == "vcpus":
        return 0, sum(_range(part) for part in value.split(",") if part)
    if name == "pnode":
        node = _ulong(value)
        if host.nodes is not None and node >= host.nodes:
            raise refused(f"xl: invalid pnode number: {node}", ("vnuma",), "the host has no such node")
    for part in value.split(",") if name == "vdistances" else ():
        _ulong(part)
    return 0, 0


def _ulong(text: str) -> int:
    number = strtoul(text)
    if number is None or number == ULONG_MAX:
        raise refused(f'xl: failed to convert "{text}" to number', ("vnuma",), "a decimal number is wanted")
    return number


def _range(text: str) -> int:
    """Return how many vCPUs a range FIRST or FIRST-LAST has."""
    first, dash, last = text.partition("-")
    low = strtoul(first) or 0
    return max((strtoul(last) or 0) - low + 1, 0) if dash else 1


def _plain(items: list[XlValue] | None) -> list[str]:
    return [item for item in items or () if isinstance(item, str)]

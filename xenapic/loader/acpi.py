"""The ACPI tables of a PVH domain, which say how many processors it has and that it has no ACPI hardware.

Linux uses one vCPU if there is no MADT, and 6.12 cannot power off without a FADT.
Source: ACPI specification 5.0 (tables), 6.5 section 5.2.12 (MADT).
"""

from __future__ import annotations

import struct

from xenapic.frozen import dataclass

__all__ = ["AcpiTables", "acpi_tables"]

HEADER_BYTES = 36
ALIGNMENT = 64
LAPIC_AT = 0xFEE00000
LAST_XAPIC_ID = 254
ENABLED = 1
HARDWARE_REDUCED, WITHOUT_FIXED_BUTTONS = 1 << 20, 1 << 4 | 1 << 5
NO_VGA_NO_CMOS = 1 << 2 | 1 << 5
"""``IAPC_BOOT_ARCH``: a PVH domain has neither VGA nor a CMOS clock."""


@dataclass(frozen=True, slots=True)
class AcpiTables:
    """The tables as bytes for one address, starting with the RSDP."""

    address: int
    data: bytes


def acpi_tables(address: int, vcpus: int) -> AcpiTables:
    """Return RSDP, XSDT, FADT, DSDT and MADT for a number of vCPUs."""
    area = _Area(address)
    rsdp_bytes = 36
    area.reserve(rsdp_bytes)
    dsdt = area.add(_table(b"DSDT", 2, b""))
    fadt = area.add(_table(b"FACP", 5, _fadt(dsdt)))
    madt = area.add(_table(b"APIC", 4, _madt(vcpus)))
    xsdt = area.add(_table(b"XSDT", 1, struct.pack("<2Q", fadt, madt)))
    data = area.data
    data[:rsdp_bytes] = _rsdp(xsdt)
    return AcpiTables(address, bytes(data))


class _Area:
    """Tables one after another, each aligned."""

    def __init__(self, address: int) -> None:
        self.data = bytearray()
        self._address = address

    def reserve(self, size: int) -> None:
        self.data += bytes(size)

    def add(self, table: bytes) -> int:
        """Append a table and return its address."""
        self.data += bytes(-len(self.data) % ALIGNMENT)
        at = self._address + len(self.data)
        self.data += table
        return at


def _summed(data: bytes, at: int) -> bytes:
    """Return a table whose bytes add up to 0, by the one at ``at``."""
    return data[:at] + bytes([-sum(data) & 0xFF]) + data[at + 1 :]


def _table(signature: bytes, revision: int, body: bytes) -> bytes:
    header = struct.pack(
        "<4sIBB6s8sI4sI", signature, HEADER_BYTES + len(body), revision, 0, b"Xen", b"XENAPIC", 1, b"XAPC", 1
    )
    return _summed(header + body, 9)


def _rsdp(xsdt: int) -> bytes:
    first = _summed(struct.pack("<8sB6sBI", b"RSD PTR ", 0, b"Xen", 2, 0), 8)
    return _summed(first + struct.pack("<IQB3x", 36, xsdt, 0), 32)


def _fadt(dsdt: int) -> bytes:
    """Return the body of a FADT, revision 5 (268 bytes with its header): no fixed hardware."""
    body = bytearray(268 - HEADER_BYTES)
    struct.pack_into("<I", body, 40 - HEADER_BYTES, dsdt)
    struct.pack_into("<H", body, 109 - HEADER_BYTES, NO_VGA_NO_CMOS)
    struct.pack_into("<I", body, 112 - HEADER_BYTES, HARDWARE_REDUCED | WITHOUT_FIXED_BUTTONS)
    body[131 - HEADER_BYTES] = 1  # minor revision: 5.1
    struct.pack_into("<Q", body, 140 - HEADER_BYTES, dsdt)
    return bytes(body)


def _madt(vcpus: int) -> bytes:
    entries = (_local_apic(vcpu, apic_id(vcpu)) for vcpu in range(vcpus))
    return struct.pack("<II", LAPIC_AT, 0) + b"".join(entries)


def apic_id(vcpu: int) -> int:
    """Return the ID of a vCPU's APIC, as Xen gives it (``vlapic_init``: ``vcpu_id * 2``)."""
    return vcpu * 2


def _local_apic(processor: int, identity: int) -> bytes:
    """Return a processor's entry: Processor Local APIC, or x2APIC for an ID that has no room there."""
    if identity <= LAST_XAPIC_ID:
        return struct.pack("<BBBBI", 0, 8, processor, identity, ENABLED)
    return struct.pack("<BBHIII", 9, 16, 0, identity, ENABLED, processor)

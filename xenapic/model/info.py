"""What Xen reports about a host and its domains, as frozen values."""

from __future__ import annotations

from typing import Protocol
from uuid import UUID

from xenapic.apic.features import Technology
from xenapic.frozen import dataclass
from xenapic.model.flags import DOMINF, EMU, MISC, PHYSCAP, PHYSCAP_X86, Shutdown
from xenapic.model.guest_types import GuestType, guest_type
from xenapic.model.owner import Owner
from xenapic.model.rows import FromRow

__all__ = ["HW_CAP", "NO_HVM", "DomainInfo", "NoGuest", "PhysInfo", "Version", "hw_cap_of", "unclaimed_pages"]

PAGE_KIB = 4

HW_CAP = {Technology.VMX: (1, 5), Technology.SVM: (3, 2)}
"""The word and the bit in ``physinfo.hw_cap``: CPUID 1 ECX[5] and 80000001 ECX[2]
(``xen/include/public/arch-x86/cpufeatureset.h``, words 1 and 3)."""


def hw_cap_of(technology: Technology | None) -> tuple[int, ...]:
    """Return a ``physinfo.hw_cap`` with only the bit of an extension set."""
    words = [0] * 8
    if technology is not None:
        word, bit = HW_CAP[technology]
        words[word] = 1 << bit
    return tuple(words)


@dataclass(frozen=True, slots=True)
class Version:
    """The version of a Xen (``XENVER_*``, ``xen/include/public/version.h``)."""

    major: int
    minor: int
    extra: str
    """The part after the number: ``".7"``, ``".0-rc3"``, ``"-unstable"``…"""
    capabilities: tuple[str, ...]
    """The guest types that Xen can run, e.g. ``("xen-3.0-x86_64", "hvm-3.0-x86_64")``."""
    changeset: str
    commandline: str
    """Xen's boot options, which Xen cuts after 1023 bytes."""
    as_release: str = ""
    """The known release that stands for an unknown one: the layout is proven, the rules are not verified."""

    @property
    def unverified(self) -> str:
        """What to say with each answer about a release that is not known; empty for one that is."""
        return f"as {self.as_release}, not verified for {self.release}" if self.as_release else ""

    @property
    def release(self) -> str:
        """The release as a text, e.g. ``"4.17"``."""
        return f"{self.major}.{self.minor}"

    @property
    def number(self) -> tuple[int, int]:
        """Major and minor number."""
        return self.major, self.minor

    @property
    def known(self) -> bool:
        """Whether it is known which Xen this is; a saved log may not say (then ``major`` is 0)."""
        return self.number != (0, 0)

    def __str__(self) -> str:
        if self.as_release:
            return f"{self.release}{self.extra} ({self.unverified})"
        return f"{self.release}{self.extra}" if self.known else "of an unknown release"


@dataclass(frozen=True, slots=True)
class NoGuest:
    """The reason why no HVM-type guest (HVM or PVH) can run on a host."""

    reason: str
    source: str

    def __str__(self) -> str:
        return f"{self.reason} ({self.source})"


NO_HVM = NoGuest("Xen runs no HVM-type guest on this host", "physinfo.capabilities lacks hvm")
NO_EXTENSION = NoGuest("the processor offers neither VMX nor SVM", "physinfo.hw_cap")
NO_PAGING = NoGuest(
    "Xen has neither hap nor shadow paging for HVM-type guests on this host", "physinfo.capabilities"
)


@dataclass(frozen=True, slots=True)
class PhysInfo(FromRow):
    """``struct xen_sysctl_physinfo``: memory in pages of 4 KiB, frequency in kHz."""

    threads_per_core: int
    cores_per_socket: int
    nr_cpus: int
    max_cpu_id: int
    nr_nodes: int
    max_node_id: int
    cpu_khz: int
    capabilities: PHYSCAP
    arch_capabilities: PHYSCAP_X86 | None
    """None before 4.17, where the field does not exist."""
    total_pages: int
    free_pages: int
    scrub_pages: int
    outstanding_pages: int
    max_mfn: int
    hw_cap: tuple[int, ...]
    """Eight words of CPUID feature bits of the boot processor, as Xen sees them."""

    @property
    def technology(self) -> Technology | None:
        """The extension that the processor offers to Xen; None for neither."""
        for technology, (word, bit) in HW_CAP.items():
            if self.hw_cap[word] >> bit & 1:
                return technology
        return None

    @property
    def no_guest(self) -> NoGuest | None:
        """The reason why no HVM-type guest can run on the host; None if one can."""
        if PHYSCAP.hvm not in self.capabilities:
            return NO_HVM
        if self.technology is None:
            return NO_EXTENSION
        return None if self.capabilities & (PHYSCAP.hap | PHYSCAP.shadow) else NO_PAGING

    @property
    def free_kib(self) -> int:
        """The free memory in KiB."""
        return self.free_pages * PAGE_KIB


class HasPages(Protocol):
    """`PhysInfo`, or Xen's structure itself."""

    @property
    def free_pages(self) -> int: ...
    @property
    def outstanding_pages(self) -> int: ...


def unclaimed_pages(physinfo: HasPages) -> int:
    """Return how many free pages no domain has claimed: what a create can use."""
    return physinfo.free_pages - physinfo.outstanding_pages


@dataclass(frozen=True, slots=True)
class DomainInfo(FromRow):
    """``struct xen_domctl_getdomaininfo``: memory in pages of 4 KiB, time in nanoseconds."""

    domid: int
    flags: DOMINF
    shutdown_reason: Shutdown | int | None
    """Why the domain shut down: a number if it has no name here, None while the domain has not shut down."""
    tot_pages: int
    max_pages: int
    outstanding_pages: int
    shr_pages: int
    paged_pages: int
    shared_info_frame: int
    cpu_time: int
    nr_online_vcpus: int
    max_vcpu_id: int
    """The highest vCPU number; -1 while the domain has no vCPUs."""
    ssidref: int
    handle: UUID
    cpupool: int
    gpaddr_bits: int | None
    """The width of guest-physical addresses in bits; None before 4.16."""
    emulation_flags: EMU
    misc_flags: MISC

    @property
    def is_hvm(self) -> bool:
        """Whether the domain is HVM-type (HVM or PVH)."""
        return DOMINF.hvm_guest in self.flags

    @property
    def guest_type(self) -> GuestType:
        """The kind of guest."""
        return guest_type(hvm=self.is_hvm, emulation_flags=self.emulation_flags)

    @property
    def memory_kib(self) -> int:
        """The domain's memory in KiB."""
        return self.tot_pages * PAGE_KIB

    @property
    def owner(self) -> Owner | None:
        """The mark that xenapic wrote into the handle; None for a domain that it did not create."""
        return Owner.from_handle(self.handle)

"""What ``xl info`` and ``xe`` add to a host that is known from its log, or say about one without a log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from xenapic.model.flags import PHYSCAP
from xenapic.model.info import PhysInfo, Version
from xenapic.parse.hostinfo import HostInfo

__all__ = ["capabilities_of", "contradictions", "physinfo_of", "version_with"]

VIRT_CAPS: Mapping[PHYSCAP, tuple[str, tuple[int, int]]] = {
    PHYSCAP.pv: ("pv", (4, 12)),
    PHYSCAP.hvm: ("hvm", (4, 0)),
    PHYSCAP.directio: ("hvm_directio", (4, 0)),
    PHYSCAP.hap: ("hap", (4, 13)),
    PHYSCAP.shadow: ("shadow", (4, 13)),
    PHYSCAP.iommu_hap_pt_share: ("iommu_hap_pt_share", (4, 13)),
    PHYSCAP.vmtrace: ("vmtrace", (4, 15)),
    PHYSCAP.vpmu: ("vpmu", (4, 16)),
    PHYSCAP.gnttab_v1: ("gnttab-v1", (4, 16)),
    PHYSCAP.gnttab_v2: ("gnttab-v2", (4, 16)),
}
"""The word for each capability in ``virt_caps``, and the first xl that prints it (``output_physinfo``)."""
MIB_PAGES = 256


def capabilities_of(info: HostInfo, number: tuple[int, int]) -> tuple[PHYSCAP, PHYSCAP]:
    """Return the capabilities that the host has, and those of which the text says anything.

    ``number`` is the version of Xen, (0, 0) if it is unknown; an older xl is silent about some.
    """
    has = said = PHYSCAP(0)
    words = info.virt_caps
    if words is not None:
        for bit, (word, since) in VIRT_CAPS.items():
            if word in words:
                has |= bit
            if word in words or number >= since:
                said |= bit
        if "pv_directio" in words:
            has, said = has | PHYSCAP.directio, said | PHYSCAP.directio
        elif "hvm" not in words and "hvm_directio" not in words:
            said &= ~PHYSCAP.directio  # xl prints it only together with hvm or pv
    iommu = info.values.get("chipset-info:iommu")
    if iommu in ("true", "false"):
        said |= PHYSCAP.directio
        has = has | PHYSCAP.directio if iommu == "true" else has & ~PHYSCAP.directio
    return has, said


def physinfo_of(physinfo: PhysInfo, info: HostInfo) -> PhysInfo:
    """Return the physinfo with the numbers that the text has."""

    def number(key: str, otherwise: int) -> int:
        value = info.number(key)
        return otherwise if value is None else value

    cpus = number("nr_cpus", number("cpu_count", physinfo.nr_cpus))
    total, free = info.number("total_memory"), info.number("free_memory")
    claims = number("outstanding_claims", 0)
    made = replace(
        physinfo,
        threads_per_core=number("threads_per_core", physinfo.threads_per_core),
        cores_per_socket=number("cores_per_socket", physinfo.cores_per_socket),
        nr_cpus=cpus,
        max_cpu_id=number("max_cpu_id", cpus - 1),
        nr_nodes=number("nr_nodes", physinfo.nr_nodes),
        hw_cap=info.hw_caps or physinfo.hw_cap,
    )
    if total is None or free is None:
        return made
    return replace(
        made,
        total_pages=total * MIB_PAGES,
        free_pages=(free + claims) * MIB_PAGES,
        outstanding_pages=claims * MIB_PAGES,
        max_mfn=max(made.max_mfn, total * MIB_PAGES),
    )


def version_with(version: Version, info: HostInfo) -> Version:
    """Return a log's version with what the text adds."""
    if not version.known and info.version:
        major, minor, extra = info.version
        version = replace(version, major=major, minor=minor, extra=extra)
    caps = info.values.get("xen_caps") or info.values.get("capabilities", "").replace(";", " ")
    return replace(
        version,
        capabilities=tuple(caps.split()),
        changeset=version.changeset or info.values.get("xen_changeset", ""),
        commandline=version.commandline or info.commandline or "",
    )


def contradictions(version: Version, options_known: bool, info: HostInfo, log: str) -> list[str]:
    """Return where a log and the text differ, in sentences; the log's answer counts."""
    notes = []
    said = info.version
    if version.known and said and said[:2] != version.number:
        key = "xen_version" if "xen_version" in info.values else "software-version:xen"
        notes.append(f"{log} is of Xen {version}, but {info.place(key)} is {said[0]}.{said[1]}{said[2]}")
    if options_known and info.commandline is not None and info.commandline != version.commandline:
        notes.append(
            f"{log} has Xen's options {version.commandline!r}, but {info.place('xen_commandline')} has "
            f"{info.commandline!r}: another boot"
        )
    return notes

"""A policy in a libvirt domain XML: its type, and whether x2APIC is hidden from the guest."""

from __future__ import annotations

from xenapic.model.guest_types import GuestType
from xenapic.parse.domainxml import read_domain_xml
from xenapic.policy.mapping import ReadPolicy
from xenapic.policy.terms import Policy

__all__ = ["from_libvirt"]

TYPES = {"hvm": GuestType.HVM, "xenpvh": GuestType.PVH, "xen": GuestType.PV, "linux": GuestType.PV}


def from_libvirt(text: str) -> ReadPolicy:
    """Read a policy from a domain's XML; raise `PolicyInvalid` for what is no domain XML."""
    root = read_domain_xml(text)
    hidden = any(
        feature.get("name") == "x2apic" and feature.get("policy") in ("disable", "forbid")
        for feature in root.iterfind("cpu[@mode='host-passthrough']/feature")
    )
    kind = TYPES.get((root.findtext("os/type") or "xen").strip())
    return ReadPolicy(Policy(guest_x2apic=not hidden), kind)

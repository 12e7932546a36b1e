"""Send a create to Xen."""

from __future__ import annotations

from errno import EEXIST
from typing import TYPE_CHECKING, Any, NamedTuple

from xenapic.errors import CallFailed
from xenapic.model.conditions import LEAKED_NUMBER, LEAKS_NUMBERS
from xenapic.model.config import CreateRequest

if TYPE_CHECKING:
    from xenapic.abi.handle import Handle

__all__ = ["Order", "destroy_by_mark", "send"]

SAME_NAME = (
    "ssidref",
    "flags",
    "iommu_opts",
    "max_vcpus",
    "max_evtchn_port",
    "max_grant_frames",
    "max_maptrack_frames",
    "grant_opts",
    "vmtrace_size",
    "cpupool_id",
)
"""Fields that `CreateRequest` and ``struct xen_domctl_createdomain`` have under the same name."""


class Order(NamedTuple):
    """A request as Xen gets it."""

    request: CreateRequest
    struct: Any

    @classmethod
    def made(cls, handle: Handle, request: CreateRequest) -> Order:
        """Return the order for a request; it can be sent more than once, through the same handle."""
        return cls(request, handle.domains.order(_config(request, handle.domains.config_fields)))


def send(handle: Handle, order: Order, mark: bytes) -> int:
    """Create a domain whose handle is ``mark``; return its number. Raises `CallFailed` if Xen refuses."""
    request = order.request
    try:
        return handle.domains.create(request.domid, order.struct, mark)
    except CallFailed as error:
        if error.errno != EEXIST or not request.domid or handle.library.release.number < LEAKS_NUMBERS:
            raise
        asked = f"{error.asked} (if no domain has this number, {LEAKED_NUMBER}; use another number)"
        raise CallFailed(error.call, error.errno, asked, error.text) from None


def _config(request: CreateRequest, known: frozenset[str]) -> dict[str, object]:
    """Return the members of ``struct xen_domctl_createdomain``; what the release lacks is left out."""
    config: dict[str, object] = {name: getattr(request, name) for name in SAME_NAME if name in known}
    config["arch"] = {"emulation_flags": request.emulation_flags, "misc_flags": request.misc_flags}
    if "altp2m" in known:
        config["altp2m"] = {"opts": request.altp2m, "nr": request.altp2m_nr}
    elif "altp2m_opts" in known:
        config["altp2m_opts"] = request.altp2m
    return config


def destroy_by_mark(handle: Handle, mark: bytes) -> bool:
    """Destroy the domain whose handle is ``mark``; return False if there is none.

    For a create that was interrupted, and for a domain that is not where it should be.
    """
    destroyed = False
    infos, count = handle.domains.snapshot()
    for index in range(count):
        if bytes(infos[index].handle) == mark:
            handle.domains.destroy(infos[index].domain)
            destroyed = True
    return destroyed

"""Measure a host: create a domain that never runs, put its local APIC into each state, and read its VMCS.

The host is not changed, and nothing is left behind: the domain is owned (`xenapic.live.domain.Domain`),
has no memory, stays paused, and is destroyed whatever happens.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterator
from itertools import islice
from typing import TYPE_CHECKING

from xenapic.apic.controls import ControlWords
from xenapic.apic.features import Technology
from xenapic.apic.state import ApicState
from xenapic.errors import CallFailed, ConfigRefused, MeasureFailed
from xenapic.live.domain import Domain
from xenapic.live.vcpu import FLAT_REGISTERS, set_first_vcpu
from xenapic.live.vmcs import NO_VMCS, Patience, read_vcpus
from xenapic.model.config import LAST_DOMID, DomainConfig
from xenapic.model.flags import CDF, PHYSCAP
from xenapic.model.host import Host
from xenapic.model.measured import Measurement

if TYPE_CHECKING:
    from xenapic.abi.handle import Handle

__all__ = ["measure", "throw_away_config", "why_not_measurable"]

DOMID_TRIES = 8


def measure(
    handle: Handle,
    host: Host,
    create: Callable[[DomainConfig], Domain],
    patience: Patience | None = None,
) -> Measurement:
    """Measure which controls Xen sets for each state of a local APIC.

    ``create`` returns an owned domain. Raises `MeasureFailed` when the console ring does not show the
    controls, and what ``create`` raises, e.g. `CallFailed` with ENOMEM.
    """
    why_not = why_not_measurable(host)
    if why_not:
        return Measurement(why_not=why_not, taken_at=int(time.time()))
    config = throw_away_config(host)
    with _create_last(handle, config, create) as domain:
        domain.set_max_vcpus(1)
        states = {state: _words(handle, domain, state, patience) for state in ApicState}
    paging = "hap" if CDF.hap in config.flags else "shadow paging"
    how = f"debug key 'v' on a paused throw-away PVH domain with {paging}"
    return Measurement(states=states, how=how, taken_at=int(time.time()))


def throw_away_config(host: Host) -> DomainConfig:
    """Return the smallest PVH domain that the host runs: with hap where available, else shadow paging."""
    hap = CDF.hap if PHYSCAP.hap in host.physinfo.capabilities else CDF(0)
    return DomainConfig.pvh(flags=CDF.hvm | hap)


def why_not_measurable(host: Host) -> str:
    """Return why nothing can be measured on this host; empty if it can be measured."""
    no_guest = host.physinfo.no_guest
    if no_guest:
        return str(no_guest)
    return NO_VMCS if host.technology is Technology.SVM else ""


def _create_last(handle: Handle, config: DomainConfig, create: Callable[[DomainConfig], Domain]) -> Domain:
    """Create the domain with the highest free number.

    Xen dumps domains in the order of their numbers, so ours comes last and is overwritten last. It also
    leaves free the numbers that Xen assigns next.
    """
    for domid in islice(_free_domids(handle), DOMID_TRIES):
        try:
            return create(config.replace(domid=domid))
        except CallFailed as error:
            if error.errno != errno.EEXIST:
                raise
        except ConfigRefused as error:
            if any(problem.code != "domid-in-use" for problem in error.problems):
                raise
    raise MeasureFailed(f"others took {DOMID_TRIES} free domain numbers before they could be used here")


def _free_domids(handle: Handle) -> Iterator[int]:
    infos, count = handle.domains.snapshot()
    used = {infos[index].domain for index in range(count)}
    return (domid for domid in range(LAST_DOMID, 0, -1) if domid not in used)


def _words(handle: Handle, domain: Domain, state: ApicState, patience: Patience | None) -> ControlWords:
    """Put the vCPU's local APIC into a state and return the control words in its VMCS."""
    tag = int.from_bytes(os.urandom(8), "big"), int.from_bytes(os.urandom(8), "big")
    set_first_vcpu(domain, {**FLAT_REGISTERS, "rsp": tag[0], "rip": tag[1]}, state)
    base = handle.hvm.lapic(domain.domid, 0).apic_base_msr
    if base != state.apic_base:
        raise MeasureFailed(f"Xen was given the APIC base {state.apic_base:#x} and keeps {base:#x}")
    vcpus = read_vcpus(handle, domain.domid, tag, patience)
    words = vcpus[0].words
    assert words is not None and len(vcpus) == 1  # a vCPU that was not initialised has no tag
    return words

"""What a few known controls imply about the others, by trying every processor there could be.

A processor can offer any subset of the controls that Xen looks at, and `host_controls` says which
controls Xen then uses. If all subsets that fit the known facts agree on a control, its state follows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import lru_cache

from xenapic.apic.controls import Controls, every_choice
from xenapic.model.acceleration import host_controls, x2apic_assistance
from xenapic.model.releases import XEN_RELEASES, XenRelease

__all__ = ["consequences", "offers", "uses"]

OFFERED = (
    "posted_interrupts",
    "tpr_shadow",
    "msr_bitmaps",
    "tertiary_controls",
    "secondary_controls",
    "virtualize_apic_accesses",
    "virtualize_x2apic_mode",
    "apic_register_virtualization",
    "virtual_interrupt_delivery",
)
"""What `host_controls` looks at; every processor with VMX has CR8 exits and external-interrupt exiting."""
IMPLIED = (*OFFERED, "cr8_load_exiting", "cr8_store_exiting")


def uses(key: str, host: Controls) -> bool:
    """Return True if Xen uses a control that it chose at boot; x2APIC mode alone is of no use to it."""
    return x2apic_assistance(host) if key == "virtualize_x2apic_mode" else host.has(key)


@lru_cache(maxsize=256)
def consequences(
    known: tuple[tuple[str, bool], ...], apicv: bool | None, tertiary: bool | None
) -> Mapping[str, bool]:
    """Return the state of each control that follows, by `Feature.key`.

    ``known`` has the controls whose use is known. ``apicv`` is Xen's option and ``tertiary`` whether this Xen
    activates the tertiary controls; None means that it is unknown. The result is empty if nothing fits.
    """
    fitting = [
        host for host in _hosts(apicv, tertiary) if all(uses(key, host) is state for key, state in known)
    ]
    answers = {key: {uses(key, host) for host in fitting} for key in IMPLIED}
    return {key: states.pop() for key, states in answers.items() if len(states) == 1}


@lru_cache(maxsize=64)
def offers(
    known: tuple[tuple[str, bool], ...], apicv: bool | None, tertiary: bool | None
) -> frozenset[Controls]:
    """Return what the processor may offer: every subset of the controls from which the known use follows.

    The arguments are as for `consequences`. The result is empty if nothing fits.
    """
    options = (True, False) if apicv is None else (apicv,)
    return frozenset(
        allowed
        for allowed in every_choice(OFFERED)
        for release in _releases(tertiary)
        for option in options
        if all(uses(key, host_controls(release, allowed, apicv=option)) is state for key, state in known)
    )


def _hosts(apicv: bool | None, tertiary: bool | None) -> Iterator[Controls]:
    """Yield what Xen can make of any processor."""
    for release in _releases(tertiary):
        for option in (True, False) if apicv is None else (apicv,):
            yield from _choices(release, option)


def _releases(tertiary: bool | None) -> list[XenRelease]:
    newest = XEN_RELEASES[-1]
    return [
        replace(newest, tertiary_controls=each)
        for each in ((True, False) if tertiary is None else (tertiary,))
    ]


@lru_cache(maxsize=4)
def _choices(release: XenRelease, apicv: bool) -> frozenset[Controls]:
    return frozenset(host_controls(release, allowed, apicv=apicv) for allowed in every_choice(OFFERED))

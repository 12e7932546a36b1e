"""Configs and kinds of guest."""

from __future__ import annotations

import pytest

from tests.hosts import domain_info
from xenapic.model.config import DomainConfig
from xenapic.model.flags import CDF, EMU
from xenapic.model.guest_types import HVM_EMULATION, PVH_DOM0_EMULATION, GuestType, guest_type

PV, PVH, HVM = GuestType


@pytest.mark.parametrize(
    ("emulation", "kind"),
    [
        (EMU.LAPIC, PVH),
        (PVH_DOM0_EMULATION, PVH),
        (HVM_EMULATION, HVM),
        (HVM_EMULATION & ~EMU.USE_PIRQ, HVM),
        # Xen takes none of these from a toolstack.
        (EMU.LAPIC | EMU.VPCI, PVH),
        (EMU.LAPIC | EMU.USE_PIRQ, HVM),
        (EMU(0), PVH),
        (HVM_EMULATION | EMU.VPCI, HVM),
        (EMU.PIT, HVM),
    ],
)
def test_one_rule_tells_the_kind_of_guest(emulation: EMU, kind: GuestType) -> None:
    assert guest_type(hvm=True, emulation_flags=emulation) is kind
    assert guest_type(hvm=False, emulation_flags=emulation) is PV
    config = DomainConfig(flags=CDF.hvm, emulation_flags=emulation)
    info = domain_info(emulation_flags=emulation)
    assert config.guest_type is info.guest_type is kind
    assert config.replace(flags=CDF(0)).guest_type is PV


def test_the_three_configs_make_the_three_kinds() -> None:
    made = (DomainConfig.pv(), DomainConfig.pvh(), DomainConfig.hvm())
    assert [config.guest_type for config in made] == list(GuestType)

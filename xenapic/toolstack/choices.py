"""The keys of an xl.cfg whose value must be one of a few, or xl ends; as ``xl_parse.c`` has them.

A row is data: `xenapic.toolstack.xl` checks them at their place in xl's order.
"""

from __future__ import annotations

from dataclasses import dataclass

from xenapic.model.guest_types import GuestType

__all__ = ["CHOICES", "Choice"]

FIRST, NEVER = (4, 15), (9, 9)
HVM = (GuestType.HVM,)
EVERY = tuple(GuestType)
ACTIONS = (
    "destroy",
    "restart",
    "rename-restart",
    "preserve",
    "coredump-destroy",
    "coredump-restart",
    "soft-reset",
)
TSC_MODES = ("default", "always_emulate", "native", "native_paravirt")
TIMER_MODES = (
    "unknown",
    "delay_for_missed_ticks",
    "no_delay_for_missed_ticks",
    "no_missed_ticks_pending",
    "one_missed_tick_pending",
)
SVE = ("hw", "disabled", *(str(bits) for bits in range(128, 2049, 128)))


@dataclass(frozen=True, slots=True)
class Choice:
    """A key with its values."""

    key: str
    values: tuple[str, ...]
    message: str
    """What xl prints; ``{}`` is the value."""
    status: int = 1
    types: tuple[GuestType, ...] = EVERY
    """For other types xl does not look at the key."""
    exact: bool = False
    """Whether upper and lower case count."""
    numbers: range | None = None
    """The numbers that are accepted instead, when a number is read first."""
    number_message: str = ""
    since: tuple[int, int] = FIRST
    until: tuple[int, int] = NEVER


def _action(key: str) -> Choice:
    return Choice(key, ACTIONS, f'Unknown {key} action "{{}}" specified', exact=True)


CHOICES: dict[str, tuple[Choice, ...]] = {
    "early": (Choice("vuart", ("unknown", "sbsa_uart"), 'ERROR: invalid value "{}" for "vuart"'),),
    "actions": tuple(map(_action, ("on_poweroff", "on_reboot", "on_watchdog", "on_crash", "on_soft_reset"))),
    "passthrough": (
        Choice(
            "passthrough",
            ("default", "disabled", "enabled", "sync_pt", "share_pt"),
            "ERROR: unknown passthrough option '{}'",
        ),
    ),
    "tsc": (
        Choice(
            "tsc_mode",
            TSC_MODES,
            'ERROR: invalid value "{}" for "tsc_mode"',
            numbers=range(4),
            number_message='ERROR: invalid value {} for "tsc_mode"',
        ),
    ),
    "timer": (
        Choice(
            "timer_mode",
            TIMER_MODES,
            'ERROR: invalid value "{}" for "timer_mode"',
            numbers=range(4),
            number_message='ERROR: invalid value {} for "timer_mode"',
        ),
    ),
    "bios": (
        Choice("bios", ("unknown", "rombios", "seabios", "ovmf"), 'ERROR: invalid value "{}" for "bios"'),
    ),
    "genid": (
        Choice(
            "ms_vm_genid",
            ("generate", "none"),
            'ERROR: "ms_vm_genid" option must be "generate" or "none"',
            exact=True,
        ),
    ),
    "altp2m": (
        Choice(
            "altp2m",
            ("disabled", "mixed", "external", "limited"),
            'ERROR: invalid value "{}" for "altp2m"',
            numbers=range(4),
            number_message='ERROR: invalid value {} for "altp2m"',
        ),
    ),
    "device_model": (
        Choice(
            "device_model_version",
            ("qemu-xen-traditional", "qemu-xen"),
            'Unknown device_model_version "{}" specified',
            exact=True,
            until=(4, 21),
        ),
        Choice(
            "device_model_version",
            ("qemu-xen",),
            'Unknown device_model_version "{}" specified',
            exact=True,
            since=(4, 21),
        ),
    ),
    "screen": (
        Choice(
            "vga",
            ("stdvga", "cirrus", "none", "qxl"),
            'Unknown vga "{}" specified',
            types=HVM,
            exact=True,
        ),
        Choice("hdtype", ("ide", "ahci"), 'ERROR: invalid value "{}" for "hdtype"', types=HVM),
        Choice(
            "gfx_passthru",
            ("default", "igd"),
            'ERROR: invalid value "{}" for "gfx_passthru"',
            types=HVM,
            numbers=range(-(1 << 63), 1 << 63),
        ),
        Choice(
            "vendor_device",
            ("none", "xenserver"),
            "xl: unknown vendor_device '{}'",
            status=3,
            types=HVM,
        ),
    ),
    "arm": (
        Choice("gic_version", ("default", "v2", "v3"), 'Unknown gic_version "{}" specified', status=3),
        Choice("tee", ("none", "optee"), 'Unknown tee "{}" specified', status=3, until=(4, 18)),
        Choice("tee", ("none", "optee", "ffa"), 'Unknown tee "{}" specified', status=3, since=(4, 18)),
        Choice("sve", SVE, 'Unknown sve "{}" specified', since=(4, 18)),
    ),
}
"""By their place in xl's order."""

"""The program that reads what Viridian's CPUID leaves tell a guest about its APIC.

Source: ``cpuid_viridian_leaves`` and ``guest_wrmsr_viridian`` (``xen/arch/x86/hvm/viridian/viridian.c``, the
same in 4.15 to 4.22): leaf 0x40000004 is empty until the guest has said which system it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from xenapic.apic.state import ApicState
from xenapic.frozen import dataclass
from xenapic.probe.mailbox import SETTLE, Command, CommandKind, Loop, Reply, Yield
from xenapic.probe.script import PATIENCE, U32

__all__ = ["HintsScript"]

HV_X64_MSR_GUEST_OS_ID = 0x40000000
WINDOWS_NT = 1 << 48 | 4 << 40 | 10 << 32
"""Microsoft, Windows NT, version 10 (``union hv_guest_os_id``)."""
RECOMMENDED, FEATURES = 0x40000004, 0x40000006


@dataclass(frozen=True)
class HintsScript:
    """The commands, for a guest whose domain has Viridian."""

    settle: ClassVar[int] = SETTLE
    loop: ClassVar[Loop | None] = None
    yields: ClassVar[Yield] = Yield.NEVER
    patience: ClassVar[int] = PATIENCE
    state: ClassVar[ApicState] = ApicState.XAPIC
    label: ClassVar[str] = "Viridian"
    commands: ClassVar[tuple[Command, ...]] = (
        Command(CommandKind.WRMSR, HV_X64_MSR_GUEST_OS_ID, WINDOWS_NT, repeat=1),
        Command(CommandKind.CPUID, value=RECOMMENDED, repeat=1),
        Command(CommandKind.CPUID, value=FEATURES, repeat=1),
    )

    def findings(self, answers: Sequence[Reply]) -> tuple[int, int] | None:
        """Return EAX of leaves 0x40000004 and 0x40000006; None if the domain has no Viridian."""
        told, recommended, features = answers
        return None if told.fault is not None else (recommended.rax & U32, features.rax & U32)

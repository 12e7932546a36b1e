"""Linux as a guest, for scripts that run in dom0: boots the lab's guest kernel, and asks it what it runs on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from xenapic.lab.guestkernel import CMDLINE, KERNEL_AT, RAMDISK_AT, READY

ASK = b"echo $((6 * 7)) of $(nproc) $(dmesg | grep -c 'x2apic enabled') end\n"
ANSWER = re.compile(rb"\n(42 of .*) end")


@contextmanager
def linux(
    xen: Any, vcpus: int, mode: str, policy: Any, *, memory_mib: int, patience: float
) -> Iterator[tuple[Any, str]]:
    """Boot Linux with its exits counted; yield the guest at its prompt, and its answer.

    The answer is ``42 of VCPUS 1`` if Linux uses x2APIC mode, else ``42 of VCPUS 0``. ``mode`` is ``x2apic`` or
    ``xapic``: what Linux shall use. ``patience`` is the limit of each wait, in seconds.
    """
    extra = " nox2apic" if mode == "xapic" else ""
    with xen.boot(
        KERNEL_AT,
        ramdisk=RAMDISK_AT,
        cmdline=CMDLINE + extra,
        memory_mib=memory_mib,
        vcpus=vcpus,
        native_tsc=True,
        count_exits=True,
        policy=policy,
    ) as guest:
        guest.console.expect(READY.encode(), timeout=patience)
        guest.console.expect(b"# ", timeout=patience)
        guest.console.write(ASK)
        answer = ANSWER.search(guest.console.expect(ANSWER, timeout=patience))
        assert answer is not None
        yield guest, answer[1].decode()


def power_off(guest: Any, patience: float) -> str:
    """Power Linux off, and return how it ended."""
    guest.console.write(b"poweroff -f\n")
    reason: str = guest.wait(timeout=patience).name
    return reason

"""Read the VMX controls of a domain's vCPUs with debug key 'v' and Xen's console ring.

Everybody on the host shares the ring: it is never cleared, others press keys and print into it at any time,
and it wraps. Xen serves a key press within the hypercall (``handle_keypress`` in
``xen/common/keyhandler.c``, without an interrupt), and reading the ring takes the same lock
(``sysctl_lock``). So the complete dump is in the ring when the press returns, unless later output has
overwritten it.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from xenapic.apic.features import Technology
from xenapic.errors import MeasureFailed
from xenapic.live.ask import ask_domain, ask_physinfo
from xenapic.model.measured import VcpuControls
from xenapic.parse.vmcsdump import DumpProblem, Reading, Tag, VcpuDump, read_dump

if TYPE_CHECKING:
    from xenapic.abi.handle import Handle

__all__ = ["PATIENCE", "Patience", "read_controls", "read_vcpus"]

KEY = "v"
MARGIN = 1024
"""The number of bytes that Xen may overwrite before it updates its position: ``vprintk_common``'s buffer."""
NOT_INITIALISED = "the vCPU is not initialised: no state was ever loaded into it"
NO_VMCS = "the processor has SVM: its VMCB holds none of these controls, and no Xen up to 4.22 uses AVIC"


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to try. Each press makes Xen print about 3 KiB per vCPU of every HVM-type domain."""

    presses: int = 12
    seconds: float = 20.0
    settle_seconds: float = 0.3
    """How long to wait for the rest of a dump."""


PATIENCE = Patience()


def read_vcpus(
    handle: Handle, domid: int, tag: Tag | None = None, patience: Patience | None = None
) -> tuple[VcpuDump, ...]:
    """Press the key until a dump of the domain can be trusted; return its vCPUs.

    With ``tag`` (see `xenapic.parse.vmcsdump.read_dump`) one dump is enough; without it, two dumps in a row
    must be equal. Raises `MeasureFailed` with what was seen instead.
    """
    limits = patience or PATIENCE
    deadline = time.monotonic() + limits.seconds
    seen: Counter[DumpProblem] = Counter()
    before: tuple[VcpuDump, ...] | None = None
    presses, sizes = 0, ""
    while presses < limits.presses and (presses == 0 or time.monotonic() < deadline):
        presses += 1
        reading, window = _press(handle, domid, tag, limits.settle_seconds)
        if reading.problem is None and (tag is not None or reading.vcpus == before):
            return reading.vcpus
        if reading.problem is None:
            seen[DumpProblem.DIFFERENT] += before is not None
            before = reading.vcpus
            continue
        seen[reading.problem] += 1
        before = None
        if reading.problem is DumpProblem.VMCB:
            break
        if reading.problem is DumpProblem.LOST:
            sizes = f". Last time {window.printed} bytes were printed, and the ring holds {window.held}"
        if reading.problem is DumpProblem.ABSENT:
            handle.domains.info(domid)  # raises when it is gone
        # Whoever disturbed us is still busy: wait a little longer each time.
        time.sleep(min(0.01 * 2**presses, 0.5))
    raise MeasureFailed(
        f"the controls of domain {domid} could not be read: debug key '{KEY}' was pressed {presses} times"
        + sizes,
        tuple(f"{count} x {problem.value}" for problem, count in seen.most_common() if count),
    )


def _press(handle: Handle, domid: int, tag: Tag | None, settle_seconds: float) -> tuple[Reading, _Window]:
    window = _Window(handle)
    handle.host.send_debug_keys(KEY)
    until = time.monotonic() + settle_seconds
    while True:
        window.read()
        reading = read_dump(window.data, window.whole_start, domid, tag)
        if reading.problem not in (DumpProblem.NOTHING, DumpProblem.CUT) or time.monotonic() >= until:
            return reading, window
        time.sleep(0.02)


class _Window:
    """What is written into the ring from now on, without what may be overwritten during reading."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle
        held = handle.console.read()
        self._opened = self._start = self._end = held.end
        self._oldest = held.start
        self.whole_start = held.data.endswith(b"\n")
        self.data = b""

    @property
    def printed(self) -> int:
        """Bytes written since the window was opened, even if they were overwritten."""
        return (self._end - self._opened) & 0xFFFFFFFF

    @property
    def held(self) -> int:
        """Bytes in the ring at the last reading; the ring's size, if something was overwritten."""
        return (self._end - self._oldest) & 0xFFFFFFFF

    def read(self) -> None:
        """Read what was written since the last reading."""
        chunk = self._handle.console.read(self._end)
        if chunk.start == self._end:
            self.data += chunk.data
        else:
            self._start, self.data, self.whole_start = chunk.start, chunk.data, False
        self._end = chunk.end
        self._drop_overwritten()

    def _drop_overwritten(self) -> None:
        """Drop what Xen may have overwritten: it copies the ring without a lock, so old and new may mix."""
        self._oldest = self._handle.console.oldest()
        ahead = (self._oldest + MARGIN - self._start) & 0xFFFFFFFF
        if 0 < ahead < 1 << 31:
            self.data, self.whole_start = self.data[ahead:], False
            self._start = (self._start + ahead) & 0xFFFFFFFF


CHANGES = 3
"""How often a vCPU may change its APIC's state while it is read."""


def read_controls(handle: Handle, domid: int, patience: Patience | None = None) -> tuple[VcpuControls, ...]:
    """Return the controls and APIC state of each vCPU of an HVM-type domain, which may be running.

    Raises `MeasureFailed` for a PV domain, when no dump can be trusted, and when the guest keeps changing
    the states of its APICs; `DomainNotFound` when the domain is gone.
    """
    info = ask_domain(handle, domid)
    if not info.is_hvm:
        raise MeasureFailed(f"domain {domid} is PV: it runs without VMX controls and has no local APIC")
    if ask_physinfo(handle).technology is Technology.SVM:
        bases = _apic_bases(handle, domid, info.max_vcpu_id)
        return tuple(VcpuControls(vcpu, base, None, NO_VMCS) for vcpu, base in bases.items())
    if info.max_vcpu_id < 0:
        return ()
    before = _apic_bases(handle, domid, info.max_vcpu_id)
    for _ in range(CHANGES):
        vcpus = read_vcpus(handle, domid, patience=patience)
        after = _apic_bases(handle, domid, info.max_vcpu_id)
        if before == after and {dump.vcpu for dump in vcpus} == set(after):
            return tuple(_vcpu_controls(dump, after[dump.vcpu]) for dump in vcpus)
        before = after
    raise MeasureFailed(f"domain {domid} changes the states of its APICs faster than they can be read")


def _apic_bases(handle: Handle, domid: int, last_vcpu: int) -> Mapping[int, int]:
    return {vcpu: handle.hvm.lapic(domid, vcpu).apic_base_msr for vcpu in range(last_vcpu + 1)}


def _vcpu_controls(dump: VcpuDump, apic_base: int) -> VcpuControls:
    why_not = "" if dump.words else NOT_INITIALISED
    return VcpuControls(dump.vcpu, apic_base, dump.words, why_not)

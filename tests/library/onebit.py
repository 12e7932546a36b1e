"""A Xen with one bit per control, as a fake at the C boundary: right, or with one thing wrong.

It decides by the model. What a test learns from it is that recording and checking carry every answer from C to the
report, and that a Xen that does something else is found.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from tests.dumps import Vcpu, dump_lines, ring
from tests.library.fakehost import Host
from tests.library.test_probe import COMMAND_BYTES, FakeMachine
from xenapic.abi.library import Library
from xenapic.apic.access import access, access_msr, access_page
from xenapic.apic.controls import CONTROLS, Controls
from xenapic.apic.outcome import Kind, MsrBitmap, Operation, Outcome
from xenapic.apic.processors import APICV
from xenapic.apic.registers import MSR_X2APIC_FIRST, PAGE_SIZE, SLOT_SIZE, Reg
from xenapic.apic.state import APIC_DEFAULT_PHYS_BASE, ApicState
from xenapic.model import proposal
from xenapic.model.acceleration import VcpuApic, ViridianHints, host_controls, page_backing
from xenapic.model.apicbits import APIC, Offer, asked_word, off_of, offer_word, on_of
from xenapic.model.emulation import apic_base_faults, guest_faults
from xenapic.model.flags import CDF, PHYSCAP
from xenapic.model.guest_types import HVM_EMULATION, PVH_EMULATION
from xenapic.model.releases import xen_release
from xenapic.parse.hvm_context import HvmRecord, hvm_records
from xenapic.probe import mailbox
from xenapic.probe.hints import HV_X64_MSR_GUEST_OS_ID
from xenapic.probe.mailbox import HEAD_BYTES, Command, CommandKind, State
from xenapic.probe.script import IA32_APIC_BASE, MOVED_BASE, SCRATCH, XEN_SIGNATURE
from xenapic.verify.record_bits import HVM_PARAM_VIRIDIAN

GUESTS = (PVH_EMULATION, HVM_EMULATION)
OWN = (CommandKind.NOTHING, CommandKind.EOI_BY, CommandKind.DEADLINE)
"""Commands that access no register of the APIC."""
LEFT_OUT = ("cr8", "cr8 in tpr", "cr8 again", "unusual")
"""What this fake's guest cannot do: CR8, and accesses of other widths."""
STAYS, LEAVES = 10, 1000
"""Ticks of an access."""
VERSION, NOBODY = 0x50014, 0xFFFFFFFF
OTHER_BITS = (0x3E, 0xB6A065FE, 0x10C2, 0)
"""Bits of the words that do not concern the APIC, and those of Xen's own that do, are added to."""
LOG = (
    b"(XEN) Xen version 4.17.5 (test)\n(XEN) VMX: Supported advanced features:\n"
    b"(XEN)  - APIC MMIO access virtualisation\n(XEN)  - APIC TPR shadow\n"
    b"(XEN)  - MSR direct-access bitmap\n(XEN)  - APIC Register Virtualization\n"
    b"(XEN)  - Virtual Interrupt Delivery\n(XEN) HVM: ASIDs enabled.\n"
) + b"(XEN) boot\n" * 200


@dataclass
class Behaviour:
    """What this Xen does, each part to be replaced by something wrong."""

    offers: Callable[[Offer], int] = offer_word
    refuses: Callable[[APIC, APIC, APIC | proposal.Refused], APIC | proposal.Refused] = lambda on, off, a: a
    reads_back: Callable[[APIC], int] = asked_word
    vmcs: Callable[[APIC, VcpuApic], VcpuApic] = lambda in_force, vcpu: vcpu
    runs: Callable[[APIC, VcpuApic], VcpuApic] = lambda in_force, vcpu: vcpu
    page: Callable[[APIC], bool] = lambda in_force: APIC.ACCESS_PAGE in in_force
    leaf: Callable[[APIC], int] = lambda in_force: int(proposal.leaf(in_force))
    hints: Callable[[APIC], ViridianHints] = proposal.viridian
    restores: Callable[[APIC, bytes], bytes] = lambda in_force, page: page
    arrivals: Callable[[APIC, ApicState], int] = lambda in_force, state: 1


class OneBit(Host):
    """The C functions of a Xen on a processor with five of the controls."""

    def __init__(self, real: Library, behaviour: Behaviour) -> None:
        super().__init__(real, accepts_flags=True)
        self.ring = LOG
        self.capabilities |= PHYSCAP.shadow
        self.behaviour = behaviour
        self.controls = host_controls(xen_release("4.17"), Controls.of(*APICV))
        self.offer = proposal.offer(self.controls)
        self.in_force: dict[int, APIC] = {}
        self.machine.guest = self.execute
        self.running = 0
        self.viridian: set[int] = set()
        self.contexts: dict[int, bytes] = {}

    def xc_hvm_param_set(self, _xch: Any, domid: int, number: int, value: int) -> int:
        if number == HVM_PARAM_VIRIDIAN and value & 1:
            self.viridian.add(domid)
        return 0

    def xc_domain_hvm_getcontext(self, _xch: Any, domid: int, buffer: Any, size: int) -> int:
        context = self.contexts.get(domid)
        if context is None:
            records = ((1, 24), (2, 24), (5, 24), (6, 1024), (0, 0))
            context = b"".join(HvmRecord(code, 0, bytes(length)).to_bytes() for code, length in records)
        if buffer != self.ffi.NULL:
            self.ffi.buffer(buffer)[: len(context)] = context
        return len(context)

    def xc_domain_hvm_setcontext(self, xch: Any, domid: int, buffer: Any, size: int) -> int:
        records = [*hvm_records(bytes(self.ffi.buffer(buffer, size)))]
        if any(record.typecode == 6 for record in records):
            in_force = self.in_force[domid]
            self.contexts[domid] = b"".join(
                replace(record, data=self.behaviour.restores(in_force, record.data)).to_bytes()
                if record.typecode == 6
                else record.to_bytes()
                for record in records
            )
        return super().xc_domain_hvm_setcontext(xch, domid, buffer, size)

    def xc_physinfo(self, xch: Any, info: Any) -> int:
        info.arch_capabilities = self.behaviour.offers(self.offer)
        return super().xc_physinfo(xch, info)

    def xc_domain_create(self, xch: Any, pdomid: Any, config: Any) -> int:
        misc, hvm = config.arch.misc_flags, bool(config.flags & CDF.hvm)
        on, off = on_of(misc), off_of(misc)
        answer = proposal.resolve(
            self.offer.available, on, off, hvm=hvm, nested=bool(config.flags & CDF.nested_virt)
        )
        answer = self.behaviour.refuses(on, off, answer)
        if misc & ~(asked_word(on, off) | 1):
            answer = proposal.Refused(errno.EINVAL, "", "", APIC(0))
        elif config.arch.emulation_flags not in (GUESTS if hvm else (0,)):
            answer = proposal.Refused(errno.EOPNOTSUPP, "", "", APIC(0))
        if isinstance(answer, proposal.Refused):
            self.ffi.errno = answer.errno
            return -1
        created = super().xc_domain_create(xch, pdomid, config)
        if created == 0:
            self.in_force[pdomid[0]] = answer if hvm else APIC(0)
        return created

    def xc_domain_getinfolist(self, xch: Any, first: int, room: int, infos: Any) -> int:
        found = super().xc_domain_getinfolist(xch, first, room, infos)
        for number in range(found):
            in_force = self.in_force.get(infos[number].domain, APIC(0))
            infos[number].arch_config.misc_flags = self.behaviour.reads_back(in_force)
        return found

    # -- the VMCS --

    def vcpu(self, domid: int) -> VcpuApic:
        fake = self.vcpus[domid][0]
        state = ApicState.DISABLED if fake.disabled & 1 else ApicState.from_apic_base(fake.base)
        return proposal.vcpu(self.controls, self.in_force.get(domid, self.offer.default), state)

    def dumped(self) -> bytes:
        domains = {}
        for domid, vcpus in self.vcpus.items():
            if domid in self.domains:
                domains[domid] = [
                    Vcpu(self.words(domid) if one.initialised else None, one.rsp, one.rip) for one in vcpus
                ]
        return ring(dump_lines(domains))

    def words(self, domid: int) -> tuple[int, int, int, int]:
        in_force = self.in_force.get(domid, self.offer.default)
        controls = self.behaviour.vmcs(in_force, self.vcpu(domid)).controls
        assert isinstance(controls, Controls)
        parts = (controls.pin_based, controls.primary, controls.secondary, controls.tertiary)
        masks = [0, 0, 0, 0]
        for where, bit in CONTROLS.values():
            masks[("pin_based", "primary", "secondary", "tertiary").index(where)] |= bit
        pin, primary, secondary, tertiary = (
            other & ~mask | part for other, mask, part in zip(OTHER_BITS, masks, parts, strict=True)
        )
        return pin, primary, secondary, tertiary

    # -- the guest --

    def xc_domain_unpause(self, xch: Any, domid: int) -> int:
        self.running = domid
        return self.machine.xc_domain_unpause(xch, domid)

    def execute(self, machine: FakeMachine) -> None:
        """Carry out the list as a guest would on this Xen."""
        box = machine.mailbox
        count = int.from_bytes(box[4:8], "little")
        guest = Guest(self, self.running)
        for number in range(count):
            at = HEAD_BYTES + number * COMMAND_BYTES
            kind, repeat, wait_for, _cpu, address, value, expected = mailbox.REQUEST.unpack_from(box, at)
            command = Command(CommandKind(kind), address, value, repeat, wait_for, expected=expected)
            answer = guest.carry_out(command)
            mailbox.ANSWER.pack_into(box, at + mailbox.REQUEST.size, *answer)
        mailbox.HEAD.pack_into(box, 0, State.DONE, count, count, *mailbox.HEAD.unpack_from(box, 0)[3:])


class Guest:
    """What one guest sees."""

    def __init__(self, xen: OneBit, domid: int) -> None:
        self.behaviour = xen.behaviour
        self.in_force = xen.in_force[domid]
        self.vcpu = self.behaviour.runs(self.in_force, xen.vcpu(domid))
        self.base = xen.vcpus[domid][0].base
        self.memory = 0
        self.viridian = domid in xen.viridian
        self.told = False
        """Whether the guest said which system it is."""

    def carry_out(self, command: Command) -> tuple[int, ...]:
        words, fault, ticks = (0, 0, 0, 0), 0, STAYS
        if command.kind is CommandKind.CPUID:
            words, ticks = self._cpuid(command.value), LEAVES
        elif command.kind in (CommandKind.RDMSR, CommandKind.WRMSR) and command.address == IA32_APIC_BASE:
            fault, ticks = self._apic_base(command), LEAVES
            words = (self.base, 0, 0, 0)
        elif command.address == HV_X64_MSR_GUEST_OS_ID and command.kind is CommandKind.WRMSR:
            self.told = self.viridian and command.value >> 40 & 0xFF >= 4
            fault, ticks = 0 if self.viridian else 0x10D, LEAVES
        elif command.kind not in OWN and not SCRATCH <= command.address < SCRATCH + PAGE_SIZE:
            outcome, offset = self._outcome(command)
            ticks = LEAVES if outcome.kind.leaves else STAYS
            fault = 0x10D if self._faults(command, outcome, offset) else 0
            words = (self._value(command, outcome, offset), 0, 0, 0)
        arrived = self.behaviour.arrivals(self.in_force, self.vcpu.state) if command.wait_for else 0
        arrived *= max(command.expected, 1)
        return (*words, fault, 0, 5, arrived, 0, 0, 0, *[ticks] * 8)

    def _cpuid(self, leaf: int) -> tuple[int, int, int, int]:
        if self.viridian and leaf in (0x40000004, 0x40000006):
            hints = self.behaviour.hints(self.in_force)
            if leaf == 0x40000004 and not self.told:
                return 0, 0, 0, 0
            return hints.msr_based_apic << 3 if leaf == 0x40000004 else int(hints.apic_overlay), 0, 0, 0
        leaf -= 0x100 * self.viridian
        if leaf == 0x40000000:
            ebx, ecx, edx = (int.from_bytes(XEN_SIGNATURE[n : n + 4], "little") for n in (0, 4, 8))
            return 0x40000005, ebx, ecx, edx
        if leaf == 0x40000004:
            return 0x5C | self.behaviour.leaf(self.in_force), 0, 0, 0
        return 0, 0, 1 << 21, 0

    def _apic_base(self, command: Command) -> int:
        if command.kind is CommandKind.RDMSR:
            return 0
        if apic_base_faults(self.base, command.value):
            return 0x10D
        self.base = command.value
        return 0

    def _outcome(self, command: Command) -> tuple[Outcome, int]:
        vcpu, controls = self.vcpu, self.vcpu.controls
        assert isinstance(controls, Controls)
        write = command.kind in (CommandKind.STORE, CommandKind.WRMSR)
        operation = Operation.WRITE if write else Operation.READ
        value = command.value if write else None
        if command.kind in (CommandKind.RDMSR, CommandKind.WRMSR):
            offset = (command.address - MSR_X2APIC_FIRST) * SLOT_SIZE
            return access_msr(controls, vcpu.bitmap, command.address, operation, value=value), offset
        offset = command.address & PAGE_SIZE - 1
        if command.address & ~(PAGE_SIZE - 1) == APIC_DEFAULT_PHYS_BASE:
            backing = page_backing(self.behaviour.page(self.in_force), ApicState.XAPIC)
            return access_page(controls, offset, operation, value=value, backing=backing), offset
        assert vcpu.state is ApicState.RELOCATED or command.address & ~0xFFF == MOVED_BASE
        return access(controls, ApicState.RELOCATED, vcpu.bitmap, offset, operation, value=value), offset

    def _faults(self, command: Command, outcome: Outcome, offset: int) -> bool:
        if command.kind in (CommandKind.LOAD, CommandKind.STORE):
            return False
        write = command.kind is CommandKind.WRMSR
        operation = Operation.WRITE if write else Operation.READ
        if self.vcpu.state is not ApicState.X2APIC:
            return outcome.kind.leaves
        return guest_faults(outcome, self.vcpu.state, offset, operation, command.value if write else None)

    def _value(self, command: Command, outcome: Outcome, offset: int) -> int:
        if outcome.kind is Kind.MEMORY:
            if command.kind is CommandKind.STORE:
                self.memory = command.value
            return self.memory
        if offset != Reg.LVR:
            return 0
        by_page = command.kind in (CommandKind.LOAD, CommandKind.STORE)
        here = command.address & ~(PAGE_SIZE - 1) == self.base & ~(PAGE_SIZE - 1)
        answers = here and self.vcpu.state in (ApicState.XAPIC, ApicState.RELOCATED)
        return VERSION if outcome.kind is Kind.STAYS or not by_page or answers else NOBODY


# -- wrong ones ------------------------------------------------------------------------------------------


def without(vcpu: VcpuApic, *keys: str) -> VcpuApic:
    """Return the settings without some controls."""
    controls = vcpu.controls
    assert isinstance(controls, Controls)
    return replace(vcpu, controls=Controls.of(*(key for key in controls.keys if key not in keys)))


def plus(vcpu: VcpuApic, *keys: str) -> VcpuApic:
    """Return the settings with more controls."""
    controls = vcpu.controls
    assert isinstance(controls, Controls)
    return replace(vcpu, controls=Controls.of(*controls.keys, *keys))


def in_state(
    state: ApicState, change: Callable[[VcpuApic], VcpuApic]
) -> Callable[[APIC, VcpuApic], VcpuApic]:
    return lambda _in_force, vcpu: change(vcpu) if vcpu.state is state else vcpu


def no_cr8_exits(in_force: APIC, vcpu: VcpuApic) -> VcpuApic:
    return vcpu if APIC.TPR_SHADOW in in_force else without(vcpu, "cr8_load_exiting", "cr8_store_exiting")


def always_registers(in_force: APIC, vcpu: VcpuApic) -> VcpuApic:
    return plus(vcpu, "apic_register_virtualization") if APIC.TPR_SHADOW in in_force else vcpu


def stale_vaa(in_force: APIC, vcpu: VcpuApic) -> VcpuApic:
    return plus(vcpu, "virtualize_apic_accesses") if in_force == APIC.TPR_SHADOW else vcpu


def no_vaa_in_x2apic(_in_force: APIC, vcpu: VcpuApic) -> VcpuApic:
    return without(vcpu, "virtualize_apic_accesses") if vcpu.state is ApicState.X2APIC else vcpu


def eoi_open(_in_force: APIC, vcpu: VcpuApic) -> VcpuApic:
    bit = 1 << Reg.EOI // SLOT_SIZE
    return replace(vcpu, bitmap=MsrBitmap(vcpu.bitmap.read, vcpu.bitmap.write & ~bit))


def tpr_closed(_in_force: APIC, vcpu: VcpuApic) -> VcpuApic:
    return replace(vcpu, bitmap=MsrBitmap(vcpu.bitmap.read | 1 << 8, vcpu.bitmap.write))


WRONG = {
    "a bit forgotten in one state": Behaviour(
        vmcs=in_state(ApicState.X2APIC, lambda vcpu: plus(vcpu, "apic_register_virtualization"))
    ),
    "CR8 exits left off": Behaviour(vmcs=no_cr8_exits),
    "registers always": Behaviour(vmcs=always_registers),
    "the access page's control stays": Behaviour(vmcs=stale_vaa),
    "APIC accesses not virtualized in the x2APIC state": Behaviour(vmcs=no_vaa_in_x2apic),
    "both modes at once": Behaviour(
        vmcs=in_state(ApicState.X2APIC, lambda vcpu: plus(vcpu, "virtualize_apic_accesses"))
    ),
    "the page mapped when off": Behaviour(page=lambda in_force: True),
    "the bitmap too open": Behaviour(runs=eoi_open),
    "the bitmap too closed": Behaviour(runs=tpr_closed),
    "an interrupt lost without delivery": Behaviour(
        arrivals=lambda in_force, state: int(APIC.DELIVERY in in_force)
    ),
    "an interrupt twice": Behaviour(
        arrivals=lambda in_force, state: 2 if in_force == APIC.TPR_SHADOW and state is ApicState.XAPIC else 1
    ),
    "CPUID by the host": Behaviour(leaf=lambda in_force: 3),
    "Viridian by the host": Behaviour(hints=lambda in_force: ViridianHints(False, True)),
    "a register lost in a restore": Behaviour(
        restores=lambda in_force, page: (
            page if APIC.REGISTERS in in_force else page[:0x80] + b"\0" + page[0x81:]
        )
    ),
    "a request that makes no sense is taken": Behaviour(
        refuses=lambda on, off, answer: APIC(0x2F) if on & off else answer
    ),
    "the wrong errno": Behaviour(
        refuses=lambda on, off, answer: (
            replace(answer, errno=errno.EINVAL) if isinstance(answer, proposal.Refused) else answer
        )
    ),
    "on without what it needs": Behaviour(
        refuses=lambda on, off, answer: answer or APIC.X2APIC_MODE if on == APIC.X2APIC_MODE else answer
    ),
    "read back as asked": Behaviour(reads_back=lambda in_force: asked_word(in_force & ~APIC.REGISTERS)),
    "too much available": Behaviour(
        offers=lambda offer: offer_word(Offer(offer.available | APIC.POSTED, offer.default))
    ),
}
"""Single mistakes, and what they are called."""

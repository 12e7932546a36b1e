"""Measuring with a fake at the C boundary: a ring, a key, and everything that can interfere."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from click.testing import CliRunner

import xenapic
from tests.dumps import OFF, X2APIC, XAPIC, Vcpu, Words, dump_lines, ring
from tests.library.test_handle import FakeXen
from xenapic.abi.calls.domains import DOMID_ANY
from xenapic.abi.library import Library, load
from xenapic.apic.controls import ControlWords
from xenapic.apic.state import ApicState
from xenapic.cli.app import app
from xenapic.documents import from_file, schema_text
from xenapic.errors import CallFailed, DomainNotFound, MeasureFailed
from xenapic.live import ask, vmcs
from xenapic.live.vmcs import Patience
from xenapic.live.xen import Xen
from xenapic.model.config import LAST_DOMID
from xenapic.model.facts import Answer
from xenapic.model.flags import CDF, DOMINF
from xenapic.parse.bootlog import BootLog, parse
from xenapic.parse.hvm_context import hvm_records
from xenapic.verify.checks import check_file
from xenapic.verify.recording import Recording

pytestmark = pytest.mark.library

WANTED = {
    ApicState.DISABLED: OFF,
    ApicState.XAPIC: XAPIC,
    ApicState.X2APIC: X2APIC,
    ApicState.RELOCATED: OFF,
}
BOOT = b"(XEN) boot\n" * 200


@dataclass
class FakeVcpu:
    base: int = ApicState.XAPIC.apic_base
    disabled: int = 2
    rsp: int = 0
    rip: int = 0
    initialised: bool = False

    @property
    def words(self) -> Words:
        return OFF if self.disabled & 1 else WANTED[ApicState.from_apic_base(self.base)]


class MeasuredXen(FakeXen):
    """A VMX host whose key 'v' prints the VMCSs."""

    def __init__(self, real: Library) -> None:
        super().__init__(real)
        self.vcpus: dict[int, list[FakeVcpu]] = {}
        self.hw_cap: tuple[int, ...] = (0, 1 << 5, 0, 0)
        self.capabilities = 0x30B
        self.ring = BOOT
        self.size = 1 << 16
        self.flags_asked: list[int] = []
        self.presses = 0
        self.taken: list[int] = []
        self.noise: Callable[[int], object] = lambda press: None
        self.dump: Callable[[int], bytes] = lambda press: self.dumped()
        self.hold_back = 0

    def write(self, data: bytes) -> None:
        self.ring += data
        self.first = max(self.first, len(self.ring) - self.size)

    def dumped(self) -> bytes:
        return ring(
            dump_lines(
                {
                    domid: [
                        Vcpu(one.words if one.initialised else None, one.rsp, one.rip)
                        for one in self.vcpus[domid]
                    ]
                    for domid in self.vcpus
                    if domid in self.domains
                }
            )
        )

    def guest(self, domid: int, *vcpus: FakeVcpu) -> None:
        self.domains[domid] = bytes(16)
        self.vcpus[domid] = list(vcpus)

    def xc_physinfo(self, _xch: Any, info: Any) -> int:
        info.capabilities = self.capabilities
        info.free_pages = 100_000
        for word, value in enumerate(self.hw_cap):
            info.hw_cap[word] = value
        return self._answer("xc_physinfo", 0)

    def xc_readconsolering(
        self, xch: Any, buffer: Any, count: Any, clear: int, incremental: int, index: Any
    ) -> int:
        assert not clear, "the ring is everybody's"
        whole = self.ring
        if self.hold_back:
            self.ring, self.hold_back = whole[: -self.hold_back], 0
        try:
            return super().xc_readconsolering(xch, buffer, count, clear, incremental, index)
        finally:
            self.ring = whole

    def xc_send_debug_keys(self, _xch: Any, keys: bytes) -> int:
        assert keys == b"v"
        if "xc_send_debug_keys" in self.fail:
            return self._answer("xc_send_debug_keys", 0)
        self.presses += 1
        self.noise(self.presses)
        self.write(self.dump(self.presses))
        return 0

    def xc_domain_create(self, _xch: Any, pdomid: Any, config: Any) -> int:
        if pdomid[0] == DOMID_ANY:
            pdomid[0] = next(number for number in range(1, 100) if number not in self.domains)
        domid = pdomid[0]
        if domid in self.taken or domid in self.domains:
            self.ffi.errno = errno.EEXIST
            return -1
        self.flags_asked.append(config.flags)
        self.domains[domid] = bytes(config.handle)
        self.vcpus[domid] = []
        return self._answer("xc_domain_create", 0)

    def xc_domain_max_vcpus(self, _xch: Any, domid: int, count: int) -> int:
        self.vcpus[domid] = [FakeVcpu() for _ in range(count)]
        return self._answer("xc_domain_max_vcpus", 0)

    def xc_domain_getinfolist(self, xch: Any, first: int, room: int, infos: Any) -> int:
        found = super().xc_domain_getinfolist(xch, first, room, infos)
        for number in range(found):
            vcpus = self.vcpus.get(infos[number].domain)
            infos[number].flags = DOMINF.hvm_guest if vcpus is not None else 0
            infos[number].max_vcpu_id = len(vcpus or ()) - 1 & 0xFFFFFFFF
        return found

    def xc_domain_getinfo_single(self, xch: Any, domid: int, info: Any) -> int:
        if self.xc_domain_getinfolist(xch, domid, 1, info) == 1 and info.domain == domid:
            return 0
        self.ffi.errno = errno.ESRCH
        return -1

    def xc_domain_hvm_getcontext(self, _xch: Any, domid: int, buffer: Any, size: int) -> int:
        context = bytes.fromhex("0100 0000 18000000") + bytes(24) + bytes.fromhex("0000 0000 00000000")
        if buffer != self.ffi.NULL:
            self.ffi.buffer(buffer)[: len(context)] = context
        return self._answer("xc_domain_hvm_getcontext", len(context))

    def xc_domain_hvm_getcontext_partial(
        self, _xch: Any, domid: int, typecode: int, instance: int, buffer: Any, size: int
    ) -> int:
        if domid not in self.domains:
            self.ffi.errno = errno.ESRCH
            return -1
        assert (typecode, size) == (5, self.ffi.sizeof("struct hvm_hw_lapic"))
        vcpu = self.vcpus[domid][instance]
        buffer.apic_base_msr, buffer.disabled, buffer.timer_divisor = vcpu.base, vcpu.disabled, 2
        return self._answer("xc_domain_hvm_getcontext_partial", 0)

    def xc_domain_hvm_setcontext(self, _xch: Any, domid: int, buffer: Any, size: int) -> int:
        records = {record.typecode: record for record in hvm_records(bytes(self.ffi.buffer(buffer, size)))}
        assert list(records) == [1, 2, 5, 0]
        cpu = self.ffi.new("struct hvm_hw_cpu *")
        self.ffi.buffer(cpu)[:] = records[2].data
        lapic = self.ffi.new("struct hvm_hw_lapic *")
        self.ffi.buffer(lapic)[:] = records[5].data
        assert (cpu.cr0, cpu.pad0, cpu.flags) == (0x11, 0, 0)
        assert (lapic.disabled, lapic.timer_divisor) == (2 | (not lapic.apic_base_msr >> 11 & 1), 2)
        self.vcpus[domid][0] = FakeVcpu(lapic.apic_base_msr, lapic.disabled, cpu.rsp, cpu.rip, True)
        return self._answer("xc_domain_hvm_setcontext", 0)


@pytest.fixture(scope="module")
def real() -> Library:
    return load()


@pytest.fixture
def fake(real: Library) -> MeasuredXen:
    return MeasuredXen(real)


@pytest.fixture
def xen(real: Library, fake: MeasuredXen, monkeypatch: pytest.MonkeyPatch) -> Iterator[Xen]:
    monkeypatch.setattr(vmcs, "PATIENCE", Patience(presses=5, seconds=5, settle_seconds=0.02))
    with Xen(replace(real, xenctrl=fake)) as opened:
        yield opened
    assert fake.domains.keys() <= set(range(100)), "a throw-away domain was left behind"


def measured(xen: Xen) -> None:
    found = xen.measure()
    assert found.states == {state: ControlWords(*words) for state, words in WANTED.items()}


# -- a host -------------------------------------------------------------------------------------------


def test_every_state_and_nothing_left(xen: Xen, fake: MeasuredXen) -> None:
    measured(xen)
    assert fake.destroyed == [LAST_DOMID] and fake.presses == 4
    assert fake.flags_asked == [CDF.hvm | CDF.hap]


def test_a_xen_that_knows_no_tertiary_controls(xen: Xen, fake: MeasuredXen) -> None:
    fake.dump = lambda press: (
        fake.dumped()
        .replace(b"\n(XEN) SecondaryExec", b" SecondaryExec")
        .replace(b" TertiaryExec=0000000000000000", b"")
    )
    measured(xen)
    assert b" TertiaryExec" not in fake.ring


def test_facts_come_from_the_measurement(xen: Xen) -> None:
    before = xen.host().features["virtualize_x2apic_mode"]
    assert before.answer is Answer.UNKNOWN and "xenapic host --measure" in before.how
    found = xen.measure()
    host = xen.host()
    assert host.measured is found and found.done
    assert found.controls[ApicState.X2APIC].has("virtualize_x2apic_mode")
    assert host.features["virtualize_x2apic_mode"].source == (
        "measured: SecondaryExec=000017da in the VMCS of a throw-away domain in x2APIC mode"
    )
    assert all(fact.known for fact in host.features.values())


def test_a_key_that_does_nothing(xen: Xen, fake: MeasuredXen) -> None:
    fake.dump = lambda press: b""
    with pytest.raises(MeasureFailed, match="pressed 5 times; seen: 5 x no VMCS dump was printed") as caught:
        xen.measure()
    assert caught.value.seen and caught.value.code == "measure-failed"
    assert not xen.host().measured


def test_vmcbs_are_not_waited_for(xen: Xen, fake: MeasuredXen) -> None:
    fake.dump = lambda press: fake.dumped().replace(b"VMCS", b"VMCB")
    with pytest.raises(MeasureFailed, match="pressed 1 times; seen: 1 x Xen dumped VMCBs"):
        xen.measure()


def test_a_dump_larger_than_the_ring(xen: Xen, fake: MeasuredXen) -> None:
    """Ours has the highest number, so it is printed, and overwritten, last."""
    for domid in range(1, 40):
        fake.guest(domid, FakeVcpu(initialised=True), FakeVcpu(initialised=True))
    fake.size = 8192
    assert len(fake.dumped()) > 4 * fake.size
    measured(xen)
    with pytest.raises(
        MeasureFailed, match="the ring holds 8192; seen: 5 x the domain's .* conring_size="
    ) as caught:
        xen.domain(3).controls()
    assert f"Last time {len(fake.dumped())} bytes were printed" in str(caught.value)


def test_a_flood_that_wraps_the_ring_is_survived(xen: Xen, fake: MeasuredXen) -> None:
    fake.guest(1, FakeVcpu(initialised=True))
    fake.size = 8192

    def dump(press: int) -> bytes:
        after = b"(d1) (XEN) PinBased=00000000 CPUBased=00000000\n" * (400 if press % 3 else 20)
        return fake.dumped() + after

    fake.dump = dump
    measured(xen)
    assert fake.presses == 12


def test_endless_flood_is_given_up(xen: Xen, fake: MeasuredXen) -> None:
    fake.size = 8192
    fake.dump = lambda press: fake.dumped() + b"(d1) flood\n" * 1000
    with pytest.raises(MeasureFailed, match="overwritten"):
        xen.measure()


def test_forged_dumps_of_a_guest(xen: Xen, fake: MeasuredXen) -> None:
    """Even lines that look like Xen's own, as text after an unfinished line does."""
    fake.guest(1, FakeVcpu(initialised=True))
    forged = ring(dump_lines({LAST_DOMID: [Vcpu((0, 0, 0, 0))]}))
    fake.noise = lambda press: fake.write(forged.replace(b"(XEN)", b"(d1)") + forged)
    fake.dump = lambda press: fake.dumped() + forged
    measured(xen)


def test_others_press_keys_too(xen: Xen, fake: MeasuredXen) -> None:
    fake.guest(1, FakeVcpu(initialised=True))
    fake.noise = lambda press: fake.write(b"(XEN) 'h' pressed -> showing help\n" + fake.dumped())
    measured(xen)


def test_a_dump_printed_between_the_lines_of_ours(xen: Xen, fake: MeasuredXen) -> None:
    def dump(press: int) -> bytes:
        lines = fake.dumped().splitlines(keepends=True)
        if press % 2:
            lines = [line for pair in zip(lines, lines, strict=True) for line in pair]
        return b"".join(lines)

    fake.dump = dump
    measured(xen)
    assert fake.presses == 8


def test_a_dump_that_comes_in_two_reads(xen: Xen, fake: MeasuredXen) -> None:
    def dump(press: int) -> bytes:
        fake.hold_back = 300
        return fake.dumped()

    fake.dump = dump
    measured(xen)
    assert fake.presses == 4


def test_a_ring_cleared_by_another_tool(xen: Xen, fake: MeasuredXen) -> None:
    def noise(press: int) -> None:
        if press == 1:
            fake.first = len(fake.ring)

    fake.noise = noise
    measured(xen)


def test_numbers_that_others_take(xen: Xen, fake: MeasuredXen) -> None:
    fake.taken = [LAST_DOMID, LAST_DOMID - 1]
    measured(xen)
    assert fake.destroyed == [LAST_DOMID - 2]
    fake.taken = list(range(LAST_DOMID - 50, LAST_DOMID + 1))
    with pytest.raises(MeasureFailed, match="others took"):
        xen.measure()


def test_two_at_once(real: Library, xen: Xen, fake: MeasuredXen) -> None:
    """Another process measures at the same time: its domain and its presses are in our ring."""
    with Xen(replace(real, xenctrl=fake)) as other:
        nested = []

        def noise(press: int) -> None:
            if press == 2:
                nested.append(other.measure())

        fake.noise = noise
        measured(xen)
        assert nested[0].states == xen.measure().states
    assert sorted(fake.destroyed) == [LAST_DOMID - 1, LAST_DOMID, LAST_DOMID]


@pytest.mark.parametrize(
    "call",
    [
        "xc_domain_max_vcpus",
        "xc_domain_hvm_getcontext",
        "xc_domain_hvm_setcontext",
        "xc_domain_hvm_getcontext_partial",
        "xc_send_debug_keys",
    ],
)
@pytest.mark.parametrize("kind", ["error", "ctrl-c"])
def test_a_failure_halfway_leaves_no_domain(
    xen: Xen, fake: MeasuredXen, monkeypatch: pytest.MonkeyPatch, call: str, kind: str
) -> None:
    def interrupt(*_args: Any) -> int:
        raise KeyboardInterrupt

    xen.host()
    if kind == "error":
        fake.fail[call] = errno.ENOMEM
    else:
        monkeypatch.setattr(fake, call, interrupt)
    with pytest.raises(CallFailed if kind == "error" else KeyboardInterrupt):
        xen.measure()
    assert fake.destroyed == [LAST_DOMID] and not fake.domains


def test_an_apic_base_that_xen_does_not_keep(
    xen: Xen, fake: MeasuredXen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fake, "xc_domain_hvm_setcontext", lambda *_args: 0)
    with pytest.raises(MeasureFailed, match="was given the APIC base 0xfee00100 and keeps 0xfee00900"):
        xen.measure()


@pytest.mark.parametrize(
    ("capabilities", "hw_cap", "reason"),
    [
        (0x30B, (0, 0, 0, 1 << 2), "SVM"),
        (0x302, (0, 1 << 5, 0, 0), "no HVM-type guest"),
        (0x30B, (0, 0, 0, 0), "neither VMX nor SVM"),
        (0x303, (0, 1 << 5, 0, 0), "neither hap nor shadow"),
    ],
)
def test_hosts_that_cannot_be_measured(
    xen: Xen, fake: MeasuredXen, capabilities: int, hw_cap: tuple[int, ...], reason: str
) -> None:
    fake.capabilities, fake.hw_cap = capabilities, hw_cap
    found = xen.measure()
    assert reason in found.why_not and not found.done
    assert not fake.flags_asked and not fake.presses
    assert xen.host().measured is found
    how = xen.host().features["virtualize_x2apic_mode"].how
    assert not how or reason in how


def test_shadow_paging_where_there_is_no_hap(xen: Xen, fake: MeasuredXen) -> None:
    fake.capabilities = 0x313
    measured(xen)
    assert fake.flags_asked == [CDF.hvm]
    assert "shadow paging" in xen.measure().how


# -- a domain -----------------------------------------------------------------------------------------


def test_controls_of_a_domain(xen: Xen, fake: MeasuredXen) -> None:
    x2apic = ApicState.X2APIC.apic_base
    fake.guest(5, FakeVcpu(initialised=True), FakeVcpu(x2apic, initialised=True), FakeVcpu())
    fake.guest(6, FakeVcpu(initialised=True))
    first, second, third = xen.domain(5).controls()
    assert (first.vcpu, first.state, first.words) == (0, ApicState.XAPIC, ControlWords(*XAPIC))
    assert (second.apic_base, second.words) == (x2apic, ControlWords(*X2APIC))
    assert second.controls is not None and second.controls.has("virtualize_x2apic_mode")
    assert third.controls is None and "not initialised" in third.why_not
    assert fake.presses == 2 and not fake.destroyed


def test_a_domain_that_changes_between_two_presses(xen: Xen, fake: MeasuredXen) -> None:
    fake.guest(5, FakeVcpu(initialised=True))

    def noise(press: int) -> None:
        if press == 2:
            fake.vcpus[5][0].base = ApicState.X2APIC.apic_base

    fake.noise = noise
    (only,) = xen.domain(5).controls()
    assert (only.state, only.words) == (ApicState.X2APIC, ControlWords(*X2APIC))


def test_a_domain_that_changes_all_the_time(xen: Xen, fake: MeasuredXen) -> None:
    fake.guest(5, FakeVcpu(initialised=True))

    def noise(press: int) -> None:
        fake.vcpus[5][0].base ^= 0x400 if press % 2 else 0

    fake.noise = noise
    with pytest.raises(MeasureFailed, match="faster than they can be read"):
        xen.domain(5).controls()


def test_a_forged_dump_of_a_domain_is_no_dump(xen: Xen, fake: MeasuredXen) -> None:
    """Without registers of our choice, a forgery can hinder the reading but not falsify it."""
    fake.guest(5, FakeVcpu(initialised=True))
    forged = ring(dump_lines({5: [Vcpu((0, 0, 0, 0))]}))
    fake.dump = lambda press: fake.dumped() + forged
    with pytest.raises(MeasureFailed, match="dumps of the same domain differ"):
        xen.domain(5).controls()


def test_domains_without_controls(xen: Xen, fake: MeasuredXen) -> None:
    fake.domains[4] = bytes(16)
    with pytest.raises(MeasureFailed, match="is PV"):
        xen.domain(4).controls()
    fake.guest(5, FakeVcpu(initialised=True))
    domain = xen.domain(5)
    fake.hw_cap = (0, 0, 0, 1 << 2)
    (only,) = domain.controls()
    assert only.words is None and "SVM" in only.why_not and only.state is ApicState.XAPIC
    del fake.domains[5]
    with pytest.raises(DomainNotFound):
        domain.controls()


def test_a_domain_that_goes_away_meanwhile(xen: Xen, fake: MeasuredXen) -> None:
    fake.guest(5, FakeVcpu(initialised=True))
    fake.noise = lambda press: fake.domains.pop(5, None)
    with pytest.raises(DomainNotFound):
        xen.domain(5).controls()


# -- the command --------------------------------------------------------------------------------------


@pytest.fixture
def command(real: Library, fake: MeasuredXen, xen: Xen, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(xenapic, "open", lambda library: Xen(replace(real, xenctrl=fake)))
    return lambda *arguments: CliRunner().invoke(app, arguments)


def test_host_measure(command: Any) -> None:
    shown = command("host", "--measure").stdout
    assert ["x2apic", "0000003f", "b6a065fe", "000017da", "0000000000000000"] in map(
        str.split, shown.splitlines()
    )
    assert "unknown" not in shown.partition("choice per domain")[0]
    assert "--measure" in command("host").stdout


def test_host_measure_as_json(command: Any, fake: MeasuredXen) -> None:
    schema = json.loads(schema_text("host"))
    document = json.loads(command("host", "--measure", "--json").stdout)
    jsonschema.validate(document, schema)
    state = document["measurement"]["states"]["x2apic"]
    assert state["secondary"] == 0x17DA and "virtualize_x2apic_mode" in state["controls"]
    document = json.loads(command("host", "--json").stdout)
    jsonschema.validate(document, schema)
    assert document["measurement"] is None
    fake.hw_cap = (0, 0, 0, 1 << 2)
    document = json.loads(command("host", "--measure", "--json").stdout)
    jsonschema.validate(document, schema)
    assert "SVM" in document["measurement"]["why_not"]
    assert "Not measured: the processor has SVM" in command("host", "--measure").stdout


def test_a_failed_measurement_is_status_1(command: Any, fake: MeasuredXen) -> None:
    fake.dump = lambda press: b""
    result = command("host", "--measure")
    assert result.exit_code == 1 and "[measure-failed]" in result.stderr


# -- a verification -----------------------------------------------------------------------------------


def test_the_boot_log_is_read_once_for_a_verification(
    command: Any, fake: MeasuredXen, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    parsed: list[bytes] = []

    def counted(ring: bytes, start: int, commandline: str) -> BootLog:
        parsed.append(ring)
        return parse(ring, start, commandline)

    monkeypatch.setattr(ask, "parse", counted)
    kept = tmp_path / "recording.json"
    done = command("verify", "--no-probe", "--json", "--record", str(kept))
    assert len(parsed) == 1
    document = json.loads(done.stdout)
    jsonschema.validate(document, json.loads(schema_text("verify")))
    recording = from_file(kept, Recording)
    assert [words.apic_mode for words in recording.vmcs] == list(ApicState)
    assert recording.vmcs[1].secondary == XAPIC[2]
    assert recording.create and not recording.guest
    assert document["report"]["compared"] == check_file(kept).compared > 20


def test_every_host_of_one_handle_rests_on_one_reading(xen: Xen, monkeypatch: pytest.MonkeyPatch) -> None:
    first = xen.host()
    monkeypatch.setattr(ask, "parse", None)
    assert xen.host() == first
    xen.measure()
    assert xen.host().version == first.version

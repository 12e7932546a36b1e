"""Runs in dom0: a host and domains are measured while other programs interfere. Prints one JSON object.

    python3 dom0_measure.py

On Intel: a guest floods the ring with forged dumps, another program presses keys, two measure at once,
more domains than the ring has room for, Ctrl-C, SIGKILL. On AMD: that nothing is made up.
"""

import json
import os
import signal
import subprocess
import threading
import time

from dom0_guest import CODE_PAGE, TEXT_PAGE, code, cpu_record, fill_memory, load_abi

import xenapic
from xenapic import ApicState, DomainConfig, HvmRecord
from xenapic.live.vcpu import FLAT_REGISTERS
from xenapic.live.vmcs import Patience, read_controls

FORGED = """
*********** VMCS Areas **************
>>> Domain {domid} <<<
\tVCPU 0
*** Guest State ***
RSP = 0x0000000000000000 (0x0000000000000000)  RIP = 0x0000000000000000 (0x0000000000000000)
*** Host State ***
*** Control State ***
PinBased=00000000 CPUBased=00000000
SecondaryExec=00000000 TertiaryExec=0000000000000000
**************************************
"""
FOREVER = 0xFFFFFFFF
MEASURE = ["xenapic", "host", "--measure", "--json"]


def forged_text():
    """What a guest would print to pass for Xen: with Xen's prefix, and without."""
    lines = FORGED.format(domid=32751).splitlines()[1:]
    return "".join(f"(XEN) {line}\n" for line in lines).encode() + FORGED.format(domid=32750).encode()


def words(found):
    return {
        state.value: [w.pin_based, w.primary, w.secondary, w.tertiary] for state, w in found.states.items()
    }


def words_of(document):
    states = document["measurement"]["states"]
    return {
        name: [state[key] for key in ("pin_based", "cpu_based", "secondary", "tertiary")]
        for name, state in states.items()
    }


def load_vcpus(xen, domain, states):
    """Give each vCPU a state; None leaves it as it is, not initialised."""
    header, *_rest = xenapic.hvm_records(domain.hvm_context())
    handle = xen.handle
    records = [header]
    for vcpu, state in enumerate(states):
        if state is not None:
            off = state is ApicState.DISABLED
            lapic = handle.hvm.lapic_record({"apic_base_msr": state.apic_base, "disabled": off})
            records += [
                HvmRecord(2, vcpu, handle.hvm.cpu_record({**FLAT_REGISTERS, "cr0": 0x11})),
                HvmRecord(5, vcpu, lapic),
            ]
    records.append(HvmRecord(0, 0, b""))
    domain.set_hvm_context(b"".join(record.to_bytes() for record in records))


def make(xen, states):
    domain = xen.create_domain(DomainConfig.pvh(max_vcpus=len(states)))
    domain.set_max_vcpus(len(states))
    load_vcpus(xen, domain, states)
    return domain


def shown(domain):
    return [[one.state.value, one.words and one.words.secondary, one.why_not] for one in domain.controls()]


def domains(xen):
    return [one.domid for one in xen.domains()]


def domains_in_the_way(xen, found):
    """Controls of a domain among others, then more vCPUs than the ring can hold dumps of."""
    states = [ApicState.X2APIC, ApicState.RELOCATED, ApicState.DISABLED, ApicState.XAPIC, None]
    with make(xen, states) as domain, make(xen, [ApicState.XAPIC]):
        found["controls"] = shown(domain)
        with make(xen, [ApicState.XAPIC] * 8):
            found["crowded"] = words(xen.measure())
            try:
                read_controls(xen.handle, domain.domid, Patience(presses=2))
            except xenapic.MeasureFailed as error:
                found["first of many"] = str(error)


def flooded(xen, found):
    """A guest prints forged dumps all the time, somebody presses keys, and two programs measure."""
    release = xen.version.release
    with xen.create_domain(DomainConfig.pvh()) as domain:
        domain.set_max_vcpus(1)
        domain.set_max_mem(8192)
        fill_memory(release, domain.domid, {CODE_PAGE: code(FOREVER), TEXT_PAGE: forged_text() + b"\0"})
        header, *_rest = xenapic.hvm_records(domain.hvm_context())
        records = [header, HvmRecord(2, 0, cpu_record(load_abi(release))), HvmRecord(0, 0, b"")]
        domain.set_hvm_context(b"".join(record.to_bytes() for record in records))
        domain.unpause()
        stop = threading.Event()
        presser = threading.Thread(target=press_keys, args=(stop,))
        presser.start()
        position = xen.handle.console.read().end
        program = subprocess.Popen(MEASURE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        found["flooded here"] = words(xen.measure())
        found["flooding guest"] = shown(domain)
        out, err = program.communicate()
        stop.set()
        presser.join()
        found["flooded there"] = words_of(json.loads(out)) if out else err
        found["guest used"] = domain.info().cpu_time
        found["ring grew"] = xen.handle.console.read().end - position
        found["forged lines"] = sum(
            line.domid == domain.domid and "PinBased=00000000" in line.text for line in xen.console.lines()
        )


def press_keys(stop):
    with xenapic.open() as xen:
        while not stop.wait(2):
            xen.debug_keys("vh")


def measure_until_ended():
    """In a forked child: what a program does that measures until Ctrl-C."""
    try:
        with xenapic.open() as xen:
            while True:
                xen.measure()
    finally:
        os._exit(1)


def ended_early(xen, found):
    """Ctrl-C leaves nothing, SIGKILL what destroy --orphans finds."""
    for name, number in (("interrupted", signal.SIGINT), ("killed", signal.SIGKILL)):
        child = os.fork()
        if child == 0:
            measure_until_ended()
        while len(domains(xen)) == 1:
            time.sleep(0.01)
        os.kill(child, number)
        os.waitpid(child, 0)
        found[name] = domains(xen)
    subprocess.run(["xenapic", "destroy", "--orphans"], check=True, capture_output=True)


def main():
    found = {}
    with xenapic.open() as xen:
        before = {key: fact.answer.value for key, fact in xen.host().features.items()}
        started = time.monotonic()
        measured = xen.measure()
        found["seconds"] = time.monotonic() - started
        found["words"], found["why_not"] = words(measured), measured.why_not
        found["before"] = before
        found["features"] = {
            key: [fact.answer.value, fact.source] for key, fact in xen.host().features.items()
        }
        found["left"] = domains(xen)
        done = subprocess.run(MEASURE, capture_output=True, text=True)
        found["document"] = json.loads(done.stdout)
        if measured.done:
            domains_in_the_way(xen, found)
            flooded(xen, found)
            ended_early(xen, found)
        else:
            with make(xen, [ApicState.X2APIC]) as domain:
                found["controls"] = shown(domain)
        with xen.create_domain(DomainConfig.pv()) as domain:
            try:
                domain.controls()
            except xenapic.MeasureFailed as error:
                found["pv"] = str(error)
        found["left at last"] = domains(xen)
        xen.console.clear()
        found["cleared"] = len(xen.console.read())
        found["kept after clear"] = xen.host().features["virtual_interrupt_delivery"].answer.value
        with xenapic.open() as later:
            found["unknown after clear"] = later.host().features["virtual_interrupt_delivery"].answer.value
    print(json.dumps(found))


main()

"""Runs in dom0: a guest makes a known number of VM exits, and the trace must count the same number.

    python3 dom0_exits.py

Prints one JSON object: what was counted, and what happens with a busy tracer, with a killed one and after Ctrl-C.
"""

import json
import signal
import struct
import subprocess
import sys
import time

sys.path.insert(0, "/")
from dom0_guest import CODE_PAGE, fill_memory, load_abi, load_cpu

import xenapic
from xenapic import DomainConfig
from xenapic.documents import to_json
from xenapic.errors import TraceBusy
from xenapic.exits.buffers import recover_tracing
from xenapic.exits.counter import ExitCounter
from xenapic.model.flags import DOMINF

APIC = 0xFEE00000


def times(count, body):
    """mov edi, count; 1: body; dec edi; jnz 1b"""
    code = bytes.fromhex(body)
    return b"\xbf" + struct.pack("<I", count) + code + b"\x4f\x75" + struct.pack("<b", -(len(code) + 3))


def word(number):
    return struct.pack("<I", number).hex()


def read(offset):
    return "a1" + word(APIC + offset)


def write(offset):
    return "31c0 a3" + word(APIC + offset)


def rdmsr(msr):
    return f"b9{word(msr)} 0f32"


def wrmsr(msr):
    return f"31c0 31d2 b9{word(msr)} 0f30"


KNOWN = (
    times(101, "31c0 0fa2")  # cpuid
    + times(31, rdmsr(0xFE))  # MTRRcap
    + times(17, rdmsr(0x1B))
    + times(53, read(0x390))
    + times(71, read(0x030))
    + times(43, write(0x380))
    + times(23, write(0x0B0))
    + bytes.fromhex(rdmsr(0x1B) + "0d000c0000 0f30")  # or eax, 0xc00: x2APIC mode
    + times(19, rdmsr(0x839))
    + times(11, rdmsr(0x803))
    + times(29, wrmsr(0x838))
    + times(37, wrmsr(0x80B))
    + b"\xfa\xf4"  # cli; hlt: the domain shuts down
)
MANY = times(20000, "31c0 0fa2") + b"\xfa\xf4"
FOREVER = bytes.fromhex("31c0 0fa2 ebfa")


def prepare(domain, release, code):
    domain.set_max_vcpus(1)
    domain.set_max_mem(8192)
    fill_memory(release, domain.domid, {CODE_PAGE: code})
    load_cpu(domain, load_abi(release))


def run(domain, pause):
    domain.unpause()
    for _ in range(1200):
        pause(0.05)
        if DOMINF.shutdown in domain.info().flags:
            return
    raise SystemExit("the guest did not end")


def refusal(xen, domid):
    try:
        with ExitCounter(xen, domid):
            return "free"
    except TraceBusy as error:
        return error.use.value


COLD = [sys.executable, "-m", "xenapic"]
"""Where SIGKILL must reach the process that counts, and not the client of the server that forked it."""


def command(domid, number):
    xenapic_command = COLD if number == signal.SIGKILL else ["xenapic"]
    line = [*xenapic_command, "exits", str(domid), "--seconds", "600", "--json"]
    return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def run_while_tracing(handle, domain):
    """Let the guest run for a moment, once the command counts; else it only slows the command down."""
    for _ in range(600):
        if handle.trace.info().evt_mask & 0xFFF:
            time.sleep(0.5)
            domain.unpause()
            time.sleep(0.2)
            domain.pause()
            time.sleep(0.5)
            return
        time.sleep(0.1)
    raise SystemExit("the command did not start")


def main():
    found = {}
    with xenapic.open() as xen:
        release, handle = xen.version.release, xen.handle
        found["mask at boot"] = before = handle.trace.info().evt_mask

        with xen.create_domain(DomainConfig.pvh()) as domain:
            prepare(domain, release, KNOWN)
            with ExitCounter(xen, domain.domid) as counter:
                found["while counting"] = refusal(xen, domain.domid)
                run(domain, counter.wait)
            found["known"] = to_json(counter.stop())
        found["mask after"] = handle.trace.info().evt_mask
        handle.trace.set_event_mask(0x8F000)  # as another tracer would leave it
        with xen.create_domain(DomainConfig.pvh()) as domain:
            prepare(domain, release, MANY)
            with ExitCounter(xen, domain.domid) as counter:
                run(domain, time.sleep)  # unread: most is lost
            found["lost"] = to_json(counter.stop())
        found["mask of another kept"] = handle.trace.info().evt_mask == 0x8F000

        with xen.create_domain(DomainConfig.pvh()) as domain:
            prepare(domain, release, FOREVER)
            domain.unpause()
            handle.trace.enable(32)
            time.sleep(0.1)
            found["unread"] = refusal(xen, domain.domid)
            recover_tracing(xen)
            handle.trace.set_event_mask(0)
            handle.trace.enable(32)
            found["on"] = refusal(xen, domain.domid)
            found["recovered"] = [recover_tracing(xen), recover_tracing(xen)]
            domain.pause()

            for name, number in (
                ("ctrl-c", signal.SIGINT),
                ("term", signal.SIGTERM),
                ("kill", signal.SIGKILL),
            ):
                process = command(domain.domid, number)
                run_while_tracing(handle, domain)
                process.send_signal(number)
                out, err = process.communicate(timeout=60)
                found[name] = {
                    "status": process.returncode,
                    "mask": handle.trace.info().evt_mask == before,
                    "free": refusal(xen, domain.domid),
                    "counted": json.loads(out)["total"] if out else None,
                    "stderr": err.decode()[-500:],
                }
            recovery = subprocess.run(["xenapic", "exits", "--recover"], capture_output=True)
            found["recovery"] = [recovery.returncode, refusal(xen, domain.domid)]
    print(json.dumps(found))


main()

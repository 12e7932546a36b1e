"""Runs in dom0: boots real kernels, talks to them, and kills their creator. Prints one JSON object.

    python3 dom0_boot.py VCPUS:MODE…

MODE is ``x2apic`` or ``xapic``: what Linux uses.
"""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import xenapic
from xenapic.errors import GuestFailed, ImageInvalid
from xenapic.verify.inspection import inspect

sys.path.insert(0, "/checkout")
from tests import kernels
from tests.xen.linux import linux, power_off

PATIENCE = 600
TRIES = 1
if sys.argv[1] == "bochs":
    del sys.argv[1]
    PATIENCE, TRIES = 120, 4

# mov edi, the positions of the console's ring; for each: mov eax, nonsense; stosd; and then for ever: pause
# (interrupts are disabled, and Bochs never leaves a guest that does not pause)
HOSTILE = bytes.fromhex(
    "bf00fcfffe b8ff7f0000 ab b800000000 ab b8ffffff7f ab b811111111 ab f390 ebfc".replace(" ", "")
)
TRIPLE_FAULT = bytes.fromhex("0f0b")  # ud2, without an interrupt table


def elf(code):
    return kernels.elf(0x100000, [(0x100000, code, 4096)], bits=32)


def boot(xen, vcpus, mode):
    began = time.monotonic()
    with linux(xen, vcpus, mode, xenapic.Policy(), memory_mib=128, patience=PATIENCE) as (guest, answer):
        inspection = inspect(xen, guest.domid)
        reason = power_off(guest, PATIENCE)
        report = guest.exits()
        registers = sorted(
            {
                f"{kind.register} {kind.operation.value}"
                for kind in report.kinds
                if kind.register and kind.operation
            }
        )
        return {
            "answer": answer,
            "inspected": inspection.ok,
            "states": sorted({vcpu.measured.state.value for vcpu in inspection.vcpus}),
            "reason": reason,
            "registers": registers,
            "total": report.total,
            "complete": report.complete,
            "seconds": time.monotonic() - began,
        }


def hostile(xen):
    with xen.boot(elf(HOSTILE), memory_mib=4) as guest:
        read, deadline = b"", time.monotonic() + 30
        while not guest.console.lost and time.monotonic() < deadline:
            guest.console.wait(0.1)
            read += guest.console.read()
        try:
            guest.console.write(b"x", timeout=1)
            written = ""
        except GuestFailed as error:
            written = str(error)
        lost = guest.console.lost
    with xen.boot(elf(TRIPLE_FAULT), memory_mib=4) as guest:
        ended = guest.wait(timeout=60).name
    try:
        xen.boot(elf(b"x")[:-1], memory_mib=4)
        refused = ""
    except ImageInvalid as error:
        refused = str(error)
    return {"read": len(read), "written": written, "lost": lost, "triple fault": ended, "refused": refused}


def killed(xen):
    """Kill a process that boots; return the orphans before and after they are destroyed."""
    code = (
        "import time, xenapic\n"
        "with xenapic.open() as xen:\n"
        "    with xen.boot('/tmp/kernel', memory_mib=4) as g:\n"
        "        print('booted', flush=True)\n"
        "        time.sleep(600)\n"
    )
    Path("/tmp/kernel").write_bytes(elf(b"\xf3\x90\xeb\xfc"))  # for ever: pause
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None and child.stdout.readline() == b"booted\n"
        child.send_signal(signal.SIGKILL)
        child.wait()
    orphans = [info.domid for info in xen.orphans()]
    subprocess.run(["xenapic", "destroy", "--orphans"], check=True, stdout=subprocess.DEVNULL)
    return {"orphans": len(orphans), "after": len(xen.orphans())}


def booted(xen, vcpus, mode):
    """Boot again if Linux stopped: Bochs sometimes gives it an interrupt while it has interrupts disabled."""
    for _ in range(TRIES - 1):
        try:
            return boot(xen, vcpus, mode)
        except GuestFailed as error:
            print(error, file=sys.stderr, flush=True)
    return boot(xen, vcpus, mode)


def main():
    answer = {}
    with xenapic.open() as xen:
        free = xen.physinfo().free_pages
        for word in sys.argv[1:]:
            vcpus, mode = word.split(":")
            answer[word] = booted(xen, int(vcpus), mode)
        answer["hostile"] = hostile(xen)
        answer["killed"] = killed(xen)
        deadline = time.monotonic() + 20
        while len(xen.domains()) > 1 and time.monotonic() < deadline:
            time.sleep(0.1)
        answer["domains"] = [info.domid for info in xen.domains()]
        answer["pages lost"] = max(0, free - xen.physinfo().free_pages)
    print(json.dumps(answer))


if __name__ == "__main__":
    main()

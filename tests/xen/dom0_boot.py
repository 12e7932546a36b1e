"""Runs in dom0: boots real kernels, talks to them, and kills their creator. Prints one JSON object.

    python3 dom0_boot.py VCPUS:MODE…

MODE is ``x2apic`` or ``xapic``: what Linux uses.
"""

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import xenapic
from xenapic.errors import GuestFailed, ImageInvalid
from xenapic.verify.inspection import inspect

KERNEL, RAMDISK = "/guest/vmlinuz", "/guest/initrd.img"
CMDLINE = "console=hvc0 quiet mitigations=off nokaslr noxsaves cryptomgr.notests nopti audit=0 tsc=reliable"
PATIENCE = 600

# mov edi, the positions of the console's ring; for each: mov eax, nonsense; stosd; and then jmp $
HOSTILE = bytes.fromhex(
    "bf00fcfffe b8ff7f0000 ab b800000000 ab b8ffffff7f ab b811111111 ab ebfe".replace(" ", "")
)
TRIPLE_FAULT = bytes.fromhex("0f0b")  # ud2, without an interrupt table


def elf(code):
    sys.path.insert(0, "/checkout")
    from tests.kernels import elf as made

    return made(0x100000, [(0x100000, code, 4096)], bits=32)


def boot(xen, vcpus, mode):
    extra = " nox2apic" if mode == "xapic" else ""
    began = time.monotonic()
    with xen.boot(
        KERNEL,
        ramdisk=RAMDISK,
        cmdline=CMDLINE + extra,
        memory_mib=128,
        vcpus=vcpus,
        native_tsc=True,
        count_exits=True,
        policy=xenapic.Policy(),
    ) as guest:
        guest.console.expect(b"xenapic guest ready", timeout=PATIENCE)
        guest.console.expect(b"# ", timeout=PATIENCE)
        guest.console.write(b"echo $((6 * 7)) of $(nproc) $(dmesg | grep -c 'x2apic enabled') end\n")
        answer = guest.console.expect(re.compile(rb"\n(42 of .*) end"), timeout=PATIENCE)
        inspection = inspect(xen, guest.domid)
        guest.console.write(b"poweroff -f\n")
        reason = guest.wait(timeout=PATIENCE)
        report = guest.exits()
        registers = sorted(
            {
                f"{kind.register} {kind.operation.value}"
                for kind in report.kinds
                if kind.register and kind.operation
            }
        )
        return {
            "answer": re.search(rb"(42 of .*) end", answer)[1].decode(),
            "inspected": inspection.ok,
            "states": sorted({vcpu.measured.state.value for vcpu in inspection.vcpus}),
            "reason": reason.name,
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
    Path("/tmp/kernel").write_bytes(elf(b"\xeb\xfe"))
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None and child.stdout.readline() == b"booted\n"
        child.send_signal(signal.SIGKILL)
        child.wait()
    orphans = [info.domid for info in xen.orphans()]
    subprocess.run(["xenapic", "destroy", "--orphans"], check=True, stdout=subprocess.DEVNULL)
    return {"orphans": len(orphans), "after": len(xen.orphans())}


def main():
    answer = {}
    with xenapic.open() as xen:
        free = xen.physinfo().free_pages
        for word in sys.argv[1:]:
            vcpus, mode = word.split(":")
            answer[word] = boot(xen, int(vcpus), mode)
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

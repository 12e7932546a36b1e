"""Runs in dom0: boots tiny guests, talks to them, interrupts and kills their creator. Prints one JSON object."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import xenapic
from xenapic.verify.inspection import inspect

sys.path.insert(0, "/checkout")
from tests.xen.vectors import wrong_vectors
from tests.xtftree import GUESTS, echo, tell_x2apic

PATIENCE = 120
VECTOR_SECONDS = 2
WORDS = b"echo and back\n" * 20
"""Few enough for the trace buffers, however slow the machine is."""


def talk(xen, vcpus):
    with xen.boot(
        echo(), memory_mib=8, vcpus=vcpus, policy=xenapic.Policy(), native_tsc=True, count_exits=True
    ) as guest:
        guest.console.write(WORDS, timeout=PATIENCE)
        heard = guest.console.expect(WORDS, timeout=PATIENCE)
        inspection = inspect(xen, guest.domid)
        guest.console.write(b"q", timeout=PATIENCE)
        reason = guest.wait(timeout=PATIENCE)
        report = guest.exits()
        registers = {
            f"{kind.register} {kind.operation.value}": count
            for kind, count in report.kinds.items()
            if kind.register and kind.operation
        }
        return {
            "heard": heard == WORDS,
            "inspected": inspection.ok,
            "vcpus": len(inspection.vcpus),
            "reason": reason.name,
            "registers": registers,
            "complete": report.complete,
        }


def offered(xen, policy):
    """Return what a guest says about x2APIC: ``1`` if it is offered."""
    with xen.boot(tell_x2apic(), memory_mib=8, policy=policy) as guest:
        guest.wait(timeout=PATIENCE)
        return guest.console.read().decode()


BOOT = ["boot", "--kernel", "/tmp/kernel", "--memory", "64", "--expect", "never", "--timeout", "600"]
COMMAND = ["xenapic", *BOOT]
PROCESS = [sys.executable, "-m", "xenapic", *BOOT]
"""Not forked from the lab's server, whose process would outlive a client that is killed."""


def until_created(xen):
    """Wait until ``xenapic boot`` has created its domain."""
    deadline = time.monotonic() + PATIENCE
    while len(xen.domains()) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)


def until_gone(xen):
    """Wait until Xen has freed the domains that were destroyed; return those that are left."""
    deadline = time.monotonic() + PATIENCE
    while len(xen.domains()) > 1 and time.monotonic() < deadline:
        time.sleep(0.05)
    return [info.domid for info in xen.domains()]


def interrupted(xen, number, delay):
    """End ``xenapic boot`` by a signal some time after it created its domain; return its status and words."""
    with subprocess.Popen(COMMAND, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as child:
        until_created(xen)
        time.sleep(delay)
        child.send_signal(number)
        _, said = child.communicate(timeout=PATIENCE)
    return child.returncode, said.decode(), until_gone(xen)


def orphans_after_a_kill(xen):
    with subprocess.Popen(PROCESS, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as child:
        until_created(xen)
        child.send_signal(signal.SIGKILL)
        child.wait()
    number = len(xen.orphans())
    subprocess.run(["xenapic", "destroy", "--orphans"], check=True, stdout=subprocess.DEVNULL)
    until_gone(xen)
    return number


def main():
    moments = [float(word) for word in sys.argv[1:]]
    with xenapic.open() as xen:
        answer = {"one": talk(xen, 1), "two": talk(xen, 2)}
        answer["wrong vectors"] = wrong_vectors(xen, VECTOR_SECONDS)
        answer["x2apic"] = offered(xen, None)
        answer["x2apic hidden"] = offered(xen, xenapic.Policy(guest_x2apic=False))
        Path("/tmp/kernel").write_bytes(GUESTS["hangs"])
        answer["orphans"] = orphans_after_a_kill(xen)
        answer["interrupted"] = [interrupted(xen, signal.SIGINT, delay) for delay in moments]
        answer["domains"] = until_gone(xen)
    print(json.dumps(answer))


if __name__ == "__main__":
    main()

"""Runs in dom0 of a Xen with one bit per control: boots Linux in a domain for each request. Prints one JSON object.

    python3 dom0_linux.py VCPUS MODE [+CONTROL|-CONTROL,…]…

MODE is ``x2apic`` or ``xapic``: what Linux uses. A request is a list such as ``-DELIVERY,-POSTED``; ``default`` asks nothing.
"""

import json
import sys
import time

import xenapic
from xenapic.model.apicbits import APIC
from xenapic.model.proposal import CONTROL
from xenapic.policy.terms import Aspect, Want
from xenapic.verify.inspection import inspect

sys.path.insert(0, "/checkout")
from tests.xen.linux import linux, power_off

PATIENCE = 1200
WANTS = {"+": Want.REQUIRE, "-": Want.FORBID}


def policy(request):
    if request == "default":
        return xenapic.Policy()
    words = request.split(",")
    return xenapic.Policy({Aspect(CONTROL[APIC[word[1:]]]): WANTS[word[0]] for word in words})


def boot(xen, vcpus, mode, request):
    began = time.monotonic()
    with linux(xen, vcpus, mode, policy(request), memory_mib=96, patience=PATIENCE) as (guest, answer):
        inspection = inspect(xen, guest.domid)
        guest.console.write(b"grep -E 'LOC|RES|CAL|TLB' /proc/interrupts; echo counted\n")
        interrupts = guest.console.expect(b"\ncounted", timeout=PATIENCE).decode()
        reason = power_off(guest, PATIENCE)
        report = guest.exits()
        exits = {}
        for kind, count in report.kinds.items():
            name = f"{kind.reason} {kind.register or ''} {kind.operation.value if kind.operation else ''}".strip()
            exits[name] = exits.get(name, 0) + count
        return {
            "answer": answer,
            "in_force": str(inspection.in_force),
            "inspected": inspection.ok,
            "agrees": [vcpu.agrees for vcpu in inspection.vcpus],
            "states": sorted({vcpu.measured.state.value for vcpu in inspection.vcpus}),
            "reason": reason,
            "interrupts": interrupts.splitlines()[-8:],
            "exits": exits,
            "complete": report.complete,
            "seconds": time.monotonic() - began,
        }


vcpus, mode, *requests = [word for word in sys.argv[1:] if word != "--"]
found = {}
with xenapic.open() as xen:
    for request in requests:
        print("booting", request, file=sys.stderr, flush=True)
        try:
            found[request] = boot(xen, int(vcpus), mode, request)
        except Exception as error:
            found[request] = {"failed": f"{type(error).__name__}: {error}"}
        print(request, json.dumps(found[request]), file=sys.stderr, flush=True)
    found["domains"] = [info.domid for info in xen.domains()]
print(json.dumps(found))

"""Runs in dom0 of a Xen with one bit per control: each workload with each control off. Prints one JSON object.

    python3 dom0_worth.py OPERATIONS [CONTROL|default]…

The answer has a row for each control that is off, state of the APIC and workload: VM exits by name, without those
for the host's own interrupts.
"""

import json
import sys

import xenapic
from xenapic.apic.state import ApicState
from xenapic.exits.reasons import reason_name
from xenapic.model.apicbits import APIC
from xenapic.model.proposal import CONTROL
from xenapic.policy.terms import Aspect, Want
from xenapic.probe.cost import measure_workload
from xenapic.probe.workload import WORKLOADS

STATES = (ApicState.XAPIC, ApicState.X2APIC)
HOSTS_OWN = 1


def name(kind):
    """Return an exit's name, and what it was for."""
    operation = kind.operation.value if kind.operation and kind.register else ""
    words = (reason_name(kind.technology, kind.reason), str(kind.register or ""), operation)
    return " ".join(filter(None, words))


operations, *offs = sys.argv[1:]
rows = []
with xenapic.open() as xen:
    for off in offs:
        policy = xenapic.Policy({} if off == "default" else {Aspect(CONTROL[APIC[off]]): Want.FORBID})
        for state in STATES:
            for workload in WORKLOADS.values():
                print(off, state.value, workload.name, file=sys.stderr, flush=True)
                row = {
                    "off": [] if off == "default" else [off],
                    "state": state.value,
                    "workload": workload.name,
                }
                try:
                    cost = measure_workload(
                        xen, workload, state, policy=policy, operations=int(operations), runs=1
                    )
                except xenapic.XenApicError as error:
                    rows.append({**row, "failed": str(error)})
                    continue
                (run,) = cost.runs
                exits = {}
                for kind, count in run.exits.items():
                    if kind.reason != HOSTS_OWN and count:
                        exits[name(kind)] = exits.get(name(kind), 0) + count
                rows.append({**row, "operations": run.operations, "exits": exits, "complete": run.complete})
print(json.dumps(rows))

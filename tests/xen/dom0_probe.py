"""Runs in dom0: the probe guest, in the given states of the local APIC. Prints one JSON object.

python3 dom0_probe.py STATE...
"""

import json
import sys

import xenapic
from xenapic.apic.state import ApicState
from xenapic.documents import to_json
from xenapic.probe.run import run_probe


def main(names):
    found = {}
    with xenapic.open() as xen:
        for name in names:
            findings = run_probe(xen, xenapic.DomainConfig.pvh(), ApicState(name))
            found[name] = to_json(findings)
        left = [info.domid for info in xen.domains()]
    print(json.dumps({"found": found, "left": left}))


main(sys.argv[1:])

"""Runs in dom0: verifications ended at any step, and a guest that never answers. Nothing may be left.

    python3 dom0_interrupt.py MOMENTS SIGNAL...

MOMENTS says how many verifications each signal ends, each a little later than the one before.
Prints one JSON object: per signal, which domains were left and which of them `destroy --orphans` removed.
"""

import json
import signal
import subprocess
import sys
import time

import xenapic
from xenapic import ApicState, DomainConfig
from xenapic.errors import ProbeFailed
from xenapic.probe import run


def domains(xen):
    return [one.domid for one in xen.domains() if one.domid]


def ended(number, seconds):
    child = subprocess.Popen(
        [sys.executable, "-m", "xenapic.verify"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        child.wait(seconds)
        return "it ended by itself"
    except subprocess.TimeoutExpired:
        child.send_signal(signal.Signals[number])
        return child.wait(60)


def orphans_destroyed():
    done = subprocess.run(
        ["xenapic", "destroy", "--orphans", "--json"], capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)["destroyed"]


def whole_seconds():
    began = time.monotonic()
    subprocess.run([sys.executable, "-m", "xenapic.verify"], capture_output=True, check=True)
    return time.monotonic() - began


def main(moments, signals):
    found = {"signals": {}}
    with xenapic.open() as xen:
        whole = whole_seconds()
        for name in signals:
            seen = []
            for moment in range(moments):
                status = ended(name, whole * (moment + 1) / (moments + 2))
                left = domains(xen)
                removed = orphans_destroyed() if left else []
                seen.append({"status": status, "left": left, "removed": removed, "then": domains(xen)})
            found["signals"][name] = seen
        recover = ["xenapic", "exits", "--recover"]
        found["recovered"] = subprocess.run(recover, capture_output=True, check=False).returncode
        found["traced"] = ended("SIGINT", 600)
        sys.path.insert(0, "/checkout")
        from tests.kernels import elf

        hangs = elf(0x100000, [(0x100000, b"\xf3\x90\xeb\xfc", 4096)])  # for ever: pause
        run.get_data = lambda _package, _resource: hangs
        try:
            run.run_probe(xen, DomainConfig.pvh(), ApicState.XAPIC, timeout=2.0)
        except ProbeFailed as error:
            found["hung"] = str(error)
        found["left"] = domains(xen)
    print(json.dumps(found))


main(int(sys.argv[1]), sys.argv[2:])

"""Runs in dom0: workloads, as commands. Prints one JSON object.

python3 dom0_workload.py NAME...
"""

import json
import subprocess
import sys

import xenapic

COMMAND = ("xenapic", "workload")
SMALL = ("--operations", "160", "--runs", "2")


def main(names):
    found = {}
    for name in names:
        done = subprocess.run([*COMMAND, name, *SMALL, "--json"], capture_output=True, text=True)
        found[name] = json.loads(done.stdout) if done.stdout else done.stderr
    shown = subprocess.run([*COMMAND, names[0], *SMALL], capture_output=True, text=True)
    with xenapic.open() as xen:
        left = [info.domid for info in xen.domains()]
    print(json.dumps({"found": found, "shown": shown.stdout + shown.stderr, "left": left}))


main(sys.argv[1:])

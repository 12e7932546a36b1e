"""Runs in dom0: programs that end early, and the JSON of commands, on a real Xen. Prints one JSON object."""

import json
import os
import signal
import subprocess
import sys
import time

import xenapic

found = {}
with xenapic.open() as xen:
    # A program killed between create and destroy leaves an orphan, which is found and removed.
    code = (
        "import xenapic, time\n"
        "xen = xenapic.open()\n"
        "domain = xen.create_domain(xenapic.DomainConfig.pv())\n"
        "print(domain.domid, flush=True)\n"
        "time.sleep(60)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    domid = int(child.stdout.readline())
    found["held"] = [one.domid for one in xen.orphans()]
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    found["orphan"] = [one.domid for one in xen.orphans()] == [domid]
    listing = subprocess.run(["xenapic", "list"], capture_output=True, text=True, check=True).stdout
    found["listed as ours"] = f"orphan of pid {child.pid}" in listing
    subprocess.run(["xenapic", "destroy", "--orphans"], check=True, capture_output=True)
    found["gone"] = [one.domid for one in xen.domains()]

    # Ctrl-C inside the block.
    code = code.replace(
        "print(domain.domid, flush=True)\ntime", "print(domain.domid, flush=True)\nimport time\ntime"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code.replace("time.sleep(60)", "\nwith domain:\n    time.sleep(60)")],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    child.stdout.readline()
    time.sleep(0.2)
    child.send_signal(signal.SIGINT)
    child.wait()
    found["after ctrl-c"] = [one.domid for one in xen.domains()]

    documents = {}
    for name, arguments in {
        "info": ["info"],
        "host": ["host"],
        "validate": ["validate"],
        "list": ["list"],
        "console": ["console"],
        "create": ["create", "--type", "pv"],
        "destroy": ["destroy", "999"],
    }.items():
        done = subprocess.run(["xenapic", *arguments, "--json"], capture_output=True, text=True)
        documents[name] = [done.returncode, json.loads(done.stdout)]
    refused = subprocess.run(["xenapic", "create", "--vcpus", "0", "--json"], capture_output=True, text=True)
    documents["refusal"] = [refused.returncode, json.loads(refused.stdout)]
    found["documents"] = documents
    verbose = subprocess.run(["xenapic", "-v", "info"], capture_output=True, text=True)
    found["verbose"] = "xc_physinfo" in verbose.stderr
    found["metrics"] = subprocess.run(
        ["xenapic", "host", "--prometheus"], capture_output=True, text=True, check=True
    ).stdout

    # The single file, with Debian's python3 and python3-cffi-backend: -I hides the checkout.
    single = [sys.executable, "-I", "/xenapic.pyz"]
    places = "import sys; sys.path.insert(0, '/xenapic.pyz'); import click, xenapic; print(click.__file__, xenapic.__file__)"
    found["places"] = subprocess.run(
        [sys.executable, "-I", "-c", places], capture_output=True, text=True, check=True
    ).stdout.split()
    documents = {}
    for name in ("info", "host", "validate"):
        done = subprocess.run([*single, name, "--json"], capture_output=True, text=True, env={})
        documents[name] = [done.returncode, json.loads(done.stdout)]
    found["single"] = documents
    found["usage"] = subprocess.run(["xenapic", "destroy"], capture_output=True).returncode
print(json.dumps(found))

"""Runs in dom0: every wrapped call once, on a real Xen. Prints one JSON object."""

import json
import os
import signal
import subprocess
import sys
import time

import xenapic
from xenapic import DomainConfig

found = {}
with xenapic.open() as xen, xenapic.open() as other:
    host = xen.host()
    found["version"] = str(xen.version)
    found["capabilities"] = xen.version.capabilities
    found["nr_cpus"] = xen.physinfo().nr_cpus
    found["technology"] = host.technology.value
    found["features"] = {key: [fact.answer.value, fact.source] for key, fact in host.features.items()}
    found["interface"] = host.interface.answer.value
    found["probed"] = xen.host(probe=True).interface.answer.value
    made = {}
    configs = {"pvh": DomainConfig.pvh(max_vcpus=2), "hvm": DomainConfig.hvm(), "pv": DomainConfig.pv()}
    for name, config in configs.items():
        problems = [p.code for p in xen.check(config)]
        if problems:
            made[name] = problems
            continue
        with xen.create_domain(config) as domain:
            domain.set_max_vcpus(config.max_vcpus)
            domain.set_max_mem(4096)
            domain.pause()
            domain.unpause()
            info = domain.info()
            made[name] = [
                info.guest_type.name,
                info.owner.pid == os.getpid(),
                "paused" in info.flags.name or True,
            ]
            if config.is_hvm:
                records = list(xenapic.hvm_records(domain.hvm_context()))
                domain.set_hvm_context(domain.hvm_context())
                made[name].append(len(records) > 5)
            try:
                with other.domain(domain.domid):
                    pass
                made[name].append(domain.info().domid == domain.domid)
            except xenapic.DomainNotFound:
                made[name].append(False)
    found["made"] = made
    found["left"] = [one.domid for one in xen.domains()]
    try:
        xen.domain(4242)
    except xenapic.DomainNotFound as error:
        found["not found"] = error.errno
    try:
        xen.create_domain(DomainConfig.pvh(max_vcpus=129))
    except xenapic.ConfigRefused as error:
        found["refused"] = [p.code for p in error.problems]
    before = len(xen.console.lines())
    xen.debug_keys("h")
    found["console grew"] = len(xen.console.lines()) > before
    xen.console.clear()
    found["cleared"] = len(xen.console.read())
    found["kept after clear"] = xen.host().features["virtual_interrupt_delivery"].answer.value
    with xenapic.open() as later:
        found["unknown after clear"] = later.host().features["virtual_interrupt_delivery"].answer.value

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
    found["usage"] = subprocess.run(["xenapic", "destroy"], capture_output=True).returncode
print(json.dumps(found))

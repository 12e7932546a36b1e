"""Runs in dom0: every wrapped call once, on a real Xen. Prints one JSON object."""

import json
import os

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
print(json.dumps(found))

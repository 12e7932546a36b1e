"""Runs in dom0: random create requests, each compared with what the checker says.

    python3 dom0_random.py SEED COUNT

Prints one JSON object: how many were sent, per outcome, and each disagreement in full.
A request that could fail late takes an Intel host down, and without hap a host of any vendor whose Xen has
shadow paging. On other hosts it only fails, and is sent.
"""

import json
import random
import sys
from dataclasses import asdict, replace

from xenapic.apic.features import Technology
from xenapic.errors import CallFailed
from xenapic.live.xen import Xen
from xenapic.model.conditions import LEAKS_NUMBERS, Situation, has_hap, is_hvm
from xenapic.model.config import CreateRequest
from xenapic.model.create import check_request
from xenapic.model.flags import PHYSCAP
from xenapic.model.rules import ARCH, SANITISE


def pick(rng, usual, *others, rare=0.15):
    return rng.choice(others) if rng.random() < rare else usual


def draw(rng, release):
    kind = rng.random()
    hvm = kind < 0.7
    flags = (3 if hvm else 0) ^ pick(rng, 0, 1, 2, 3, 4, 8, 0x10, 0x20, 0x40, 0x80, 0x100, 0x200, 0x43)
    emulation = (1 if kind < 0.4 else 0x3FF) if hvm else 0
    has = release.has_field
    return CreateRequest(
        flags=flags,
        iommu_opts=pick(rng, 0, 1, 2, rare=0.06),
        max_vcpus=pick(rng, rng.randint(1, 8), 0, 127, 128, 129, 8192, 8193, 0xFFFFFFFF),
        max_evtchn_port=pick(rng, 0xFFFFFFFF, 0, 1, 1023, 1 << 20),
        max_grant_frames=pick(rng, -1, 0, 1, 4, 63, 64, 65, 100, -2, -(1 << 31)),
        max_maptrack_frames=pick(rng, -1, 0, 1, 1023, 1024, 1025, 2000, -5),
        grant_opts=pick(rng, 1, 0, 2, 3, 15, 16, 17) if has("grant_opts") else 0,
        altp2m=pick(rng, 0, 1, 2, 3, 4, 7, rare=0.1) if has("altp2m") else 0,
        altp2m_nr=pick(rng, 0, 1, 10, 512, 513, rare=0.05) if has("altp2m_nr") else 0,
        vmtrace_size=pick(rng, 0, 1, 4096, 8192, 5000, 64 << 20, 128 << 20, rare=0.06),
        cpupool_id=pick(rng, 0, 1, 7, 0xFFFFFFFF, rare=0.06) if has("cpupool_id") else 0,
        emulation_flags=emulation ^ pick(rng, 0, 1, 2, 0x100, 0x200, 0x400, 0x800, 0x3FF, rare=0.12),
        misc_flags=pick(rng, 0, 1, 2, 4, 6, 8, 0x80000000),
        domid=pick(rng, 0, 100, 0x7FEF, rare=0.08),
    )


def spares_amd(request, host):
    """Return True if an AMD host survives a late refusal of the request."""
    return not is_hvm(request) or has_hap(request) or PHYSCAP.shadow not in host.physinfo.capabilities


def main(seed, count):
    rng = random.Random(seed)
    tally, disagreements, leaked = {}, [], set()
    with Xen() as xen:
        host = xen.host()
        amd = host.technology is Technology.SVM
        for _ in range(count):
            request = draw(rng, host.release)
            pool = None if request.cpupool_id else True
            there = Situation(
                replace(host, physinfo=xen.physinfo()),
                domid_in_use=request.domid in leaked,
                cpupool_exists=pool is not None,
            )
            checked = check_request(request, there)
            problems = checked.problems
            first = next((p for p in problems if p.errno is not None), None)
            deadly = any(p.late for p in problems) and not (amd and spares_amd(request, host))
            if any(p.errno is None for p in problems) or deadly:
                tally["kept back"] = tally.get("kept back", 0) + 1
                continue
            predicted = checked.errnos
            try:
                domain = xen.create_unchecked(request)
                got = 0
                domain.destroy()
            except CallFailed as error:
                got = error.errno
            name = first.code if first else "created"
            tally[name] = tally.get(name, 0) + 1
            if (
                request.domid
                and first
                and first.source in (SANITISE, ARCH)
                and host.release.number >= LEAKS_NUMBERS
            ):
                leaked.add(request.domid)
            if got not in predicted:
                disagreements.append(
                    {"request": asdict(request), "predicted": sorted(predicted), "got": got, "rule": name}
                )
        left = [one.domid for one in xen.domains() if one.domid]
    print(
        json.dumps(
            {
                "sent": sum(tally.values()) - tally.get("kept back", 0),
                "tally": tally,
                "disagreements": disagreements,
                "left": left,
            }
        )
    )


main(int(sys.argv[1]), int(sys.argv[2]))

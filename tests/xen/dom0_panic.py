"""Runs in dom0 of a machine that is expected to die: one late-failing create, sent around the checker.

    python3 dom0_panic.py

First shows that the checker refuses it, then sends it anyway.
"""

import sys

from xenapic import DomainConfig
from xenapic.live.xen import Xen
from xenapic.model.conditions import Situation
from xenapic.model.create import prepare_request

LATE = (
    DomainConfig.pvh(max_grant_frames=0),
    DomainConfig.pvh(grant_opts=0),
    DomainConfig.pvh(grant_opts=3),
    DomainConfig.pvh(cpupool_id=77),
)
with Xen() as xen:
    for config in LATE:
        problems = xen.check(config)
        assert problems and all(problem.late for problem in problems), config
        print("stopped", problems[0].code, flush=True)
    request = prepare_request(LATE[0], Situation(xen.host())).request
    xen.create_unchecked(request)
print("survived")
sys.exit(9)

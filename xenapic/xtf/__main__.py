"""Run tests of XTF in the lab's dom0: ``python3 -m xenapic.xtf JOB``, with a `Job` as JSON.

Prints a line of JSON when a test begins, and one when it has ended, so that a machine that goes down leaves
what came before. On a real host use ``xenapic xtf``.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import xenapic
from xenapic.errors import PolicyRefused
from xenapic.parse.codec import decode, encode
from xenapic.policy.read import from_file
from xenapic.signals import run
from xenapic.xtf.job import Event, Job
from xenapic.xtf.run import Settings, run_tests
from xenapic.xtf.tree import find_tests


def _say(event: Event) -> None:
    print(json.dumps(encode(event)), flush=True)


def main() -> None:
    """Run a job."""
    job: Job = decode(Job, _job())
    tests = {test.name: test for test in find_tests(job.tree)}
    policy = None if job.policy is None else from_file(job.policy).policy
    settings = Settings(job.timeout, job.memory_mib)
    with xenapic.open() as xen:
        for name in job.names:
            _say(Event(begun=name))
            try:
                (result,) = run_tests(xen, [tests[name]], policy, settings)
            except PolicyRefused as error:
                _say(Event(refused=str(error)))
                return
            _say(Event(result=result))


def _job() -> Any:
    return json.loads(sys.argv[1])


run(main)

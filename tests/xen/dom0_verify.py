"""Runs in dom0: inspect a domain in each state of its APIC, and a verification found out when the model is wrong.

Prints one JSON object.
"""

import json
import subprocess
from pathlib import Path

import xenapic
from xenapic import ApicState, DomainConfig, Policy
from xenapic.documents import to_json
from xenapic.live.vcpu import FLAT_REGISTERS, set_first_vcpu
from xenapic.model import acceleration
from xenapic.verify.check import Verdict
from xenapic.verify.checks import check_recording
from xenapic.verify.inspection import inspect
from xenapic.verify.record import Settings, record

CR0 = 0x11


def command(*arguments):
    done = subprocess.run(["xenapic", *arguments], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


def inspected(domid):
    status, out, err = command("inspect", str(domid), "--json")
    return {"status": status, **(json.loads(out) if out else {"error": err})}


def inspected_here(xen, domid):
    """As the command does it, without its start."""
    return {"status": 0, **to_json(inspect(xen, domid))}


def verified():
    """Run the command with all its reports; return its status, its JSON and the recording."""
    files = [f"/tmp/verify.{kind}" for kind in ("json", "xml", "html")]
    named = ["--record", files[0], "--junit", files[1], "--html", files[2]]
    status, out, err = command("verify", "--json", "--state", "x2apic", *named)
    sizes = [Path(path).stat().st_size for path in files]
    recording = Path(files[0]).read_text()
    return {
        "status": status,
        "document": json.loads(out),
        "said": err,
        "recording": recording,
        "sizes": sizes,
    }


def main():
    found = {}
    policy = Path("/tmp/policy.toml")
    policy.write_text('[apic]\ntpr_shadow = "prefer"\n')
    status, out, err = command("create", "--policy", str(policy))
    assert status == 0, err
    domid = int(out)
    with xenapic.open() as xen:
        domain = xen.domain(domid)
        found["remembered"] = domain.policy() == Policy(
            aspects={xenapic.Aspect.TPR_SHADOW: xenapic.Want.PREFER}
        )
        found["states"] = {}
        for state in ApicState:
            set_first_vcpu(domain, {**FLAT_REGISTERS, "cr0": CR0}, state)
            by_command = state is ApicState.X2APIC
            found["states"][state.value] = inspected(domid) if by_command else inspected_here(xen, domid)
        domain.destroy()
        wanted = ("plan", "--require", "virtualize_x2apic_mode")
        status, found["why"], _err = command(*wanted)
        found["plans"] = [status, command(*wanted, "--measure")[0]]
        found["verify"] = verified()
        settings = Settings(states=(ApicState.XAPIC,), pairs=False)
        recording = record(xen, settings)
        found["right"] = [check_recording(recording, "x").ok, check_recording(recording, "x").compared]
        acceleration.VAA, kept = 0, acceleration.VAA
        acceleration.vcpu_apic.cache_clear()
        wrong = check_recording(recording, "x").of(Verdict.DISAGREES)
        acceleration.VAA = kept
        acceleration.vcpu_apic.cache_clear()
        found["wrong"] = sorted({one.topic for one in wrong}) if wrong else []
        found["left"] = [one.domid for one in xen.domains() if one.domid]
        found["config"] = DomainConfig.pvh().is_hvm
    print(json.dumps(found))


main()

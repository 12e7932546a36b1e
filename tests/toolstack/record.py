"""Record what a real xl makes of configurations, and compare it with our derivation.

    python -m tests.toolstack.record FILE... [--xen 4.17] [--xen 4.20] [--mode stop|try|go]
    python -m tests.toolstack.record --random 100 --seed 1

Prints the records as a JSON list, in the form of ``tests/data/toolstack/requests.json.xz``; on stderr what differs
from `xenapic.derive_request`, and in Xen's answer from its rules. Exit status 1 if something does. In mode stop (the default) Xen is not asked; try asks it
and destroys the domain at once; go lets xl build the guest, which shows the request for its stub domain too. A
request that Xen may refuse late, which can crash it, is only recorded.
"""

from __future__ import annotations

import argparse
import json
import struct
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.toolstack import xlfiles
from tests.toolstack.randomfiles import random_cases
from tests.toolstack.records import Record, answer_differs, derive, differences
from xenapic import lab
from xenapic.apic.processors import processor
from xenapic.errors import ToolstackRefused, errno_name
from xenapic.lab.errors import XenPanicked
from xenapic.lab.xens import RELEASES
from xenapic.model.conditions import Situation
from xenapic.model.create import check_request
from xenapic.model.flags import PHYSCAP
from xenapic.model.named import named_host
from xenapic.model.releases import xen_release

LAYOUTS = Path(__file__).parents[1] / "data" / "abi"
REQUEST, ARCH, PHYSINFO = (
    "struct xen_domctl_createdomain",
    "struct xen_arch_domainconfig",
    "struct xen_sysctl_physinfo",
)
NOT_IN_RECORDS = ("handle", "arch")
FORMATS = {"uint32_t": "<I", "int32_t": "<i", "uint16_t": "<H", "uint8_t": "<B"}
SHIMS_DOING = ("domain creation fail: Function not implemented", "cannot make domain: -3")
LIMIT = 6 * 3600.0
"""Seconds of the emulator's own time for all cases."""
Case = dict[str, Any]


class Layout:
    """Where the fields of a release's request are, from the recorded layout."""

    def __init__(self, release: str) -> None:
        structs = json.loads((LAYOUTS / f"xen-{release}.json").read_text())["structs"]
        self.size: int = structs[REQUEST]["size"]
        self.capabilities_at: int = structs[PHYSINFO]["fields"]["capabilities"]["offset"]
        fields = structs[REQUEST]["fields"]
        arch = fields["arch"]["offset"]
        self._fields = {
            name: (f["offset"], f["type"]) for name, f in fields.items() if name not in NOT_IN_RECORDS
        }
        for name, f in structs[ARCH]["fields"].items():
            self._fields[f"arch.{name}"] = (arch + f["offset"], f["type"])

    def decode(self, request: bytes) -> dict[str, int]:
        """Return the fields of a request by libxenctrl's names."""
        return {
            name: struct.unpack_from(FORMATS[kind], request, offset)[0]
            for name, (offset, kind) in self._fields.items()
            if kind in FORMATS
        }


def record(cases: Sequence[Case], *, xen: str, machine: str = "epyc") -> Iterator[Record]:
    """Run the real xl on cases in dom0 of a Xen, and yield a record of each.

    A case has id and cfg, and may have xlconf, xl_args, capabilities and mode.
    """
    layout, home = Layout(xen), xlfiles.ensure(RELEASES[xen])
    rest = [{"xlconf": "", "xl_args": [], "capabilities": None, "mode": "stop", **case} for case in cases]
    while rest:
        lines, died = _in_dom0(rest, layout, home, xen, machine)
        host, *results = lines
        for case, result in zip(rest, results, strict=False):
            yield _as_record(case, result, host, layout, machine)
        done, rest = rest[: len(results)], rest[len(results) :]
        if died:
            # What killed Xen is recorded without asking it.
            (again,) = _in_dom0([{**rest[0], "mode": "stop"}], layout, home, xen, machine)[0][1:]
            yield {**_as_record(rest[0], again, host, layout, machine), "answer": "Xen died"}
            rest = rest[1:]
        elif rest and not done:
            sys.exit("dom0 recorded nothing")


def _in_dom0(
    cases: Sequence[Case], layout: Layout, home: Path, xen: str, machine: str
) -> tuple[list[dict[str, Any]], bool]:
    """Return the lines that dom0 printed, and whether Xen died on the way."""
    given = {"size": layout.size, "capabilities_at": layout.capabilities_at, "cases": cases}
    with tempfile.TemporaryDirectory() as name:
        place = Path(name) / "cases.json"
        place.write_text(json.dumps(given))
        try:
            done = lab.run(
                ["python3", "-m", "tests.toolstack.dom0", "/cases.json"],
                machine=machine,
                xen=xen,
                files={"/cases.json": place, xlfiles.HOME: home},
                timeout=LIMIT,
            )
        except XenPanicked as error:
            return _lines(error.stdout), True
    if done.status:
        sys.exit(f"recording failed with status {done.status}:\n{done.stderr.decode(errors='replace')}")
    return _lines(done.stdout), False


def _lines(printed: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in printed.splitlines() if line.endswith(b"}")]


def _as_record(
    case: Case, result: dict[str, Any], host: dict[str, Any], layout: Layout, machine: str
) -> Record:
    pretended = case["capabilities"] is not None
    capabilities = case["capabilities"] if pretended else host["capabilities"]
    made: Record = {
        "id": case["id"],
        "xen": host["xen"],
        "machine": machine,
        "physinfo": {
            "capabilities": capabilities,
            "names": [one.name for one in PHYSCAP if capabilities & one],
            "pretended": pretended,
        },
        "cfg": case["cfg"],
    }
    made.update({key: case[key] for key in ("xlconf", "xl_args") if case[key]})
    requests = [line.split() for line in result["lines"] if line.startswith("create ")]
    made["xl"] = "request" if requests else "refused by xl"
    made["xl_status"] = result["status"]
    if requests:
        made["request"], *more = [layout.decode(bytes.fromhex(words[1])) for words in requests]
        if more:
            made["more_requests"] = more
    if said := _message(result["said"]):
        made["message"] = said
    if requests and requests[0][2] != "-":
        number = int(requests[0][3])
        made["answer"] = number
        if number:
            made["answer_name"] = errno_name(number)
    return made


def _message(said: str) -> str:
    lines = (line for line in said.splitlines() if not line.startswith("Parsing config from"))
    return "\n".join(line for line in lines if line.strip() and not any(text in line for text in SHIMS_DOING))


def safe_mode(case: Case, xen: str, mode: str) -> str:
    """Return the mode for a case: stop if Xen might refuse its request late, which crashes some hosts."""
    if mode == "stop":
        return mode
    try:
        derived = derive({**case, "xen": xen})
    except ToolstackRefused:
        return mode
    request = replace(derived.request, ssidref=0)  # without Flask, Xen does not look at the label
    situation = Situation(named_host(processor("broadwell_ult"), xen_release(xen)))
    checked = check_request(request, situation)
    late = not checked.harmless or any(one.problem.late for one in checked.depends)
    return "stop" if late or request.cpupool_id else mode


def main() -> int:
    """Record, compare, print; return 1 if something differs."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").splitlines()[0], formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE", help="an xl.cfg")
    parser.add_argument("--xen", action="append", choices=list(RELEASES), help="default: each")
    parser.add_argument("--machine", default="epyc")
    parser.add_argument("--mode", choices=("stop", "try", "go"), default="stop")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="follows each file")
    parser.add_argument("--xl-conf", type=Path, help="lines for xl.conf")
    parser.add_argument("--capabilities", type=lambda text: int(text, 0), help="pretend this physinfo word")
    parser.add_argument("--random", type=int, default=0, help="record so many random files too")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=Path, help="write the records here instead of to stdout")
    arguments = parser.parse_args()
    cases = [*_given(arguments), *random_cases(arguments.random, arguments.seed)]
    if not cases:
        parser.error("give a FILE, or --random NUMBER")
    records, wrong = [], 0
    for xen in arguments.xen or RELEASES:
        ready = [{**case, "mode": safe_mode(case, xen, arguments.mode)} for case in cases]
        for made in record(ready, xen=xen, machine=arguments.machine):
            records.append(made)
            differing = [*differences(made), *answer_differs(made)]
            wrong += bool(differing)
            for line in differing:
                print(f"{made['id']} {made['xen']}: {line}", file=sys.stderr)
    text = json.dumps(records, indent=1) + "\n"
    if arguments.output:
        arguments.output.write_text(text)
    else:
        print(text, end="")
    print(f"{len(records)} records, {wrong} differ", file=sys.stderr)
    return int(bool(wrong))


def _given(arguments: argparse.Namespace) -> Iterator[Case]:
    for path in arguments.files:
        yield {
            "id": path.stem,
            "cfg": path.read_bytes().decode("latin-1"),
            "xlconf": arguments.xl_conf.read_text() if arguments.xl_conf else "",
            "xl_args": arguments.set,
            "capabilities": arguments.capabilities,
        }


if __name__ == "__main__":
    sys.exit(main())

"""A record of what xl did with a file, and how our derivation differs from it."""

from __future__ import annotations

import re
from dataclasses import replace
from errno import EINVAL
from typing import Any

from xenapic.apic.features import Technology
from xenapic.errors import ToolstackRefused
from xenapic.model.conditions import Situation
from xenapic.model.create import check_request
from xenapic.model.flags import PHYSCAP
from xenapic.model.host import Host, describe
from xenapic.model.named import blank_physinfo, version_of
from xenapic.parse.bootlog import BootLog
from xenapic.toolstack.request import DerivedRequest, derive_request, release_of, to_create_request

__all__ = ["POOLS", "Record", "answer_differs", "derive", "differences"]

WARNING = re.compile(r"warning: parameter|WARNING: |^If it fixes an issue you are having")
Record = dict[str, Any]
POOLS = {"Pool-0": 0, "second": 1}
"""The CPU pools of the dom0 that recorded; the second has no CPU."""
USUAL = 0x30B
CPUS, NODES = 1, 1
"""What the machines of the lab have."""
NO_ANSWER = -1
"""The status of a record whose xl did not end."""


def derive(record: Record) -> DerivedRequest:
    """Return what we say that xl sends for a record's file; raise `ToolstackRefused` like xl."""
    return derive_request(
        record["cfg"],
        xen=record["xen"],
        capabilities=record.get("physinfo", {}).get("capabilities", USUAL),
        xl_conf='autoballoon="off"\n' + record.get("xlconf", ""),
        pools=POOLS,
        extra=record.get("xl_args", ()),
        cpus=CPUS,
        nodes=NODES,
    )


def differences(record: Record) -> list[str]:
    """Return in what our answer differs from the record's, in words; empty when it is the same."""
    if record["xl_status"] == NO_ANSWER:
        return []
    refused = record["xl"] != "request"
    try:
        derived = derive(record)
    except ToolstackRefused as error:
        return _refusals(record, error) if refused else [f"refused here: {error.message!r}, sent by xl"]
    if refused:
        return [f"sent here, refused by xl with status {record['xl_status']}: {record.get('message', '')!r}"]
    wrong = _fields(derived.fields, record["request"])
    if "more_requests" in record and list(derived.more) != record["more_requests"]:
        wrong.append(f"further requests: {list(derived.more)} here, {record['more_requests']} by xl")
    return wrong


def _fields(ours: Any, theirs: dict[str, int]) -> list[str]:
    names = dict.fromkeys((*theirs, *ours))
    return [
        f"{name}: {ours.get(name)} here, {theirs.get(name)} by xl"
        for name in names
        if ours.get(name) != theirs.get(name)
    ]


def _refusals(record: Record, error: ToolstackRefused) -> list[str]:
    wrong, said = [], record.get("message", "")
    refusal = any(not WARNING.search(line) for line in said.splitlines())
    if error.status != record["xl_status"]:
        wrong.append(f"status: {error.status} here, {record['xl_status']} by xl")
    if error.message not in said or bool(error.message) != refusal:
        wrong.append(f"message: {error.message!r} here, {said!r} by xl")
    if ("libxl_create.c" in said or "libxl_x86.c" in said) != (error.tool == "libxl"):
        wrong.append(f"refused by {error.tool} here; by xl: {said!r}")
    return wrong


MAY_BE_OTHERWISE = {"nested-virt-missing", "grant-frames-caution"}
"""Rules that what the lab's machines do not say decides, or that are ours."""


def answer_differs(record: Record) -> list[str]:
    """Return in what Xen's recorded answer differs from the rules', in words; empty without an answer."""
    if not isinstance(record.get("answer"), int):
        return []
    request = replace(to_create_request(record["request"]), ssidref=0)  # without Flask, labels do not count
    answer = check_request(request, Situation(_host(record), cpupool_has_cpus=request.cpupool_id == 0))
    codes = {row.problem.code for row in answer.depends} | {row.code for row in answer.problems}
    if answer.errno == record["answer"] or codes & MAY_BE_OTHERWISE:
        return []
    return [f"Xen's answer: {answer.errno} here, {record['answer']} by Xen"]


def _host(record: Record) -> Host:
    """Return the lab's host of a record; capabilities that were pretended are not Xen's."""
    word = USUAL if record["physinfo"]["pretended"] else record["physinfo"]["capabilities"]
    technology = Technology.SVM if record["machine"] == "epyc" else Technology.VMX
    version = version_of(release_of(record["xen"]), record.get("xen_args", ""))
    return describe(version, blank_physinfo(technology, PHYSCAP(word)), BootLog(True, True, None), EINVAL)

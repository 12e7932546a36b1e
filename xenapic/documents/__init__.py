"""The JSON documents that xenapic writes and reads.

    text = json.dumps(documents.to_json(host))
    host = documents.from_json(text, Host)
    host = documents.from_file("host.json", Host)

Each document begins with its schema, ``xenapic/NAME/1``. Within a version, keys are only added, and readers
skip unknown keys. `schema_text` returns the JSON schema.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache, reduce
from importlib import import_module
from operator import or_
from typing import Any, TypeVar, overload

from xenapic.errors import DocumentInvalid
from xenapic.parse.codec import decode, encode
from xenapic.parse.files import file_name, read_file
from xenapic.parse.jsonforms import MISSING_KEY, shown, wrong
from xenapic.parse.jsontext import load

__all__ = ["DOCUMENTS", "document_type", "from_file", "from_json", "schema_text", "to_json"]

T = TypeVar("T")

VERSION = 1

DOCUMENTS: Mapping[str, tuple[str, ...]] = {
    "info": ("documents.xen_info:InfoReport",),
    "host": ("documents.host_report:HostReport",),
    "plan": ("documents.plans:PoolReport",),
    "host-plan": ("documents.plans:HostPlan",),
    "refusal": ("documents.plans:RefusalReport",),
    "find": ("documents.findings:Findings",),
    "access": ("documents.accesses:AccessTable", "documents.accesses:AccessDifferences"),
    "explain": ("documents.topics:Explanation",),
    "spec-check": ("documents.verifications:SpecCheck",),
    "inspect": ("documents.inspections:InspectionReport",),
    "validate": ("documents.validations:Validation",),
    "verify": ("documents.verifications:Verification",),
    "lab-verify": ("documents.verifications:LabVerification",),
    "list": ("documents.domains:DomainList",),
    "create": ("documents.creations:CreateReport",),
    "destroy": ("documents.domains:DestroyReport",),
    "lab-compare": ("documents.lab_comparisons:LabComparison",),
    "layout": ("documents.layouts:LayoutCheck",),
    "console": ("documents.console_lines:ConsoleLines",),
    "exits": ("documents.exit_counts:ExitCounts",),
    "recording": ("verify.recording:Recording",),
    "probe": ("documents.probe_findings:ProbeReport",),
    "machines": ("documents.lab_machines:MachineList",),
    "guest": ("documents.guest_side:GuestView",),
    "xtf": ("xtf.results:XtfReport",),
    "abi-diff": ("documents.abi_differences:AbiDiff",),
    "error": ("documents.failures:ErrorReport",),
}
"""Every document by name, with its class; ``access`` has one class for a table and one for a comparison."""

WRITTEN_AS: Mapping[str, str] = {
    "xenapic.model.host:Host": "host",
    "xenapic.policy.plan:Plan": "host-plan",
    "xenapic.policy.plan:Refusal": "refusal",
    "xenapic.policy.pool:PoolPlan": "plan",
    "xenapic.verify.inspection:Inspection": "inspect",
    "xenapic.exits.report:ExitReport": "exits",
    "xenapic.probe.findings:Findings": "probe",
}
"""The library's values that have a document of their own."""


def to_json(value: object) -> dict[str, Any]:
    """Return the JSON document of a value, for `json.dumps`.

    The value is one of the library's (`Host`, `Plan`, `Refusal`, `PoolPlan`, `Inspection`, `ExitReport`,
    `Findings`, `Recording`) or a document of this package. Raises TypeError for anything else.
    """
    kind = type(value)
    name = WRITTEN_AS.get(f"{kind.__module__}:{kind.__qualname__}")
    if name is not None:
        return encode(document_type(name).of(value))
    if not hasattr(kind, "SCHEMA"):
        raise TypeError(f"no JSON document for a {kind.__name__}")
    return encode(value)


@overload
def from_json(source: str | bytes | Mapping[str, Any]) -> Any: ...
@overload
def from_json(source: str | bytes | Mapping[str, Any], kind: type[T]) -> T: ...
def from_json(source: str | bytes | Mapping[str, Any], kind: type[T] | None = None) -> Any:
    """Read a JSON document from its text, or from the value that `json.loads` made of the text.

    Returns the library's value if the document holds all of it (`Host`, `Plan`, `Refusal`, `PoolPlan`,
    `ExitReport`, `Findings`, `Recording`), otherwise the document itself. ``kind`` is the expected type.
    Raises `DocumentInvalid`, which names the place in the document.
    """
    data = load(source) if isinstance(source, (str, bytes)) else source
    document: Any = decode(document_type(_name(data)), data)
    value = document.value() if hasattr(document, "value") else document
    if kind is not None and not isinstance(value, kind):
        raise DocumentInvalid(f"expected a document of a {kind.__name__}, got {document.SCHEMA}", "schema")
    return value


@overload
def from_file(path: str | os.PathLike[str]) -> Any: ...
@overload
def from_file(path: str | os.PathLike[str], kind: type[T]) -> T: ...
def from_file(path: str | os.PathLike[str], kind: type[T] | None = None) -> Any:
    """Read a JSON document from a file, like `from_json`.

    Raises `FileUnreadable`, and `DocumentInvalid`, which names the file and the place in the document.
    """
    try:
        return from_json(read_file(path), *([] if kind is None else [kind]))
    except DocumentInvalid as error:
        raise error.in_file(file_name(path)) from None


def _name(data: object) -> str:
    """Return the name of a document's schema."""
    if not isinstance(data, Mapping):
        raise wrong("an object", data)
    if "schema" not in data:
        raise DocumentInvalid(MISSING_KEY, "schema")
    schema = data["schema"]
    for name in DOCUMENTS:
        if schema == f"xenapic/{name}/{VERSION}":
            return name
    known = f"this version of xenapic reads xenapic/NAME/{VERSION}, with NAME one of {', '.join(DOCUMENTS)}"
    raise DocumentInvalid(f"unknown schema {shown(schema)}; {known}", "schema")


@cache
def document_type(name: str) -> Any:
    """Return the class of a document, or the union of its classes; raise KeyError for an unknown name."""
    kinds = []
    for home in DOCUMENTS[name]:
        module, _, qualified = home.partition(":")
        kinds.append(getattr(import_module(f"xenapic.{module}"), qualified))
    return reduce(or_, kinds)


def schema_text(name: str) -> str:
    """Return the text of a document's JSON schema; raise KeyError for an unknown name."""
    from importlib.resources import files

    if name not in DOCUMENTS:
        raise KeyError(name)
    return files("xenapic.documents").joinpath(f"schemas/{name}.json").read_text()

"""The JSON documents that xenapic writes and reads.

    text = json.dumps(documents.to_json(host))
    host = documents.from_json(text, Host)

Each document begins with its schema, ``xenapic/NAME/1``. Within a version keys are only added, and readers
skip keys that they do not know. `schema_text` returns the JSON schema.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, reduce
from importlib import import_module
from operator import or_
from typing import Any, TypeVar, overload

from xenapic.errors import DocumentInvalid
from xenapic.parse.codec import decode, encode, load

__all__ = ["DOCUMENTS", "document_type", "from_json", "schema_text", "to_json"]

T = TypeVar("T")

VERSION = 1

DOCUMENTS: Mapping[str, tuple[str, ...]] = {
    "info": ("documents.xen_info:InfoReport",),
    "host": ("documents.host_report:HostReport",),
    "plan": ("documents.plans:PoolReport",),
    "host-plan": ("documents.plans:HostPlan",),
    "refusal": ("documents.plans:RefusalReport",),
    "access": ("documents.accesses:AccessTable", "documents.accesses:AccessDifferences"),
    "explain": ("documents.topics:Explanation",),
    "spec-check": ("documents.verifications:SpecCheck",),
    "inspect": ("documents.inspections:InspectionReport",),
    "verify": ("documents.verifications:Verification",),
    "lab-verify": ("documents.verifications:LabVerification",),
    "list": ("documents.domains:DomainList",),
    "create": ("documents.domains:CreateReport",),
    "destroy": ("documents.domains:DestroyReport",),
    "console": ("documents.console_lines:ConsoleLines",),
    "exits": ("documents.exit_counts:ExitCounts",),
    "machines": ("documents.lab_machines:MachineList",),
}
"""Every document by name, and its class; ``access`` has one for a table and one for a comparison."""

WRITTEN_AS: Mapping[str, str] = {
    "xenapic.model.host:Host": "host",
    "xenapic.policy.plan:Plan": "host-plan",
    "xenapic.policy.plan:Refusal": "refusal",
    "xenapic.policy.pool:PoolPlan": "plan",
    "xenapic.verify.inspection:Inspection": "inspect",
    "xenapic.exits.counter:ExitReport": "exits",
}
"""The library's values that are a document by themselves."""


def to_json(value: object) -> dict[str, Any]:
    """Return the JSON document of a value, for `json.dumps`.

    The value is one of the library's (`Host`, `Plan`, `Refusal`, `PoolPlan`, `Inspection`, `ExitReport`,
    `Recording`) or a document of this package. Raises TypeError for anything else.
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
    """Read a JSON document: its text, or what `json.loads` made of it.

    Returns the library's value where the document holds all of it (`Host`, `Plan`, `Refusal`, `PoolPlan`,
    `ExitReport`, `Recording`), otherwise the document itself. ``kind`` is the type that is expected. Raises
    `DocumentInvalid`, which names the place in the document.
    """
    data = load(source) if isinstance(source, (str, bytes)) else source
    document: Any = decode(document_type(_name(data)), data)
    value = document.value() if hasattr(document, "value") else document
    if kind is not None and not isinstance(value, kind):
        raise DocumentInvalid(f"expected a document of a {kind.__name__}, got {document.SCHEMA}", "schema")
    return value


def _name(data: object) -> str:
    """Return the name of a document's schema."""
    if not isinstance(data, Mapping):
        raise DocumentInvalid("a document is an object")
    schema = data.get("schema")
    for name in DOCUMENTS:
        if schema == f"xenapic/{name}/{VERSION}":
            return name
    if schema is None:
        raise DocumentInvalid("the key is missing", "schema")
    raise DocumentInvalid(f"unknown schema {schema!r}; this version reads {', '.join(DOCUMENTS)}", "schema")


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

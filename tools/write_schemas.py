"""Write ``xenapic/documents/schemas/*.json`` from the classes of the documents.

pydantic reads the classes. Where `xenapic.parse.codec` differs, this tool adds it: a document names its
schema, a flag word is an object, a `Hex` number is text, an `Unsigned` one has limits.
"""

from __future__ import annotations

import json
import sys
from enum import Enum, IntFlag
from inspect import cleandoc
from pathlib import Path
from typing import Any, get_args

from pydantic import ConfigDict, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

ROOT = Path(__file__).parent.parent
SCHEMAS = ROOT / "xenapic" / "documents" / "schemas"
DIALECT = "https://json-schema.org/draft/2020-12/schema"

FLAG_WORD = {
    "type": "object",
    "required": ["value", "names"],
    "properties": {
        "value": {"type": "integer", "minimum": 0},
        "names": {
            "type": "array",
            "items": {"type": "string"},
            "description": "Names of the bits that are set; bits without a name are one hexadecimal number.",
        },
    },
}


class _Generator(GenerateJsonSchema):
    def enum_schema(self, schema: Any) -> dict[str, Any]:
        """Return the values of an enum, or the object that stands for a flag word."""
        kind: type[Enum] = schema["cls"]
        form = FLAG_WORD if issubclass(kind, IntFlag) else {"enum": [member.value for member in kind]}
        return {"description": _summary(kind), **form}

    def dataclass_schema(self, schema: Any) -> dict[str, Any]:
        """Return the schema of a dataclass; a document begins with its own schema's name."""
        made = super().dataclass_schema(schema)
        made["description"] = _summary(schema["cls"])
        name = getattr(schema["cls"], "SCHEMA", None)
        if name is not None:
            made["properties"] = {"schema": {"const": name}, **made["properties"]}
            made["required"] = ["schema", *made.get("required", ())]
        return made


def _summary(kind: type) -> str:
    return " ".join(cleandoc(kind.__doc__ or "").partition("\n\n")[0].split())


def document_schema(name: str) -> dict[str, Any]:
    """Return the JSON schema of a document."""
    from xenapic.documents import VERSION, document_type
    from xenapic.parse.jsonforms import Hex, Unsigned

    for metadata in (Hex, Unsigned):
        metadata.__get_pydantic_json_schema__ = lambda form, _core, _handler: form.schema  # type: ignore[attr-defined]
    kind = document_type(name)
    for one in get_args(kind) or (kind,):
        one.__pydantic_config__ = ConfigDict(use_attribute_docstrings=True)
    made = TypeAdapter(kind).json_schema(schema_generator=_Generator)
    definitions = made.pop("$defs", {})
    head = {
        "$schema": DIALECT,
        "$id": f"urn:xenapic:document:{name}:{VERSION}",
        "title": f"xenapic/{name}/{VERSION}",
    }
    tail = {"$defs": _without_titles(definitions)} if definitions else {}
    return {**head, **_without_titles(made), **tail}


def _without_titles(part: Any) -> Any:
    """Drop the titles that pydantic makes of names; a property named title is kept."""
    if isinstance(part, list):
        return [_without_titles(one) for one in part]
    if not isinstance(part, dict):
        return part
    return {
        key: _without_titles(one)
        for key, one in part.items()
        if not (key == "title" and isinstance(one, str))
    }


def text(name: str) -> str:
    """Return the text of a document's schema file."""
    return json.dumps(document_schema(name), indent=2) + "\n"


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    from xenapic.documents import DOCUMENTS

    SCHEMAS.mkdir(exist_ok=True)
    for old in SCHEMAS.glob("*.json"):
        old.unlink()
    for document in DOCUMENTS:
        (SCHEMAS / f"{document}.json").write_text(text(document))

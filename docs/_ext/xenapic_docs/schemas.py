"""Write the keys of every JSON document, from the shipped schemas."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from xenapic.documents import DOCUMENTS, schema_text
from xenapic_docs.markdown import slug, table

Schema = Mapping[str, Any]


@lru_cache
def schemas() -> dict[str, Schema]:
    """Return the JSON schema of every document, by the document's name."""
    return {name: json.loads(schema_text(name)) for name in DOCUMENTS}


@lru_cache
def entries() -> dict[str, Schema]:
    """Return every part that a schema defines by name; raise ValueError if two schemas differ about one."""
    found: dict[str, Schema] = {}
    for schema in schemas().values():
        for name, part in schema.get("$defs", {}).items():
            if found.setdefault(name, part) != part:
                raise ValueError(f"two schemas define {name} differently")
    return found


def document_keys() -> str:
    """Return each document's keys, then each part that they use."""
    parts = [_document(schema) for schema in schemas().values()]
    parts.append("## Parts\n")
    parts += [_part(name, part) for name, part in sorted(entries().items())]
    return "\n".join(parts)


def _document(schema: Schema) -> str:
    title = f"## `{schema['title']}`\n"
    forms = schema.get("anyOf", [schema])
    return "\n".join([title, *(_described(_resolved(form)) for form in forms)])


def _part(name: str, part: Schema) -> str:
    return f"({slug('part', name)})=\n**{name}**\n\n{_described(part)}"


def _described(part: Schema) -> str:
    lines = [f"{_text(part)}\n"] if part.get("description") else []
    if "properties" in part:
        lines.append(_keys(part))
    else:
        lines.append(f"{kind(part).capitalize()}.\n")
    return "\n".join(lines)


def _resolved(part: Schema) -> Schema:
    return entries()[part["$ref"].rpartition("/")[2]] if "$ref" in part else part


def _keys(part: Schema) -> str:
    required = part.get("required", ())
    return table(
        ("key", "value", "meaning"),
        [
            (f"`{name}`" if name in required else f"`{name}` (optional)", kind(value), _text(value))
            for name, value in part["properties"].items()
        ],
    )


def _text(part: Schema) -> str:
    """Return the description as Markdown: names in single or double backticks are code."""
    return re.sub(r"`+([^`]+)`+", r"`\1`", part.get("description", ""))


def kind(value: Schema) -> str:
    """Return in words which values a schema allows."""
    if "$ref" in value:
        name = value["$ref"].rpartition("/")[2]
        return f"[{name}](#{slug('part', name)})"
    if "anyOf" in value:
        return " or ".join(dict.fromkeys(kind(form) for form in value["anyOf"]))
    if "const" in value:
        return f"`{json.dumps(value['const'])}`"
    if "enum" in value:
        return " or ".join(f"`{json.dumps(one)}`" for one in value["enum"])
    return "".join(_plain(value)) or "any value"


def _plain(value: Schema) -> Iterator[str]:
    name = value.get("type", "")
    if name == "array":
        yield f"list of {kind(value['items'])}" if "items" in value else "list"
    elif name == "object":
        inner = value.get("additionalProperties")
        yield f"object: name to {kind(inner)}" if inner and inner is not True else "object"
    elif name == "string" and "format" in value:
        yield f"string ({value['format']})"
    else:
        yield name

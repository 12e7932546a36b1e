"""Write the tables of what xl and libxl make of a configuration."""

from __future__ import annotations

from xenapic.model.releases import XEN_RELEASES
from xenapic.toolstack.keys import ASSISTED, KEYS, OTHERS, Key
from xenapic.toolstack.libvirt import PATHS
from xenapic.toolstack.refusals import REFUSALS
from xenapic_docs.markdown import sentence, table

OLDEST = XEN_RELEASES[0].number


def keys_with_fields() -> str:
    """Return the keys that decide the request."""
    return table(
        ("key", "field", "meaning"),
        [(f"`{row.name}`", _fields(row.field), _meaning(row)) for row in (*KEYS, *ASSISTED) if row.field],
    )


def keys_that_are_checked() -> str:
    """Return the keys that can only be refused."""
    return table(("key", "rule"), [(f"`{row.name}`", _meaning(row)) for row in KEYS if not row.field])


def _meaning(row: Key) -> str:
    return sentence(row.text) + _since(row.since)


def _since(since: tuple[int, int]) -> str:
    return "" if since == OLDEST else " (since {}.{})".format(*since)


def other_keys() -> str:
    """Return the keys that xl knows and that are not looked at."""
    return ", ".join(f"`{name}`{_since(since)}" for name, since in sorted(OTHERS.items())) + ".\n"


def libvirt_paths() -> str:
    """Return what is looked at in a libvirt domain XML."""
    return table(
        ("in the XML", "field", "meaning"),
        [(f"`{path}`", _fields(fields), sentence(text)) for path, (fields, text) in PATHS.items()],
    )


def _fields(fields: str) -> str:
    return ", ".join(f"`{field}`" for field in fields.split(", ") if field)


def refusals() -> str:
    """Return libxl's refusals, in its order."""
    return table(
        ("message", "reason", "keys", "exit status", "releases"),
        [
            (
                f"`{row.message.replace('{}', '…')}`" if row.message != "{}" else "*(names the card)*",
                sentence(row.because),
                ", ".join(f"`{key}`" for key in row.keys) or "*(the host)*",
                str(row.status),
                _span(row.since, row.until, row.needs_interface),
            )
            for row in REFUSALS
        ],
    )


def _span(since: tuple[int, int], until: tuple[int, int], development: bool) -> str:
    if development:
        return "4.17-rc"
    names = [row.name for row in XEN_RELEASES if since <= row.number < until]
    return "all" if len(names) == len(XEN_RELEASES) else f"{names[0]} to {names[-1]}"

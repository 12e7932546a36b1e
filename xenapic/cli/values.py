"""Turn the text of ``create --set`` into the fields of a config."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntFlag
from typing import Any
from uuid import UUID

import click

from xenapic.model.config import FIELDS, DomainConfig
from xenapic.model.create import ASSISTED_FLAGS
from xenapic.model.flags import ALTP2M, CDF, EMU, IOMMU, MISC

__all__ = ["PRESETS", "assignment", "config_fields", "set_fields"]

PRESETS = {"pvh": DomainConfig.pvh, "hvm": DomainConfig.hvm, "pv": DomainConfig.pv}
FLAGS: dict[str, type[IntFlag]] = {
    "flags": CDF,
    "emulation_flags": EMU,
    "misc_flags": MISC,
    "iommu_opts": IOMMU,
}


def assignment(_ctx: object, _param: object, texts: tuple[str, ...]) -> dict[str, object]:
    """Parse ``FIELD=VALUE`` options; a callback for click."""
    fields: dict[str, object] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise click.BadParameter(f"{text!r} is not FIELD=VALUE")
        fields[name] = _value(name, value)
    return fields


def set_fields(preset: str, fields: dict[str, object]) -> DomainConfig:
    """Return a preset's config with some fields changed; flags given with ``+`` are added to the preset's."""
    config = PRESETS[preset]()
    for name, value in fields.items():
        if isinstance(value, tuple):
            fields[name] = getattr(config, name) | value[0]
    values: dict[str, Any] = fields  # by name, as typed
    return config.replace(**values)


def config_fields(fields: Mapping[str, int]) -> dict[str, object]:
    """Return the fields of a toolstack's request, by libxenctrl's names, for a config of ours.

    The security label is left out, which xenapic does not give a domain, and so are the assisted flags,
    which the policy chooses.
    """
    from xenapic.toolstack.request import NAMES

    numbers: dict[str, object] = {
        NAMES.get(name, name): value for name, value in fields.items() if name != "ssidref"
    }
    return {**numbers, "misc_flags": MISC(fields["arch.misc_flags"] & ~ASSISTED_FLAGS)}


def _value(name: str, text: str) -> object:
    if name == "handle":
        try:
            return UUID(text)
        except ValueError as error:
            raise click.BadParameter(f"handle is a UUID, not {text!r}") from error
    if name not in FIELDS:
        raise click.BadParameter(f"unknown field {name!r}; known are {', '.join([*FIELDS, 'handle'])}")
    if name in FLAGS:
        return _flags(FLAGS[name], text)
    if name == "altp2m" and text in ALTP2M.__members__:
        return ALTP2M[text]
    return _number(name, text)


def _flags(kind: type[IntFlag], text: str) -> IntFlag | tuple[IntFlag]:
    added = text.startswith("+")
    word = kind(0)
    for part in filter(None, text.lstrip("+").replace("|", ",").split(",")):
        word |= kind[part] if part in kind.__members__ else kind(_number(kind.__name__, part))
    return (word,) if added else word


def _number(name: str, text: str) -> int:
    try:
        return int(text, 0)
    except ValueError as error:
        raise click.BadParameter(f"{name}: {text!r} is neither a number nor a known name") from error

"""Read a policy from TOML or from an xl.cfg.

TOML has one table, ``[apic]``::

    [apic]
    virtual_interrupt_delivery = "require"   # any aspect: require, forbid, prefer, host default
    effects = ["x2apic-reads-stay"]
    assisted_xapic = true                    # as in xl.cfg of 4.17-rc
    guest_x2apic = true                      # false: the toolstack hides x2APIC from the guest
    accept = []                              # codes of defects to run into on purpose
    guest_type = "pvh"
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar

from xenapic.errors import PolicyInvalid
from xenapic.model.gnttab import strtoul
from xenapic.model.guest_types import GuestType
from xenapic.parse.domainxml import looks_like_xml, read_domain_xml
from xenapic.parse.xlcfg import XlValue, parse_xl_cfg
from xenapic.policy.terms import Aspect, Policy, Want

__all__ = ["from_file", "from_mapping", "from_toml", "from_xl_cfg", "to_mapping"]

OTHER_KEYS = ("effects", "assisted_xapic", "assisted_x2apic", "guest_x2apic", "accept", "guest_type")


def from_file(path: Path) -> tuple[Policy, GuestType | None]:
    """Read a policy from a file: TOML by its ending ``.toml``, else an xl.cfg.

    Returns the guest type too, None where the file names none. Raises `PolicyInvalid`, and
    OSError when the file cannot be read.
    """
    text = path.read_text()
    try:
        if looks_like_xml(text):
            return from_libvirt(text)
        return from_toml(text) if path.suffix == ".toml" else from_xl_cfg(text)
    except PolicyInvalid as error:
        raise PolicyInvalid(f"{path}: {error}") from None


def from_toml(text: str) -> tuple[Policy, GuestType | None]:
    """Read a policy from TOML; raise `PolicyInvalid`."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise PolicyInvalid(f"not TOML: {error}") from None
    if set(document) != {"apic"} or not isinstance(document["apic"], dict):
        raise PolicyInvalid("a policy has one table, [apic], and nothing beside it")
    return from_mapping(document["apic"])


def from_mapping(table: Mapping[str, Any]) -> tuple[Policy, GuestType | None]:
    """Read a policy from a mapping with the keys of TOML's ``[apic]``; raise `PolicyInvalid`."""
    names = {aspect.value: aspect for aspect in Aspect}
    for key in table:
        if key not in names and key not in OTHER_KEYS:
            raise PolicyInvalid(f"no such key: {key!r}; there are {', '.join([*names, *OTHER_KEYS])}")
    policy = Policy(
        aspects={names[key]: _one_of(Want, key, value) for key, value in table.items() if key in names},
        effects=_texts(table, "effects"),
        assisted_xapic=_choice(table, "assisted_xapic"),
        assisted_x2apic=_choice(table, "assisted_x2apic"),
        guest_x2apic=table.get("guest_x2apic", True),
        accept=frozenset(_texts(table, "accept")),
    )
    kind = table.get("guest_type")
    return policy, None if kind is None else _one_of(GuestType, "guest_type", kind)


def to_mapping(policy: Policy) -> dict[str, Any]:
    """Return the mapping that `from_mapping` reads back into the same policy."""
    table: dict[str, Any] = {aspect.value: want.value for aspect, want in policy.aspects.items()}
    table["effects"] = list(policy.effects)
    table["guest_x2apic"] = policy.guest_x2apic
    table["accept"] = sorted(policy.accept)
    for name in ("assisted_xapic", "assisted_x2apic"):
        if getattr(policy, name) is not None:
            table[name] = getattr(policy, name)
    return table


E = TypeVar("E", bound=Enum)


def _one_of(kind: type[E], key: str, value: object) -> E:
    for one in kind:
        if value == one.value:
            return one
    raise PolicyInvalid(f"{key} is one of {', '.join(one.value for one in kind)}, not {value!r}")


def _texts(table: Mapping[str, Any], key: str) -> tuple[str, ...]:
    value = table.get(key, [])
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise PolicyInvalid(f"{key} is a list of names, not {value!r}")
    return tuple(value)


def _choice(table: Mapping[str, Any], key: str) -> bool | None:
    value = table.get(key)
    if value is None or value == "default":
        return None
    if not isinstance(value, bool):
        raise PolicyInvalid(f'{key} is true, false or "default", not {value!r}')
    return value


# -- xl.cfg --------------------------------------------------------------------------------------


def from_xl_cfg(text: str) -> tuple[Policy, GuestType | None]:
    """Take a policy out of an xl.cfg: assisted flags, ``cpuid=`` and ``type=``; raise `PolicyInvalid`.

    As xl of 4.17-rc read it: any number but 0 is true, and for a PV guest the flags are not looked at.
    """
    config = parse_xl_cfg(text)
    guest_type = _xl_type(config)
    looked_at = {} if guest_type is GuestType.PV else config
    policy = Policy(
        assisted_xapic=_xl_flag(looked_at, "assisted_xapic"),
        assisted_x2apic=_xl_flag(looked_at, "assisted_x2apic"),
        guest_x2apic=not _hides_x2apic(config.get("cpuid")),
    )
    return policy, guest_type


def from_libvirt(text: str) -> tuple[Policy, GuestType | None]:
    """Take a policy out of a libvirt domain XML: whether x2APIC is hidden, and the type."""
    root = read_domain_xml(text)
    hidden = any(
        feature.get("name") == "x2apic" and feature.get("policy") in ("disable", "forbid")
        for feature in root.iterfind("cpu[@mode='host-passthrough']/feature")
    )
    kind = LIBVIRT_TYPES.get((root.findtext("os/type") or "xen").strip())
    return Policy(guest_x2apic=not hidden), kind


LIBVIRT_TYPES = {"hvm": GuestType.HVM, "xenpvh": GuestType.PVH, "xen": GuestType.PV, "linux": GuestType.PV}


def _xl_type(config: Mapping[str, XlValue]) -> GuestType:
    """As xl has it: ``type=``, else ``builder=``, else PV."""
    kind = config.get("type")
    if kind is None:
        return GuestType.HVM if config.get("builder") == "hvm" else GuestType.PV
    for one in GuestType:
        if kind == one.value:
            return one
    raise PolicyInvalid(f'type is "pv", "pvh" or "hvm", not {kind!r}')


def _xl_flag(config: Mapping[str, XlValue], name: str) -> bool | None:
    value = config.get(name)
    if value is None:
        return None
    number = strtoul(value) if isinstance(value, str) and value else None
    if number is None:
        raise PolicyInvalid(f"{name} is a number (0 or 1), not {value!r}")
    return number != 0


def _hides_x2apic(cpuid: XlValue | None) -> bool:
    """Tell whether ``cpuid=`` takes x2APIC away: libxl's short form, or bit 21 of leaf 1 ECX."""
    if isinstance(cpuid, str):
        settings = dict(part.partition("=")[::2] for part in cpuid.split(","))
        return settings.get("x2apic") == "0"
    for item in cpuid or ():
        leaf, _, registers = str(item).partition(":")
        if leaf.strip() not in ("1", "0x1"):
            continue
        bits = dict(part.partition("=")[::2] for part in registers.split(","))
        word = bits.get("ecx", "")
        if len(word) == 32 and word[31 - X2APIC_BIT] == "0":
            return True
    return False


X2APIC_BIT = 21

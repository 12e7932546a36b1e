"""A policy in an xl.cfg: what the file says about the guest's APIC, read as xl reads it.

Source: ``tools/xl/xl_parse.c`` and ``tools/libs/light/libxl_cpuid.c``, 4.15 to 4.22; the assisted settings as
4.17-rc reads them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from xenapic.errors import PolicyInvalid
from xenapic.model.guest_types import GuestType
from xenapic.parse.xlcfg import XlSetting, XlValue, c_number, read_xl_cfg
from xenapic.policy.mapping import ReadPolicy
from xenapic.policy.terms import ASSISTED, Policy

__all__ = ["from_xl_cfg"]

Settings = Mapping[str, XlSetting]


def from_xl_cfg(text: str) -> ReadPolicy:
    """Read a policy from an xl.cfg: its type, the assisted settings and ``cpuid=``.

    Raises `PolicyInvalid`, with the line, for what xl refuses: a syntax error, no name, a wrong type.
    The notes say what xl would decide or ignore.
    """
    settings = read_xl_cfg(text)
    notes: list[str] = []
    if _text(settings, "name", notes) is None:
        raise PolicyInvalid("the file sets no name, so it is not a domain that xl would create. " + HOW)
    guest_type = _type(settings, notes)
    flags = {} if guest_type is GuestType.PV else {name: _flag(settings, name, notes) for name, _ in ASSISTED}
    if guest_type is GuestType.PV:
        ignored = [name for name, _aspect in ASSISTED if name in settings]
        notes += [f"xl ignores {name} for a PV guest" for name in ignored]
    policy = Policy(
        assisted_xapic=flags.get("assisted_xapic"),
        assisted_x2apic=flags.get("assisted_x2apic"),
        guest_x2apic=not _hides_x2apic(settings, notes),
    )
    return ReadPolicy(policy, guest_type, tuple(notes))


HOW = 'An xl.cfg needs name = "…"; a policy in TOML begins with [apic].'


def _text(settings: Settings, name: str, notes: list[str]) -> str | None:
    """Return a setting's text; None when it is not set, and for a list, which xl ignores."""
    setting = settings.get(name)
    if setting is None:
        return None
    if isinstance(setting.value, list):
        notes.append(f"line {setting.line}: {name} is a list, so xl ignores it")
        return None
    return setting.value


# -- the type ----------------------------------------------------------------------------------------

TYPES = {"hvm": GuestType.HVM, "pv": GuestType.PV, "pvh": GuestType.PVH}
"""In xl's order, because xl accepts the beginning of a name: ``"p"`` is PV."""
BUILDERS = {"hvm": GuestType.HVM, "generic": GuestType.PV}


def _type(settings: Settings, notes: list[str]) -> GuestType:
    named = _beginning(settings, "type", TYPES, notes)
    built = _beginning(settings, "builder", BUILDERS, notes)
    if named and built and named is not built:
        line = settings["builder"].line
        contradiction = f"builder says {built.value}, type says {named.value}"
        raise PolicyInvalid(f"line {line}: {contradiction}; xl refuses the file")
    if not named and not built:
        notes.append("no type is set, so this is a PV guest, as in xl")
    return named or built or GuestType.PV


def _beginning(
    settings: Settings, name: str, known: Mapping[str, GuestType], notes: list[str]
) -> GuestType | None:
    text = _text(settings, name, notes)
    if text is None:
        return None
    for full, kind in known.items():
        if full.startswith(text):
            return kind
    line = settings[name].line
    raise PolicyInvalid(f"line {line}: {name} is {', '.join(known)}, not {text!r}; xl refuses the file")


# -- the assisted settings -----------------------------------------------------------------------------


def _flag(settings: Settings, name: str, notes: list[str]) -> bool | None:
    """Return a boolean of xl: any number except 0 is true; xl ignores everything that is not a number."""
    text = _text(settings, name, notes)
    if text is None:
        return None
    setting = settings[name]
    number = None if setting.added else c_number(text)
    if number is None:
        notes.append(f"line {setting.line}: {name} is not a number, so xl uses its default")
        return None
    return number != 0


# -- cpuid -------------------------------------------------------------------------------------------

X2APIC_LEAF, X2APIC_BIT = 1, 21
"""CPUID.1:ECX[21]."""
WORD_BITS = 32
ULONG_MAX = (1 << 64) - 1
LONGEST_NUMBER = 22
"""Digits of ULONG_MAX in octal."""
NUMBER = re.compile(r"[ \t\n\v\f\r]*([+-]?)(0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*)")
"""What strtoul() with base 0 reads from the beginning of a text."""


def _strtoul(text: str) -> tuple[int, str] | None:
    """Return the number at the beginning of a text and the rest; None when there is none."""
    match = NUMBER.match(text)
    if match is None:
        return None
    digits, rest = match[2].lower(), text[match.end() :]
    base = 16 if digits.startswith("0x") else 8 if digits.startswith("0") else 10
    significant = digits.removeprefix("0x").lstrip("0") or "0"
    number = int(significant, base) if len(significant) <= LONGEST_NUMBER else ULONG_MAX
    if number >= ULONG_MAX:
        return ULONG_MAX, rest
    return (-number if match[1] == "-" else number), rest


def _hides_x2apic(settings: Settings, notes: list[str]) -> bool:
    """Return True if ``cpuid=`` hides x2APIC from the guest."""
    setting = settings.get("cpuid")
    if setting is None:
        return False
    value = setting.value
    bits = list(_bits_of_text(setting, notes) if isinstance(value, str) else _bits_of_list(value))
    return bool(bits) and bits[-1] == "0"


def _bits_of_text(setting: XlSetting, notes: list[str]) -> Iterator[str]:
    """Yield what ``cpuid="host,x2apic=0"`` makes of the bit: ``0``, ``1``, or ``x`` for the default."""
    words = [word for word in str(setting.value).split(",") if word]
    if words and words[0] != "host":
        notes.append(f'line {setting.line}: xl ignores cpuid, because its first word is not "host"')
        return
    for word in words[1:]:
        name, equals, value = word.partition("=")
        if name != "x2apic" or not equals:
            continue
        number = _strtoul(value)
        if number is not None:
            yield str(number[0] & 1)
        elif value[:1] in ("x", "k", "s"):
            yield value[:1]


def _bits_of_list(items: list[XlValue]) -> Iterator[str]:
    """Yield what ``cpuid=["1:ecx=…"]`` makes of the bit, item by item."""
    for item in items:
        if isinstance(item, list):
            return  # xl stops at the first item that is not a string
        leaf = _strtoul(item)
        if leaf is None or leaf[0] & 0xFFFFFFFF != X2APIC_LEAF or not leaf[1].startswith(":"):
            continue  # another leaf, a subleaf, or an error that xl only reports
        for register, word in _registers(leaf[1][1:]):
            if register == "c":
                yield word[WORD_BITS - 1 - X2APIC_BIT]


def _registers(text: str) -> Iterator[tuple[str, str]]:
    """Yield the registers of an item up to the first error: their letter, and their 32 characters."""
    while text:
        name, equals, rest = text.partition("=")
        if name[:1] != "e" or name[2:3] != "x" or name[1:2] not in ("a", "b", "c", "d") or not equals:
            return
        word, comma, text = rest.partition(",")
        if len(word) != WORD_BITS:
            return
        yield name[1], word
        text = text.lstrip(" \n") if comma else ""

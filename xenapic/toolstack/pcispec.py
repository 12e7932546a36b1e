"""The syntax of a PCI device in xl.cfg's ``pci=``: ``tools/libs/util/libxlu_pci.c``."""

from __future__ import annotations

import re

__all__ = ["INVALID", "UNKNOWN_POLICY", "pci_error"]

INVALID = 6
"""``-ERROR_INVAL``."""
UNKNOWN_POLICY = 3
"""``-ERROR_FAIL``."""

BLANK = r"[ \t\n\v\f\r]*"
HEX = rf"{BLANK}[+-]?(?:0[xX])?[0-9a-fA-F]+"
"""What ``sscanf("%x")`` reads."""
WITH_DOMAIN = re.compile(rf"({HEX}):({HEX}):({HEX})\.")
WITHOUT_DOMAIN = re.compile(rf"({HEX}):({HEX})\.")
FUNCTION = re.compile(HEX)
POLICIES = ("invalid", "strict", "relaxed")
PLAIN_KEYS = ("permissive", "msitranslate", "seize", "power_mgmt")


def pci_error(spec: str) -> int:
    """Return 0 for a device that xl can read, else xl's exit status."""
    named, at = False, 0
    end = _bdf(spec)
    present = end is not None
    if end is not None:
        at = end
        if spec[at : at + 1] == "@":
            slot = _slot(spec[at + 1 :])
            if slot is None:
                return INVALID
            at += 1 + slot
        if spec[at : at + 1] not in (",", ""):
            return INVALID
        at += 1
    while at < len(spec):
        key, equals, rest = spec[at:].partition("=")
        if not equals:
            return INVALID
        value = rest.partition(",")[0]
        at += len(key) + 1 + len(value) + 1
        error = _key_error(key, value)
        if error:
            return error
        present = present or key == "bdf"
        named = named or key == "name"
    return 0 if present != named else INVALID


def _key_error(key: str, value: str) -> int:
    if key == "bdf":
        return 0 if _bdf(value) is not None else INVALID
    if key == "vslot":
        return 0 if _slot(value) is not None else INVALID
    if key == "rdm_policy":
        return 0 if value.lower() in POLICIES else UNKNOWN_POLICY
    return 0 if key == "name" or key in PLAIN_KEYS else INVALID


def _bdf(text: str) -> int | None:
    """Return where an address ends; None when it is none."""
    colons = re.match(r"[0-9a-fA-F:]*", text)
    count = colons[0].count(":") if colons else 0
    match = {1: WITHOUT_DOMAIN, 2: WITH_DOMAIN}[count].match(text) if count in (1, 2) else None
    if match is None:
        return None
    domain, bus, device = [0, *(_hex(part) for part in match.groups())][-3:]
    if domain > 0xFFFF or bus > 0xFF or device > 0x1F:
        return None
    if text[match.end() : match.end() + 1] == "*":
        return match.end() + 1
    function = FUNCTION.match(text, match.end())
    return function.end() if function and _hex(function[0]) <= 7 else None


def _slot(text: str) -> int | None:
    match = FUNCTION.match(text)
    return match.end() if match and _hex(match[0]) <= 0x1F else None


def _hex(text: str) -> int:
    return int(text.strip(), 16) & 0xFFFFFFFF

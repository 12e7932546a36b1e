"""A processor's CPUID signature: family, model and stepping, as CPUID leaf 1 reports them in EAX.

Sources: Intel SDM volume 2A, CPUID, "Version Information Returned by CPUID in EAX"; AMD APM volume 3,
appendix E.
"""

from __future__ import annotations

import re

from xenapic.frozen import dataclass

__all__ = ["ZHAOXIN", "Signature", "covers", "parse_signature"]


@dataclass(frozen=True, slots=True)
class Signature:
    """Family and model as the manuals display them, and the stepping, if it is known."""

    family: int
    model: int
    stepping: int | None = None
    vendor: str = ""
    """CPUID leaf 0, as in ``GenuineIntel``; empty if it is unknown."""

    @classmethod
    def from_eax(cls, eax: int, vendor: str = "") -> Signature:
        """Return the signature in EAX of CPUID leaf 1; older families than 6 have no extended model."""
        family, model = eax >> 8 & 0xF, eax >> 4 & 0xF
        if family >= 6:
            model |= (eax >> 16 & 0xF) << 4
        if family == 0xF:
            family += eax >> 20 & 0xFF
        return cls(family, model, eax & 0xF, vendor)

    @property
    def eax(self) -> int:
        """EAX of CPUID leaf 1; stepping 0 if the stepping is unknown."""
        family, more = min(self.family, 0xF), max(self.family - 0xF, 0)
        low = family << 8 | (self.model & 0xF) << 4 | (self.stepping or 0)
        return more << 20 | self.model >> 4 << 16 | low

    def __str__(self) -> str:
        parts = (self.family, self.model) + (() if self.stepping is None else (self.stepping,))
        return "-".join(f"{part:02x}" for part in parts)


ZHAOXIN = ("CentaurHauls", "Shanghai")
"""What CPUID leaf 0 of Zhaoxin's processors says."""

EAX = re.compile(r"(?:0x)?([0-9a-f]{5,8})h?")
PARTS = re.compile(r"([0-9a-f]{1,2})[-_]([0-9a-f]{1,2})h?(?:[-_]([0-9a-f]{1,2})h?)?")


def parse_signature(text: str) -> Signature | None:
    """Return the signature that a text is, or None.

    It is EAX (``806ea``, ``0x000806EA``, ``806EAh``), or family, model and perhaps stepping in hexadecimal,
    as microcode files (``06-8e-0a``) and the SDM (``06_8EH``) have them.
    """
    plain = text.strip().lower().removeprefix("raw ")
    if match := EAX.fullmatch(plain):
        return Signature.from_eax(int(match[1], 16)) if int(match[1], 16) < 1 << 28 else None
    if match := PARTS.fullmatch(plain):
        stepping = None if match[3] is None else int(match[3], 16)
        return Signature(int(match[1], 16), int(match[2], 16), stepping) if (stepping or 0) < 16 else None
    return None


def covers(pattern: str, signature: Signature) -> bool:
    """Return True if a row's pattern covers a signature.

    A pattern is ``06-8e`` (every stepping), ``06-8e-0a``, or ``06-55-05:07`` (from one stepping to another).
    An unknown stepping is covered by every pattern of the model. Zhaoxin numbers its families as Intel does,
    so its patterns begin with ``zhaoxin/``; an unknown vendor is covered by both.
    """
    maker, _, numbers = pattern.rpartition("/")
    if signature.vendor and (maker == "zhaoxin") is not (signature.vendor.strip() in ZHAOXIN):
        return False
    family, model, *steppings = numbers.split("-")
    if (int(family, 16), int(model, 16)) != (signature.family, signature.model):
        return False
    if not steppings or signature.stepping is None:
        return True
    first, _, last = steppings[0].partition(":")
    return int(first, 16) <= signature.stepping <= int(last or first, 16)

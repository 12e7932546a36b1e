"""Error numbers of Xen and Linux."""

from __future__ import annotations

import errno
import os

from xenapic.errors import errno_name
from xenapic.glossary.pasted.meaning import Meaning
from xenapic.glossary.prose import ERRNOS

__all__ = ["BY_MESSAGE", "LARGEST", "NUMBERS", "errno_meaning"]

NUMBERS = frozenset(
    {*range(1, 15), *range(16, 25), 28, 30, 31, 33, 34, 35, 36, 37, 38, 39, 61, 62, 74, 75, 84, 85, 88}
    | {90, 95, 98, 99, 105, 106, 107, 110, 111}
)
"""Every number in ``xen/include/public/errno.h``; they are Linux's."""
LARGEST = max(NUMBERS)
SOURCE = "xen/include/public/errno.h"
BY_MESSAGE = {os.strerror(number).casefold(): number for number in sorted(NUMBERS, reverse=True)}
"""By what programs print for the number, in lower case."""


def errno_meaning(quote: str, number: int, sure: bool = True) -> Meaning | None:
    """Return what an error number is; None if Xen has no such number."""
    if number not in NUMBERS:
        return None
    name = errno_name(number)
    known = name in ERRNOS
    text = f"{os.strerror(number)}."
    if known:
        text += f" If a create failed with it: 'xenapic explain {name}' lists the rules that answer so."
    if number == errno.EINVAL:
        text += (
            " A release build of Xen does not log why; 'xenapic create --dry-run' says which rule is broken."
        )
    return Meaning(quote, f"errno {number}, {name}", text, sure, SOURCE, (name,) if known else ())

"""Every error xenapic raises, each with a code that a program can rely on.

The tree::

    XenApicError
    ├── Unavailable            nothing can be asked of Xen from here
    │   ├── LibraryNotFound
    │   ├── ReleaseUnknown
    │   ├── ReleaseMismatch
    │   ├── NoPrivilege
    │   └── NoXen
    ├── CallFailed             libxenctrl or Xen answered with an errno
    │   └── DomainNotFound
    ├── ConfigRefused          refused here, before Xen was called
    ├── PolicyRefused          no plan for the policy; refused here, before Xen was called
    ├── ConfigInvalid          a value that no release could take
    ├── PolicyInvalid          a policy in terms that there are not
    ├── NameUnknown            no processor, release or feature of that name
    ├── DocumentInvalid        a JSON document that cannot be read
    ├── MeasureFailed          the controls in force could not be read
    ├── ProbeFailed            the probe guest gave no answer that can be used
    ├── TraceBusy              Xen's trace buffers are another's, or were left behind
    └── HandleClosed

The codes are stable; the texts are for people and may be improved.
"""

from __future__ import annotations

import errno as _errno
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, ClassVar

MAX_NEAR = 5
"""How many names an error suggests."""

__all__ = [
    "CallFailed",
    "ConfigInvalid",
    "ConfigRefused",
    "DocumentInvalid",
    "DomainNotFound",
    "HandleClosed",
    "LibraryNotFound",
    "MeasureFailed",
    "NameUnknown",
    "NoPrivilege",
    "NoXen",
    "ProbeFailed",
    "Problem",
    "PolicyInvalid",
    "PolicyRefused",
    "ReleaseMismatch",
    "ReleaseUnknown",
    "TraceBusy",
    "TraceUse",
    "Unavailable",
    "XenApicError",
    "errno_name",
]


def errno_name(number: int) -> str:
    """Return ``"EINVAL"`` for 22, spelt as in Xen's headers; a number without a name is returned as text."""
    if number == _errno.EOPNOTSUPP:  # has two names on Linux
        return "EOPNOTSUPP"
    return _errno.errorcode.get(number, str(number))


class XenApicError(Exception):
    """Base of every error of this package."""

    code: ClassVar[str] = "error"


class Unavailable(XenApicError):
    """Xen cannot be used from here at all; each kind says what to install or do.

    ``errno`` is the number the kernel or Xen gave, when it was one of them that refused.
    """

    code = "unavailable"

    def __init__(self, message: str, errno: int | None = None) -> None:
        self.errno = errno
        super().__init__(message)


class LibraryNotFound(Unavailable):
    """No libxenctrl of any known release could be loaded."""

    code = "library-not-found"


class ReleaseUnknown(Unavailable):
    """A libxenctrl was found, of a release whose structures are not known: using it could corrupt memory."""

    code = "release-unknown"


class ReleaseMismatch(Unavailable):
    """The library and the running hypervisor are of different releases."""

    code = "release-mismatch"


class NoPrivilege(Unavailable):
    """Xen is there, but this user or this domain may not control it."""

    code = "no-privilege"


class NoXen(Unavailable):
    """The machine does not run under Xen, or its kernel lacks the interface to it."""

    code = "no-xen"


class HandleClosed(XenApicError):
    """The handle was closed, or is used in a child of the process that opened it."""

    code = "handle-closed"


class MeasureFailed(XenApicError):
    """The controls in force could not be read, or not beyond doubt; ``seen`` says what was read instead."""

    code = "measure-failed"

    def __init__(self, message: str, seen: Sequence[str] = ()) -> None:
        self.message = message
        self.seen = tuple(seen)
        super().__init__(f"{message}; seen: {', '.join(self.seen)}" if self.seen else message)

    def __reduce__(self) -> tuple[type[MeasureFailed], tuple[str, tuple[str, ...]]]:
        return type(self), (self.message, self.seen)


class ConfigInvalid(XenApicError, ValueError):
    """A value does not fit its field in any release (wrong size, wrong type of domain, contradiction)."""

    code = "config-invalid"


class PolicyInvalid(XenApicError, ValueError):
    """A policy says what cannot be understood: no such aspect, effect, value or file format."""

    code = "policy-invalid"


class NameUnknown(XenApicError, KeyError):
    """A table has no row of this name: no such processor, release or feature.

    ``what`` says which table (``"processor"``), ``name`` what was asked for, ``near`` the names that look
    like it, the nearest first.
    """

    code = "name-unknown"

    def __init__(self, what: str, name: str, near: Sequence[str] = (), hint: str = "") -> None:
        self.what = what
        self.name = name
        self.near = tuple(near)
        self.hint = hint
        super().__init__(what, name, self.near, hint)

    @classmethod
    def among(cls, what: str, name: str, known: Iterable[str], hint: str = "") -> NameUnknown:
        """Return the error with the nearest of the known names; ``hint`` says where they are listed."""
        from difflib import get_close_matches  # only an error needs it

        names = list(known)
        text = str(name).lower()
        near = [
            *(row for row in names if row.lower().startswith(text)),
            *get_close_matches(text, names, 5, 0.6),
        ]
        return cls(what, str(name), list(dict.fromkeys(near))[:MAX_NEAR] if text else (), hint)

    def __str__(self) -> str:
        near = f"; did you mean {' or '.join(self.near)}?" if self.near else ""
        hint = f" ({self.hint})" if self.hint else ""
        return f"there is no {self.what} named {self.name!r}{near}{hint}"


class DocumentInvalid(XenApicError, ValueError):
    """A JSON document that is not what it should be: not JSON, another schema, a missing key, a wrong type.

    ``path`` names the place in the document, e.g. ``features.tpr_shadow.source``; it is empty for the whole.
    """

    code = "document-invalid"

    def __init__(self, message: str, path: str = "") -> None:
        self.message = message
        self.path = path
        super().__init__(f"{path}: {message}" if path else message)

    def __reduce__(self) -> tuple[type[DocumentInvalid], tuple[str, str]]:
        return type(self), (self.message, self.path)

    def under(self, place: str) -> DocumentInvalid:
        """Return the same error as the document around it sees it: ``place`` comes before the path."""
        dot = "." if self.path and not self.path.startswith("[") else ""
        return type(self)(self.message, f"{place}{dot}{self.path}")


class ProbeFailed(XenApicError):
    """The probe guest broke, died, did not answer in time, or could not tell an exit from none."""

    code = "probe-failed"


class TraceUse(Enum):
    """Who stands in the way of tracing."""

    READ = "read"
    """Another tracer reads the buffers at this moment."""
    LEFT_BY_US = "left-by-us"
    """A xenapic that was killed could not put its settings back."""
    UNREAD = "unread"
    """The buffers hold records that another tracer left unread."""
    ON = "on"
    """Tracing is switched on, though nobody reads."""


class TraceBusy(XenApicError):
    """Xen's trace buffers, of which there is one set, are not free; ``use`` says in what way."""

    code = "trace-busy"

    def __init__(self, use: TraceUse, message: str) -> None:
        self.use = use
        super().__init__(message)

    def __reduce__(self) -> tuple[type[TraceBusy], tuple[TraceUse, str]]:
        return type(self), (self.use, str(self))


@dataclass(frozen=True, slots=True)
class Problem:
    """One reason why a domain cannot be created as asked."""

    code: str
    """Stable, for programs."""
    field: str
    value: object
    rule: str
    """What Xen, or the fact that stands against it, says."""
    remedy: str
    errno: int | None
    """What Xen would answer; None when the refusal is xenapic's own."""
    late: bool
    """Whether Xen would only notice after it is too late (an Intel host would go down)."""
    source: str
    """Where in Xen the rule stands, or where the fact is from."""

    def __str__(self) -> str:
        answer = f", Xen says {errno_name(self.errno)}" if self.errno is not None else ""
        return f"{self.field}={self.value}: {self.rule}. {self.remedy} [{self.code}{answer}]"


class ConfigRefused(XenApicError):
    """A domain was refused before Xen was called; ``problems`` holds every reason found."""

    code = "config-refused"

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class PolicyRefused(XenApicError):
    """A policy cannot be kept on this host; ``reasons`` holds every one (`xenapic.policy.plan.Reason`)."""

    code = "policy-refused"

    def __init__(self, reasons: Sequence[Any]) -> None:
        self.reasons: tuple[Any, ...] = tuple(reasons)
        super().__init__("\n".join(map(str, self.reasons)))


class CallFailed(XenApicError):
    """A call of libxenctrl failed.

    ``errno`` is the number Xen or the kernel gave, ``call`` the C function,
    ``asked`` what was asked of it in words, ``text`` what libxenctrl itself
    said (often empty).
    """

    code = "call-failed"

    def __init__(self, call: str, number: int, asked: str, text: str = "") -> None:
        self.call = call
        self.errno = number
        self.asked = asked
        self.text = text
        said = f"; libxenctrl says: {text}" if text else ""
        super().__init__(f"{asked}: {errno_name(number)} ({os.strerror(number)}) from {call}{said}")

    def __reduce__(self) -> tuple[type[CallFailed], tuple[str, int, str, str]]:
        return type(self), (self.call, self.errno, self.asked, self.text)


class DomainNotFound(CallFailed):
    """There is no domain with that number (ESRCH)."""

    code = "domain-not-found"

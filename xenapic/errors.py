"""Every error that xenapic raises, each with a code that a program can rely on.

The tree::

    XenApicError
    ├── Unavailable            nothing can be asked of Xen from here
    │   ├── LibraryNotFound
    │   ├── ReleaseUnknown
    │   │   └── LayoutUnproven     a proof of its layout is not of this library
    │   ├── ReleaseMismatch
    │   ├── NoPrivilege
    │   └── NoXen
    ├── CallFailed             libxenctrl or Xen answered with an errno
    │   └── DomainNotFound
    ├── CloseFailed            several domains could not be destroyed when a handle was closed
    ├── ConfigRefused          refused here, before Xen was called
    ├── PolicyRefused          no plan for the policy; refused here, before Xen was called
    ├── ConfigInvalid          a value that no release accepts
    ├── PolicyInvalid          a policy with unknown terms
    ├── NameUnknown            no processor, release or feature has this name
    ├── DocumentInvalid        not the JSON document that was expected
    ├── LogInvalid             a saved log without anything about VMX or SVM
    ├── HostUnknown            the known facts about a host do not answer the question
    ├── HeadersUnusable        no layout can be read from a Xen's headers
    ├── FileUnreadable         a file that is missing, a directory, forbidden, or too large
    ├── TreeUnexpected         a source tree of Xen in which a place is not as a change expects it
    ├── ImageInvalid           a kernel, or a set of images, that cannot be booted
    ├── GuestFailed            a booted guest did not do what was expected, or has no console
    ├── MeasureFailed          the controls in force could not be read
    ├── ProbeFailed            the probe guest gave no usable answer
    ├── ToolstackRefused       xl or libxl refuses the configuration before Xen is asked
    ├── TraceBusy              another program uses Xen's trace buffers, or left them in use
    └── HandleClosed           the handle is closed, or belongs to the parent process

The codes are stable; the texts are for people and may change. Every error can be pickled and copied with
all its attributes, e.g. to come out of a process pool.
"""

from __future__ import annotations

import errno as _errno
import os
from collections.abc import Iterable, Sequence
from enum import Enum
from typing import Any, ClassVar

from xenapic.frozen import dataclass

MAX_NEAR = 5
"""How many names an error suggests."""


def errno_name(number: int) -> str:
    """Return ``"EINVAL"`` for 22, spelt as in Xen's headers; for a number without a name, its digits."""
    if number == _errno.EOPNOTSUPP:  # Linux has two names for it
        return "EOPNOTSUPP"
    return _errno.errorcode.get(number, str(number))


class XenApicError(Exception):
    """Base class of every error of this package."""

    code: ClassVar[str] = "error"

    def __reduce__(self) -> tuple[Any, ...]:
        """Describe the error for pickle and copy: most classes make their text from other arguments."""
        return _restored, (type(self), self.args, self.__dict__)


def _restored(kind: type[XenApicError], args: tuple[Any, ...], attributes: dict[str, Any]) -> XenApicError:
    """Return an error with these arguments and attributes, without calling its constructor."""
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(attributes)
    return error


class Unavailable(XenApicError):
    """Xen cannot be used from here at all; each subclass says what to install or do.

    ``errno`` is the kernel's or Xen's error number, None when neither was asked.
    """

    code = "unavailable"

    def __init__(self, message: str, errno: int | None = None) -> None:
        self.errno = errno
        super().__init__(message)


class LibraryNotFound(Unavailable):
    """No libxenctrl of any known release could be loaded."""

    code = "library-not-found"


class ReleaseUnknown(Unavailable):
    """The libxenctrl is of a release whose structures are unknown: calling it could corrupt memory."""

    code = "release-unknown"


class LayoutUnproven(ReleaseUnknown):
    """The proof of a library's layout cannot be read, or is of another library."""

    code = "layout-unproven"


class HeadersUnusable(XenApicError):
    """A Xen's headers are missing or incomplete, or there is no C compiler to read them with."""

    code = "headers-unusable"


class ReleaseMismatch(Unavailable):
    """The library and the running hypervisor are of different releases."""

    code = "release-mismatch"


class NoPrivilege(Unavailable):
    """Xen runs, but this user or this domain may not control it."""

    code = "no-privilege"


class NoXen(Unavailable):
    """The machine does not run under Xen, or its kernel lacks Xen's interface."""

    code = "no-xen"


class HandleClosed(XenApicError):
    """The handle is closed, or was opened by the parent process, before a fork."""

    code = "handle-closed"


class MeasureFailed(XenApicError):
    """The controls in force could not be read with certainty; ``seen`` lists what was read instead."""

    code = "measure-failed"

    def __init__(self, message: str, seen: Sequence[str] = ()) -> None:
        self.message = message
        self.seen = tuple(seen)
        super().__init__(f"{message}; seen: {', '.join(self.seen)}" if self.seen else message)


class ConfigInvalid(XenApicError, ValueError):
    """A value that no release accepts in its field: wrong type, out of range, or a contradiction."""

    code = "config-invalid"


class PolicyInvalid(XenApicError, ValueError):
    """A policy with an unknown aspect, effect or value, or a policy file that cannot be understood.

    ``problems`` has every error as text, with its line where the policy is a file; ``file`` is the file's
    name, empty when there is none.
    """

    code = "policy-invalid"

    def __init__(self, message: str, problems: Sequence[str] = (), file: str = "") -> None:
        self.problems = tuple(problems) or (message,)
        self.file = file
        super().__init__(message)

    @classmethod
    def of(cls, problems: Sequence[str], file: str = "") -> PolicyInvalid:
        """Return an error that shows one problem in a line, several in a list."""
        place = f"{file}: " if file else ""
        if len(problems) == 1:
            return cls(f"{place}{problems[0]}", problems, file)
        lines = [f"{place}{len(problems)} errors:", *(f"  {problem}" for problem in problems)]
        return cls("\n".join(lines), problems, file)

    def in_file(self, file: str) -> PolicyInvalid:
        """Return the same error with the name of the file that holds the policy."""
        return type(self).of(self.problems, file)


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
    """Input that is not the JSON document expected: not JSON, another schema, a missing key, a wrong type.

    ``message`` says what is wrong, ``path`` where in the document, e.g. ``features.tpr_shadow.source`` (empty
    for the whole document), and ``file`` in which file (empty when the document is not from a file).
    """

    code = "document-invalid"

    def __init__(self, message: str, path: str = "", file: str = "") -> None:
        self.message = message
        self.path = path
        self.file = file
        super().__init__(": ".join(filter(None, [file, path, message])))

    def under(self, place: str) -> DocumentInvalid:
        """Return the same error as the enclosing document sees it: with ``place`` in front of the path."""
        dot = "." if self.path and not self.path.startswith("[") else ""
        return type(self)(self.message, f"{place}{dot}{self.path}", self.file)

    def in_file(self, file: str) -> DocumentInvalid:
        """Return the same error with the name of the file that holds the document."""
        return type(self)(self.message, self.path, file)


class LogInvalid(XenApicError, ValueError):
    """A saved log that shows nothing about a host; ``name`` is the log's, ``why`` the reason in words."""

    code = "log-invalid"

    def __init__(self, name: str, why: str) -> None:
        self.name = name
        self.why = why
        super().__init__(f"{name}: {why}")


class FileUnreadable(XenApicError):
    """A file that cannot be read; ``file`` is its name, ``why`` the reason in words."""

    code = "file-unreadable"

    def __init__(self, file: str, why: str) -> None:
        self.file = file
        self.why = why
        super().__init__(f"{file}: {why}")


class TreeUnexpected(XenApicError, ValueError):
    """A source tree of Xen in which a place is not as a change expects it.

    ``file`` is relative to the tree, ``within`` the function, empty for the file itself.
    """

    code = "tree-unexpected"

    def __init__(self, file: str, within: str, what: str) -> None:
        self.file = file
        self.within = within
        self.what = what
        super().__init__(f"{file}: {within + ': ' if within else ''}{what}")


class ImageInvalid(XenApicError, ValueError):
    """A kernel that cannot be booted, or images that do not fit the domain; ``name`` is the image's."""

    code = "image-invalid"

    def __init__(self, name: str, why: str) -> None:
        self.name = name
        self.why = why
        super().__init__(f"{name}: {why}")


class GuestFailed(XenApicError):
    """A booted guest did not do in time what was expected, or its console cannot be used.

    ``seen`` has the last bytes that the guest printed.
    """

    code = "guest-failed"

    def __init__(self, message: str, seen: bytes = b"") -> None:
        self.message = message
        self.seen = seen
        super().__init__(f"{message}; the guest's last output: {seen!r}" if seen else message)


class HostUnknown(XenApicError):
    """A question about a host that the known facts about it cannot answer."""

    code = "host-unknown"


class ProbeFailed(XenApicError):
    """The probe guest failed, ended or timed out, or its timing cannot tell a VM exit from none."""

    code = "probe-failed"


class TraceUse(Enum):
    """What keeps xenapic from tracing."""

    READ = "read"
    """Another tracer is reading the buffers."""
    LEFT_BY_US = "left-by-us"
    """A xenapic process was killed before it could restore Xen's settings."""
    UNREAD = "unread"
    """The buffers hold records that another tracer left unread."""
    ON = "on"
    """Tracing is on, although no program reads the buffers."""


class TraceBusy(XenApicError):
    """Xen's only set of trace buffers is in use; ``use`` says how."""

    code = "trace-busy"

    def __init__(self, use: TraceUse, message: str) -> None:
        self.use = use
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Problem:
    """One reason why a domain cannot be created as asked."""

    code: str
    """Stable, for programs."""
    field: str
    value: object
    rule: str
    """Xen's rule, or the fact that contradicts the value."""
    remedy: str
    errno: int | None
    """What Xen would answer; None when only xenapic refuses it."""
    late: bool
    """Whether Xen would notice only after it has changed its own state, which can take the host down."""
    source: str
    """Where Xen's source has the rule, or where the fact comes from."""
    or_errno: int | None = None
    """What Xen would answer instead if a fact that is unknown turns out differently."""

    def __str__(self) -> str:
        numbers = [number for number in (self.errno, self.or_errno) if number is not None]
        answer = f", Xen says {' or '.join(map(errno_name, numbers))}" if numbers else ""
        return f"{self.field}={self.value}: {self.rule}. {self.remedy} [{self.code}{answer}]"


class ConfigRefused(XenApicError):
    """A domain that was refused before Xen was called; ``problems`` has every reason."""

    code = "config-refused"

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class PolicyRefused(XenApicError):
    """A policy that this host cannot satisfy; ``reasons`` has every `xenapic.policy.plan.Reason`."""

    code = "policy-refused"

    def __init__(self, reasons: Sequence[Any]) -> None:
        self.reasons: tuple[Any, ...] = tuple(reasons)
        super().__init__("\n".join(map(str, self.reasons)))


class ToolstackRefused(XenApicError):
    """A toolstack refuses a configuration before it sends a create request to Xen."""

    code = "toolstack-refused"

    def __init__(
        self,
        message: str,
        tool: str,
        status: int,
        keys: Sequence[str] = (),
        because: str = "",
        source: str = "",
    ) -> None:
        self.message = message
        """What the toolstack itself prints, without file, line and function; empty for nothing."""
        self.tool = tool
        """Who refuses: ``"xl"``, ``"libxl"`` or ``"libvirt"``."""
        self.status = status
        """The toolstack's exit status: 0 is possible."""
        self.keys = tuple(keys)
        """The keys of the configuration that the refusal stems from; empty when it is the host's."""
        self.because = because
        """What the refusal stems from, in words."""
        self.source = source
        """Where the rule is in the toolstack's source."""
        said = f'"{message}"' if message else "without a message"
        super().__init__(f"{tool} refuses the configuration: {said} (exit status {status}): {because}")

    def __reduce__(self) -> tuple[type[ToolstackRefused], tuple[object, ...]]:
        return type(self), (self.message, self.tool, self.status, self.keys, self.because, self.source)


class CallFailed(XenApicError):
    """A call of libxenctrl that failed.

    ``errno`` is Xen's or the kernel's error number, ``call`` the C function, ``asked`` its purpose in words,
    ``text`` libxenctrl's own message (often empty).
    """

    code = "call-failed"

    def __init__(self, call: str, number: int, asked: str, text: str = "") -> None:
        self.call = call
        self.errno = number
        self.asked = asked
        self.text = text
        said = f"; libxenctrl says: {text}" if text else ""
        super().__init__(f"{asked}: {errno_name(number)} ({os.strerror(number)}) from {call}{said}")


class CloseFailed(XenApicError):
    """Several domains could not be destroyed when `Xen.close` tried; ``errors`` has one error for each."""

    code = "close-failed"

    def __init__(self, errors: tuple[XenApicError, ...]) -> None:
        self.errors = errors
        super().__init__("\n".join(f"- {error}" for error in errors))


class DomainNotFound(CallFailed):
    """No domain has this number (ESRCH)."""

    code = "domain-not-found"

"""An open libxenctrl, and the one place where it is called.

One C handle must not be used by two threads at once, so every call holds the handle's lock. C calls
release Python's GIL, so calls on several handles run in parallel.
"""

from __future__ import annotations

import errno
import threading
from collections import deque
from collections.abc import Callable
from operator import not_
from sys import modules
from typing import TYPE_CHECKING, Any, TypeVar

from xenapic.abi.failures import call_failure, open_failure
from xenapic.abi.forks import left_to_parent
from xenapic.abi.library import Library
from xenapic.abi.toollog import ToolLog
from xenapic.errors import CallFailed, HandleClosed, errno_name
from xenapic.logs import DEBUG, Log

if TYPE_CHECKING:
    from xenapic._xenctrl.libxenctrl import XcInterface, XenToolLogger

__all__ = ["Calls", "Connection", "bounded", "postpone", "run_postponed"]

T = TypeVar("T")

LOG = Log("xenapic.calls")

_postponed: deque[Callable[[], object]] = deque()


def postpone(work: Callable[[], object]) -> None:
    """Have work done before the next call of any handle; for what the garbage collector runs.

    It may run in the middle of a call, where another call would wait for itself.
    """
    _postponed.append(work)


def run_postponed() -> None:
    """Do the work that was postponed."""
    while _postponed:
        try:
            work = _postponed.popleft()
        except IndexError:  # another thread was first
            return
        work()


NON_REENTRANT = 1 << 1
"""``XC_OPENFLAG_NON_REENTRANT``: libxencall takes no lock for a handle's buffers, which `Connection` guards.

That lock is one for the whole process (``tools/libs/call/buffer.c``, 4.15 to 4.22). If another thread held it
at a fork, it would stay locked in the child, where even the child's own handle would hang. Otherwise the flag
only concerns ``xc_strerror``, which is not used.
"""

NOTHING: Any = object()
"""In place of an argument that is not given."""

PARENTS = "the handle belongs to the parent process; open one after fork()"


class Connection:
    """An open handle of libxenctrl.

    Raises a subclass of `xenapic.errors.Unavailable` when Xen cannot be used.
    """

    def __init__(self, library: Library) -> None:
        self.library = library
        self.ffi = library.ffi
        self._xenctrl = library.xenctrl
        self._lock = threading.Lock()
        self._ours = True
        self._xch: XcInterface | None = None
        self._closers: list[Callable[[], object]] = []
        self._users: list[Callable[[], object]] = []
        self._log = ToolLog(library)
        left_to_parent(self)
        try:
            self._xch = self._open()
        except BaseException:
            self.close()
            raise

    def _open(self) -> XcInterface:
        logger = self._log.logger
        xch = self.library.xenctrl.xc_interface_open(logger, logger, NON_REENTRANT)
        if xch == self.ffi.NULL:
            raise open_failure(self.ffi.errno, self._log.drain())
        return xch

    def close(self) -> None:
        """Close the handle; a second call does nothing. In a forked child the parent's handle stays open."""
        if not self._ours:
            return
        run_postponed()
        try:
            while self._users:
                self._users.pop()()
        finally:
            self._close()

    def _close(self) -> None:
        with self._lock:
            xch, self._xch = self._xch, None
            while self._closers:
                self._closers.pop()()
            if xch is not None:
                self.library.xenctrl.xc_interface_close(xch)
            self._log.close()

    @property
    def closed(self) -> bool:
        """Whether the handle can no longer be used from this process."""
        return self._xch is None

    def leave_to_parent(self) -> None:
        """Give up the handle in a forked child: it stays the parent's.

        Another thread may have held the lock at the fork; in the child nobody would release it.
        """
        self._lock = threading.Lock()
        self._ours = False
        self._xch = None

    @property
    def logger(self) -> XenToolLogger:
        """The logger for other Xen libraries that are opened next to libxenctrl."""
        return self._log.logger

    def while_open(self, user: Callable[[], object]) -> None:
        """Call a function before the handle is closed, while it can still be used; not in a forked child."""
        self._users.append(user)

    def no_longer_while_open(self, user: Callable[[], object]) -> None:
        """Forget a function that was to be called while the handle is open."""
        if user in self._users:
            self._users.remove(user)

    def before_close(self, closer: Callable[[], object]) -> None:
        """Call a function when the handle is closed, before libxenctrl is, but not in a forked child."""
        self._closers.append(closer)

    def no_longer_before_close(self, closer: Callable[[], object]) -> None:
        """Forget a function that was to be called when the handle is closed."""
        if closer in self._closers:
            self._closers.remove(closer)

    def exclusively(self, work: Callable[..., T], *args: Any) -> T:
        """Return ``work(xch, *args)``; no other thread uses the handle meanwhile.

        Every call comes through here. Raises `HandleClosed` when the handle is closed or belongs to the
        parent process.
        """
        if _postponed:
            run_postponed()
        with self._lock:
            xch = self._xch
            if xch is None:
                raise HandleClosed("the handle is closed" if self._ours else PARENTS)
            return work(xch, *args)

    def call(self, function: str, asked: str, *args: Any) -> int:
        """Call a function of libxenctrl that returns a negative number when it fails; return its result.

        ``asked`` says for people what the call is for; ``{}`` in it stands for the arguments. Raises what
        the errno means: `CallFailed`, `DomainNotFound` or `NoPrivilege`.
        """
        result, failure = self.exclusively(self._invoke, function, args, _is_negative)
        self._report(function, asked, args, result, failure)
        number: int = result
        return number

    def bound(self, function: str, asked: str) -> Callable[..., int]:
        """Return `call` for one function of one to three arguments: for what is called often."""
        invoke = getattr(self._xenctrl, function)
        drain, logged, wants = self._log.drain, self._log.size, LOG.wants

        # As `call`, but in one function of Python, and without `*args`: a create makes four calls.
        def call(first: Any, second: Any = NOTHING, third: Any = NOTHING) -> int:
            if _postponed:
                run_postponed()
            failure = None
            with self._lock:
                xch = self._xch
                if xch is None:
                    raise HandleClosed("the handle is closed" if self._ours else PARENTS)
                result: int
                if second is NOTHING:
                    result = invoke(xch, first)
                elif third is NOTHING:
                    result = invoke(xch, first, second)
                else:
                    result = invoke(xch, first, second, third)
                if result < 0:
                    failure = self._failure(xch)
                elif logged[0]:
                    drain()
            if failure or ("logging" in modules and wants(DEBUG)):
                self._report(function, asked, (first, second, third), result, failure)
            return result

        return call

    def asking(self, function: str, asked: str, kind: str) -> Callable[..., Any]:
        """Return a function that has libxenctrl fill a structure and returns it; it raises what `call` does.

        ``function`` gets a number first, if one is given. ``kind`` is the type of the structure's pointer.
        """
        invoke = getattr(self._xenctrl, function)
        drain, logged, wants = self._log.drain, self._log.size, LOG.wants
        new, filled = self.ffi.new, self.ffi.typeof(kind)

        # As `bound`, in one function again: this is what is asked most often.
        def ask(number: int | None = None) -> Any:
            if _postponed:
                run_postponed()
            struct, failure = new(filled), None
            with self._lock:
                xch = self._xch
                if xch is None:
                    raise HandleClosed("the handle is closed" if self._ours else PARENTS)
                result: int = invoke(xch, struct) if number is None else invoke(xch, number, struct)
                if result < 0:
                    failure = self._failure(xch)
                elif logged[0]:
                    drain()
            if failure or ("logging" in modules and wants(DEBUG)):
                self._report(function, asked, (number,), result, failure)
            return struct

        return ask

    def call_for_pointer(self, function: str, asked: str, *args: Any) -> Any:
        """Call a function of libxenctrl that returns NULL when it fails; raise what `call` raises."""
        result, failure = self.exclusively(self._invoke, function, args, not_)
        self._report(function, asked, args, result, failure)
        return result

    def call_for_nothing(self, function: str, *args: Any) -> None:
        """Call a function of libxenctrl that returns nothing and cannot fail."""
        self.exclusively(getattr(self._xenctrl, function), *args)

    def _invoke(
        self, xch: XcInterface, function: str, args: tuple[Any, ...], failed: Callable[[Any], bool]
    ) -> tuple[Any, tuple[int, str] | None]:
        """Return the result, and if it shows a failure the errno with what libxenctrl says."""
        result = getattr(self._xenctrl, function)(xch, *args)
        if failed(result):
            return result, self._failure(xch)
        self._log.drain()
        return result, None

    def _failure(self, xch: XcInterface) -> tuple[int, str]:
        """Return the errno of the call that just failed, and what libxenctrl says."""
        number = self.ffi.errno
        return number, self._log.drain() or self._last_error(xch)

    def _report(
        self, function: str, asked: str, args: tuple[Any, ...], result: Any, failure: tuple[int, str] | None
    ) -> None:
        """Log a call; raise what its failure means."""
        what = asked.format(*args)
        if LOG.wants(DEBUG):
            LOG.log(DEBUG, "%s: %s -> %s", function, what, errno_name(failure[0]) if failure else result)
        if failure:
            number, said = failure
            raise call_failure(function, number, what, said, self.library.release)

    def _last_error(self, xch: XcInterface) -> str:
        """Return libxenctrl's error text of the call just made, and clear it."""
        xenctrl = self._xenctrl
        error = xenctrl.xc_get_last_error(xch)
        if error == self.ffi.NULL or error.code == 0:
            return ""
        kind = text_of(self.ffi, xenctrl.xc_error_code_to_desc(error.code))
        detail = text_of(self.ffi, error.message)
        xenctrl.xc_clear_last_error(xch)
        return f"{kind}: {detail}" if detail else kind

    def drain_log(self) -> str:
        """Return the errors that libxenctrl has logged; for `exclusively`."""
        return self._log.drain()


def _is_negative(result: int) -> bool:
    return result < 0


def bounded(count: int, room: int, what: str) -> int:
    """Return a count that libxenctrl reports; raise `CallFailed` if a buffer of ``room`` cannot hold it."""
    if 0 <= count <= room:
        return count
    raise CallFailed(what, errno.EPROTO, f"a count of {count} was answered for a buffer of {room}")


def text_of(ffi: Any, chars: Any) -> str:
    """Return the text that a ``char *`` points to; empty for NULL."""
    if chars == ffi.NULL:
        return ""
    text: str = ffi.string(chars).decode(errors="replace")
    return text


class Calls:
    """The calls of one area."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._call = connection.call
        self._bound = connection.bound
        self._asking = connection.asking
        self._ffi = connection.ffi

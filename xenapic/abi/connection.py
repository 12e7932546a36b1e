"""An open libxenctrl, and the one place where it is called.

One C handle must not be used by two threads at once, so every call holds the handle's lock. C calls
release Python's GIL, so calls on several handles run in parallel.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from xenapic.abi.failures import call_failure, open_failure
from xenapic.abi.library import Library
from xenapic.abi.toollog import ToolLog
from xenapic.errors import HandleClosed, errno_name

if TYPE_CHECKING:
    from xenapic._xenctrl.libxenctrl import XcInterface, XenToolLogger

__all__ = ["Calls", "Connection"]

T = TypeVar("T")

LOG = logging.getLogger("xenapic.calls")
logging.getLogger("xenapic").addHandler(logging.NullHandler())


class Connection:
    """An open handle of libxenctrl.

    Raises a subclass of `xenapic.errors.Unavailable` when Xen cannot be used.
    """

    def __init__(self, library: Library) -> None:
        self.library = library
        self.ffi = library.ffi
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._xch: XcInterface | None = None
        self._closers: list[Callable[[], object]] = []
        self._log = ToolLog(library)
        try:
            self._xch = self._open()
        except BaseException:
            self.close()
            raise

    def _open(self) -> XcInterface:
        logger = self._log.logger
        xch = self.library.xenctrl.xc_interface_open(logger, logger, 0)
        if xch == self.ffi.NULL:
            raise open_failure(self.ffi.errno, self._log.drain())
        return xch

    def close(self) -> None:
        """Close the handle; a second call does nothing. In a forked child the parent's handle stays open."""
        if not self._is_ours():
            self._xch = None
            return
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
        return self._xch is None or not self._is_ours()

    def _is_ours(self) -> bool:
        """Return True unless this is a forked child.

        Asked before the lock is taken: another thread may have held the lock at the fork, and in the child
        nobody releases it.
        """
        return self._pid == os.getpid()

    @property
    def logger(self) -> XenToolLogger:
        """The logger for other Xen libraries that are opened next to libxenctrl."""
        return self._log.logger

    def before_close(self, closer: Callable[[], object]) -> None:
        """Call a function when the handle is closed, before libxenctrl is, but not in a forked child."""
        self._closers.append(closer)

    def exclusively(self, work: Callable[..., T], *args: Any) -> T:
        """Return ``work(xch, *args)``; no other thread uses the handle meanwhile.

        Every call comes through here. Raises `HandleClosed` when the handle is closed or belongs to the
        parent process.
        """
        if not self._is_ours():
            raise HandleClosed("the handle belongs to the parent process; open one after fork()")
        with self._lock:
            if self._xch is None:
                raise HandleClosed("the handle is closed")
            return work(self._xch, *args)

    def call(self, function: str, asked: str, *args: Any) -> int:
        """Call a function of libxenctrl that returns a negative number when it fails; return its result.

        ``asked`` says for people what the call is for; ``{}`` in it stands for the arguments. Raises what
        the errno means: `CallFailed`, `DomainNotFound` or `NoPrivilege`.
        """
        result: int = self._call(function, asked, args, _is_negative)
        return result

    def call_for_pointer(self, function: str, asked: str, *args: Any) -> Any:
        """Call a function of libxenctrl that returns NULL when it fails; raise what `call` raises."""
        return self._call(function, asked, args, _is_null)

    def call_for_nothing(self, function: str, asked: str, *args: Any) -> None:
        """Call a function of libxenctrl that returns nothing and cannot fail."""
        self._call(function, asked, args, _never)

    def _call(self, function: str, asked: str, args: tuple[Any, ...], failed: Callable[[Any], bool]) -> Any:
        started = time.perf_counter() if LOG.isEnabledFor(logging.DEBUG) else 0.0
        c_function = getattr(self.library.xenctrl, function)
        result, number, said = self.exclusively(self._invoke, c_function, args, failed)
        if started:
            took = (time.perf_counter() - started) * 1e6
            answer = result if number is None else errno_name(number)
            LOG.debug("%s: %s -> %s (%.0f us)", function, asked.format(*args), answer, took)
        if number is not None:
            raise call_failure(function, number, asked.format(*args), said, self.library.release)
        return result

    def _invoke(
        self,
        xch: XcInterface,
        c_function: Callable[..., Any],
        args: tuple[Any, ...],
        failed: Callable[[Any], bool],
    ) -> tuple[Any, int | None, str]:
        """Return the result, the errno (None on success) and what libxenctrl says about a failure."""
        result = c_function(xch, *args)
        if not failed(result):
            return result, None, self._log.drain()
        number = self.ffi.errno
        return result, number, self._log.drain() or self._last_error(xch)

    def _last_error(self, xch: XcInterface) -> str:
        """Return libxenctrl's error text of the call just made, and clear it."""
        xenctrl = self.library.xenctrl
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


def _is_null(result: object) -> bool:
    return not result


def _never(_result: object) -> bool:
    return False


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
        self._ffi = connection.ffi

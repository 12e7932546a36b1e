"""libxenctrl's own log, passed on to Python's `logging`.

libxenctrl logs through libxentoollog, by default to stderr. Here its logger writes into memory, which is
read after each call: no C callback (which would need executable memory), nothing on stderr, no system call
while nothing is logged.
"""

from __future__ import annotations

import errno
import re
from typing import TYPE_CHECKING

from xenapic.errors import CallFailed
from xenapic.logs import CRITICAL, DEBUG, ERROR, INFO, WARNING, Log

if TYPE_CHECKING:
    from xenapic._xenctrl.libxenctrl import XenToolLogger
    from xenapic.abi.library import Library

__all__ = ["ToolLog"]

LOG = Log("xenapic.libxenctrl")
XTL_DEBUG = 1
LEVELS = {
    "debug": DEBUG,
    "verbose": DEBUG,
    "detail": DEBUG,
    "progress": INFO,
    "info": INFO,
    "notice": INFO,
    "warning": WARNING,
    "error": ERROR,
    "critical": CRITICAL,
}
"""libxentoollog's level names (``xtl_level_to_string``) in Python's levels."""
LINE = re.compile(r"(?:(?P<context>\w+): )?(?P<level>\w+): (?P<text>.*)")


class ToolLog:
    """A libxentoollog logger whose messages `drain` hands to `logging`."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._closed = False
        self._text = library.ffi.new("char **")
        self.size = library.ffi.new("size_t *")
        """How many bytes are logged and not drained."""
        self._stream = library.libc.open_memstream(self._text, self.size)
        if self._stream == library.ffi.NULL:
            raise _no_memory("open_memstream", library.ffi.errno)
        self.logger: XenToolLogger = library.toollog.xtl_createlogger_stdiostream(self._stream, XTL_DEBUG, 0)
        if self.logger == library.ffi.NULL:
            self._close_stream()
            raise _no_memory("xtl_createlogger_stdiostream", library.ffi.errno)

    def drain(self) -> str:
        """Pass on what was logged since the last call; return the errors in it, one per line."""
        size = self.size[0]
        return self._pass_on(size) if size else ""

    def _pass_on(self, size: int) -> str:
        data = bytes(self._library.ffi.buffer(self._text[0], size))
        self._library.libc.rewind(self._stream)
        self.size[0] = 0  # the C library writes it again with the next message
        errors = []
        for line in data.decode(errors="replace").splitlines():
            match = LINE.fullmatch(line)
            level = LEVELS.get(match["level"], INFO) if match else INFO
            LOG.log(level, "%s", line)
            if match and level >= ERROR:
                errors.append(match["text"])
        return "\n".join(errors)

    def close(self) -> None:
        """Drain a last time, free the logger and its memory; a second call does nothing."""
        if self._closed:
            return
        self._closed = True
        self._library.toollog.xtl_logger_destroy(self.logger)
        self.drain()
        self._close_stream()

    def _close_stream(self) -> None:
        self._library.libc.fclose(self._stream)
        self._library.libc.free(self._text[0])


def _no_memory(function: str, number: int) -> CallFailed:
    return CallFailed(function, number or errno.ENOMEM, "make a logger for libxenctrl")

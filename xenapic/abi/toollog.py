"""libxenctrl's own log, passed on to Python's `logging`.

libxenctrl logs through libxentoollog, by default to stderr. xenapic gives it a logger that writes into a
pipe, and empties the pipe after each call. This needs no C callback (which would need executable memory),
and prints nothing on stderr.
"""

from __future__ import annotations

import logging
import os
import re
from typing import TYPE_CHECKING

from xenapic.errors import errno_name

if TYPE_CHECKING:
    from xenapic._xenctrl.libxenctrl import XenToolLogger
    from xenapic.abi.library import Library

__all__ = ["ToolLog"]

LOG = logging.getLogger("xenapic.libxenctrl")
XTL_DEBUG = 1
PIPE_BYTES = 65536
LEVELS = {
    "debug": logging.DEBUG,
    "verbose": logging.DEBUG,
    "detail": logging.DEBUG,
    "progress": logging.INFO,
    "info": logging.INFO,
    "notice": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
}
"""Python's levels for libxentoollog's level names (``xtl_level_to_string``)."""
LINE = re.compile(r"(?:(?P<context>\w+): )?(?P<level>\w+): (?P<text>.*)")


class ToolLog:
    """A libxentoollog logger; `drain` passes its messages on to `logging`."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._closed = False
        self._reader, writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._stream = library.libc.fdopen(writer, b"w")
        if self._stream == library.ffi.NULL:
            number = library.ffi.errno
            os.close(self._reader)
            os.close(writer)
            raise OSError(number, f"fdopen for libxentoollog: {errno_name(number)}")
        self.logger: XenToolLogger = library.toollog.xtl_createlogger_stdiostream(self._stream, XTL_DEBUG, 0)
        if self.logger == library.ffi.NULL:
            self._close_pipe()
            raise MemoryError("libxentoollog could not create a logger")

    def drain(self) -> str:
        """Pass on what was logged since the last call; return the error messages, one per line."""
        try:
            data = os.read(self._reader, PIPE_BYTES)
        except BlockingIOError:
            return ""
        errors = []
        for line in data.decode(errors="replace").splitlines():
            match = LINE.fullmatch(line)
            level = LEVELS.get(match["level"], logging.INFO) if match else logging.INFO
            LOG.log(level, "%s", line)
            if match and level >= logging.ERROR:
                errors.append(match["text"])
        return "\n".join(errors)

    def close(self) -> None:
        """Drain once more, free the logger and close the pipe; a second call does nothing."""
        if self._closed:
            return
        self._closed = True
        self._library.toollog.xtl_logger_destroy(self.logger)
        self.drain()
        self._close_pipe()

    def _close_pipe(self) -> None:
        self._library.libc.fclose(self._stream)
        os.close(self._reader)

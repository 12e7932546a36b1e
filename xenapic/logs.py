"""Loggers that cost nothing in a program that does not use `logging`: importing it takes milliseconds."""

from __future__ import annotations

import sys
from functools import cache

TYPE_CHECKING = False  # as in `typing`, which is slow to import
if TYPE_CHECKING:
    from logging import Logger

__all__ = ["CRITICAL", "DEBUG", "ERROR", "INFO", "WARNING", "Log"]

DEBUG, INFO, WARNING, ERROR, CRITICAL = 10, 20, 30, 40, 50
"""The levels of `logging`."""


class Log:
    """The logger of a name: calling it returns what `logging.getLogger` returns."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._logger: Logger | None = None

    def __call__(self) -> Logger:
        if self._logger is None:
            self._logger = _logger(self._name)
        return self._logger

    def wants(self, level: int) -> bool:
        """Return whether a message of a level is wanted: not by a program that has not imported `logging`."""
        if self._logger is None and "logging" not in sys.modules:
            return False
        return self().isEnabledFor(level)

    def log(self, level: int, message: str, *args: object) -> None:
        """Log a message if it is wanted."""
        if self.wants(level):
            self().log(level, message, *args)


@cache
def _logger(name: str) -> Logger:
    import logging

    if name == TOP:
        logger = logging.getLogger(name)
        logger.addHandler(logging.NullHandler())
        return logger
    _logger(TOP)
    return logging.getLogger(name)


TOP = "xenapic"
"""What is logged here goes nowhere unless the program says where."""

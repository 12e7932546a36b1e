"""Objects that belong to the process that made them: after a fork the child gives them up.

A child shares the parent's descriptors, and has neither the parent's other threads nor its mappings of Xen's
memory: a lock that another thread held stays locked, and reading a mapping ends the child with SIGSEGV.
"""

from __future__ import annotations

import os
from typing import Protocol
from weakref import WeakSet

__all__ = ["left_to_parent"]


class Leaving(Protocol):
    """An object that can give up what it holds."""

    def leave_to_parent(self) -> None:
        """Forget everything that is the parent's, without any call."""


_LEAVING: WeakSet[Leaving] = WeakSet()


def left_to_parent(made: Leaving) -> None:
    """Have an object's ``leave_to_parent`` called in each forked child."""
    _LEAVING.add(made)


def _leave_all() -> None:
    for made in list(_LEAVING):
        made.leave_to_parent()


os.register_at_fork(after_in_child=_leave_all)

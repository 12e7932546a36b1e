"""The domains that this process must destroy, and their end when the program forgets about them.

The garbage collector may drop a `xenapic.Domain` at any point, also in the middle of a call that holds
the handle's lock. So dropping one only puts its destruction on the list of `xenapic.abi.connection`; the next
call of any handle, or the end of the program, carries it out.
"""

from __future__ import annotations

import atexit
import errno
import itertools
import os
import weakref
from collections.abc import Callable, Collection
from functools import cache, partial
from typing import TYPE_CHECKING

from xenapic.abi.connection import postpone, run_postponed
from xenapic.errors import DomainNotFound, XenApicError
from xenapic.live.create import destroy_by_mark
from xenapic.live.policy_store import forget_owned
from xenapic.logs import ERROR, WARNING, Log

if TYPE_CHECKING:
    from xenapic.abi.handle import Handle
    from xenapic.live.domain import Domain

__all__ = [
    "Ownership",
    "coming",
    "destroy_dropped",
    "destroy_late",
    "destroy_marked",
    "has_come",
    "owned_through",
]

LOG = Log("xenapic")


_OWNED: dict[int, Ownership] = {}
_KEYS = itertools.count()
_COMING: dict[bytes, Handle] = {}
"""Marks of domains that are being created: each may exist although nobody owns it yet."""
os.register_at_fork(after_in_child=_OWNED.clear)  # they are the parent's
os.register_at_fork(after_in_child=_COMING.clear)


class Ownership:
    """The duty to destroy one domain, until `end`; a forked child never has it."""

    __slots__ = ("_key", "domain", "domid", "handle", "mark")

    def __init__(self, domain: Domain, handle: Handle, domid: int, mark: bytes) -> None:
        _at_exit()
        self.handle = handle
        self.domid = domid
        self.mark = mark
        self._key = key = next(_KEYS)
        self.domain: Callable[[], Domain | None] = weakref.ref(domain, partial(_dropped, key))
        """The domain; None once it is gone."""
        _OWNED[key] = self

    @property
    def alive(self) -> bool:
        """Whether the domain must still be destroyed."""
        return self._key in _OWNED

    def end(self) -> None:
        """End the duty: the domain is destroyed, or handed over."""
        _OWNED.pop(self._key, None)
        self.domain = _nobody  # nothing need happen any more when the domain goes


def _nobody() -> None:
    return None


def coming(handle: Handle, mark: bytes) -> None:
    """Note that a domain with this mark may come to exist, before Xen is asked for it."""
    _at_exit()
    _COMING[mark] = handle


def has_come(mark: bytes) -> None:
    """Note that the domain is owned now, or does not exist."""
    _COMING.pop(mark, None)


def destroy_late(handle: Handle, tried: Collection[Domain]) -> None:
    """Destroy what another thread created while a handle was being closed, through a handle of its own.

    The handle must be closed, so that no more can come. ``tried`` are the domains that closing saw.
    """
    seen = {id(domain) for domain in tried}
    late = [mark for mark, through in list(_COMING.items()) if through is handle]
    late += [
        entry.mark
        for entry in list(_OWNED.values())
        if entry.handle is handle and id(entry.domain()) not in seen
    ]
    if not late:
        return
    from xenapic.abi.handle import Handle
    from xenapic.live.create import destroy_by_mark

    another = Handle(handle.library)
    try:
        for mark in late:
            destroy_by_mark(another, mark)
            has_come(mark)
    finally:
        another.close()


def owned_through(handle: Handle) -> list[Domain]:
    """Return the domains that this process owns and that were created through a handle."""
    domains = (entry.domain() for entry in list(_OWNED.values()) if entry.handle is handle)
    return [domain for domain in domains if domain is not None]


def destroy_dropped(handle: Handle) -> None:
    """Destroy the domains of a handle that nobody refers to any more; raise the error of the last failure."""
    failure = None
    for key, entry in list(_OWNED.items()):
        if entry.handle is handle and entry.domain() is None:
            failure = _destroy_dropped(key) or failure
    if failure is not None:
        raise failure


def destroy_marked(handle: Handle, domid: int, mark: bytes) -> None:
    """Destroy a domain only while it has this mark, because its number may belong to another domain by now.

    Where it does not have the mark, the domain with the mark is looked for: a wrong number may have been
    answered. Raises `DomainNotFound` when there is none.
    """
    try:
        missing = None
        if handle.domains.handle_of(domid) == mark:
            handle.domains.destroy(domid)
            return
    except DomainNotFound as error:
        missing = error
    if not destroy_by_mark(handle, mark):
        raise missing or DomainNotFound(
            "xc_domain_destroy",
            errno.ESRCH,
            f"destroy domain {domid}, whose number belongs to another domain now",
        )


@cache
def _at_exit() -> None:
    """Have `_destroy_all` run when the program ends; once, because each registration takes memory."""
    atexit.register(_destroy_all)


def _dropped(key: int, _reference: object) -> None:
    if key in _OWNED:
        postpone(partial(_destroy_dropped, key))


def _destroy_dropped(key: int) -> XenApicError | None:
    """Destroy a domain that nobody refers to any more; if that fails, it is tried again at the end."""
    entry = _OWNED.get(key)
    if entry is None:
        return None
    if entry.handle.closed:
        _OWNED.pop(key, None)
        return None
    try:
        destroy_marked(entry.handle, entry.domid, entry.mark)
        LOG.log(WARNING, "domain %d was dropped without destroy() or release(): destroyed", entry.domid)
    except DomainNotFound:
        pass
    except XenApicError as error:
        LOG.log(ERROR, "domain %d was dropped and could not be destroyed: %s", entry.domid, error)
        return error
    _OWNED.pop(key, None)
    forget_owned(entry.mark)
    return None


def _destroy_all() -> None:
    """Destroy what is still owned when the program ends."""
    run_postponed()
    for key in list(_OWNED):
        _destroy_dropped(key)
    for handle in set(_COMING.values()):  # a thread that is not waited for, or an interrupted create
        try:
            handle.close()
            destroy_late(handle, ())
        except XenApicError as error:
            LOG.log(ERROR, "a domain that was being created could not be looked for: %s", error)

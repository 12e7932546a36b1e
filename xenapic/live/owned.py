"""The domains that this process must destroy, and their end when the program forgets about them.

The garbage collector may drop a `xenapic.Domain` at any point, also in the middle of a call that holds
the handle's lock. So dropping one only puts its destruction on the list of `xenapic.abi.connection`; the next
call of any handle, or the end of the program, carries it out.
"""

from __future__ import annotations

import atexit
import errno
import itertools
import logging
import os
import weakref
from functools import cache, partial
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

from xenapic.abi.connection import postpone, run_postponed
from xenapic.errors import DomainNotFound, XenApicError
from xenapic.live.policy_store import forget_owned

if TYPE_CHECKING:
    from xenapic.abi.handle import Handle
    from xenapic.live.domain import Domain

__all__ = ["Ownership", "destroy_marked", "owned_through"]

LOG = logging.getLogger("xenapic")


class _Entry(NamedTuple):
    domain: weakref.ref[Domain]
    handle: Handle
    domid: int
    mark: UUID


_OWNED: dict[int, _Entry] = {}
_KEYS = itertools.count()
os.register_at_fork(after_in_child=_OWNED.clear)  # they are the parent's


class Ownership:
    """The duty to destroy one domain, until `end`; a forked child never has it."""

    __slots__ = ("_key", "mark")

    def __init__(self, domain: Domain, handle: Handle, domid: int, mark: UUID) -> None:
        _at_exit()
        self.mark = mark
        self._key = key = next(_KEYS)
        dropped = partial(_dropped, key)
        _OWNED[key] = _Entry(weakref.ref(domain, dropped), handle, domid, mark)

    @property
    def alive(self) -> bool:
        """Whether the domain must still be destroyed."""
        return self._key in _OWNED

    def end(self) -> None:
        """End the duty: the domain is destroyed, or handed over."""
        _OWNED.pop(self._key, None)


def owned_through(handle: Handle) -> list[Domain]:
    """Return the domains that this process owns and that were created through a handle."""
    domains = (entry.domain() for entry in list(_OWNED.values()) if entry.handle is handle)
    return [domain for domain in domains if domain is not None]


def destroy_marked(handle: Handle, domid: int, mark: UUID) -> None:
    """Destroy a domain only while it has this mark, because its number may belong to another domain by now.

    Raises `DomainNotFound` when it does not.
    """
    if bytes(handle.domains.info(domid).handle) != mark.bytes:
        raise DomainNotFound(
            "xc_domain_destroy",
            errno.ESRCH,
            f"destroy domain {domid}, whose number belongs to another domain now",
        )
    handle.domains.destroy(domid)


@cache
def _at_exit() -> None:
    """Have `_destroy_all` run when the program ends; once, because each registration takes memory."""
    atexit.register(_destroy_all)


def _dropped(key: int, _reference: object) -> None:
    if key in _OWNED:
        postpone(partial(_destroy_dropped, key))


def _destroy_dropped(key: int) -> None:
    """Destroy a domain that nobody refers to any more."""
    entry = _OWNED.pop(key, None)
    if entry is None or entry.handle.closed:
        return
    forget_owned(entry.mark)
    try:
        destroy_marked(entry.handle, entry.domid, entry.mark)
        LOG.warning("domain %d was dropped without destroy() or release(): destroyed", entry.domid)
    except DomainNotFound:
        pass
    except XenApicError as error:
        LOG.error("domain %d was dropped and could not be destroyed: %s", entry.domid, error)


def _destroy_all() -> None:
    """Destroy what is still owned when the program ends."""
    run_postponed()
    for key in list(_OWNED):
        _destroy_dropped(key)

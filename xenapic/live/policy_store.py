"""The policy of each domain, stored in a file because Xen cannot store it.

The files are in ``/run/xenapic`` (or ``$XENAPIC_STATE``). A domain that a process owns is in the file of that
process (`xenapic.live.policy_journal`). Any other domain has a file that is named after its number and holds
its handle, so the file says nothing about a later domain of the same number. Only root may write to that
directory, so its content is trusted.
"""

from __future__ import annotations

import contextlib
import json
import os
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

from xenapic.live import policy_journal
from xenapic.logs import WARNING, Log

if TYPE_CHECKING:
    from xenapic.policy.terms import Policy

__all__ = ["forget", "forget_owned", "recall", "remember", "remember_owned", "sweep"]

LOG = Log("xenapic")
DEFAULT_HOME = "/run/xenapic"
STATE_VARIABLE = "XENAPIC_STATE"


def _home() -> str:
    return os.environ.get(STATE_VARIABLE) or DEFAULT_HOME


def _path(domid: int) -> str:
    return f"{_home()}/{domid}.json"


def remember_owned(domid: int, mark: bytes, policy: Policy) -> bool:
    """Store the policy of a domain that this process owns; log a warning and return False if that fails."""
    try:
        policy_journal.add(_home(), mark, _as_json(policy))
    except OSError as error:
        _warn(domid, error)
        return False
    return True


def forget_owned(mark: bytes) -> None:
    """Drop what is stored about a domain that this process owned."""
    policy_journal.drop(mark)


def remember(domid: int, handle: UUID, policy: Policy) -> bool:
    """Store the policy of a domain that has this handle, or is about to get it.

    Logs a warning and returns False if it cannot be stored.
    """
    content = f'{{"handle": "{handle.hex}", "apic": {_as_json(policy)}}}\n'.encode()
    path = _path(domid)
    try:
        policy_journal.write_file(path, content)
    except OSError as error:
        _warn(domid, error)
        return False
    return True


def _warn(domid: int, error: OSError) -> None:
    LOG.log(WARNING, "the policy of domain %d is not remembered: %s", domid, error)


_LAST: list[tuple[Policy, str]] = []
"""The policy that was stored last, with its JSON."""


def _as_json(policy: Policy) -> str:
    # The same object again is found without its hash, which takes as long as a quarter of a call.
    for known, text in _LAST:
        if known is policy:
            return text
    text = _made_json(policy)
    _LAST[:] = [(policy, text)]
    return text


@lru_cache(maxsize=64)
def _made_json(policy: Policy) -> str:
    from xenapic.policy.read import to_mapping

    return json.dumps(to_mapping(policy))


def recall(domid: int, handle: UUID) -> Policy | None:
    """Return the policy that a domain was created for; None if none is remembered."""
    from xenapic.errors import PolicyInvalid
    from xenapic.policy.read import from_mapping

    for read in (partial(policy_journal.find, _home(), handle), partial(_by_number, domid, handle)):
        try:
            stored = read()
            if stored is not None:
                return from_mapping(stored).policy
        except (OSError, ValueError, KeyError, TypeError, RecursionError, PolicyInvalid):
            continue
    return None


def _by_number(domid: int, handle: UUID) -> Any:
    with open(_path(domid), encoding="utf-8") as file:
        document = json.load(file)
    return document["apic"] if document["handle"] == handle.hex else None


def sweep() -> None:
    """Drop what is stored about the domains of processes that have ended; for when those domains are gone."""
    policy_journal.sweep(_home())


def forget(domid: int) -> None:
    """Drop what is stored about a domain."""
    with contextlib.suppress(OSError):
        os.unlink(_path(domid))

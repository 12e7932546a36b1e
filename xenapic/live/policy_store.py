"""The policy of each domain, stored in a file because Xen cannot store it.

Each domain has a file under ``/run/xenapic`` (or ``$XENAPIC_STATE``), named after the domain's number and
its handle, which is unique during this boot. Only root may write to that directory, so its content is
trusted.
"""

from __future__ import annotations

import contextlib
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

if TYPE_CHECKING:
    from xenapic.policy.terms import Policy

__all__ = ["forget", "recall", "remember", "rename"]

LOG = logging.getLogger("xenapic")
DEFAULT_HOME = "/run/xenapic"
STATE_VARIABLE = "XENAPIC_STATE"


def _path(domid: int, handle: UUID) -> Path:
    return Path(os.environ.get(STATE_VARIABLE) or DEFAULT_HOME) / f"{domid}-{handle}.json"


def remember(domid: int, handle: UUID, policy: Policy) -> bool:
    """Store a domain's policy; return False and log a warning if it cannot be stored."""
    import json

    from xenapic.policy.read import to_mapping

    path = _path(domid, handle)
    try:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        for old in path.parent.glob(f"{domid}-*.json"):
            old.unlink()  # of an earlier domain with this number
        path.write_text(json.dumps({"apic": to_mapping(policy)}))
    except OSError as error:
        LOG.warning("the policy of domain %d is not remembered: %s", domid, error)
        return False
    return True


def recall(domid: int, handle: UUID) -> Policy | None:
    """Return the policy that a domain was created for; None if no policy is stored."""
    import json

    from xenapic.errors import PolicyInvalid
    from xenapic.policy.read import from_mapping

    try:
        document = json.loads(_path(domid, handle).read_text())
        return from_mapping(document["apic"])[0]
    except (OSError, ValueError, KeyError, TypeError, PolicyInvalid):
        return None


def rename(domid: int, handle: UUID, new_handle: UUID) -> None:
    """Keep the policy of a domain whose handle changes."""
    with contextlib.suppress(OSError):
        _path(domid, handle).rename(_path(domid, new_handle))


def forget(domid: int, handle: UUID) -> None:
    """Remove the policy of a domain."""
    with contextlib.suppress(OSError):
        _path(domid, handle).unlink()

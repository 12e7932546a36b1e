"""What a domain was created for: kept in a file, because Xen keeps nothing of the kind.

One file a domain under ``/run/xenapic`` (or ``$XENAPIC_STATE``), named by the domain's number and by
its handle, which no other domain of this boot has. A directory that only root may write
to: what lies there is believed.
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
    """Keep a domain's policy; return False, with a word in the log, where it cannot be kept."""
    import json

    from xenapic.policy.read import to_mapping

    path = _path(domid, handle)
    try:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        for old in path.parent.glob(f"{domid}-*.json"):
            old.unlink()  # of a domain of the same number that is gone
        path.write_text(json.dumps({"apic": to_mapping(policy)}))
    except OSError as error:
        LOG.warning("the policy of domain %d is not remembered: %s", domid, error)
        return False
    return True


def recall(domid: int, handle: UUID) -> Policy | None:
    """Return the policy a domain was created for; None when none is remembered."""
    import json

    from xenapic.errors import PolicyInvalid
    from xenapic.policy.read import from_mapping

    try:
        document = json.loads(_path(domid, handle).read_text())
        return from_mapping(document["apic"]).policy
    except (OSError, ValueError, KeyError, TypeError, PolicyInvalid):
        return None


def rename(domid: int, handle: UUID, new_handle: UUID) -> None:
    """Follow a domain whose handle changes."""
    with contextlib.suppress(OSError):
        _path(domid, handle).rename(_path(domid, new_handle))


def forget(domid: int, handle: UUID) -> None:
    """Drop what is remembered of a domain."""
    with contextlib.suppress(OSError):
        _path(domid, handle).unlink()

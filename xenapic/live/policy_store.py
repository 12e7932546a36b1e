"""The policy of each domain, stored in a file because Xen cannot store it.

A domain has a file under ``/run/xenapic`` (or ``$XENAPIC_STATE``), named after its number. The file lists
the handles that the domain may have, so it says nothing about a later domain of the same number. Only root
may write to that directory, so its content is trusted.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

if TYPE_CHECKING:
    from xenapic.policy.terms import Policy

__all__ = ["forget", "recall", "remember"]

LOG = logging.getLogger("xenapic")
DEFAULT_HOME = "/run/xenapic"
STATE_VARIABLE = "XENAPIC_STATE"


def _path(domid: int) -> str:
    return f"{os.environ.get(STATE_VARIABLE) or DEFAULT_HOME}/{domid}.json"


def remember(domid: int, handles: Sequence[UUID], policy: Policy) -> bool:
    """Store a domain's policy; log a warning and return False if it cannot be stored.

    ``handles`` are the handles that the domain has now or may get.
    """
    names = ", ".join(f'"{handle}"' for handle in handles)
    content = f'{{"handles": [{names}], "apic": {_as_json(policy)}}}\n'.encode()
    path = _path(domid)
    try:
        try:
            file = _open_new(path)
        except FileNotFoundError:
            os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)  # noqa: PTH103, PTH120  (on the fast path of a create)
            file = _open_new(path)
        try:
            written = os.write(file, content)
        finally:
            os.close(file)
        if written != len(content):
            raise OSError("only a part was written")
    except OSError as error:
        LOG.warning("the policy of domain %d is not remembered: %s", domid, error)
        return False
    return True


def _open_new(path: str) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)


@lru_cache(maxsize=64)
def _as_json(policy: Policy) -> str:
    from xenapic.policy.read import to_mapping

    return json.dumps(to_mapping(policy))


def recall(domid: int, handle: UUID) -> Policy | None:
    """Return the policy that a domain was created for; None if none is remembered."""
    from xenapic.errors import PolicyInvalid
    from xenapic.policy.read import from_mapping

    try:
        document = json.loads(Path(_path(domid)).read_text(encoding="utf-8"))
        return from_mapping(document["apic"]).policy if str(handle) in document["handles"] else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError, PolicyInvalid):
        return None


def forget(domid: int) -> None:
    """Drop what is stored about a domain."""
    with contextlib.suppress(OSError):
        os.unlink(_path(domid))  # noqa: PTH108  (on the fast path of a destroy)

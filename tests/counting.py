"""Count how often a create is planned and checked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from xenapic.model import create
from xenapic.policy import creation

STEPS = ((creation, "plan"), (create, "check_request"))


def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list to which each step adds its name when it is taken."""
    calls: list[str] = []

    def noting(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def note(*args: Any) -> Any:
            calls.append(name)
            return function(*args)

        return note

    for module, name in STEPS:
        monkeypatch.setattr(module, name, noting(name, getattr(module, name)))
    return calls

"""Tests that share one boot stay together when they run in parallel (pytest-xdist, --dist loadgroup)."""

from __future__ import annotations

import pytest

SHARED = ("basic", "intel", "exits", "verified")
"""Fixtures that boot once for several tests."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give tests with one shared fixture, and one parameter of it, a group."""
    for item in items:
        for name in SHARED:
            if name in getattr(item, "fixturenames", ()):
                parameters = item.callspec.id if hasattr(item, "callspec") else ""
                item.add_marker(pytest.mark.xdist_group(f"{name}-{parameters}"))

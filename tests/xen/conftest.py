"""Tests that share one boot stay together when they run in parallel (pytest-xdist, --dist loadgroup)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.xen.boots import BOOTS

SHARED = ("basic", "commands", "intel", "exits", "verified")
"""Fixtures that run once for several tests."""


@pytest.fixture(scope="session", autouse=True)
def shared_machine_ends() -> Iterator[None]:
    """End the shared machine with the tests."""
    yield
    BOOTS.end()


def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """End the shared machine after its last test: an idle Bochs uses as much of a processor as a busy one."""
    if nextitem is None or _group(item) != _group(nextitem):
        BOOTS.end()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give tests that share a boot or the run of a fixture a group; put long groups first."""
    for item in items:
        group = _group(item)
        if group:
            item.add_marker(pytest.mark.xdist_group(group))
    # Workers take tests in this order: the longest groups must not be the last ones.
    items.sort(key=_order)


def _group(item: pytest.Item) -> str:
    for mark in item.iter_markers("shares_boot"):
        return "-".join(mark.args)
    parameters = getattr(item, "callspec", None)
    for name in SHARED:
        if name in getattr(item, "fixturenames", ()):
            return f"{name}-{parameters.id if parameters else ''}"
    return ""


def _order(item: pytest.Item) -> int:
    """Return what sorts a test: shared boots first, whatever ends one last of them; other real Xens; the rest."""
    if item.get_closest_marker("ends_its_machine"):
        return 1
    if item.get_closest_marker("shares_boot") and "basic" in getattr(item, "fixturenames", ()):
        return -1  # reads the log of the boot, which others displace from the ring
    if item.get_closest_marker("shares_boot"):
        return 0
    return 2 if item.get_closest_marker("xen") else 3

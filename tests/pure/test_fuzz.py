"""A share of `tests.fuzz`: mutated inputs for every reader end in a result or in an error of ours."""

from __future__ import annotations

import pytest

from tests.fuzz import READERS, Reader, fuzz, outcome
from xenapic.errors import DocumentInvalid

SHARES = (400, pytest.param(4000, marks=pytest.mark.thorough))
"""Inputs for each reader; ``make fuzz`` has 100,000."""


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("name", READERS)
def test_mutated_inputs(name: str, share: int) -> None:
    counts, failures = fuzz(name, share)
    assert not failures, "\n".join(f"{failure.what}: {failure.data[:200]!r}" for failure in failures)
    assert counts.total() > share and counts["result"] > share // 100, "some inputs are still good"
    assert len(counts) > 1 or name in ("dump", "pasted"), "which take any text"


def test_a_failure_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def crashes(data: bytes) -> object:
        return data[1000]

    def says_too_much(_data: bytes) -> object:
        raise DocumentInvalid("KeyError: 'maybe'")

    for read, what in ((crashes, "IndexError"), (says_too_much, "the error's text")):
        monkeypatch.setitem(READERS, "bad", Reader(read, lambda: iter([b"seed"]), ()))
        ended = outcome("bad", b"seed")
        assert not isinstance(ended, str) and what in ended.what

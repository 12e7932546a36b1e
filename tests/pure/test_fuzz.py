"""A share of `tests.fuzz`: mutated inputs for every reader end in a result or in an error of ours."""

from __future__ import annotations

import pytest

from tests.fuzz import READERS, Reader, fuzz, outcome
from xenapic.errors import DocumentInvalid

SHARE = 2000
"""Inputs for each reader; ``make fuzz`` has 100,000."""


@pytest.mark.parametrize("name", READERS)
def test_mutated_inputs(name: str) -> None:
    counts, failures = fuzz(name, SHARE)
    assert not failures, "\n".join(f"{failure.what}: {failure.data[:200]!r}" for failure in failures)
    assert counts.total() > SHARE and counts["result"] > SHARE // 100, "some inputs are still good"
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

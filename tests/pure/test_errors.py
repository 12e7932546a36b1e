"""Errors survive pickle and copy with their text and attributes: every class that the package has."""

from __future__ import annotations

import copy
import inspect
import pickle
import pkgutil
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import xenapic
from tests.hosts import host
from xenapic.errors import ConfigRefused, Problem, TraceUse, XenApicError
from xenapic.policy.plan import Refusal, plan
from xenapic.policy.terms import Aspect, Policy, Want

PROBLEM = Problem("code", "flags", 7, "the rule", "do this", 22, False, "xen/arch/x86/domain.c")
REFUSAL = plan(Policy({Aspect.X2APIC_MODE: Want.REQUIRE}), host(log=b"(XEN) nothing\n"))
assert isinstance(REFUSAL, Refusal)

ARGUMENTS: dict[str, Any] = {
    "bytes": b"seen",
    "str": "some words",
    "int": 22,
    "int | None": 19,
    "Path": Path("/tmp/build.log"),
    "Path | None": Path("/tmp/serial.log"),
    "Sequence[str]": ["first", "second"],
    "Sequence[Problem]": [PROBLEM, PROBLEM],
    "tuple[XenApicError, ...]": (XenApicError("first"), XenApicError("second")),
    "Sequence[Any]": REFUSAL.reasons,
    "TraceUse": TraceUse.UNREAD,
}
"""A value for each type that a constructor asks for."""


def exception_classes() -> Iterator[type[Exception]]:
    """Every exception class that a module of the package defines."""
    for module in pkgutil.walk_packages(xenapic.__path__, "xenapic."):
        if module.name.endswith("__main__") or ".guest." in module.name:
            continue
        for value in vars(import_module(module.name)).values():
            if isinstance(value, type) and issubclass(value, Exception) and value.__module__ == module.name:
                yield value


CLASSES = sorted(set(exception_classes()), key=lambda kind: kind.__qualname__)
PUBLIC = [kind for kind in CLASSES if issubclass(kind, XenApicError)]


def example(kind: type[Exception]) -> Exception:
    """An error with a value for every parameter of its constructor."""
    if kind.__init__ in (Exception.__init__, BaseException.__init__):
        return kind("some words")
    parameters = list(inspect.signature(kind.__init__).parameters.values())[1:]
    if [one.name for one in parameters] == ["args", "kwargs"]:
        return kind("some words")
    values = {one.name: ARGUMENTS[str(one.annotation)] for one in parameters}
    positional = [values.pop(one.name) for one in parameters if one.kind is not one.KEYWORD_ONLY]
    return kind(*positional, **values)


def same(error: BaseException, again: BaseException) -> None:
    assert type(again) is type(error)
    assert str(again) == str(error) and again.args == error.args
    assert repr(vars(again)) == repr(vars(error))  # errors in an error are equal if they read the same


def test_the_classes_are_found() -> None:
    names = {kind.__name__ for kind in CLASSES}
    assert names >= {"ConfigRefused", "PolicyRefused", "StageTimeout", "DocumentInvalid", "CallFailed"}
    assert len({kind.code for kind in PUBLIC}) == len(PUBLIC), "each class has a code of its own"


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_an_error_survives_pickle_and_copy(kind: type[Exception]) -> None:
    error = example(kind)
    assert len(str(error)) > 1
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        same(error, pickle.loads(pickle.dumps(error, protocol)))
    same(error, copy.copy(error))
    same(error, copy.deepcopy(error))


def refuse(number: int) -> None:
    raise ConfigRefused([PROBLEM] * number)


def test_an_error_comes_out_of_a_process_pool() -> None:
    with ProcessPoolExecutor(1) as pool:
        error = pool.submit(refuse, 2).exception()
    assert isinstance(error, ConfigRefused) and error.problems == (PROBLEM, PROBLEM)
    assert str(error) == f"{PROBLEM}\n{PROBLEM}"


def test_notes_and_attributes_survive() -> None:
    error: Any = ConfigRefused([PROBLEM])
    error.attempt = 3
    assert pickle.loads(pickle.dumps(error)).attempt == 3

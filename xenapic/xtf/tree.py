"""The tests in a built tree of XTF: ``tests/NAME/info.json``, and for each kind of guest image and xl.cfg.

Source: ``xtf-runner`` and ``build/gen.mk`` of XTF. Whatever is in the files is checked.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from xenapic.errors import DocumentInvalid, FileUnreadable, NameUnknown
from xenapic.frozen import dataclass
from xenapic.parse.files import file_name, read_file, reason
from xenapic.parse.jsontext import load

__all__ = ["DEFAULT_CATEGORIES", "HVM_ENVIRONMENTS", "XtfTest", "find_tests", "select_tests"]

HVM_ENVIRONMENTS = ("hvm32", "hvm32pae", "hvm32pse", "hvm64")
"""The kinds of guest that need no PV."""
CATEGORIES = ("functional", "xsa", "special", "utility", "in-development")
DEFAULT_CATEGORIES = ("functional", "xsa")
"""What ``xtf-runner --all`` runs."""
INFO_BYTES = 64 << 10
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}", re.ASCII)


@dataclass(frozen=True, slots=True, order=True)
class XtfTest:
    """A test in one of its environments and variations."""

    directory: str
    """The name of its directory, which is the test's."""
    environment: str
    variation: str
    """Empty for a test without variations."""
    category: str
    home: Path

    @property
    def image(self) -> Path:
        """The guest: an ELF file."""
        return self.home / f"test-{self.environment}-{self.directory}"

    @property
    def config(self) -> Path:
        """The guest's xl.cfg."""
        return self.home / f"{self.name}.cfg"

    @property
    def name(self) -> str:
        """The name that XTF gives it: ``test-hvm64-xsa-462``, ``test-hvm32-invlpg~hap``."""
        tail = f"~{self.variation}" if self.variation else ""
        return f"test-{self.environment}-{self.directory}{tail}"

    @property
    def words(self) -> tuple[str, ...]:
        """What it can be selected by, whole or with ``*``."""
        bare = f"{self.environment}-{self.directory}"
        return self.name, f"test-{bare}", bare, self.directory, self.environment, self.category, "hvm"


def find_tests(tree: str | os.PathLike[str]) -> list[XtfTest]:
    """Return the HVM-type tests of a built tree, in order; PV tests are left out.

    Raises `FileUnreadable` for a directory without tests, `DocumentInvalid` for an info.json that makes no
    sense.
    """
    name = file_name(tree)
    try:
        homes = sorted(path for path in Path(tree, "tests").iterdir() if path.is_dir())
    except (OSError, ValueError) as error:
        why = reason(error)
        raise FileUnreadable(name, f"it is no tree of XTF, which has a directory tests ({why})") from None
    tests = [test for home in homes for test in _tests_of(home)]
    if not tests:
        why = f"none of the {len(homes)} directories in tests has an info.json with an HVM environment"
        raise FileUnreadable(name, f"{why}: run make there")
    return sorted(tests)


def _tests_of(home: Path) -> Iterator[XtfTest]:
    info = home / "info.json"
    if not info.is_file():
        return
    try:
        read = _Info(load(read_file(info, INFO_BYTES)), home.name)
    except DocumentInvalid as error:
        raise error.in_file(file_name(info)) from None
    for environment in HVM_ENVIRONMENTS:
        if environment in read.environments:
            for variation in read.variations or ("",):
                yield XtfTest(home.name, environment, variation, read.category, home)


class _Info:
    """An info.json, checked: its names become parts of paths."""

    def __init__(self, data: object, directory: str) -> None:
        if not isinstance(data, Mapping):
            raise DocumentInvalid("must be an object")
        if data.get("name") != directory or not NAME.fullmatch(directory):
            raise DocumentInvalid(f"must be the name of the directory, {directory!r}", "name")
        if data.get("category") not in CATEGORIES:
            raise DocumentInvalid(f"must be one of {', '.join(CATEGORIES)}", "category")
        self.category = str(data["category"])
        self.environments = self._names(data, "environments")
        self.variations = self._names(data, "variations")

    @staticmethod
    def _names(data: Mapping[str, object], key: str) -> tuple[str, ...]:
        names = data.get(key, [])
        if not isinstance(names, list) or not all(isinstance(n, str) and NAME.fullmatch(n) for n in names):
            raise DocumentInvalid("must be a list of names", key)
        return tuple(names)


def select_tests(tests: Sequence[XtfTest], words: Iterable[str]) -> list[XtfTest]:
    """Return the tests that words choose, in order; without words those of `DEFAULT_CATEGORIES`.

    A word is the name of a test, with or without its environment and variation, or a pattern of one with
    ``*``; a category; an environment; ``hvm``, which is all. As with xtf-runner, words of one kind add up,
    and the kinds narrow each other: ``xsa hvm64`` are the tests of that category in that environment. Raises
    `NameUnknown` for a word that chooses nothing.
    """
    chosen = [*words]
    if not chosen:
        chosen = [name for name in DEFAULT_CATEGORIES if any(test.category == name for test in tests)] or [
            "hvm"
        ]
    kinds: dict[str, list[str]] = {}
    for word in chosen:
        if not any(_fits(test, word) for test in tests):
            known = dict.fromkeys(word for test in tests for word in test.words)
            raise NameUnknown.among("XTF test", word, known, "a name, a category, an environment, or hvm")
        kinds.setdefault(_kind(word), []).append(word)
    return [
        test
        for test in tests
        if all(any(_fits(test, word) for word in of_kind) for of_kind in kinds.values())
    ]


def _kind(word: str) -> str:
    if word in CATEGORIES:
        return "category"
    return "environment" if word in (*HVM_ENVIRONMENTS, "hvm") else "name"


def _fits(test: XtfTest, word: str) -> bool:
    return word in test.words or any(fnmatchcase(known, word) for known in test.words[:4])

"""Compare the layouts of the known releases with a Xen's own headers, by asking the C compiler.

The compiler only translates: what it puts into its assembler output is read, and nothing built from the
headers is run.
"""

from __future__ import annotations

import importlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from xenapic.abi.declared import declarations
from xenapic.abi.generations import RELEASES, Release
from xenapic.errors import HeadersUnusable
from xenapic.frozen import dataclass

__all__ = ["Comparison", "LayoutDifference", "compare_headers", "equal"]

STRUCTS = {
    "xen_domctl_createdomain": "struct xen_domctl_createdomain",
    "xen_arch_domainconfig": "struct xen_arch_domainconfig",
    "xen_sysctl_physinfo": "struct xen_sysctl_physinfo",
    "xen_domctl_getdomaininfo": "struct xen_domctl_getdomaininfo",
    "xen_domctl_getvcpuinfo": "struct xen_domctl_getvcpuinfo",
    "hvm_save_descriptor": "struct hvm_save_descriptor",
    "hvm_hw_cpu": "struct hvm_hw_cpu",
    "hvm_hw_lapic": "struct hvm_hw_lapic",
    "hvm_hw_lapic_regs": "struct hvm_hw_lapic_regs",
    "xen_cpupoolinfo": "xc_cpupoolinfo_t",
    "xen_sysctl": "struct xen_sysctl",
    "xen_sysctl_tbuf_op": "struct xen_sysctl_tbuf_op",
    "t_buf": "struct t_buf",
    "xc_error": "xc_error",
    "xen_cpuid_leaf": "struct xen_cpuid_leaf",
}
"""The structures that xenapic reads or writes, and what the headers call each."""
UNKNOWN_SIZE = "t_info", "mfn_offset"
"""A structure without a size of its own: only the place of its last member matters."""
SKIPPED = "struct xen_cpupoolinfo"
"""A function with this type is not compared: the headers know the type by another name."""
HEADERS = ("xenctrl.h", "xenguest.h", "xenforeignmemory.h", "xenevtchn.h", "xen/hvm/save.h", "xen/trace.h")
COMPILERS = ("gcc", "cc", "clang")
LIMIT = 60.0
SIZE = "(size)"


@dataclass(frozen=True, slots=True)
class LayoutDifference:
    """A place where a known release's layout is not that of the headers."""

    struct: str
    """Name of the structure or function."""
    field: str
    """Name of the field; ``(size)`` for the structure itself, empty for a function."""
    known: str
    """What it is in the known release."""
    headers: str
    """What it is in the headers."""

    def __str__(self) -> str:
        name = (
            f"{self.struct}.{self.field}" if self.field not in ("", SIZE) else f"{self.struct} {self.field}"
        )
        return f"{name.strip()}: {self.known}, in the headers {self.headers}"


@dataclass(frozen=True, slots=True)
class Comparison:
    """A known layout against the headers."""

    release: Release
    """The newest release with this layout."""
    questions: int
    """The number of places compared."""
    differences: tuple[LayoutDifference, ...]


def equal(comparisons: Iterable[Comparison]) -> Release | None:
    """Return the newest release whose layout is that of the headers, or None."""
    return next((one.release for one in comparisons if not one.differences), None)


def compare_headers(headers: Path) -> tuple[Comparison, ...]:
    """Compare each known layout with the headers in a directory, newest first.

    Raises `HeadersUnusable` if there is no C compiler, or if the headers are not Xen's or not complete.
    """
    missing = [name for name in HEADERS if not (headers / name).is_file()]
    if missing:
        raise HeadersUnusable(
            f"{headers} lacks {', '.join(missing)}: give the directory that has xenctrl.h and xen/, as "
            "installed by Xen's `make install-tools` or by libxen-dev"
        )
    compiler = next(filter(None, map(shutil.which, COMPILERS)), None)
    if compiler is None:
        raise HeadersUnusable("no C compiler is installed (Debian: apt-get install gcc libc6-dev)")
    newest = {row.generation: row for row in RELEASES}
    with tempfile.TemporaryDirectory(prefix="xenapic-layout-") as work:
        asker = _Asker(compiler, headers, Path(work))
        asker.translate("")  # headers that cannot be used must not look like a difference
        return tuple(asker.compare(row) for row in sorted(newest.values(), reverse=True))


class _Asker:
    """Asks a compiler about headers."""

    def __init__(self, compiler: str, headers: Path, work: Path) -> None:
        self._compiler = compiler
        self._headers = headers
        self._source = work / "questions.c"

    def compare(self, row: Release) -> Comparison:
        """Return how the headers differ from a known release."""
        ffi = importlib.import_module(f"xenapic._xenctrl.{row.generation}").ffi
        known = dict(_known(ffi))
        found = self._ask(known)
        functions = _functions(row)
        wrong = self._conflicting(functions)
        differences = [
            LayoutDifference(struct, field, known[struct, field], found.get((struct, field), "missing"))
            for struct, field in known
            if known[struct, field] != found.get((struct, field))
        ]
        differences += [LayoutDifference(name, "", functions[name], wrong[name]) for name in wrong]
        return Comparison(row, len(known) + len(functions), tuple(differences))

    def _ask(self, places: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
        """Return what the headers say about each place that they have."""
        waiting = list(places)
        while True:
            lines = [_question(number, *place) for number, place in enumerate(waiting)]
            done = self._run("\n".join(["void questions(void) {", *lines, "}"]))
            if done.returncode == 0:
                break
            wrong = {int(match[1]) - FIRST_LINE - 1 for match in ERROR.finditer(done.stderr)}
            kept = [place for number, place in enumerate(waiting) if number not in wrong]
            if len(kept) == len(waiting):
                raise HeadersUnusable(
                    f"the compiler rejects the questions about {self._headers}: {_tail(done.stderr)}"
                )
            waiting = kept
        answers = {int(m[1]): f"{_at(m[2])}{m[3]} bytes" for m in ANSWER.finditer(done.stdout)}
        return {place: answers[number] for number, place in enumerate(waiting)}

    def _conflicting(self, functions: dict[str, str]) -> dict[str, str]:
        """Return the functions that the headers declare in another way, or not at all."""
        uses = "\n".join(f"void *use_{name}(void) {{ return (void *){name}; }}" for name in functions)
        again = "\n".join(functions.values())
        wrong: dict[str, str] = {}
        for match in ERROR.finditer(self._run(f"{uses}\n{again}", "-fsyntax-only").stderr):
            name = QUOTED.search(match[2])
            if name and name[1] in functions:
                missing = "undeclared" in match[2]
                wrong.setdefault(name[1], "missing" if missing else "declared with other types")
        return wrong

    def translate(self, text: str) -> None:
        """Raise `HeadersUnusable` if a program does not compile."""
        done = self._run(text, "-fsyntax-only")
        if done.returncode:
            raise HeadersUnusable(
                f"the compiler rejects the headers in {self._headers}: {_tail(done.stderr)}"
            )

    def _run(self, text: str, *how: str) -> subprocess.CompletedProcess[str]:
        self._source.write_text(f"{PROLOGUE}{text}\n")
        every = [] if "clang" in self._compiler else ["-fmax-errors=0"]
        how = how or ("-S", "-o", "-")
        command = [self._compiler, *every, "-w", "-I", str(self._headers), *how, str(self._source)]
        try:
            return subprocess.run(
                command,
                capture_output=True,
                text=True,
                errors="replace",
                check=False,
                stdin=subprocess.DEVNULL,
                timeout=LIMIT,
                env={**os.environ, "LC_ALL": "C"},
            )
        except subprocess.TimeoutExpired:
            raise HeadersUnusable(f"{self._compiler} did not end within {LIMIT:g} s") from None


PROLOGUE = "\n".join(
    ["#define __XEN_TOOLS__ 1", "#include <stddef.h>", *(f"#include <{name}>" for name in HEADERS), ""]
)
FIRST_LINE = PROLOGUE.count("\n") + 1
ERROR = re.compile(r"questions\.c:(\d+):\d+: error: (.*)")
QUOTED = re.compile(r"'(\w+)'")
ANSWER = re.compile(r"->(\d+) \$?(-?\d+) \$?(\d+)")


def _question(number: int, struct: str, field: str) -> str:
    """Return a line whose assembler output shows offset and size; offset -1 stands for none."""
    name = STRUCTS.get(struct, f"struct {struct}")
    if field == SIZE:
        return f'asm volatile("->{number} %0 %1" :: "i"(-1L), "i"(sizeof({name})));'
    size = "0" if struct == UNKNOWN_SIZE[0] else f"sizeof((({name} *)0)->{field})"
    return f'asm volatile("->{number} %0 %1" :: "i"((long)offsetof({name}, {field})), "i"({size}));'


def _known(ffi: Any) -> Iterator[tuple[tuple[str, str], str]]:
    """Yield each place of a known layout, and what it is there."""
    for struct in STRUCTS:
        yield (struct, SIZE), f"{ffi.sizeof(f'struct {struct}')} bytes"
        for name, field in ffi.typeof(f"struct {struct}").fields:
            yield (struct, name), f"{_at(field.offset)}{ffi.sizeof(field.type)} bytes"
    struct, name = UNKNOWN_SIZE
    yield (struct, name), f"{_at(ffi.offsetof(f'struct {struct}', name))}0 bytes"


def _at(offset: object) -> str:
    return "" if str(offset) == "-1" else f"offset {offset}, "


PROTOTYPE = re.compile(r"^[\w ]+[ *](?P<name>(?:xc|xenforeignmemory|xenevtchn)_\w+)\([^()]*\);", re.MULTILINE)


def _functions(row: Release) -> dict[str, str]:
    """Return the prototypes of a known release that can be compared."""
    found = PROTOTYPE.finditer(declarations(row))
    return {match["name"]: match[0] for match in found if SKIPPED not in match[0]}


def _tail(text: str) -> str:
    return " / ".join(line for line in text.splitlines() if "error" in line)[:600]

"""One fault at a time: a call of a C library that fails, works but says that it failed, or answers garbage."""

from __future__ import annotations

import errno
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from tests.library.fakehost import Host
from xenapic.abi.library import Library

POINTERS = frozenset(
    {
        "xc_interface_open",
        "xc_cpupool_getinfo",
        "xenforeignmemory_open",
        "xenforeignmemory_map",
        "xenevtchn_open",
        "xc_cpu_policy_init",
        "open_memstream",
        "xtl_createlogger_stdiostream",
    }
)
"""Functions that return NULL when they fail."""
CANNOT_FAIL = {
    "xc_interface_close": "nothing can be done about it",
    "xenforeignmemory_close": "nothing can be done about it",
    "xenforeignmemory_unmap": "nothing can be done about it",
    "xenevtchn_close": "nothing can be done about it",
    "xenevtchn_unmask": "nothing can be done about it; waiting only takes longer",
    "xc_cpu_policy_destroy": "returns nothing",
    "xc_cpupool_infofree": "returns nothing",
    "xc_get_last_error": "belongs to a call that has failed",
    "xc_clear_last_error": "returns nothing",
    "xc_error_code_to_desc": "a table in the library",
    "xtl_logger_destroy": "returns nothing",
    "rewind": "returns nothing",
    "fclose": "nothing can be done about it",
    "free": "returns nothing",
}
"""Functions without faults, and why."""
USUAL: tuple[int, ...] = (
    errno.EPERM,
    errno.EACCES,
    errno.ENOMEM,
    errno.EINVAL,
    errno.EFAULT,
    errno.EBUSY,
    errno.EAGAIN,
)
USUAL += (errno.ENOSYS, errno.EINTR, errno.EIO)
OF_DOMAINS = (*USUAL, errno.ESRCH)
AT_OPEN = (errno.ENOENT, errno.ENODEV, errno.ENXIO, errno.EMFILE, errno.ENFILE, *USUAL)


def numbers(function: str) -> tuple[int, ...]:
    """Return every errno that makes sense for a function."""
    if function.endswith("_open"):
        return AT_OPEN
    if function in ("open_memstream", "xtl_createlogger_stdiostream"):
        return (errno.ENOMEM,)
    if function == "xc_domain_create":
        return (*OF_DOMAINS, errno.EEXIST, errno.ENOSPC, errno.ENODEV)
    if function == "xenevtchn_bind_virq":  # EBUSY and EEXIST are another tracer
        return tuple(number for number in USUAL if number != errno.EBUSY)
    return OF_DOMAINS if function.startswith(("xc_domain_", "xc_vcpu_", "xc_hvm_")) else USUAL


@dataclass(frozen=True)
class Fault:
    """What happens to one call."""

    number: int = 0
    """The errno of a call that fails; 0 for a garbled answer."""
    late: bool = False
    """Whether the call does its work before it fails."""
    seed: int = 0
    """Of the garbage."""

    def strike(self, ffi: Any, function: str, real: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        """Call a function with the fault; return its answer."""
        if not self.number:
            return garbled(ffi, function, real(*args), args, self.seed)
        if self.late:
            real(*args)
        ffi.errno = self.number
        return ffi.NULL if function in POINTERS else -1


GARBAGE = 4
"""Kinds of garbage."""


def garbled(ffi: Any, function: str, answer: Any, args: tuple[Any, ...], seed: int) -> Any:
    """Overwrite everything that a call may have written, and return a wrong number."""
    for arg in args:
        if isinstance(arg, ffi.CData) and (memory := written(ffi, arg)) is not None:
            filled = {0: b"\xff", 1: b"\0"}.get(seed)
            memory[:] = filled * len(memory) if filled else random.Random(seed).randbytes(len(memory))
    if function == "xc_cpupool_getinfo" and answer:
        answer.cpupool_id ^= 0xFFFF
    if function in POINTERS or not isinstance(answer, int):
        return answer
    return (1 << 31) - 1 if seed == 0 else 0 if seed == 1 else answer + 1 if seed == 2 else 1 << 20


def written(ffi: Any, arg: Any) -> Any:
    """Return the memory behind an argument; None for a handle and for memory that is not the call's."""
    kind = ffi.typeof(arg)
    if kind.kind == "array":
        return ffi.buffer(arg)
    if kind.kind != "pointer" or arg == ffi.NULL or kind.item.kind == "void":
        return None
    try:
        return ffi.buffer(arg)
    except (TypeError, ffi.error):  # opaque: a handle
        return None


class Face:
    """A library whose calls go through `Faults`."""

    def __init__(self, faults: Faults, target: Any) -> None:
        self._faults, self._target = faults, target

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._target, name)
        return lambda *args: self._faults.invoke(name, real, args)


class Faults:
    """Counts the calls of a host's libraries, and makes one of them go wrong."""

    def __init__(self, real: Library, host: Host) -> None:
        self.calls: list[str] = []
        self.at: int | None = None
        self.fault = Fault()
        self.host = host
        self.library = replace(
            real,
            xenctrl=Face(self, host),
            foreign=Face(self, host),
            evtchn=Face(self, host),
            loaded_guest=Face(self, host),
            toollog=Face(self, real.toollog),
            libc=Face(self, real.libc),
        )

    def invoke(self, name: str, real: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        """Make a call."""
        index = len(self.calls)
        self.calls.append(name)
        if index != self.at:
            return real(*args)
        return self.fault.strike(self.host.ffi, name, real, args)


def told(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and all that it comes from."""
    yield error
    for inner in (*getattr(error, "errors", ()), error.__cause__, error.__context__):
        if inner is not None:
            yield from told(inner)


def says(error: BaseException, number: int, function: str) -> bool:
    """Return True if an error names the errno and the function."""
    name = errno.errorcode[number]
    return any(
        (getattr(each, "errno", None) == number or name in str(each)) and function in str(each)
        for each in told(error)
    )

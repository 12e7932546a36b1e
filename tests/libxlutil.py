"""Debian's libxlutil through ctypes, as an oracle for our reader; `reader` is None where it is not installed."""

from __future__ import annotations

import ctypes
from collections.abc import Callable

XlValues = dict[str, tuple[str | None, int | None]]
"""By name: the string (None for a list) and the number that xl reads from it (None for none)."""

LIBRARIES = ("libxlutil.so.4.17", "libxlutil.so.4.20")
MISSING = 3
"""ESRCH."""


def load() -> ctypes.CDLL | None:
    for name in LIBRARIES:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    return None


def reader() -> Callable[[bytes, tuple[str, ...]], XlValues | None] | None:
    """Return a function that reads a file as xl does; it returns None for a file that xl refuses."""
    library = load()
    if library is None:
        return None
    library.xlu_cfg_init.restype = ctypes.c_void_p
    library.xlu_cfg_init.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
    library.xlu_cfg_destroy.argtypes = [ctypes.c_void_p]
    library.xlu_cfg_readdata.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int]
    for name in ("xlu_cfg_get_string", "xlu_cfg_get_long"):
        getattr(library, name).argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_int]
    libc = ctypes.CDLL(None)
    libc.fopen.restype = ctypes.c_void_p
    libc.fopen.argtypes = [ctypes.c_char_p, ctypes.c_char_p]
    nowhere = libc.fopen(b"/dev/null", b"w")

    def read(data: bytes, names: tuple[str, ...]) -> XlValues | None:
        assert library is not None
        config = library.xlu_cfg_init(nowhere, b"c")
        try:
            if library.xlu_cfg_readdata(config, data, len(data)):
                return None
            return {name: value for name in names if (value := _value(library, config, name)) is not None}
        finally:
            library.xlu_cfg_destroy(config)

    return read


def _value(library: ctypes.CDLL, config: int, name: str) -> tuple[str | None, int | None] | None:
    text, number = ctypes.c_char_p(), ctypes.c_long()
    error = library.xlu_cfg_get_string(config, name.encode(), ctypes.byref(text), 1)
    if error == MISSING:
        return None
    if library.xlu_cfg_get_long(config, name.encode(), ctypes.byref(number), 1):
        return None if text.value is None and not error else (_text(text, error), None)
    return _text(text, error), number.value


def _text(text: ctypes.c_char_p, error: int) -> str | None:
    return None if error or text.value is None else text.value.decode("latin-1")

"""Runs in dom0's Python, on this machine: compiles files as `py_compile` does, with the hash of their source.

Reads ``{name: source}`` from stdin and writes ``{name: compiled form}`` to stdout, both marshalled; what does
not compile is left out. Imports only what is built into Python.
"""

import marshal
import sys
from _frozen_importlib_external import MAGIC_NUMBER
from _imp import source_hash

CHECKED_HASH = (0b11).to_bytes(4, "little")
"""The flags of a compiled form that is used only if the source has the recorded hash (PEP 552)."""


def main() -> None:
    magic = int.from_bytes(MAGIC_NUMBER, "little")
    forms = {}
    for name, source in marshal.load(sys.stdin.buffer).items():
        try:
            code = compile(source, name, "exec", dont_inherit=True)
        except (SyntaxError, ValueError):
            continue
        forms[name] = MAGIC_NUMBER + CHECKED_HASH + source_hash(magic, source) + marshal.dumps(code)
    marshal.dump(forms, sys.stdout.buffer, 2)


main()

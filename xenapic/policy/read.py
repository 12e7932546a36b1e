"""Read a policy from a file, in TOML or in the syntax of xl.cfg.

TOML has one table, ``[apic]``::

    [apic]
    virtual_interrupt_delivery = "require"   # any aspect: require, forbid, prefer, host default, or a list
    effects = ["x2apic-reads-stay"]
    assisted_xapic = true                    # as in xl.cfg of 4.17-rc
    guest_x2apic = true                      # false: the toolstack hides x2APIC from the guest
    accept = []                              # codes of defects that the plan may run into
    guest_type = "pvh"

`read_policy` decides by the content: only TOML has a line ``[apic]``.
"""

from __future__ import annotations

import os
import re
from dataclasses import replace
from enum import Enum
from typing import BinaryIO

from xenapic.errors import PolicyInvalid
from xenapic.parse.domainxml import looks_like_xml
from xenapic.parse.files import file_name, read_file, read_stream
from xenapic.policy.libvirtpolicy import from_libvirt
from xenapic.policy.mapping import ReadPolicy, from_mapping, to_mapping
from xenapic.policy.suggest import no_such
from xenapic.policy.tomlpolicy import from_toml
from xenapic.policy.xlpolicy import from_xl_cfg

__all__ = [
    "ReadPolicy",
    "Syntax",
    "from_file",
    "from_mapping",
    "from_stream",
    "from_toml",
    "from_xl_cfg",
    "read_policy",
    "syntax_of",
    "to_mapping",
]


LOOKED_AT = 4096
"""Bytes in which XML must begin."""


class Syntax(Enum):
    """The syntax of a policy file."""

    TOML = "toml"
    XL_CFG = "xl.cfg"
    LIBVIRT = "libvirt"

    @property
    def title(self) -> str:
        """The name as people write it."""
        return {"toml": "TOML", "xl.cfg": "xl.cfg", "libvirt": "libvirt domain XML"}[self.value]


BOM = rb"(?:\xef\xbb\xbf)?"
TABLE = re.compile(rb"^" + BOM + rb"[ \t]*\[[ \t]*[A-Za-z][\w.-]*[ \t]*\][ \t]*(?:#.*)?\r?$", re.MULTILINE)
"""A line that begins a table of TOML; no xl.cfg can have it, because its lists hold no bare words."""
INLINE = re.compile(rb"^" + BOM + rb"[ \t]*apic[ \t]*(?:=[ \t]*\{|\.[ \t]*[\w\"'])", re.MULTILINE)
"""The same table of TOML in its other forms: ``apic = { … }`` and ``apic.tpr_shadow = …``."""


def from_file(path: str | os.PathLike[str], syntax: Syntax | str | None = None) -> ReadPolicy:
    """Read a policy from a file; ``syntax`` overrides the decision by content.

    Raises `PolicyInvalid`, with every error and its line, and `FileUnreadable`.
    """
    return read_policy(read_file(path), file_name(path), syntax)


def from_stream(stream: BinaryIO, name: str, syntax: Syntax | str | None = None) -> ReadPolicy:
    """Read a policy from an open file, for example standard input; ``name`` is its name for messages.

    Raises `PolicyInvalid`, with every error and its line, and `FileUnreadable` for too much input.
    """
    return read_policy(read_stream(stream, name), name, syntax)


def read_policy(content: bytes | str, file: str = "", syntax: Syntax | str | None = None) -> ReadPolicy:
    """Read a policy from the content of a file; ``file`` is its name for messages.

    Raises `PolicyInvalid`, with every error and its line.
    """
    data = content.encode("utf-8", "surrogateescape") if isinstance(content, str) else content
    chosen = syntax_of(data) if syntax is None else _named(syntax)
    try:
        if chosen is Syntax.LIBVIRT:
            read = from_libvirt(_as_xl(data))
        else:
            read = from_toml(_utf8(data)) if chosen is Syntax.TOML else from_xl_cfg(_as_xl(data))
    except PolicyInvalid as error:
        raise error.in_file(file) from None
    return replace(read, notes=(f"read as {chosen.title}", *read.notes))


def syntax_of(content: bytes) -> Syntax:
    """Return the syntax of a content: XML if it begins with ``<``, TOML if it has a table, else xl.cfg."""
    if looks_like_xml(content[:LOOKED_AT].decode("utf-8", "replace")):
        return Syntax.LIBVIRT
    return Syntax.TOML if TABLE.search(content) or INLINE.search(content) else Syntax.XL_CFG


def _named(syntax: Syntax | str) -> Syntax:
    if isinstance(syntax, Syntax):
        return syntax
    for member in Syntax:
        if member.value == syntax:
            return member
    raise PolicyInvalid(no_such("syntax", str(syntax), [member.value for member in Syntax]))


def _utf8(content: bytes) -> str:
    """Decode TOML, which is always UTF-8; a byte-order mark does no harm."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        byte = content[error.start]
        raise PolicyInvalid(f"line {line}: byte {byte:#04x} is not UTF-8, as TOML requires") from None


def _as_xl(content: bytes) -> str:
    """Decode an xl.cfg: xl reads bytes, so whatever is not UTF-8 is taken as Latin-1."""
    try:
        return content.decode()
    except UnicodeDecodeError:
        return content.decode("latin-1")

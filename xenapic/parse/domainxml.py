"""Read a libvirt domain XML safely: no document type, no entities, bounded in size, depth and elements."""

from __future__ import annotations

import re
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, ParseError, TreeBuilder, XMLParser

from xenapic.errors import PolicyInvalid

__all__ = ["looks_like_xml", "read_domain_xml"]

MAX_CHARACTERS = 4 << 20
MAX_DEPTH = 64
MAX_ELEMENTS = 50_000
DECLARATION = re.compile(r"<!(?:DOCTYPE|ENTITY)")
HEAD = re.compile(r"\s*<\?xml[^>]*\?>")
"""Its encoding no longer holds for decoded text."""


class Bounded(TreeBuilder):
    """A tree builder that stops at a depth and a number of elements that no domain has."""

    def __init__(self) -> None:
        super().__init__()
        self.depth = self.elements = 0

    def start(self, tag: str, attrs: dict[str, str], /) -> Element:
        """Open an element; raise `PolicyInvalid` beyond the bounds."""
        self.depth += 1
        self.elements += 1
        if self.depth > MAX_DEPTH:
            raise PolicyInvalid(f"elements nested more than {MAX_DEPTH} deep are no domain XML")
        if self.elements > MAX_ELEMENTS:
            raise PolicyInvalid(f"more than {MAX_ELEMENTS} elements are no domain XML")
        return super().start(tag, attrs)

    def end(self, tag: str, /) -> Element:
        """Close an element."""
        self.depth -= 1
        return super().end(tag)


def looks_like_xml(text: str) -> bool:
    """Return True if a text is XML rather than an xl.cfg, in which no line can begin with ``<``."""
    return text.lstrip("\ufeff \t\r\n").startswith("<")


def read_domain_xml(text: str) -> Element:
    """Return the element ``domain``; raise `PolicyInvalid` with the line for anything else."""
    if len(text) > MAX_CHARACTERS:
        raise PolicyInvalid(f"more than {MAX_CHARACTERS >> 20} MiB are no domain XML")
    text = text.lstrip("\ufeff")
    declared = DECLARATION.search(text)
    if declared is not None:
        line = text.count("\n", 0, declared.start()) + 1
        raise PolicyInvalid(f"line {line}: document types and entities are not read")
    try:
        root = ElementTree.fromstring(HEAD.sub(_blank_lines, text, count=1), XMLParser(target=Bounded()))
    except ParseError as error:
        raise PolicyInvalid(f"line {error.position[0]}: not XML: {error}") from None
    except (ValueError, UnicodeError) as error:
        raise PolicyInvalid(f"not XML: {error}") from None
    if root.tag != "domain":
        raise PolicyInvalid(f"a domain's XML begins with <domain>, not <{root.tag[:40]}>")
    return root


def _blank_lines(head: re.Match[str]) -> str:
    return "\n" * head[0].count("\n")

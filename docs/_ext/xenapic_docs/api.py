"""Shape the pages that Sphinx makes from docstrings and from the command's help."""

from __future__ import annotations

from enum import Enum

import click
from sphinx.application import Sphinx

import xenapic


def skip_what_has_a_top_name(
    app: Sphinx, what: str, name: str, obj: object, skip: bool, options: object
) -> bool | None:
    """Return True for a member of a module that a page documents as ``xenapic.NAME``.

    None leaves the choice to Sphinx.
    """
    if what == "module" and name in (*xenapic.__all__, "open") and getattr(xenapic, name) is obj:
        return True
    return None


def readable_signature(
    app: Sphinx,
    what: str,
    name: str,
    obj: object,
    options: object,
    signature: str | None,
    returns: str | None,
) -> tuple[str, str | None] | None:
    """Return a signature without what a reader cannot use; None leaves it as it is.

    An enum has no constructor worth showing, and ``<factory>`` is not Python, so Sphinx would
    split the annotation before it at its commas.
    """
    if isinstance(obj, type) and issubclass(obj, Enum):
        return "", None
    if signature and "<factory>" in signature:
        return signature.replace("<factory>", "..."), returns
    return None


def examples_as_code(app: Sphinx, context: click.Context, lines: list[str]) -> None:
    r"""Turn the lines that the help keeps together (``\b``) into code; sphinx_click made line blocks."""
    text = [line.removeprefix("| ").removeprefix("|") for line in lines]
    kept = [line.startswith("|") for line in lines]
    lines.clear()
    for number, line in enumerate(text):
        if kept[number] and not (number and kept[number - 1]):
            lines += [".. code-block:: text", ""]
        lines.append(f"   {line}" if kept[number] else line)

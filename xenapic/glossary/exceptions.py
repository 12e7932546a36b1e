"""Topics about the exceptions of this package, by their codes."""

from __future__ import annotations

from xenapic import errors
from xenapic.errors import XenApicError
from xenapic.glossary import prose
from xenapic.glossary.topic import Source, Topic, TopicKind
from xenapic.lab import errors as lab_errors

__all__ = ["SOURCES", "error_classes"]


def error_classes() -> dict[str, type[XenApicError]]:
    """Return every exception by its code, in the order of their definition."""
    return {
        value.code: value
        for module in (errors, lab_errors)
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, XenApicError)
    }


def _error(name: str) -> Topic:
    kind = error_classes()[name]
    parent = kind.__mro__[1]
    see = (parent.code,) if issubclass(parent, XenApicError) else ()
    title = f"exception {kind.__name__}"
    return Topic(name, TopicKind.ERROR, title, prose.ERRORS[name], see=see, aliases=(kind.__name__,))


SOURCES = {TopicKind.ERROR: Source(error_classes, _error)}

"""A topic: one term of the specification, explained."""

from __future__ import annotations

import ast
import inspect
from enum import Enum
from functools import lru_cache
from types import ModuleType

from xenapic.frozen import dataclass

__all__ = ["Topic", "TopicKind", "attribute_docs"]


class TopicKind(Enum):
    """What sort of term; in the order in which they are listed."""

    TERM = "term"
    CONTROL = "control"
    ENTRY_RULE = "VM-entry rule"
    CAPABILITY = "capability MSR"
    STATE = "APIC state"
    REGISTER = "register"
    OUTCOME = "outcome"
    COMPLETION = "completion"
    EXIT = "exit reason"
    SETTING = "setting of xl.cfg"
    FLAG = "flag"
    OPTION = "Xen option"
    RELEASE = "release"
    DEFECT = "defect"
    WANT = "want"
    EFFECT = "effect"
    REFUSAL = "refusal code"
    WARNING = "warning code"
    CREATE_RULE = "create rule"
    ERRNO = "errno"
    ERROR = "error code"
    PROCESSOR = "processor"


@dataclass(frozen=True, slots=True)
class Topic:
    """One term, with all there is to say about it."""

    name: str
    """Unique; how programs and other topics refer to it."""
    kind: TopicKind
    title: str
    """Its full name; the SDM's, where the SDM has one."""
    text: str
    """What it is."""
    effect: str = ""
    """What it does: which accesses stay or leave because of it, what happens to whom."""
    sdm: str = ""
    """Where Intel's SDM (or AMD's APM) has it, by volume and title."""
    xen: str = ""
    """Where Xen has it: function or option, and file."""
    see: tuple[str, ...] = ()
    """Names of other topics."""
    aliases: tuple[str, ...] = ()
    """Other spellings under which it is found."""


@lru_cache
def attribute_docs(module: ModuleType) -> dict[str, str]:
    """Return the strings that stand below members of a module's classes, by ``Class.member``.

    Python does not keep them; the source does. Without the source there are none.
    """
    try:
        tree = ast.parse(inspect.getsource(module))
    except OSError:
        return {}
    found = {}
    for owner in (node for node in tree.body if isinstance(node, ast.ClassDef)):
        for node, after in zip(owner.body, owner.body[1:], strict=False):
            name = _assigned(node)
            if name and isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
                found[f"{owner.name}.{name}"] = inspect.cleandoc(str(after.value.value))
    return found


def _assigned(node: ast.stmt) -> str:
    target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
    return target.id if isinstance(target, ast.Name) else ""

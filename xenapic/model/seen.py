"""What saved files show about a host besides its facts: where it is known from, and how far to trust that."""

from __future__ import annotations

from xenapic.frozen import dataclass

__all__ = ["Seen"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What was read about a host that did not describe itself."""

    files: tuple[str, ...] = ()
    """What each file is called in the sources of facts."""
    signature: str | None = None
    """EAX of CPUID leaf 1 in eight hexadecimal digits; None if no file shows it."""
    model: str | None = None
    """Family, model and, if it is known, stepping, in hexadecimal: ``06-8e-0a``."""
    processor: str | None = None
    """The processor's name as CPUID has it; None if no file shows it."""
    rows: tuple[str, ...] = ()
    """The rows of the table of processors that it can be."""
    feature_list: tuple[str, ...] | None = None
    """What Xen listed at boot, in its words and its order; None without a list."""
    feature_list_gap: str | None = None
    """Why an item that is missing may still have been listed; None if the list is complete."""
    commandline_known: bool = True
    """Whether the files show Xen's boot options; if not, `Version.commandline` is empty."""
    built_in: str = ""
    """The options that this Xen was built with, as its log shows them."""
    notes: tuple[str, ...] = ()
    """What limits the trust in the files, and what contradicts what, in sentences without a full stop."""

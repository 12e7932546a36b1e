"""Xen's command line, read the way Xen reads it (``cmdline_parse`` in ``xen/common/kernel.c``)."""

from __future__ import annotations

__all__ = ["LIMIT", "CommandLine"]

LIMIT = 1023
"""Bytes of the command line that Xen tells (``xen_commandline_t``)."""
TRUE = ("yes", "on", "true", "enable", "1")
FALSE = ("no", "off", "false", "disable", "0")
"""What ``parse_bool`` takes."""


class CommandLine:
    """Xen's boot options; of an option given twice the last counts, as in Xen.

    What a Xen was built with (``CONFIG_CMDLINE``) is not in this text and cannot be seen.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.options = [option for option in text.partition(" -- ")[0].split(" ") if option]

    @property
    def cut(self) -> bool:
        """Whether options may be missing because Xen cuts the text."""
        return len(self.text.encode()) >= LIMIT

    def values(self, name: str) -> list[str]:
        """Return the values of ``name=value``, in order."""
        return [value for key, equals, value in map(_halves, self.options) if key == name and equals]

    def boolean(self, name: str) -> bool | None:
        """Return what a boolean option was set to, None when it was not given.

        ``no-`` inverts, as Xen has it: ``no-name`` and ``name=no`` clear the option,
        ``no-name=no`` sets it. A value that is no boolean changes nothing.
        """
        answer = None
        for key, _equals, value in map(_halves, self.options):
            plain = key.removeprefix("no-")
            if plain != name or (value and value not in TRUE + FALSE):
                continue
            answer = (value not in FALSE) == (plain == key)
        return answer

    def flag(self, name: str) -> bool:
        """Tell whether a boolean option that is off by default was switched on."""
        return self.boolean(name) is True


def _halves(option: str) -> tuple[str, str, str]:
    return option.partition("=")

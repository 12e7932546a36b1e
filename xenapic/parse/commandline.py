"""Xen's command line, parsed the way Xen parses it (``cmdline_parse`` in ``xen/common/kernel.c``)."""

from __future__ import annotations

__all__ = ["LIMIT", "CommandLine"]

LIMIT = 1023
"""The number of bytes of its command line that Xen reports (``xen_commandline_t``)."""
TRUE = ("yes", "on", "true", "enable", "1")
FALSE = ("no", "off", "false", "disable", "0")
"""The words that ``parse_bool`` accepts."""


class CommandLine:
    """Xen's boot options. If an option is given twice, the last one counts, as in Xen.

    ``built_in`` has the options that Xen was built with (``CONFIG_CMDLINE``), which Xen reads first. Xen's
    report of its command line does not include them; only its boot log shows them.
    """

    def __init__(self, text: str, built_in: str = "") -> None:
        self.text = text
        self.options = [*_options(built_in), *_options(text)]

    @property
    def cut(self) -> bool:
        """Whether options may be missing because Xen cut the text."""
        return len(self.text.encode()) >= LIMIT

    def values(self, name: str) -> list[str]:
        """Return the values of ``name=value``, in order."""
        return [value for key, equals, value in map(_halves, self.options) if key == name and equals]

    def boolean(self, name: str) -> bool | None:
        """Return the value of a boolean option, None if it was not given.

        ``no-`` inverts the value, as in Xen: ``no-name`` and ``name=no`` clear the option,
        ``no-name=no`` sets it. A value that is not a boolean has no effect.
        """
        answer = None
        for key, _equals, value in map(_halves, self.options):
            plain = key.removeprefix("no-")
            if plain != name or (value and value not in TRUE + FALSE):
                continue
            answer = (value not in FALSE) == (plain == key)
        return answer

    def flag(self, name: str) -> bool:
        """Return True if a boolean option that is off by default was turned on."""
        return self.boolean(name) is True


def _options(text: str) -> list[str]:
    return [option for option in text.partition(" -- ")[0].split(" ") if option]


def _halves(option: str) -> tuple[str, str, str]:
    return option.partition("=")

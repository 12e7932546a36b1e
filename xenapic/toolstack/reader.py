"""Values out of an xl.cfg by the rules of libxlu's getters, which warn and go on instead of failing."""

from __future__ import annotations

from collections.abc import Mapping

from xenapic.errors import ToolstackRefused
from xenapic.parse.xlcfg import XlSetting, XlValue, c_number

__all__ = ["PARSE", "Getter", "OutOfBounds", "refused"]

INT_MAX = (1 << 31) - 1
PARSE = "parse_config_data, tools/xl/xl_parse.c"


class OutOfBounds(Exception):
    """A setting is there, and is no number within its bounds."""


def refused(message: str, keys: tuple[str, ...], because: str, status: int = 1) -> ToolstackRefused:
    """Return xl's refusal."""
    return ToolstackRefused(message, "xl", status, keys, because, PARSE)


class Getter:
    """The getters of one file; they note the warnings."""

    def __init__(self, settings: Mapping[str, XlSetting], binary: bool) -> None:
        self.settings = settings
        self.binary = binary
        self.warnings: list[str] = []

    def line(self, name: str) -> int | None:
        """Return the line of a setting."""
        setting = self.settings.get(name)
        return setting.line if setting else None

    def text(self, name: str, quiet: bool = False) -> str | None:
        """Return a string; None when there is none, also for a list."""
        setting = self.settings.get(name)
        if setting is None:
            return None
        if isinstance(setting.value, list):
            if not quiet:
                self.warn(f"{setting.line}: parameter `{name}' is a list but should be a single value")
            return None
        return setting.value

    def number(self, name: str, quiet: bool = False) -> int | None:
        """Return a number of 64 bits; None when there is none that xl can read."""
        text = self.text(name, quiet)
        if text is None:
            return None
        setting = self.settings[name]
        number = None if setting.added else c_number(text, self.binary)
        if number is None and not quiet:
            why = "cannot be set with +=" if setting.added else "is not a valid number"
            self.warn(f"{setting.line}: parameter `{name}' {why}")
        return number

    def flag(self, name: str) -> bool | None:
        """Return a boolean, of which any number but 0 is true; None for libxl's default."""
        number = self.number(name)
        return None if number is None else number != 0

    def bounded(self, name: str) -> int | None:
        """Return a number from 0 to INT_MAX, None when the key is not there; raise `OutOfBounds`."""
        if name not in self.settings:
            return None
        number = self.number(name, quiet=True)
        if number is None or not 0 <= number <= INT_MAX:
            raise OutOfBounds(name)
        return number

    def items(self, name: str, quiet: bool = False) -> list[XlValue] | None:
        """Return a list; None when there is none, also for a single value."""
        setting = self.settings.get(name)
        if setting is None:
            return None
        if not isinstance(setting.value, list):
            if not quiet:
                self.warn(f"{setting.line}: parameter `{name}' is a single value but should be a list")
            return None
        return setting.value

    def texts(self, name: str) -> list[str]:
        """Return the strings of a list up to its first item that is a list, where xl stops."""
        texts: list[str] = []
        for item in self.items(name) or ():
            if isinstance(item, list):
                break
            texts.append(item)
        return texts

    def warn(self, text: str) -> None:
        """Note what xl warns of."""
        self.warnings.append(text)

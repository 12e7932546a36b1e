"""Commands, groups and names as this command has them, on top of click."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

__all__ = ["AS_JSON", "Command", "LazyGroup", "Name", "OutputFile", "suggestion"]

if TYPE_CHECKING:
    _TextType = click.ParamType[str]
else:
    _TextType = click.ParamType  # not generic before click 8.2

AS_JSON = "xenapic.as_json"
"""Key in the context's ``meta``: whether the command that runs was asked for JSON."""


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return a question that names similar names; empty when there are none."""
    from xenapic.errors import NameUnknown

    near = NameUnknown.among("", name, known).near
    return f"did you mean {' or '.join(near)}?" if near else ""


class Command(click.Command):
    """A command that refuses an option given twice, where click would silently use the last."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments."""
        own = args[: args.index("--")] if "--" in args else args
        ctx.meta[AS_JSON] = "--json" in own and any(param.name == "as_json" for param in self.params)
        if not ctx.resilient_parsing:
            _, _, order = self.make_parser(ctx).parse_args(args=list(args))
            for param in set(order):
                if _single(param) and order.count(param) > 1:
                    raise click.UsageError(f"{param.opts[0]} can be given only once", ctx)
        return super().parse_args(ctx, args)


def _single(param: click.Parameter) -> bool:
    return isinstance(param, click.Option) and not (param.multiple or param.is_flag or param.count)


class LazyGroup(click.Group):
    """A group that imports a subcommand when it is used."""

    def __init__(self, *args: Any, package: str, table: dict[str, str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.package = package
        self.table = table

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the table."""
        return list(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one subcommand."""
        if cmd_name not in self.table:
            return None
        command: click.Command = import_module(f"{self.package}.{cmd_name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the subcommand that the first argument names; suggest one for an unknown name."""
        name = args[0]
        if name not in self.table and not name.startswith("-") and not ctx.resilient_parsing:
            ctx.meta[AS_JSON] = "--json" in args
            hint = suggestion(name, self.table) or f"there are {', '.join(self.table)}"
            ctx.fail(f"no such command: {name}; {hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list for ``--help`` from the table, which imports no subcommand."""
        with formatter.section("Commands"):
            formatter.write_dl(list(self.table.items()))

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return the subcommands and options that begin with the text; import no subcommand."""
        names = [name for name in self.table if name.startswith(incomplete)]
        return [
            *(CompletionItem(name, help=self.table[name]) for name in names),
            *click.Command.shell_complete(self, ctx, incomplete),
        ]


class Name(_TextType):
    """A name from a table: completed by the shell, and suggested when it is misspelt."""

    name = "name"

    def __init__(
        self,
        what: str,
        known: Callable[[], Iterable[str]],
        explain: Callable[[str], str] = lambda _name: "",
    ) -> None:
        self.what = what
        self.known = known
        self.explain = explain
        """Returns what to say about an unknown name, beyond similar names; empty for nothing."""

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return a known name; fail with a suggestion for an unknown one."""
        known = list(self.known())
        if value in known:
            return value
        near = self.explain(value) or suggestion(value, known) or f"known are {', '.join(known)}"
        self.fail(f"unknown {self.what} {value!r}; {near}", param, ctx)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Return the names that begin with the text."""
        return [CompletionItem(name) for name in self.known() if name.startswith(incomplete)]


class OutputFile(_TextType):
    """A file to write to, tried out before the work that fills it; ``-`` is stdout."""

    name = "filename"

    def __init__(self, dash: bool = True) -> None:
        self.dash = dash

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the name; make the directories above it; fail if the file cannot be written."""
        if value == "-" and self.dash:
            return value
        path = Path(value)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            new = not path.exists()
            path.open("ab").close()
            if new:
                path.unlink()
        except OSError as error:
            self.fail(f"{value!r} cannot be written: {error.strerror}", param, ctx)
        except ValueError:  # a NUL
            self.fail(f"{value!r} cannot be a file's name", param, ctx)
        return value

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Leave the completion to the shell, which knows the files."""
        return [CompletionItem(incomplete, type="file")]

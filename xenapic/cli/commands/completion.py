"""``xenapic completion``."""

from __future__ import annotations

import click

from xenapic.cli.base import Command


@click.command("completion", cls=Command)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print the script that makes a shell complete xenapic.

    \b
    bash:  xenapic completion bash > /etc/bash_completion.d/xenapic
    zsh:   xenapic completion zsh > "${fpath[1]}/_xenapic"
    fish:  xenapic completion fish > ~/.config/fish/completions/xenapic.fish
    """
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(ctx.find_root().command, {}, "xenapic", "_XENAPIC_COMPLETE").source())

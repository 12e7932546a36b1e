"""What `make torture` kills is complete."""

from __future__ import annotations

from tests.torture.commands import COMMANDS, PROGRAM, READERS
from xenapic.cli.app import COMMANDS as ALL


def test_every_command_is_killed_or_changes_nothing() -> None:
    killed = {command.argv[0] for command in COMMANDS if not command.argv[0].startswith(PROGRAM)}
    assert killed | READERS == set(ALL) and not killed & READERS

"""Each call that a command makes fails once: a message that names it, a status, and nothing left behind."""

from __future__ import annotations

import errno
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

import xenapic
from tests.library.fakehost import GUEST, Host
from tests.library.faults import Fault, Faults, numbers
from tests.library.operations import in_place
from tests.library.test_faults import Clock, bounds, places, ways
from xenapic.abi.library import Library, load
from xenapic.cli.app import app
from xenapic.live import vmcs
from xenapic.live.vmcs import Patience
from xenapic.live.xen import Xen

pytestmark = pytest.mark.library

ARGUMENTS: dict[str, list[list[str]]] = {
    "info": [[]],
    "host": [[], ["--measure"]],
    "list": [[]],
    "create": [["--memory", "64"], ["--json", "--prefer", "tpr_shadow"], ["--dry-run"]],
    "plan": [[]],
    "find": [[]],
    "access": [[]],
    "validate": [[]],
    "inspect": [[str(GUEST)]],
    "verify": [["--quiet", "--no-probe"]],
    "boot": [["--kernel", "KERNEL", "--memory", "3", "--expect", "ready", "--timeout", "0.3"]],
    "xtf": [["TREE", "--quiet", "--timeout", "0.3", "--memory", "3"]],
    "destroy": [[str(GUEST)], ["--orphans"]],
    "console": [[], ["--clear"]],
    "exits": [[str(GUEST), "--seconds", "0.001"], ["--recover"]],
    "guest": [[]],
}
"""What the commands are run with that ask a host."""
OTHERS = {
    "explain": "asks a host that an option names, never the running one",
    "abi check": "asks libxenctrl only which release it is",
}
"""Commands of which the source alone looks as if they asked a host."""
CASES = [(name, arguments) for name, each in ARGUMENTS.items() for arguments in each]


@pytest.fixture(scope="module")
def real() -> Library:
    return load()


@pytest.fixture(autouse=True)
def setting(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XENAPIC_STATE", str(tmp_path))
    monkeypatch.setattr("xenapic.exits.counter.time", Clock())
    monkeypatch.setattr(vmcs, "PATIENCE", Patience(presses=2, seconds=2, settle_seconds=0.0))


def run(
    monkeypatch: pytest.MonkeyPatch, real: Library, words: list[str], at: int | None, fault: Fault
) -> tuple[Result, Host, Faults]:
    """Run a command on a host of its own, on which one call goes wrong."""
    host = Host(real)
    host.obeys = words[0] != "xtf"
    faults = Faults(real, host)
    faults.at, faults.fault = at, fault
    monkeypatch.setattr(xenapic, "open", lambda _library=None: Xen(faults.library))
    with bounds():
        done = CliRunner().invoke(app, words)
    host.close()
    return done, host, faults


QUIET = re.compile(
    "xc_readconsolering|xc_tbuf_(disable|set_evt_mask)|xc_domain_(create|destroy|getinfo|sethandle)"
    "|xenevtchn_notify"  # a guest that has ended need not know
)
"""Functions whose failure need not fail the command (see ``TOLERATED`` in `tests.library.test_faults`)."""


@pytest.mark.parametrize(("name", "arguments"), CASES, ids=lambda value: str(value))
def test_each_call_of_a_command_fails_once(
    real: Library, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, arguments: list[str]
) -> None:
    words = in_place([name, *arguments], tmp_path)
    fine, after, faults = run(monkeypatch, real, words, None, Fault())
    assert fine.exit_code in (0, 1) and not isinstance(fine.exception, Exception), fine.output
    before = Host(real)
    for turn, place in enumerate(places(faults.calls, every=False)):
        function = faults.calls[place]
        number = numbers(function)[turn % len(numbers(function))]
        for late in ways(function, number):
            done, host, _faults = run(monkeypatch, real, words, place, Fault(number, late))
            what = (
                f"{' '.join(words)}: {function} at {place}, {errno.errorcode[number]}, {late=}: {done.output}"
            )
            assert done.exception is None or isinstance(done.exception, SystemExit), what
            assert host.state[1:] == after.state[1:], what
            if done.exit_code == 0 or (done.exit_code == fine.exit_code and done.stdout):
                assert QUIET.match(function) or name == "verify", what
                continue
            told = errno.errorcode[number] in done.output
            assert told or (late and number == errno.ESRCH) or name == "verify", what
            assert done.exit_code in (1, 3), what
            assert host.state[0].keys() <= before.state[0].keys(), what
    before.close()


def leaves(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from leaves(command, (*path, name))
        else:
            yield " ".join((*path, name)), command


def test_every_command_that_asks_a_host_is_run() -> None:
    asking = {
        name
        for name, command in leaves(app)
        if (module := inspect.getmodule(inspect.unwrap(command.callback or leaves)))
        and re.search(r"xenapic\.open\(|hosts_of\(|host_of\(", inspect.getsource(module))
    }
    assert asking - OTHERS.keys() == ARGUMENTS.keys()

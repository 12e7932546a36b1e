"""Kill commands at random moments, and judge what they leave on the host."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.kernels import elf
from tests.torture.commands import COMMANDS, KERNELS, TREE, Killed, Need
from tests.torture.host import Host
from tests.torture.processes import ENDING, Moment, Nursery, Order, When
from tests.xtftree import GUESTS, write_test

__all__ = ["Kills"]

PATIENCE = 60.0
"""Seconds after which a command that was signalled hangs; an emulated processor is slow."""
COLD_SHARE = 0.05
WHOLE_END_SHARE = 0.1
AGAIN_SHARE = 0.15
"""How many commands get a second signal while they put things back."""
OTHERS_MASK_SHARE = 0.2
BEYOND = 1.1
"""A moment is at most this part of the command's usual time."""
WORDS = re.compile(r"Traceback \(most recent call last\)|Exception ignored|Fatal Python error")
FILES = Path("/tmp")
KERNEL_AT = 0x100000


@dataclass
class Usual:
    """What a command does when nobody kills it."""

    seconds: float
    cold_seconds: float
    calls: int


@dataclass
class Tally:
    """The figures of all kills so far."""

    kills: int = 0
    in_time: int = 0
    """Commands that had not ended before the signal."""
    by_signal: Counter[str] = field(default_factory=Counter)
    by_command: Counter[str] = field(default_factory=Counter)
    orphans_removed: int = 0
    tracing_mended: int = 0
    problems: list[dict[str, Any]] = field(default_factory=list)


class Kills:
    """Kills of commands on one host. Case number N of a seed is always the same command, signal and moment."""

    def __init__(self, host: Host, nursery: Nursery, seed: int, only: str = "") -> None:
        self._host = host
        self._nursery = nursery
        self._seed = seed
        self._commands = [command for command in COMMANDS if only in command.name]
        for path, code in KERNELS.items():
            Path(path).write_bytes(elf(KERNEL_AT, [(KERNEL_AT, code, len(code))]))
        if not Path(TREE).exists():
            for name in ("fine", "fails", "faults"):
                write_test(Path(TREE), name, GUESTS[name])
        self.usual: dict[str, Usual] = {}
        self.tally = Tally()

    # -- what a command usually does --

    def learn(self, say: Callable[[str], None]) -> None:
        """Run every command without killing it: how long it takes, how many calls it makes, and what it leaves."""
        cold = 0.0
        for command in self._commands:
            self._prepare(command)
            if not cold:
                began = time.monotonic()
                self._finish(self._start(command, cold=True), PATIENCE * 5)
                cold = time.monotonic() - began
                self._judge(command, None, 0)
                self._prepare(command)
            calls = FILES / "calls"
            calls.unlink(missing_ok=True)
            began = time.monotonic()
            status = self._finish(self._start(command, calls=str(calls)), PATIENCE * 5)
            seconds = time.monotonic() - began
            made = int(calls.read_text()) if calls.exists() else 0
            self.usual[command.name] = Usual(seconds, cold + seconds, made)
            self._judge(command, None, status)
            say(f"{command.name}: {seconds:.2f} s, {made} calls, status {status}")
        if not any(usual.calls for usual in self.usual.values()):
            raise RuntimeError("no call of libxenctrl was seen: none could be hit before or after it")

    # -- one kill --

    def kill(self, number: int) -> None:
        """Kill the command of case ``number``, judge, and put the host right."""
        chance = random.Random(f"{self._seed}:{number}")
        command = chance.choices(self._commands, [each.weight for each in self._commands])[0]
        usual = self.usual[command.name]
        cold = chance.random() < COLD_SHARE
        whole_end = chance.random() < WHOLE_END_SHARE
        moment = self._moment(chance, usual, cold)
        self._host.set_mask(chance.random() < OTHERS_MASK_SHARE)
        self._prepare(command)
        at_call = moment.when is not When.TIME
        order = (int(moment.number), int(moment.at), moment.when is When.AFTER_CALL) if at_call else None
        pid = self._start(command, cold=cold, whole_end=whole_end, signal_at=order)
        if not at_call:
            time.sleep(moment.at)
            _send(pid, moment.number)
        if moment.again:
            time.sleep(moment.again[1] + (usual.seconds * chance.random() if at_call else 0))
            _send(pid, moment.again[0])
        status = self._finish(pid, PATIENCE)
        self.tally.kills += 1
        self.tally.by_signal[moment.number.name] += 1
        self.tally.by_command[command.name] += 1
        self.tally.in_time += status != 0
        self._judge(command, moment, status, number, cold)

    @staticmethod
    def _moment(chance: random.Random, usual: Usual, cold: bool) -> Moment:
        number = chance.choice(ENDING)
        again = None
        if number is not signal.SIGKILL and chance.random() < AGAIN_SHARE:
            again = (chance.choice(ENDING[:3]), chance.random() ** 2 * 0.2)
        when = When.TIME if cold or not usual.calls else chance.choice([When.TIME, *When])
        if when is When.TIME:
            at = chance.random() * BEYOND * (usual.cold_seconds if cold else usual.seconds)
        else:
            at = chance.randint(1, usual.calls)
        return Moment(number, when, at, again)

    def _prepare(self, command: Killed) -> None:
        """Make what the command needs."""
        self._expected = {}
        if command.need is Need.TARGETS:
            self._expected = self._host.targets(3)
        elif command.need is Need.ORPHANS:
            order = self._order(("orphans",), program="orphans")
            self._finish(self._nursery.start(order), PATIENCE)
        elif command.need is Need.LEFT_ON:
            self._host.leave_on()

    def _start(self, command: Killed, **how: Any) -> int:
        words = {
            "{domid}": (str(self._host.guest),),
            "{domids}": tuple(map(str, self._expected)),
        }
        argv = tuple(word for part in command.argv for word in words.get(part, (part,)))
        return self._nursery.start(self._order(argv, program=command.program, **how))

    @staticmethod
    def _order(
        argv: tuple[str, ...], *, program: str = "", cold: bool = False, whole_end: bool = False, **how: Any
    ) -> Order:
        return Order(argv, program, cold, str(FILES / "out"), str(FILES / "err"), whole_end, **how)

    def _finish(self, pid: int, seconds: float) -> int | None:
        status = self._nursery.wait(pid, seconds)
        if status is None:
            os.kill(pid, signal.SIGKILL)
            self._nursery.wait(pid, seconds)
        return status

    # -- the judgement --

    def _judge(
        self, command: Killed, moment: Moment | None, status: int | None, number: int = 0, cold: bool = False
    ) -> None:
        """Compare the host with what was promised; note what is wrong, and put the host right."""
        host, wrong = self._host, []
        said = (FILES / "err").read_text(errors="replace") if (FILES / "err").exists() else ""
        out = (FILES / "out").read_text(errors="replace") if (FILES / "out").exists() else ""
        if status is None:
            wrong.append("it hangs")
        importing = cold and command.program and (status or 0) < 0
        """A program of ours that was hit in its imports ends with Python's words, as any would."""
        if WORDS.search(said) and not importing:
            wrong.append("it printed Python's words")
        if gone := host.missing():
            wrong.append(f"domains of others are gone: {gone}")
        merciless = status is None or (
            status < 0 and (status == -signal.SIGKILL or not command.unwinds or cold)
        )
        """Whether it had no chance to put things back."""
        left = host.left(_numbers(out), self._expected)
        if left.untold or left.others:
            wrong.append(f"lost: {sorted(left.untold | left.others)}")
        theirs = command.need is Need.ORPHANS
        if left.orphans and not merciless and not theirs:
            wrong.append(f"left behind: {sorted(left.orphans)}")
        if moment is None and status not in (0, 1):
            wrong.append(f"status {status} although nobody killed it")
        wrong += self._remove_orphans(left.orphans)
        wrong += self._mend(command, merciless, status)
        if wrong:
            self.tally.problems.append(
                {
                    "case": number,
                    "command": command.name,
                    "cold": cold,
                    "moment": str(moment or "not killed"),
                    "status": status,
                    "wrong": wrong,
                    "stderr": said[-1500:],
                }
            )
        host.clear()

    def _remove_orphans(self, orphans: set[int]) -> list[str]:
        """Remove the orphans as users do; return what is wrong with that."""
        host, wrong = self._host, []
        listed = {info.domid for info in host.xen.orphans()}
        if listed != orphans:
            wrong.append(f"orphans {sorted(orphans)}, but listed are {sorted(listed)}")
        if not orphans:
            return wrong
        self._finish(self._nursery.start(self._order(("destroy", "--orphans", "--json"))), PATIENCE)
        removed = set(json.loads((FILES / "out").read_text() or '{"destroyed": []}')["destroyed"])
        if removed != orphans or host.missing() or orphans & set(host.handles()):
            wrong.append(f"destroy --orphans removed {sorted(removed)} of {sorted(orphans)}")
        self.tally.orphans_removed += len(removed)
        return wrong

    def _mend(self, command: Killed, merciless: bool, status: int | None) -> list[str]:
        """Compare tracing with before; mend it where a killed command may leave it on."""
        host = self._host
        says = host.tracing()
        if not says:
            return []
        known = says in ("left-by-us", "unread", "on")
        interrupted_recovery = command.need is Need.LEFT_ON and status != 0
        wrong = [] if known and (merciless or interrupted_recovery) else [f"tracing: {says}"]
        host.recover()
        self.tally.tracing_mended += 1
        if says := host.tracing():
            wrong.append(f"tracing after --recover: {says}")
        return wrong


def _send(pid: int, number: signal.Signals) -> None:
    """Signal a command that may have ended; nobody has waited for it, so its number is still its own."""
    os.kill(pid, number)


def _numbers(out: str) -> set[int]:
    """Return the numbers of domains that ``create`` printed."""
    return set(map(int, re.findall(r"^(?:  \"domid\": )?(\d+),?$", out, re.MULTILINE)))


def by_kind(problems: list[dict[str, Any]]) -> dict[str, int]:
    """Return how often each kind of problem happened."""
    kinds: defaultdict[str, int] = defaultdict(int)
    for problem in problems:
        for text in problem["wrong"]:
            kinds[text.partition(":")[0]] += 1
    return dict(kinds)

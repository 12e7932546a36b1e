"""Follow a running machine: its serial log, its channel, and the stage that these show."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from pathlib import Path

from xenapic.lab.errors import ChannelBroken
from xenapic.lab.frames import (
    EXIT,
    MAX_DATA,
    READY,
    SECTOR,
    START,
    STDERR,
    STDOUT,
    TROUBLE,
    Decoder,
    Frame,
)
from xenapic.lab.pace import Pace, Stopwatch

Sink = Callable[[bytes], None]

RESTORE = "restore"
"""The stage of a machine that is restored from a snapshot, in place of those of a boot."""
DOM0_STARTS = b"*** Serial input to DOM0"
# A guest's own text is on lines that start "(dN) ": such a line proves nothing.
XEN_DEAD = re.compile(
    rb"^(?!\(d\d+\) ).*\(XEN\) .*(?:Panic on CPU|Xen BUG at|FATAL TRAP|FATAL PAGE FAULT)", re.M
)
DOM0_DEAD = re.compile(rb"^(?!\(d\d+\) ).*(?:Kernel panic - not syncing|xenapic-lab: .*)", re.M)


SENT_BEFORE_SNAPSHOT = 2
"""Frames, of one sector each: READY when dom0 had started, and READY after the warm-up."""


class Tail:
    """The end of a growing file."""

    def __init__(self, path: Path, at: int = 0) -> None:
        self._fd = os.open(path, os.O_RDONLY | os.O_CREAT, 0o600)
        self._at = at

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes from the present position, which does not move."""
        return os.pread(self._fd, size, self._at)

    def advance(self, size: int) -> None:
        """Move on by `size` bytes."""
        self._at += size

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)


class Watch:
    """What is known about a running machine so far."""

    def __init__(self, serial: Path, channel: Path, pid: int, *, before: bytes | None = None) -> None:
        """`before` is the serial log of a machine that is restored, up to its snapshot."""
        restored = before is not None
        self.pace = Pace(pid)
        self._serial = Tail(serial)
        sent = SENT_BEFORE_SNAPSHOT if restored else 0
        self._channel = Tail(channel, (1 + sent) * SECTOR)
        self._decoder = Decoder(sent)
        self.answers = 0
        self._sinks: dict[int, Sink] = {}
        self.log = bytearray(before or b"")
        self._searched = self.log.rfind(b"\n") + 1
        """Where the last line of the log begins: what is before it has been searched."""
        self.xen_died = False
        """Whether the log shows that the hypervisor stopped."""
        self.dom0_died: str | None = None
        """The line by which dom0 gave up."""
        self.status: int | None = None
        self.stage = RESTORE if restored else "load"
        self.began = {self.stage: time.monotonic()}
        self._in_stage = Stopwatch(self.pace)
        self.quiet = Stopwatch(self.pace)

    def expect(self, on_stdout: Sink, on_stderr: Sink) -> None:
        """Get ready for a command: its output goes to these."""
        self._sinks = {STDOUT: on_stdout, STDERR: on_stderr}
        self.status = None
        self._in_stage = Stopwatch(self.pace)

    def close(self) -> None:
        """Close the files."""
        self._serial.close()
        self._channel.close()

    def poll(self) -> bool:
        """Read what is new; return True if anything was."""
        grown = self._poll_serial()
        return self._poll_channel() or grown

    def _poll_serial(self) -> bool:
        new = self._serial.read(1 << 20)
        if not new:
            return False
        self._serial.advance(len(new))
        self.log += new
        self._look_for_deaths()
        self.quiet = Stopwatch(self.pace)
        if self.stage == "load":
            self._enter("Xen")
        if self.stage == "Xen" and DOM0_STARTS in self.log:
            self._enter("dom0")
        return True

    def _look_for_deaths(self) -> None:
        """Search the lines that are new: to search a long log for each of them takes much of a processor."""
        self.xen_died = self.xen_died or XEN_DEAD.search(self.log, self._searched) is not None
        if self.dom0_died is None and (line := DOM0_DEAD.search(self.log, self._searched)):
            self.dom0_died = line[0].decode(errors="replace").strip()
        self._searched = self.log.rfind(b"\n") + 1

    def _poll_channel(self) -> bool:
        blob = self._channel.read(4 * MAX_DATA)
        frames, used = self._decoder.decode(blob)
        self._channel.advance(used)
        for frame in frames:
            self._take(frame)
        return bool(frames)

    def _take(self, frame: Frame) -> None:
        stream, data = frame
        if stream == START:
            self._enter("command")
        elif stream == READY:
            self.answers += 1
        elif stream == EXIT:
            self.status = int(data)
        elif stream == TROUBLE:
            raise ChannelBroken(data.decode(errors="replace"))
        else:
            self._sinks[stream](data)

    def _enter(self, stage: str) -> None:
        self.stage = stage
        self.began[stage] = time.monotonic()
        self._in_stage = Stopwatch(self.pace)

    @property
    def in_stage(self) -> Stopwatch:
        """Time since the present stage began."""
        return self._in_stage

    def split(self) -> dict[str, float]:
        """Return how many seconds each stage has taken."""
        ends = [*list(self.began.values())[1:], time.monotonic()]
        return {stage: end - start for (stage, start), end in zip(self.began.items(), ends, strict=True)}

    def serial(self) -> str:
        """Return the serial log as text."""
        return self.log.decode(errors="replace").replace("\r", "")

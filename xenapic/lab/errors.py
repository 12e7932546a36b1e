"""The lab's errors; each class has a stable ``code``."""

from __future__ import annotations

from pathlib import Path

from xenapic.errors import XenApicError


class LabError(XenApicError):
    """A failure of the lab itself, never of the command it ran."""

    code = "lab"


class LabUsageError(LabError):
    """The caller named a machine, a Xen release or a file that does not exist."""

    code = "lab-usage"


class LabPrerequisite(LabError):
    """A program or package source that the lab needs is missing; the message says what to install."""

    code = "lab-prerequisite"


class FetchFailed(LabError):
    """Packages could not be fetched or unpacked."""

    code = "lab-fetch"


class BuildFailed(LabError):
    """A Xen could not be built; the message has the last lines of the log, ``log`` is its file."""

    code = "lab-build"

    def __init__(self, what: str, log: Path, said: str) -> None:
        self.log = log
        tail = [f"  | {line}" for line in said.splitlines()[-TAIL_LINES:]]
        super().__init__("\n".join([what, *tail, f"log: {log}"]))


class ChannelBroken(LabError):
    """What dom0 sent is damaged, or exceeds the channel's room."""

    code = "lab-channel"


class SnapshotUnusable(LabError):
    """A snapshot could not be made or restored; the run boots cold instead."""

    code = "lab-snapshot"


class BootError(LabError):
    """The emulated machine failed in a stage.

    ``stage`` names it; ``serial`` is the complete serial log, ``serial_path`` the file that keeps it;
    ``stdout`` and ``stderr`` hold what the command had printed until then.
    """

    code = "lab-boot"

    def __init__(self, what: str, *, stage: str, serial: str, serial_path: Path | None) -> None:
        self.stage = stage
        self.serial = serial
        self.serial_path = serial_path
        self.stdout = b""
        self.stderr = b""
        super().__init__("\n".join([what, *self._evidence()]))

    def _evidence(self) -> list[str]:
        tail = [f"  | {line}" for line in self.serial.splitlines()[-TAIL_LINES:]]
        lines = ["last lines of the serial log:", *tail] if tail else ["the serial log is empty"]
        if self.serial_path is not None:
            lines.append(f"serial log: {self.serial_path}")
        return lines


class StageTimeout(BootError):
    """A stage took longer than it may."""

    code = "lab-timeout"


class EmulatorDied(BootError):
    """The emulator ended before the command did."""

    code = "lab-emulator"


class DiskFull(BootError):
    """The disk of the run's files (TMPDIR) is full, and the machine stands still for that."""

    code = "lab-disk-full"


class XenPanicked(BootError):
    """The hypervisor stopped with a BUG or a panic, which ``serial`` shows."""

    code = "lab-xen-panic"


class Dom0Failed(BootError):
    """Dom0's kernel or its start-up script gave up before the command ended."""

    code = "lab-dom0"


TAIL_LINES = 15

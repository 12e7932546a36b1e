"""The emulator's process: started so that it never outlives this one."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

GRACE = 2.0


class Child:
    """A process in a session of its own (a terminal's Ctrl-C does not reach it), as a context.

    It is killed on leaving the context, and by the kernel should this process be killed.
    """

    def __init__(
        self,
        argv: Sequence[str],
        log: Path,
        *,
        env: Mapping[str, str],
        cwd: Path,
        stdin: int | None = None,
    ) -> None:
        self._argv = ["setpriv", "--pdeathsig", "KILL", *argv]
        self._log = log
        self._env = {**os.environ, **env}
        self._cwd = cwd
        self._stdin = subprocess.DEVNULL if stdin is None else stdin

    def __enter__(self) -> Child:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                self._argv,
                stdin=self._stdin,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._env,
                cwd=self._cwd,
                start_new_session=True,
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    @property
    def pid(self) -> int:
        """The process's id, also its group's."""
        return self._process.pid

    def status(self) -> int | None:
        """Exit status, or None while it runs."""
        return self._process.poll()

    def said(self) -> str:
        """What the process itself printed."""
        return self._log.read_text(errors="replace")

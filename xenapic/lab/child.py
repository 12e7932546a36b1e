"""The emulator's process: it never outlives this one."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from xenapic.lab.programs import dying_with_us

GRACE = 2.0


class Child:
    """A process in a session of its own, which a terminal's Ctrl-C does not reach, as a context manager.

    It is killed when the context ends, and by the kernel if this process is killed.
    """

    def __init__(
        self,
        argv: Sequence[str],
        log: Path,
        *,
        env: Mapping[str, str],
        cwd: Path,
        stdin: int | None = None,
        pass_fds: Sequence[int] = (),
    ) -> None:
        self._argv = dying_with_us(argv)
        self._log = log
        self._env = {**os.environ, **env}
        self._cwd = cwd
        self._stdin = subprocess.DEVNULL if stdin is None else stdin
        self._pass_fds = pass_fds

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
                pass_fds=self._pass_fds,
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
        """The id of the process and of its group."""
        return self._process.pid

    def status(self) -> int | None:
        """Return the exit status, or None while the process runs."""
        return self._process.poll()

    def said(self) -> str:
        """Return what the process itself has printed."""
        return self._log.read_text(errors="replace")

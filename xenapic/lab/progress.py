"""Show what the lab does: progress during a start, and afterwards the time of each stage."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any

TEXTS = {
    "image": "preparing the image",
    "load": "loading Xen and dom0",
    "Xen": "Xen is starting",
    "dom0": "dom0 is starting",
    "snapshot": "making a snapshot, from which later runs start",
    "restore": "restoring the snapshot",
}


class Reporter:
    """Progress on stderr: an animated line on a terminal, plain lines elsewhere, or nothing."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._began = time.monotonic()
        self._status: Any = None

    def __enter__(self) -> Reporter:
        if not self._quiet and sys.stderr.isatty():
            self._status = _spinner()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()

    def __call__(self, stage: str, text: str) -> None:
        """Show a stage; from "command" on, the terminal belongs to the command."""
        if stage == "command":
            self._stop()
        elif stage == "retry":
            self._print(f"lab: {text}")
        elif self._status is not None:
            self._status.update(": ".join(filter(None, [TEXTS.get(stage, stage), text])))
        elif not self._quiet:
            said = ": ".join(filter(None, [TEXTS.get(stage, stage), text]))
            self._print(f"lab: {time.monotonic() - self._began:5.1f} s  {said}")

    def split(self, start: str, timings: Mapping[str, float]) -> None:
        """Print how the machine started and how long each stage took, in seconds."""
        if not self._quiet:
            parts = [f"{stage} {seconds:.1f}" for stage, seconds in timings.items()]
            self._print(f"lab: {start}: {', '.join(parts)}; total {sum(timings.values()):.1f} s")

    def _print(self, line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    def _stop(self) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None


def _spinner() -> Any:
    try:
        from rich.console import Console
    except ImportError:
        return None
    status = Console(stderr=True).status("starting")
    status.start()
    return status

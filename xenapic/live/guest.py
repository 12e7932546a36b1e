"""A guest that was booted: a domain with contents, a console, and an end."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, BinaryIO

from xenapic.errors import ConfigInvalid, DomainNotFound, GuestFailed
from xenapic.exits.counter import ExitCounter
from xenapic.live.domain import Domain
from xenapic.live.guestconsole import GuestConsole
from xenapic.model.flags import DOMINF, Shutdown

if TYPE_CHECKING:
    from xenapic.exits.report import ExitReport
    from xenapic.live.xen import Xen

__all__ = ["Guest", "shutdown_name"]

COUNT_SECONDS = 0.1
"""How often the trace is read at least while exits are counted."""

NAMES = {
    Shutdown.poweroff: "power-off",
    Shutdown.soft_reset: "soft reset",
}


def shutdown_name(reason: Shutdown | int) -> str:
    """Return in words how a guest ended: ``power-off``, ``reboot``, ``crash``, ``watchdog`` and others."""
    known = next((member for member in Shutdown if member == reason), None)
    return f"reason {int(reason)}" if known is None else NAMES.get(known, known.name)


class Guest(Domain):
    """A domain from `Xen.boot`, or one that was booted before (`Xen.guest`).

    The guest's console must be read, or a guest that prints much stops: `wait` and the methods of `console`
    do that. While exits are counted, they read Xen's trace too.
    """

    _console: GuestConsole | None = None
    _counter: ExitCounter | None = None

    @property
    def console(self) -> GuestConsole:
        """The guest's console; raise `GuestFailed` if it has none, or after the domain was destroyed."""
        if self._console is None:
            raise GuestFailed(f"the console of domain {self.domid} is not open")
        return self._console

    def open_console(self, log: BinaryIO | None = None) -> GuestConsole:
        """Serve the guest's console from now on; its output is also written to ``log``."""
        if self._console is None:
            self._console = GuestConsole(
                self.handle, self.domid, log=log, ended=self._has_ended, meanwhile=self._meanwhile
            )
        return self._console

    @property
    def ended(self) -> Shutdown | int | None:
        """Why the guest has ended; None while it has not. Raises `DomainNotFound` when it is gone."""
        info = self.info()
        if not info.flags & (DOMINF.shutdown | DOMINF.dying):
            return None
        return Shutdown.crash if info.shutdown_reason is None else info.shutdown_reason

    def wait(self, timeout: float | None = None) -> Shutdown | int:
        """Wait until the guest ends; return `Shutdown.poweroff`, ``reboot``, ``crash`` or ``watchdog``.

        Xen reports a triple fault as a reboot. The guest's output is kept for `console`. Raises `GuestFailed`
        after ``timeout`` seconds, and `DomainNotFound` when somebody destroyed the domain.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            reason = self.ended
            self.console.pump()
            if reason is not None:
                return reason
            left = 1.0 if deadline is None else deadline - time.monotonic()
            if left <= 0:
                why = f"domain {self.domid} did not end within {timeout:g} s"
                raise GuestFailed(why, self.console.tail())
            self.console.wait(left)

    def start_counting(self, xen: Xen) -> None:
        """Count the guest's VM exits from now on; raise the errors of `ExitCounter`."""
        counter = ExitCounter(xen, self.domid)
        counter.start()
        self._counter = counter

    def exits(self) -> ExitReport:
        """Return the VM exits since the boot, if it was told to count them (``count_exits=True``)."""
        if self._counter is None:
            raise ConfigInvalid(
                "no exits were counted: Xen has one trace for the whole host, so a boot counts only with "
                "count_exits=True; ExitCounter counts from now on"
            )
        return self._counter.snapshot()

    def close_console(self) -> None:
        """Stop serving the guest's console: another program may."""
        console, self._console = self._console, None
        if console is not None:
            console.close()

    def destroy(self) -> None:
        """Destroy the domain and free its resources; raise `DomainNotFound` when it is gone."""
        self._let_go()
        super().destroy()

    def release(self) -> None:
        """Hand the domain over: it outlives this program, and its console may be served by another."""
        super().release()
        self._let_go()

    def _let_go(self) -> None:
        """Stop counting and serving; the page must not stay mapped, or the domain's memory is not freed."""
        counter, console = self._counter, self._console
        try:
            if counter is not None:
                counter.stop()
        finally:
            if console is not None:
                console.close()

    def _has_ended(self) -> bool:
        try:
            return self.ended is not None
        except DomainNotFound:
            return True

    def _meanwhile(self, seconds: float) -> float:
        if self._counter is None:
            return seconds
        self._counter.wait(0)
        return min(seconds, COUNT_SECONDS)

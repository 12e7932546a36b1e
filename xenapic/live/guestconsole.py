"""The PV console of a guest, served by this process: no xenconsoled is needed."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, BinaryIO

from xenapic.abi.channel import Channel
from xenapic.errors import CallFailed, GuestFailed
from xenapic.loader.memorymap import PAGE_BYTES
from xenapic.loader.ring import (
    IN_AT,
    IN_BYTES,
    IN_CONS_AT,
    IN_PROD_AT,
    OUT_AT,
    OUT_BYTES,
    OUT_CONS_AT,
    OUT_PROD_AT,
    WRAP,
    free_pieces,
    used_pieces,
)

if TYPE_CHECKING:
    from xenapic.abi.handle import Handle

__all__ = ["KEPT_BYTES", "GuestConsole"]

HVM_PARAM_CONSOLE_PFN, HVM_PARAM_CONSOLE_EVTCHN = 17, 18
"""``xen/include/public/hvm/params.h``."""

KEPT_BYTES = 1 << 20
"""How much unread output is kept; of more, the oldest is dropped."""
SHOWN_BYTES = 400
"""How much of the last output an error shows."""
TICK_SECONDS = 0.25
"""How often to look although no event came: a guest that ends sends none."""
ROUNDS = 64
"""How often the ring is emptied at once: a guest can print faster than it is read."""
WRITE_SECONDS = 30.0


class GuestConsole:
    """A guest's console: what it prints, and what it reads.

    The guest can write anything into the page that it shares with this process; the worst that comes of it
    is that its own output is lost (`lost`). Raises `GuestFailed` if the domain has no console page, or if
    another program serves it.
    """

    def __init__(
        self,
        handle: Handle,
        domid: int,
        *,
        log: BinaryIO | None = None,
        ended: Callable[[], bool] | None = None,
        meanwhile: Callable[[float], float] | None = None,
    ) -> None:
        self.domid = domid
        self.lost = 0
        """How often the guest's positions made no sense, so that its output was dropped."""
        self.output = bytearray()
        """What was read from the ring and nobody took."""
        self._log = log
        self._ended = ended or (lambda: False)
        self._meanwhile = meanwhile or (lambda seconds: seconds)
        """Work to be done at least at some interval; returns the seconds until it is due again."""
        frame = handle.hvm.parameter(domid, HVM_PARAM_CONSOLE_PFN)
        port = handle.hvm.parameter(domid, HVM_PARAM_CONSOLE_EVTCHN)
        if not frame or not port:
            raise GuestFailed(f"domain {domid} has no PV console")
        self._channel = _bound(handle, domid, port)
        try:
            self._window = handle.memory.window(domid, frame)
        except BaseException:
            self._channel.close()
            raise

    def read(self) -> bytes:
        """Return all output that nobody has taken, at once; empty if there is none."""
        self._pump()
        return self._take(len(self.output))

    def expect(self, pattern: bytes | re.Pattern[bytes], timeout: float = 30.0) -> bytes:
        """Wait for a text, or a match of a pattern; return the output up to its end.

        ``timeout`` is in seconds. Raises `GuestFailed`, with the guest's last output, when the text does not
        come in time or the guest ends before.
        """
        wanted = re.compile(re.escape(pattern)) if isinstance(pattern, bytes) else pattern
        deadline = time.monotonic() + timeout
        while True:
            ended = self._ended()
            self._pump()
            match = wanted.search(self.output)
            if match:
                return self._take(match.end())
            left = deadline - time.monotonic()
            if ended or left <= 0:
                why = f"domain {self.domid} ended" if ended else f"{timeout:g} s passed"
                raise GuestFailed(f"{why} before it printed {wanted.pattern!r}", self.tail())
            self.wait(left)

    def write(self, data: bytes, timeout: float = WRITE_SECONDS) -> None:
        """Give the guest something to read, as if typed; output is taken in meanwhile.

        Raises `GuestFailed` when the guest does not read it within ``timeout`` seconds, or has ended.
        """
        deadline = time.monotonic() + timeout
        rest = memoryview(data)
        while True:
            rest = rest[self._put(rest) :]
            if not rest:
                return
            self._pump()
            left = deadline - time.monotonic()
            if self._ended() or left <= 0:
                raise GuestFailed(f"domain {self.domid} did not read its console", self.tail())
            self.wait(left)

    def follow(self) -> Iterator[bytes]:
        """Yield output as it comes, until the guest has ended."""
        while True:
            ended = self._ended()
            data = self.read()
            if data:
                yield data
            elif ended:
                return
            else:
                self.wait(TICK_SECONDS)

    def wait(self, seconds: float, *descriptors: int) -> None:
        """Sleep until the guest sends an event or a descriptor can be read, a quarter of a second at most."""
        self._channel.wait(self._meanwhile(min(seconds, TICK_SECONDS)), *descriptors)

    def tail(self) -> bytes:
        """Return the last output that nobody has taken."""
        return bytes(self.output[-SHOWN_BYTES:])

    def pump(self) -> None:
        """Take in what the guest has printed: a guest with a full ring may stop."""
        self._pump()

    def put(self, data: bytes | memoryview) -> int:
        """Give the guest what has room in its ring, and return how many bytes that was."""
        return self._put(memoryview(data))

    def close(self) -> None:
        """Stop serving the console: another program may. A second call does nothing."""
        self._window.close()
        self._channel.close()

    def _pump(self) -> None:
        if self._window.closed:
            return
        taken = b""
        for _ in range(ROUNDS):
            piece = self._drain()
            if not piece:
                break
            taken += piece
        if not taken:
            return
        self.output += taken
        del self.output[:-KEPT_BYTES]
        if self._log is not None:
            self._log.write(taken)
            self._log.flush()
        self._notify()

    def _drain(self) -> bytes:
        """Return what is in the ring, and free its room."""
        window = self._window
        cons, prod = window.number(OUT_CONS_AT), window.number(OUT_PROD_AT)
        pieces = used_pieces(cons, prod, OUT_BYTES)
        data = b""
        if pieces is None:
            self.lost += 1
        else:
            data = b"".join(window.read(OUT_AT + at, length) for at, length in pieces)
        if cons != prod:
            window.set_number(OUT_CONS_AT, prod)
        return data

    def _put(self, data: memoryview) -> int:
        if self._window.closed:
            raise GuestFailed(f"the console of domain {self.domid} is closed")
        window = self._window
        cons, prod = window.number(IN_CONS_AT), window.number(IN_PROD_AT)
        pieces = free_pieces(cons, prod, IN_BYTES)
        if pieces is None:
            raise GuestFailed(f"domain {self.domid} has damaged its console's ring", self.tail())
        done = 0
        for at, length in pieces:
            part = data[done : done + length]
            window.write(IN_AT + at, bytes(part))
            done += len(part)
        if done:
            window.set_number(IN_PROD_AT, (prod + done) % WRAP)
            self._notify()
        return done

    def _notify(self) -> None:
        """Tell the guest that its ring has changed: it may wait for that, unless it has ended."""
        try:
            self._channel.notify()
        except CallFailed:
            if not self._ended():
                raise

    def _take(self, length: int) -> bytes:
        taken = bytes(self.output[:length])
        del self.output[:length]
        return taken


def _bound(handle: Handle, domid: int, port: int) -> Channel:
    try:
        return Channel(handle.library, domid, port)
    except CallFailed as error:
        raise GuestFailed(
            f"the console of domain {domid} cannot be served ({error}); another program may serve it, e.g. "
            "xenconsoled or another 'xenapic console'"
        ) from error


def offer_console(handle: Handle, domid: int, address: int) -> None:
    """Give a new domain a console: a page at an address, which it has, and an event channel."""
    port = handle.hvm.offer_channel(domid)
    handle.hvm.set_parameter(domid, HVM_PARAM_CONSOLE_PFN, address // PAGE_BYTES)
    handle.hvm.set_parameter(domid, HVM_PARAM_CONSOLE_EVTCHN, port)

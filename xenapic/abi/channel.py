"""Event channels: wait for events of Xen or of another domain, and send some."""

from __future__ import annotations

import errno
import select
from typing import TYPE_CHECKING

from xenapic.abi.failures import call_failure
from xenapic.abi.forks import left_to_parent
from xenapic.abi.library import Library
from xenapic.errors import CallFailed, NoPrivilege, errno_name

if TYPE_CHECKING:
    from xenapic._xenctrl.libxenctrl import EventChannel

__all__ = ["Channel", "Events"]


def _open_channel(library: Library) -> EventChannel:
    """Open the device for event channels; raise `NoPrivilege` or `CallFailed`."""
    channel = library.evtchn.xenevtchn_open(library.ffi.NULL, 0)
    if channel != library.ffi.NULL:
        return channel
    number = library.ffi.errno
    if number in (errno.EACCES, errno.EPERM):
        raise NoPrivilege(
            f"this user may not open /dev/xen/evtchn ({errno_name(number)}): run as root", errno=number
        )
    raise CallFailed("xenevtchn_open", number, "open /dev/xen/evtchn (is the module xen-evtchn loaded?)")


class Events:
    """The device for event channels, open; a subclass binds one channel."""

    WAITS_FOR = "wait for an event"
    """What to say of a wait that fails."""

    def __init__(self, library: Library) -> None:
        self._ffi, self._evtchn = library.ffi, library.evtchn
        self._channel: EventChannel | None = _open_channel(library)
        left_to_parent(self)

    def wait(self, seconds: float, *descriptors: int) -> bool:
        """Sleep until an event comes or a descriptor can be read, at most for the given seconds.

        Return whether an event came. Raises `CallFailed` when the device does not work.
        """
        if self._channel is None:
            return False
        own = self._evtchn.xenevtchn_fd(self._channel)
        if own < 0:
            raise CallFailed("xenevtchn_fd", self._ffi.errno, self.WAITS_FOR)
        poll = select.poll()  # select() takes no descriptor above 1023
        for descriptor in (own, *descriptors):
            poll.register(descriptor, select.POLLIN)
        events = dict(poll.poll(max(seconds, 0) * 1000))
        if own not in events:
            return False
        if events[own] != select.POLLIN:
            raise CallFailed("xenevtchn_fd", errno.EBADF, self.WAITS_FOR)
        port = self._evtchn.xenevtchn_pending(self._channel)
        if port < 0:
            raise CallFailed("xenevtchn_pending", self._ffi.errno, self.WAITS_FOR)
        self._evtchn.xenevtchn_unmask(self._channel, port)
        return True

    def close(self) -> None:
        """Unbind the channel; a second call does nothing."""
        channel, self._channel = self._channel, None
        if channel is not None:
            self._evtchn.xenevtchn_close(channel)

    def leave_to_parent(self) -> None:
        """Forget the channel in a forked child: closing it would unbind the parent's."""
        self._channel = None


class Channel(Events):
    """An event channel that another domain offers to this one, bound.

    Raises `CallFailed` when it cannot be bound: with EINVAL if another program has bound it.
    """

    def __init__(self, library: Library, domid: int, port: int) -> None:
        super().__init__(library)
        assert self._channel is not None
        self._port = self._evtchn.xenevtchn_bind_interdomain(self._channel, domid, port)
        if self._port < 0:
            number = self._ffi.errno
            self.close()
            asked = f"bind event channel {port} of domain {domid}"
            raise call_failure("xenevtchn_bind_interdomain", number, asked, "", library.release)

    def notify(self) -> None:
        """Send the other domain an event; raise `CallFailed`, for instance when that domain has gone."""
        if self._channel is not None and self._evtchn.xenevtchn_notify(self._channel, self._port) < 0:
            raise CallFailed("xenevtchn_notify", self._ffi.errno, "send a guest an event")

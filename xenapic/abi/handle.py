"""libxenctrl as Python sees it: its calls by area, each a method with plain values that raises."""

from __future__ import annotations

from xenapic.abi.calls.console import ConsoleCalls
from xenapic.abi.calls.cpuid import CpuidCalls
from xenapic.abi.calls.domains import DomainCalls
from xenapic.abi.calls.host import HostCalls
from xenapic.abi.calls.hvm import HvmCalls
from xenapic.abi.calls.memory import MemoryCalls
from xenapic.abi.calls.trace import TraceCalls
from xenapic.abi.connection import Connection
from xenapic.abi.library import Library, load
from xenapic.errors import CallFailed, NoXen, ReleaseMismatch

__all__ = ["Handle"]


class Handle:
    """libxenctrl, open.

    Raises a subclass of `xenapic.errors.Unavailable` when Xen cannot be used. Calls on one handle run one
    at a time; open one handle per thread to run calls in parallel. A forked child opens its own.
    """

    def __init__(self, library: Library | None = None) -> None:
        self.library = library or load()
        self.connection = connection = Connection(self.library)
        self.host = HostCalls(connection)
        self.console = ConsoleCalls(connection)
        self.domains = DomainCalls(connection)
        self.memory = MemoryCalls(connection)
        self.hvm = HvmCalls(connection)
        self.cpuid = CpuidCalls(connection)
        self.trace = TraceCalls(connection)
        try:
            self._check_release()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the handle; a second call does nothing. In a forked child the parent's handle stays open."""
        self.connection.close()

    @property
    def closed(self) -> bool:
        """Whether the handle can no longer be used from this process."""
        return self.connection.closed

    def _check_release(self) -> None:
        """Refuse a library of another release: its domctls would fail with EACCES, or worse."""
        try:
            running = "{}.{}".format(*self.host.version())
        except CallFailed as error:
            raise NoXen(
                f"Xen's control device is there, but no hypervisor answers: {error}", errno=error.errno
            ) from error
        if running != str(self.library.release):
            raise ReleaseMismatch(
                f"the running hypervisor is Xen {running}, the library {self.library.path} is of Xen "
                f"{self.library.release}: install the library of Xen {running} (Debian: libxenmisc{running})"
            )

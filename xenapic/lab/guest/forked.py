"""Runs in dom0: imports xenapic once and forks a process for each ``xenapic …``.

Starting Python and importing xenapic takes seconds in an emulated machine; a fork takes a fraction.
The client `ask.py` sends its arguments, environment, open files and the rest of what a process inherits.
The forked process gets all of it, runs the package as ``python3 -m xenapic`` does, and ends as that would.
A request whose environment a running Python can no longer follow is answered `COLD`.

    python3 forked.py LISTENING_FD
"""

from __future__ import annotations

import _socket
import atexit
import contextlib
import fcntl
import gc
import io
import marshal
import mmap
import os
import resource
import runpy
import select
import signal
import struct
import sys
from importlib import import_module

PACKAGE = "xenapic"
COLD, STARTED = b"cold", b"started"
MAX_REQUEST = 1 << 18
MAX_FDS = 253
"""What Linux passes with one message (SCM_MAX_FD)."""
LESSON_SIZE = 1 << 16

LIMITS = sorted({getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")})

AT_START = (b"PYTHON", b"LC_", b"LANG", b"LD_", b"MALLOC_")
"""How the variables begin that Python, its libraries or the loader read only when they start."""


class Request:
    """What the client sent: everything a new process inherits."""

    def __init__(self, pid: int, blob: bytes, fds: list[int]) -> None:
        fields = marshal.loads(blob)
        self.pid = pid
        self.argv, self.orig_argv, self.env, self.numbers, self.umask, self.ignored, self.blocked = fields
        self.cwd, *self.fds = fds

    def needs_descriptors(self) -> int:
        """Return how many descriptors a process must be allowed to take these."""
        return max(self.numbers, default=0) + len(self.fds) + 2


def at_start(env: dict[bytes, bytes]) -> dict[bytes, bytes]:
    """Return the variables of an environment that a running Python can no longer follow."""
    return {name: value for name, value in env.items() if name.startswith(AT_START)}


class Child:
    """A forked process, its client, and the memory by which it names what it imported."""

    def __init__(self, pid: int, pidfd: int, client: _socket.socket, lesson: mmap.mmap) -> None:
        self.pid = pid
        self.pidfd = pidfd
        self.client = client
        self.lesson = lesson


class Server:
    """Answers requests until one of its children returns from `serve` with the request it is to become."""

    def __init__(self, listening: _socket.socket) -> None:
        self._listening = listening
        self._poll = select.poll()
        self._poll.register(listening.fileno(), select.POLLIN)
        self._clients: dict[int, Child] = {}
        self._children: dict[int, Child] = {}
        self._sources: dict[str, tuple[int, int, int]] = {}
        self._mine = at_start(dict(os.environb))

    def serve(self) -> Request:
        """Serve clients; return only in a child, which becomes the request."""
        while True:
            for fd, _ in self._poll.poll():
                if fd == self._listening.fileno():
                    request = self._accept()
                    if request is not None:
                        return request
                elif fd in self._children:
                    self._reap(self._children[fd])
                elif fd in self._clients:
                    self._signal(self._clients[fd])

    def _accept(self) -> Request | None:
        """Take a request; return it in the child that was forked for it."""
        fd, _ = self._listening._accept()  # noqa: SLF001  (all that _socket has)
        client = _socket.socket(fileno=fd)
        request = receive(client)
        if request is None or not self._can_become(request):
            if request is not None:
                close([request.cwd, *request.fds])
            answer(client, COLD)
            client.close()
            return None
        lesson = mmap.mmap(-1, LESSON_SIZE)
        known = set(sys.modules)
        pid = os.fork()
        if pid == 0:
            # Sent from here, before the command does anything: a client that does not get it starts the
            # command itself, and a command must not run twice.
            answer(client, STARTED)
            atexit.register(teach, lesson, known)
            return request
        close([request.cwd, *request.fds])
        self._watch(Child(pid, os.pidfd_open(pid), client, lesson))
        return None

    def _watch(self, child: Child) -> None:
        self._clients[child.client.fileno()] = self._children[child.pidfd] = child
        self._poll.register(child.client.fileno(), select.POLLIN)
        self._poll.register(child.pidfd, select.POLLIN)

    def _signal(self, child: Child) -> None:
        """Pass on the signals that the client got; if it is gone, its process must not outlive it."""
        try:
            numbers = child.client.recv(64)
        except OSError:
            numbers = b""
        for number in numbers or bytes([signal.SIGKILL]):
            os.kill(child.pid, number)
        if not numbers:
            self._forget(child)

    def _forget(self, child: Child) -> None:
        fd = child.client.fileno()
        if self._clients.pop(fd, None) is not None:
            self._poll.unregister(fd)
            child.client.close()

    def _reap(self, child: Child) -> None:
        """Send the wait status of an ended child to its client, then import what the child had imported."""
        _, status = os.waitpid(child.pid, 0)
        if child.client.fileno() in self._clients:
            answer(child.client, status.to_bytes(4, "little"))
        self._forget(child)
        del self._children[child.pidfd]
        self._poll.unregister(child.pidfd)
        os.close(child.pidfd)
        learn(child.lesson)
        child.lesson.close()

    def _can_become(self, request: Request) -> bool:
        """Return True if a fork would do the same as a new process; import what its command needs."""
        if at_start(request.env) != self._mine or shadowed(request.cwd):
            return False
        if request.needs_descriptors() > resource.getrlimit(resource.RLIMIT_NOFILE)[0]:
            return False
        try:
            import_for(request.argv)
        except Exception:
            return False
        return self._sources_unchanged()

    def _sources_unchanged(self) -> bool:
        """Return True if no imported file of the package was changed since its import."""
        for name, module in list(sys.modules.items()):
            path = getattr(module, "__file__", None)
            if path and name.partition(".")[0] == PACKAGE:
                try:
                    found = os.stat(path)
                except OSError:
                    return False
                identity = found.st_ino, found.st_size, found.st_mtime_ns
                if self._sources.setdefault(name, identity) != identity:
                    return False
        return True


def teach(lesson: mmap.mmap, known: set[str]) -> None:
    """In a child that ends: leave the names of the modules it imported for the server."""
    blob = marshal.dumps([name for name in sys.modules if name not in known])
    if len(blob) <= LESSON_SIZE:
        lesson[: len(blob)] = blob


def learn(lesson: mmap.mmap) -> None:
    """Import what a child imported, so that the next one has it."""
    try:
        names = marshal.loads(lesson[:])
    except (EOFError, ValueError, TypeError):  # the child was killed
        return
    for name in names or ():
        if name not in {"__main__", f"{PACKAGE}.__main__"}:
            with contextlib.suppress(Exception):
                import_module(name)
    gc.collect()
    # The children's collector does not look at frozen objects; its marks would copy their pages.
    gc.freeze()


def import_for(argv: list[bytes]) -> None:
    """Import the command's top and the subcommand that `argv` names."""
    import_module(f"{PACKAGE}.cli.app")
    word = next((word for word in argv if not word.startswith(b"-")), b"")
    if word.isalnum():
        name = f"{PACKAGE}.cli.commands.{word.decode()}"
        try:
            import_module(name)
        except ModuleNotFoundError as error:
            if error.name != name:
                raise


def shadowed(cwd: int) -> bool:
    """Return True if a new process would import another package than this one from its working directory."""
    try:
        there = os.stat(PACKAGE, dir_fd=cwd)
    except OSError:
        return False
    package = import_module(PACKAGE).__file__
    here = os.stat(os.path.dirname(package or ""))
    return (there.st_dev, there.st_ino) != (here.st_dev, here.st_ino)


def receive(client: _socket.socket) -> Request | None:
    """Return a client's request, or None if it sent none that can be read."""
    try:
        blob, ancillary, flags, _ = client.recvmsg(MAX_REQUEST, _socket.CMSG_SPACE(4 * MAX_FDS))
    except OSError:
        return None
    fds: list[int] = []
    for level, kind, data in ancillary:
        if (level, kind) == (_socket.SOL_SOCKET, _socket.SCM_RIGHTS):
            fds += memoryview(data).cast("i").tolist()
    if not blob or not fds or flags & (_socket.MSG_TRUNC | _socket.MSG_CTRUNC):
        close(fds)
        return None
    pid, _, _ = struct.unpack("3i", client.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, 12))
    return Request(pid, blob, fds)


def answer(client: _socket.socket, data: bytes) -> None:
    """Send `data` to a client that may be gone."""
    with contextlib.suppress(OSError):
        client.send(data, _socket.MSG_NOSIGNAL)


def close(fds: list[int]) -> None:
    """Close descriptors."""
    for fd in fds:
        os.close(fd)


def become(request: Request) -> None:
    """Make this process what the client's would have become: its files, directory, environment, limits."""
    limits = [(number, resource.prlimit(request.pid, number)) for number in LIMITS]
    os.setpriority(os.PRIO_PROCESS, 0, os.getpriority(os.PRIO_PROCESS, request.pid))
    take_descriptors(request)
    os.environb.clear()
    os.environb.update(request.env)
    os.umask(request.umask)
    take_signals(request)
    sys.argv[1:] = map(os.fsdecode, request.argv)
    sys.orig_argv[:] = map(os.fsdecode, request.orig_argv)
    # The directory itself, as for -m; it may be gone.
    with contextlib.suppress(OSError):
        sys.path.insert(0, os.getcwd())
    sys.stdin, sys.stdout, sys.stderr = (standard_stream(fd) for fd in range(3))
    sys.__stdin__, sys.__stdout__, sys.__stderr__ = sys.stdin, sys.stdout, sys.stderr
    for number, pair in limits:
        resource.setrlimit(number, pair)


def take_descriptors(request: Request) -> None:
    """Give the received files the client's numbers and close all others."""
    os.fchdir(request.cwd)
    # They wait above the client's numbers until those are free.
    waiting = [fcntl.fcntl(fd, fcntl.F_DUPFD, max(request.numbers, default=0) + 1) for fd in request.fds]
    for fd in map(int, os.listdir("/proc/self/fd")):
        if fd not in waiting:
            with contextlib.suppress(OSError):
                os.close(fd)
    for fd, number in zip(waiting, request.numbers, strict=True):
        os.dup2(fd, number)
        if fd != number:
            os.close(fd)


def take_signals(request: Request) -> None:
    """Ignore and block what the client does."""
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP, signal.SIGPIPE, signal.SIGXFSZ}:
        if number in request.ignored:
            signal.signal(number, signal.SIG_IGN)
        elif number == signal.SIGINT:
            signal.signal(number, signal.default_int_handler)
        else:
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, request.blocked)


def standard_stream(fd: int) -> io.TextIOWrapper | None:
    """Return the stream that Python makes of a standard descriptor at its start; None if it is closed."""
    if not is_open(fd):
        return None
    mode, name = ("rb", "<stdin>") if fd == 0 else ("wb", ("<stdout>", "<stderr>")[fd - 1])
    raw = io.FileIO(fd, mode, closefd=False)
    terminal = raw.isatty()
    buffered = io.BufferedReader(raw) if fd == 0 else io.BufferedWriter(raw)
    like = (sys.__stdin__, sys.__stdout__, sys.__stderr__)[fd]
    stream = io.TextIOWrapper(
        buffered, like.encoding, like.errors, newline="\n" if fd else None, line_buffering=terminal or fd == 2
    )
    raw.name = name
    stream.mode = mode[0]
    return stream


def is_open(fd: int) -> bool:
    """Return True if a descriptor is open."""
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def main() -> None:
    """Serve on the descriptor named by the first argument."""
    # This script's directory, where a part of the package lies.
    del sys.path[0]
    listening = _socket.socket(fileno=int(sys.argv[1]))
    request = Server(listening).serve()
    listening.detach()
    become(request)
    runpy.run_module(PACKAGE, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()

#!/usr/bin/python3 -IS
"""Runs in dom0 as ``xenapic``: asks the server `forked.py` for a process that has xenapic imported.

It passes on signals and ends as that process did. Without an answer it starts ``python3 -m xenapic``.
Imports only what is built into Python, because every module costs time in an emulated machine.
"""

import _signal
import _socket
import marshal
import os
import sys

COLD, STARTED = b"cold", b"started"
SERVER = os.environb.get(b"XENAPIC_LAB_SERVER", b"/run/xenapic-lab")
COMMAND = [b"python3", b"-m", b"xenapic", *map(os.fsencode, sys.argv[1:])]


def open_files() -> list[int]:
    """Return the descriptors this process has inherited."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            os.fstat(int(name))
        except OSError:  # the listing's own
            continue
        found.append(int(name))
    return found


def ask(connection: _socket.socket, pending: list[int]) -> bytes:
    """Send everything that a new process would inherit; return the server's answer.

    From then on signals go to the server; those that came before its answer are also in `pending`.
    """

    def forward(number: int, frame: object) -> None:
        pending.append(number)
        try:  # noqa: SIM105 (importing contextlib takes time)
            connection.send(bytes([number]))
        except OSError:  # the process has ended: its status is on the way
            pass

    numbers = open_files()
    numbers.remove(connection.fileno())
    ignored = [n for n in _signal.valid_signals() if _signal.getsignal(n) == _signal.SIG_IGN]
    # The request is the first message: until it is sent, signals wait.
    blocked = _signal.pthread_sigmask(_signal.SIG_BLOCK, _signal.valid_signals())
    for number in _signal.valid_signals() - {_signal.SIGKILL, _signal.SIGSTOP, _signal.SIGCHLD, *ignored}:
        _signal.signal(number, forward)
    umask = os.umask(0)
    os.umask(umask)
    cwd = os.open(".", os.O_RDONLY | os.O_DIRECTORY)
    request = (COMMAND[3:], COMMAND, dict(os.environb), numbers, umask, ignored, list(map(int, blocked)))
    fds = b"".join(fd.to_bytes(4, "little") for fd in (cwd, *numbers))
    try:
        connection.sendmsg([marshal.dumps(request)], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, fds)])
    finally:
        os.close(cwd)
        _signal.pthread_sigmask(_signal.SIG_SETMASK, blocked)
    return connection.recv(16)


def start_cold(pending: list[int]) -> None:
    """Become ``python3 -m xenapic``; end first of a signal that came meanwhile."""
    _signal.signal(_signal.SIGPIPE, _signal.SIG_DFL)
    for number in pending:
        _signal.signal(number, _signal.SIG_DFL)
        os.kill(os.getpid(), number)
    os.execvp(COMMAND[0], COMMAND)


def main() -> None:
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    pending: list[int] = []
    try:
        connection.connect(SERVER)
        started = ask(connection, pending) == STARTED
    except (OSError, ValueError):
        started = False
    if not started:
        start_cold(pending)
    status = connection.recv(4)
    if not status:
        sys.exit("xenapic: the process that forks commands is gone, and the status of this one with it")
    end_as(int.from_bytes(status, "little"))


def end_as(status: int) -> None:
    """End with a wait status: a signal, or an exit code."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        if number not in (_signal.SIGKILL, _signal.SIGSTOP):
            _signal.signal(number, _signal.SIG_DFL)
            _signal.pthread_sigmask(_signal.SIG_UNBLOCK, {number})
        os.kill(os.getpid(), number)
    os._exit(os.WEXITSTATUS(status))


main()

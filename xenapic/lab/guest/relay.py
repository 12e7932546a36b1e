"""Runs in dom0: starts the command and sends what it prints, and its status, to the channel.

It also starts the server that forks processes for ``xenapic …`` (`forked.py`) when the first one asks for it.
Imports as little as it can, because every module costs time in an emulated machine.
"""

from __future__ import annotations

import _socket
import mmap
import os
import select
import sys

# In dom0 only this one file of the package lies beside this script, not the checkout's.
from xenapic.lab.frames import (
    CHANNEL_SIZE,
    EXIT,
    MAX_DATA,
    SECTOR,
    START,
    STDERR,
    STDOUT,
    TROUBLE,
    encode,
)

READ_SIZE = 64 * 1024
# Room kept for the last frames when the command has filled the channel, in bytes.
RESERVE = 16 * SECTOR
IDLE_MS = 50
SERVER = "/run/xenapic-lab"
FORKED = b"/usr/lib/xenapic-lab/forked.py"


class Channel:
    """The raw disk; written past the page cache so that the host sees each frame at once."""

    def __init__(self, device: str) -> None:
        self._fd = os.open(device, os.O_WRONLY | os.O_DIRECT)
        # O_DIRECT wants memory that starts on a page.
        self._buffer = mmap.mmap(-1, MAX_DATA + SECTOR)
        self._at = SECTOR
        self._sequence = 0

    def send(self, stream: int, data: bytes, reserve: int = RESERVE) -> bool:
        """Append a frame; false if that would leave less than `reserve` bytes."""
        blob = encode(self._sequence, stream, data)
        if self._at + len(blob) > CHANNEL_SIZE - reserve:
            return False
        self._buffer[: len(blob)] = blob
        with memoryview(self._buffer) as view:
            done = os.pwrite(self._fd, view[: len(blob)], self._at)
        if done != len(blob):
            raise OSError(f"short write to the channel: {done} of {len(blob)} bytes")
        self._sequence += 1
        self._at += len(blob)
        return True


def read_list(name: str) -> list[bytes]:
    """Items of one of the run's files, each ended by a NUL."""
    with open(f"/etc/xenapic-lab/{name}", "rb") as file:
        return file.read().split(b"\0")[:-1]


def start(argv: list[bytes], env: dict[bytes, bytes], outputs: tuple[int, int]) -> int:
    """Start the command in a session of its own; return its process id."""
    if pid := os.fork():
        return pid
    status = 126
    try:
        null = os.open("/dev/null", os.O_RDONLY)
        for fd, onto in ((null, 0), (outputs[0], 1), (outputs[1], 2)):
            os.dup2(fd, onto)
        os.setsid()
        os.chdir(env.get(b"PWD", b"/"))
        os.execvpe(argv[0], argv, env)
    except FileNotFoundError:
        os.write(2, b"%s: no such command in dom0\n" % argv[0])
        status = 127
    except OSError as error:
        os.write(2, b"%s: %s\n" % (argv[0], str(error).encode()))
    os._exit(status)


def listen() -> _socket.socket:
    """Return the socket on which commands ask for a process."""
    listening = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    listening.bind(SERVER)
    listening.listen(64)
    return listening


def start_server(listening: _socket.socket, env: dict[bytes, bytes]) -> None:
    """Give the socket to a server, in a session of its own; without one, commands start cold."""
    if os.fork() == 0:
        try:
            os.setsid()
            os.set_inheritable(listening.fileno(), True)
            os.execvpe(b"python3", [b"python3", FORKED, b"%d" % listening.fileno()], env)
        finally:
            os._exit(127)
    listening.close()


def relay(
    channel: Channel, streams: dict[int, int], pid: int, listening: _socket.socket, env: dict[bytes, bytes]
) -> int | None:
    """Send until the command has ended and all it wrote before is sent; return its status.

    None means that the channel is full; the command is then killed.
    """
    poll = select.poll()
    for fd in (*streams, listening.fileno()):
        poll.register(fd, select.POLLIN)
    status: int | None = None
    while True:
        # A process it left behind may hold the pipes open: their end is not waited for.
        ready = poll.poll(IDLE_MS if status is None else 0) if streams else []
        for fd, _ in ready:
            if fd not in streams:
                poll.unregister(fd)
                start_server(listening, env)
                continue
            data = os.read(fd, READ_SIZE)
            if not data:
                poll.unregister(fd)
                del streams[fd]
            elif not channel.send(streams[fd], data):
                os.killpg(pid, 9)
                return None
        if status is not None:
            if not ready:
                return status
            continue
        done, raw = os.waitpid(pid, os.WNOHANG if streams else 0)
        if done:
            code = os.waitstatus_to_exitcode(raw)
            status = code if code >= 0 else 128 - code


def main() -> None:
    """Relay one command to the channel disk named by the first argument."""
    channel = Channel(sys.argv[1])
    argv = read_list("argv")
    env: dict[bytes, bytes] = {}
    for item in read_list("env"):
        name, _, value = item.partition(b"=")
        env[name] = value
    out, err = os.pipe(), os.pipe()
    listening = listen()
    channel.send(START, b"")
    pid = start(argv, env, (out[1], err[1]))
    os.close(out[1])
    os.close(err[1])
    status = relay(channel, {out[0]: STDOUT, err[0]: STDERR}, pid, listening, env)
    if status is None:
        channel.send(TROUBLE, b"the command's output exceeds the channel's room", 0)
    else:
        channel.send(EXIT, b"%d" % status, 0)


if __name__ == "__main__":
    main()

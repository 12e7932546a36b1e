"""Runs in dom0: does the jobs that the host writes to the channel, and sends what their commands print.

It also starts the server that forks processes for ``xenapic …`` (`forked.py`) when the first one asks for it.
Imports as little as it can, because every module costs time in an emulated machine.
"""

from __future__ import annotations

import _socket
import fcntl
import marshal
import mmap
import os
import select
import sys
import time
import zlib
from collections.abc import Iterator

# In dom0 only this one file of the package lies next to this script, not the checkout's.
from xenapic.lab.frames import (
    EXIT,
    JOB_HEADER,
    JOB_MAGIC,
    JOBS_AT,
    MAX_DATA,
    READY,
    SECTOR,
    START,
    STDERR,
    STDOUT,
    TROUBLE,
    encode,
    padded,
)

READ_SIZE = 64 * 1024
# Room kept for the last frames when the command has filled the channel, in bytes.
RESERVE = 16 * SECTOR
JOB_POLL = 0.01
SERVER = "/run/xenapic-lab"
FORKED = b"/usr/lib/xenapic-lab/forked.py"
CLIENT = b"/usr/local/bin/xenapic"
RNDRESEEDCRNG = 0x5207
CLOCK_IS_OFF = 2.0
"""Seconds; a restored machine's clock shows the time of its snapshot."""


class Disk:
    """The raw disk, read and written past the page cache so that each side sees the other's at once."""

    def __init__(self, device: str) -> None:
        self._fd = os.open(device, os.O_RDWR | os.O_DIRECT)
        # O_DIRECT requires memory that starts on a page.
        self._buffer = mmap.mmap(-1, MAX_DATA + SECTOR)

    def read(self, at: int, size: int) -> bytes:
        """Return `size` bytes, at most MAX_DATA, from a sector's start."""
        with memoryview(self._buffer) as view:
            done = os.preadv(self._fd, [view[: padded(size)]], at)
        if done < size:
            raise OSError(f"short read from the channel: {done} of {size} bytes")
        return self._buffer[:size]

    def pieces(self, at: int, size: int) -> Iterator[bytes]:
        """Return `size` bytes from a sector's start, in pieces."""
        for offset in range(0, size, MAX_DATA):
            yield self.read(at + offset, min(MAX_DATA, size - offset))

    def write(self, at: int, blob: bytes) -> None:
        """Write complete sectors, at most MAX_DATA and one."""
        self._buffer[: len(blob)] = blob
        with memoryview(self._buffer) as view:
            done = os.pwrite(self._fd, view[: len(blob)], at)
        if done != len(blob):
            raise OSError(f"short write to the channel: {done} of {len(blob)} bytes")


class Channel:
    """The frames that this machine sends."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._at = SECTOR
        self._sequence = 0

    def send(self, stream: int, data: bytes, reserve: int = RESERVE) -> bool:
        """Append a frame; return False if that would leave less than `reserve` bytes."""
        blob = encode(self._sequence, stream, data)
        if self._at + len(blob) > JOBS_AT - reserve:
            return False
        self._disk.write(self._at, blob)
        self._sequence += 1
        self._at += len(blob)
        return True


class Jobs:
    """The jobs that the host writes, each with a higher number than the one before."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._number = 0

    def wait(self) -> dict:
        """Return the next job, its files unpacked."""
        while True:
            header = self._disk.read(JOBS_AT, JOB_HEADER.size)
            magic, number, length, check = JOB_HEADER.unpack(header)
            if magic == JOB_MAGIC and number > self._number:
                blob = b"".join(self._disk.pieces(JOBS_AT + SECTOR, length))
                if zlib.crc32(blob) == check:
                    break
            time.sleep(JOB_POLL)
        self._number = number
        job = marshal.loads(blob)
        at = JOBS_AT + SECTOR + padded(length)
        for path, mode, size in job["files"]:
            self._unpack(path, mode, at, size)
            at += padded(size)
        return job

    def _unpack(self, path: bytes, mode: int, at: int, size: int) -> None:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        try:  # noqa: SIM105 (importing contextlib takes time)
            os.unlink(path)  # what the root has there may be a link
        except FileNotFoundError:
            pass
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        for piece in self._disk.pieces(at, size):
            os.write(fd, piece)
        os.close(fd)


def renew(job: dict) -> None:
    """Set what a restored machine has from its snapshot: the time and the state of the random numbers."""
    if abs(job["now"] - time.time()) > CLOCK_IS_OFF:
        time.clock_settime(time.CLOCK_REALTIME, job["now"])
    fd = os.open("/dev/urandom", os.O_WRONLY)
    os.write(fd, job["random"])
    fcntl.ioctl(fd, RNDRESEEDCRNG)
    os.close(fd)


def environment(job: dict) -> dict[bytes, bytes]:
    """Return a job's environment."""
    pairs = (item.partition(b"=") for item in job["env"])
    return {name: value for name, _, value in pairs}


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


class Forking:
    """The socket on which commands ask for a process, and its server once that is started."""

    def __init__(self) -> None:
        self.socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
        self.socket.bind(SERVER)
        self.socket.listen(64)
        self.started = False

    def start(self, env: dict[bytes, bytes]) -> None:
        """Give the socket to a server, in a session of its own; without one, commands start cold."""
        self.started = True
        if os.fork() == 0:
            try:
                os.setsid()
                os.set_inheritable(self.socket.fileno(), True)
                os.execvpe(b"python3", [b"python3", FORKED, b"%d" % self.socket.fileno()], env)
            finally:
                os._exit(127)
        self.socket.close()


def relay(
    channel: Channel, streams: dict[int, int], pid: int, forking: Forking, env: dict[bytes, bytes]
) -> int | None:
    """Send until the command has ended and all it wrote before is sent; return its status.

    None means that the channel is full; the command is then killed.
    """
    poll = select.poll()
    ended = os.pidfd_open(pid)
    for fd in (ended, *streams):
        poll.register(fd, select.POLLIN)
    if not forking.started:
        poll.register(forking.socket.fileno(), select.POLLIN)
    status: int | None = None
    while True:
        # A process it left behind may hold the pipes open: their end is not waited for.
        ready = poll.poll(None if status is None else 0)
        for fd, _ in ready:
            if fd == ended:
                poll.unregister(fd)
                code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                status = code if code >= 0 else 128 - code
                continue
            if fd not in streams:
                poll.unregister(fd)
                forking.start(env)
                continue
            data = os.read(fd, READ_SIZE)
            if not data:
                poll.unregister(fd)
                del streams[fd]
            elif not channel.send(streams[fd], data):
                os.killpg(pid, 9)
                os.close(ended)
                return None
        if status is not None and not ready:
            os.close(ended)
            return status


def run(job: dict, channel: Channel, forking: Forking) -> None:
    """Run a job's command and send its output and its status."""
    env = environment(job)
    out, err = os.pipe(), os.pipe()
    channel.send(START, b"")
    pid = start(job["argv"], env, (out[1], err[1]))
    os.close(out[1])
    os.close(err[1])
    status = relay(channel, {out[0]: STDOUT, err[0]: STDERR}, pid, forking, env)
    for fd in (out[0], err[0]):
        os.close(fd)
    if status is None:
        channel.send(TROUBLE, b"the command's output exceeds the channel's room", 0)
    else:
        channel.send(EXIT, b"%d" % status, 0)


def warm_up(job: dict, forking: Forking) -> None:
    """Start the server and run commands once, so that it has imported what they need."""
    env = environment(job)
    forking.start(env)
    null = os.open("/dev/null", os.O_WRONLY)
    for argv in job["warm"]:
        os.waitpid(start([CLIENT, *argv], env, (null, null)), 0)
    os.close(null)


def main() -> None:
    """Do the jobs on the channel disk named by the first argument, until the host ends this machine."""
    disk = Disk(sys.argv[1])
    channel, jobs, forking = Channel(disk), Jobs(disk), Forking()
    channel.send(READY, b"")
    while True:
        job = jobs.wait()
        renew(job)
        if "argv" in job:
            run(job, channel, forking)
            continue
        if "warm" in job:
            warm_up(job, forking)
        channel.send(READY, b"")


if __name__ == "__main__":
    main()

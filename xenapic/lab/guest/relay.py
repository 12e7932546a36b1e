"""Runs in dom0: starts the command and sends what it prints, and its status, to the channel.

Imports as little as it can, because every module costs time in an emulated machine.
"""

# Names follow the copy of this package's frames.py that lies beside this file in dom0.
import mmap
import os
import select
import sys

from frames import CHANNEL_SIZE, EXIT, MAX_DATA, SECTOR, START, STDERR, STDOUT, TROUBLE, Frame
from frames import encode as encode_frame

READ_SIZE = 64 * 1024
# Room kept for the last frames when the command has filled the channel.
RESERVE = 16 * SECTOR


class Channel:
    """The raw disk; written past the page cache so that the host sees each frame at once."""

    def __init__(self, device):
        self._fd = os.open(device, os.O_WRONLY | os.O_DIRECT)
        self._buffer = mmap.mmap(-1, MAX_DATA + SECTOR)  # page-aligned, as O_DIRECT wants it
        self._at = SECTOR
        self._sequence = 0

    def send(self, stream, data, reserve=RESERVE):
        blob = encode_frame(self._sequence, Frame(stream, data))
        if self._at + len(blob) > CHANNEL_SIZE - reserve:
            return False
        self._buffer[: len(blob)] = blob
        view = memoryview(self._buffer)[: len(blob)]
        done = os.pwrite(self._fd, view, self._at)
        if done != len(blob):
            raise OSError(f"short write to the channel: {done} of {len(blob)} bytes")
        self._sequence += 1
        self._at += len(blob)
        return True


def read_list(name):
    with open(f"/etc/xenapic-lab/{name}", "rb") as file:
        return file.read().split(b"\0")[:-1]


def start(argv, env, outputs):
    pid = os.fork()
    if pid:
        return pid
    try:
        null = os.open("/dev/null", os.O_RDONLY)
        for fd, onto in ((null, 0), (outputs[0], 1), (outputs[1], 2)):
            os.dup2(fd, onto)
        os.setsid()
        os.chdir(env.get(b"PWD", b"/"))
        os.execvpe(argv[0], argv, env)
    except FileNotFoundError:
        os.write(2, b"%s: command not found in dom0\n" % argv[0])
        os._exit(127)
    except OSError as error:
        os.write(2, b"%s: %s\n" % (argv[0], str(error).encode()))
    os._exit(126)


def relay(channel, streams, pid):
    """Send until the command has ended and all it wrote before is sent; return its status."""
    poll = select.poll()
    for fd in streams:
        poll.register(fd, select.POLLIN)
    status = None
    while True:
        # A process it left behind may hold the pipes open: their end is not waited for.
        ready = poll.poll(50 if status is None else 0) if streams else []
        for fd, _ in ready:
            data = os.read(fd, READ_SIZE)
            if not data:
                poll.unregister(fd)
                del streams[fd]
            elif not channel.send(streams[fd], data):
                os.killpg(pid, 9)
                channel.send(TROUBLE, b"the command's output exceeds the channel's room", 0)
                return 1
        if status is None:
            done, raw = os.waitpid(pid, 0 if not streams else os.WNOHANG)
            if done:
                status = os.waitstatus_to_exitcode(raw)
        elif not ready:
            return status if status >= 0 else 128 - status


def main():
    channel = Channel(sys.argv[1])
    argv = read_list("argv")
    env = dict(item.split(b"=", 1) for item in read_list("env"))
    out, err = os.pipe(), os.pipe()
    channel.send(START, b"")
    pid = start(argv, env, (out[1], err[1]))
    os.close(out[1])
    os.close(err[1])
    status = relay(channel, {out[0]: STDOUT, err[0]: STDERR}, pid)
    channel.send(EXIT, b"%d" % status, 0)


main()

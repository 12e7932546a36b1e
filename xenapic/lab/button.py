"""Start Bochs so that it saves its machine when its standard input has something to read.

    python3 -I button.py COMMAND...

Bochs 3.0 saves its machine when the button for it is pressed on its display, and no other way. A VNC client
can press it. This process becomes COMMAND; a child of it waits until Bochs's answers lie on standard input,
then presses the button. It runs in a network namespace in which Bochs is alone.
"""

from __future__ import annotations

import fcntl
import os
import select
import socket
import struct
import sys

SIOCSIFFLAGS, IFF_UP = 0x8914, 1
PORT = 5900
"""The first that Bochs tries."""

VERSION = b"RFB 003.003\n"
SHARED = b"\1"
POINTER_EVENT, LEFT_BUTTON, NOTHING = 5, 1, 0
SCREEN, ICON = 720, 32
"""How wide the screen is in text mode, and each button, in pixels (``gui/rfb.cc`` of Bochs)."""
AT = SCREEN - 2 * ICON + ICON // 2, ICON // 2
"""The button to save is the second from the right (``gui/gui.cc``)."""


def let_local_connections() -> None:
    """Bring up the loopback interface, which is down in a new network namespace."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sH22x", b"lo", IFF_UP))


def press() -> None:
    """Connect to Bochs's display as a VNC client, and press the button to save."""
    with socket.create_connection(("127.0.0.1", PORT)) as display, display.makefile("rb") as answers:
        answers.read(len(VERSION))
        display.sendall(VERSION)
        answers.read(4)  # that no password is wanted
        display.sendall(SHARED)
        for pressed in (LEFT_BUTTON, NOTHING):
            display.sendall(struct.pack(">BBHH", POINTER_EVENT, pressed, *AT))
        # Bochs waits for a client that does not take what it draws.
        while display.recv(1 << 16):
            pass


def main() -> None:
    """Become the command of the arguments; leave a child behind that presses the button."""
    let_local_connections()
    if os.fork() == 0:
        try:
            waiting = select.poll()
            waiting.register(0, select.POLLIN)
            if waiting.poll()[0][1] & select.POLLIN:
                press()
        finally:
            os._exit(0)
    os.execvp(sys.argv[1], sys.argv[1:])


if __name__ == "__main__":
    main()

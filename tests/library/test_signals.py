"""A signal at any moment of a command: no traceback, and what was begun is put back."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

PROGRAM = """
import atexit, os, signal, sys, time, weakref
import xenapic.cli, xenapic.cli.app, xenapic.cli.output
number, moment = int(sys.argv[1]), sys.argv[2]
sys.argv[1:] = ["explain", "EOI"]
def strike(*_args):
    os.kill(os.getpid(), number)
if moment == "start":
    xenapic.cli.app.prepare_streams = strike
elif moment == "finalizer":
    def dropped():
        class Thing:
            pass
        thing = Thing()
        ended = weakref.ref(thing, strike)
        del thing
        time.sleep(30)
    xenapic.cli.app.prepare_streams = dropped
elif moment == "end":
    xenapic.cli.app.flush = strike
else:
    atexit.register(strike)
xenapic.cli.main()
"""


@pytest.mark.parametrize("moment", ["start", "finalizer", "end", "exit handlers"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_at_the_edges_of_a_command_prints_no_traceback(number: signal.Signals, moment: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(int(number)), moment],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr, done.stderr
    expected = (0,) if moment == "exit handlers" else (128 + number, -number)
    assert done.returncode in expected, done.stderr

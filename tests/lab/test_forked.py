"""A command forked by dom0's server behaves like a fresh process: tried without an emulator.

The package in these tests is a small one whose command runs the code it is given.
"""

from __future__ import annotations

import os
import pty
import resource
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

import xenapic.lab.overlay

GUEST = Path(xenapic.lab.overlay.__file__).parent / "guest"
MAIN = 'import sys\nexec(compile(sys.argv[1], "<given>", "exec"), {"__name__": "given"})\n'
DESCRIBE = """
import os, resource, signal, sys
print(sys.argv, sys.path, sys.flags, os.getcwd(), sorted(os.environ.items()))
print(sys.orig_argv[1:], __name__, sys.modules["__main__"].__name__)
print(sorted(map(int, os.listdir("/proc/self/fd"))), os.umask(0), os.nice(0))
print([signal.getsignal(n) for n in sorted(signal.valid_signals())], signal.pthread_sigmask(signal.SIG_BLOCK, ()))
print([resource.getrlimit(n) for n in range(16)], os.getuid(), os.getgroups())
for stream in (sys.stdin, sys.stdout, sys.stderr):
    print(stream, stream.errors, stream.newlines, stream.line_buffering, stream.fileno(), stream.isatty())
print(sys.stdin.read() if not sys.stdin.isatty() else "")
"""


class Dom0:
    """A directory with the package, and a server of its own."""

    def __init__(self, place: Path) -> None:
        self.place = place
        package = place / "home/xenapic"
        (package / "cli/commands").mkdir(parents=True)
        for name in ("__init__", "cli/__init__", "cli/app", "cli/commands/__init__", "cli/commands/known"):
            (package / f"{name}.py").write_text("")
        (package / "__main__.py").write_text(MAIN)
        programs = place / "bin"
        programs.mkdir()
        (programs / "python3").symlink_to(sys.executable)
        self.socket = str(place / "socket")
        self.env = {
            "PATH": f"{programs}:/usr/bin:/bin",
            "PYTHONPATH": str(place / "home"),
            "XENAPIC_LAB_SERVER": self.socket,
            "PYTHONDONTWRITEBYTECODE": "1",
            "LANG": "C.UTF-8",
        }
        self.server = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening:
            listening.bind(self.socket)
            listening.listen(64)
            fd = listening.fileno()
            argv = ["python3", str(GUEST / "forked.py"), str(fd)]
            return subprocess.Popen(
                argv, pass_fds=[fd], stdin=subprocess.DEVNULL, env=self.env, start_new_session=True
            )

    def argv(self, kind: str, *args: str) -> list[str]:
        """The command line of a fresh process, or of the client that asks for a forked one."""
        if kind == "fresh":
            return ["python3", "-m", "xenapic", *args]
        return ["python3", "-IS", str(GUEST / "ask.py"), *args]

    def run(
        self, kind: str, *args: str, env: Mapping[str, str] | None = None, **options: Any
    ) -> tuple[int, bytes, bytes]:
        options = {"cwd": self.place, "input": b"given\n", **options}
        if "stdin" in options:
            del options["input"]
        done = subprocess.run(
            self.argv(kind, *args),
            env={**self.env, **(env or {})},
            capture_output=True,
            timeout=60,
            **options,
        )
        return done.returncode, done.stdout, done.stderr

    def both(self, *args: str, **options: Any) -> tuple[int, bytes]:
        """Assert that both kinds do the same; return status and output."""
        fresh, forked = (self.run(kind, *args, **options) for kind in ("fresh", "forked"))
        assert forked[1].decode().splitlines() == fresh[1].decode().splitlines()
        assert forked[:2] == fresh[:2], forked[2].decode()
        assert forked[2].splitlines()[-1:] == fresh[2].splitlines()[-1:]
        return forked[:2]

    def is_forked(self, **options: Any) -> bool:
        """Return True if the client's process is a child of the server."""
        _, out, err = self.run("forked", "import os; print(os.getppid())", **options)
        assert out, err
        return int(out) == self.server.pid


@pytest.fixture
def dom0(tmp_path: Path) -> Iterator[Dom0]:
    made = Dom0(tmp_path)
    try:
        yield made
        assert made.server.poll() is None, "the server has ended"
    finally:
        made.server.kill()
        made.server.wait()


def test_everything_a_process_inherits_is_the_same(dom0: Dom0, tmp_path: Path) -> None:
    assert dom0.is_forked()
    dom0.both(DESCRIBE, "a b", "", "ü", "-x")
    dom0.both(DESCRIBE, env={"WORD": "a\nb", "EMPTY": ""})
    (tmp_path / "deep").mkdir()
    dom0.both(DESCRIBE, cwd=tmp_path / "deep")
    with (tmp_path / "file").open("w") as file:
        dom0.both(DESCRIBE, pass_fds=[file.fileno()])


def _unusual() -> None:
    os.umask(0o27)
    os.nice(3)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (40, 50))


def test_umask_signals_and_limits_are_the_callers(dom0: Dom0) -> None:
    dom0.both(DESCRIBE, preexec_fn=_unusual)


@pytest.mark.parametrize(
    "code",
    [
        "import sys; sys.exit(7)",
        "import sys; sys.exit('said')",
        "1/0",
        "raise KeyboardInterrupt",
        "import os, signal; os.kill(os.getpid(), signal.SIGTERM)",
        "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
        "import os; os._exit(3)",
        "import os; os.abort()",
        "import atexit; atexit.register(print, 'at exit'); print('first')",
        "import sys; sys.stdout.write('no newline'); sys.stderr.write('x' * 100000)",
    ],
)
def test_it_ends_the_same(dom0: Dom0, code: str) -> None:
    dom0.both(code, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CORE, (0, 0)))


@pytest.mark.parametrize("redirection", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-", ">/dev/full", "| head -c 1"])
def test_streams_that_are_closed_full_or_broken(dom0: Dom0, redirection: str) -> None:
    code = "import sys; print('x' * 200000); sys.exit(4 if sys.stdin is None else 3)"

    def shell(kind: str) -> tuple[int, bytes, bytes]:
        line = shlex.join(dom0.argv(kind, code))
        script = f"({line}; echo $? >status) {redirection}" if "|" in redirection else f"{line} {redirection}"
        done = subprocess.run(["bash", "-c", script], env=dom0.env, cwd=dom0.place, capture_output=True)
        status = dom0.place / "status"
        code_of = int(status.read_text()) if status.exists() else done.returncode
        return code_of, done.stdout, done.stderr.splitlines()[-1] if done.stderr else b""

    assert shell("forked") == shell("fresh")


def test_a_terminal_is_a_terminal(dom0: Dom0) -> None:
    code = "import sys\nfor s in (sys.stdin, sys.stdout, sys.stderr): print(s.isatty(), s.line_buffering, s.name)"
    said = {}
    for kind in ("fresh", "forked"):
        master, slave = pty.openpty()
        argv, stream = dom0.argv(kind, code), slave
        subprocess.run(argv, env=dom0.env, cwd=dom0.place, stdin=stream, stdout=stream, stderr=stream)
        said[kind] = os.read(master, 4096)
        os.close(slave)
        os.close(master)
    assert said["forked"].splitlines() == said["fresh"].splitlines()
    assert b"True" in said["fresh"]


def test_two_commands_share_the_place_in_a_file(dom0: Dom0, tmp_path: Path) -> None:
    line = shlex.join(dom0.argv("forked", "print('x' * 9)"))
    subprocess.run(f"{{ {line}; {line}; }} >out", shell=True, env=dom0.env, cwd=tmp_path, check=True)
    assert (tmp_path / "out").read_text() == "xxxxxxxxx\n" * 2


HANDLE = """
import os, signal, sys, time
def handler(number, frame):
    os.write(1, b"handled")
    sys.exit(number)
signal.signal(signal.SIGTERM, handler)
print("ready", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGKILL]
)
def test_signals_reach_it(dom0: Dom0, number: signal.Signals) -> None:
    ends = {}
    for kind in ("fresh", "forked"):
        process = subprocess.Popen(
            dom0.argv(kind, HANDLE),
            env=dom0.env,
            cwd=dom0.place,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert process.stdout is not None and process.stdout.readline() == b"ready\n"
        process.send_signal(number)
        out, _ = process.communicate(timeout=60)  # ends when nobody holds the pipe any more
        ends[kind] = process.returncode, out
    assert ends["forked"] == ends["fresh"]


def test_a_signal_at_any_moment_ends_it_and_leaves_nothing(dom0: Dom0) -> None:
    assert dom0.is_forked()
    for step in range(25):
        process = subprocess.Popen(
            dom0.argv("forked", "import time; time.sleep(60)"),
            env=dom0.env,
            cwd=dom0.place,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(step * 0.002)
        process.send_signal((signal.SIGTERM, signal.SIGKILL)[step % 2])
        process.communicate(timeout=60)
        assert process.returncode in (-signal.SIGTERM, -signal.SIGKILL)
    until = time.monotonic() + 20
    children = Path(f"/proc/{dom0.server.pid}/task/{dom0.server.pid}/children")
    while children.read_text() and time.monotonic() < until:
        time.sleep(0.05)
    assert children.read_text() == ""


def test_many_at_once(dom0: Dom0) -> None:
    code = "import sys, time; time.sleep(0.2); print(sys.argv[2]); sys.exit(int(sys.argv[2]))"
    running = [
        subprocess.Popen(
            dom0.argv("forked", code, str(n)), env=dom0.env, cwd=dom0.place, stdout=subprocess.PIPE
        )
        for n in range(20)
    ]
    for n, process in enumerate(running):
        assert process.communicate(timeout=60)[0] == b"%d\n" % n
        assert process.returncode == n


@pytest.mark.parametrize("name", ["PYTHONHASHSEED", "PYTHONWARNINGS", "LC_ALL", "LD_BIND_NOW"])
def test_what_python_reads_at_its_start_starts_it_cold(dom0: Dom0, name: str) -> None:
    value = {"PYTHONWARNINGS": "error", "LC_ALL": "C.UTF-8"}.get(name, "1")
    assert not dom0.is_forked(env={name: value})
    dom0.both(DESCRIBE, env={name: value})


def test_a_changed_file_starts_it_cold(dom0: Dom0) -> None:
    assert dom0.is_forked()
    known = dom0.place / "home/xenapic/cli/app.py"
    known.write_text(known.read_text() + "CHANGED = 1\n")
    assert not dom0.is_forked()
    assert dom0.both("import xenapic.cli.app; print(xenapic.cli.app.CHANGED)") == (0, b"1\n")


def test_another_package_in_the_working_directory_starts_it_cold(dom0: Dom0, tmp_path: Path) -> None:
    (tmp_path / "other/xenapic").mkdir(parents=True)
    (tmp_path / "other/xenapic/__init__.py").write_text("")
    (tmp_path / "other/xenapic/__main__.py").write_text("print('another one')")
    assert dom0.both("", cwd=tmp_path / "other") == (0, b"another one\n")
    assert dom0.is_forked()


def test_a_package_that_cannot_be_imported_says_so(dom0: Dom0) -> None:
    (dom0.place / "home/xenapic/cli/app.py").write_text("1/0\n")
    assert not dom0.is_forked()


def test_without_a_server_it_starts_cold(dom0: Dom0) -> None:
    dom0.both(DESCRIBE, env={"XENAPIC_LAB_SERVER": "/nonexistent"})
    dom0.server.kill()
    dom0.server.wait()
    assert dom0.run("forked", "print(1)") == (0, b"1\n", b"")
    Path(dom0.socket).unlink()
    dom0.server = dom0._start()


def test_a_server_killed_under_a_command_is_said(dom0: Dom0) -> None:
    process = subprocess.Popen(
        dom0.argv("forked", "print('ready', flush=True); input()"),
        env=dom0.env,
        cwd=dom0.place,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None and process.stdout.readline() == b"ready\n"
    dom0.server.kill()
    dom0.server.wait()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1 and b"status" in err
    Path(dom0.socket).unlink()
    dom0.server = dom0._start()


def test_what_a_command_imported_the_next_one_has(dom0: Dom0) -> None:
    show = "import sys; print('colorsys' in sys.modules, 'xenapic.cli.commands.known' in sys.modules); import colorsys"
    assert dom0.run("forked", show)[1] == b"False False\n"
    assert dom0.run("forked", show)[1] == b"True False\n"
    assert dom0.run("forked", "known", "known")[0] == 1
    assert dom0.run("forked", show)[1] == b"True True\n"
    assert dom0.run("fresh", show)[1] == b"False False\n"


def test_the_real_command_is_forked(dom0: Dom0, tmp_path: Path) -> None:
    """A cold start would run the python3 of its PATH, which fails here."""
    (dom0.place / "home/xenapic").rename(dom0.place / "home/aside")
    (dom0.place / "home/xenapic").symlink_to(Path(xenapic.__file__).parent)
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "python3").symlink_to("/bin/false")
    argv = [sys.executable, *dom0.argv("forked", "explain", "x2apic")[1:]]
    env = {**dom0.env, "PATH": f"{broken}:/usr/bin:/bin"}
    done = subprocess.run(argv, env=env, cwd=tmp_path, capture_output=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, b""), "it started cold"
    assert done.stdout == dom0.run("fresh", "explain", "x2apic")[1] != b""

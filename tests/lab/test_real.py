"""The lab on real emulators. Each run checks as much as it can."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from xenapic.lab.errors import StageTimeout, XenPanicked
from xenapic.lab.pytest_plugin import XenLab
from xenapic.lab.runner import SNAPSHOT

pytestmark = pytest.mark.xen

MIXED = r"""
import os, signal, sys
data = bytes(range(256)) * 4096
for at in range(0, len(data), 65536):
    sys.stdout.buffer.write(data[at:at + 65536])
    sys.stdout.flush()
    os.write(2, b"error %d\n" % at)
assert open("/proc/xen/capabilities").read().strip() == "control_d"
assert sys.stdin.read() == ""
print(os.environ["WORD"], open("/given/file").read(), end="")
import xenapic
print(xenapic.__file__)
sys.stdout.flush()
os.kill(os.getpid(), signal.SIGTERM)
"""


@pytest.fixture(autouse=True)
def nothing_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Every test gets a directory for temporary files, which must be empty afterwards."""
    with tempfile.TemporaryDirectory(prefix="lab-test-") as name:
        monkeypatch.setenv("TMPDIR", name)
        monkeypatch.setattr(tempfile, "tempdir", name)
        yield Path(name)
        assert list(Path(name).iterdir()) == []
        assert emulators(Path(name)) == []


def emulators(place: Path) -> list[str]:
    """Command lines of processes that name `place`."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes()
        except OSError:
            continue
        if os.fsencode(place) in line:
            found.append(line.decode(errors="replace"))
    return found


def processor_time() -> float:
    """Seconds of processor time of this process's ended children: not disturbed by what else runs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_output_is_separate_whole_and_exact(xen_lab: XenLab, tmp_path: Path) -> None:
    given = tmp_path / "given"
    given.write_text("text\n")
    result = xen_lab.run(["python3", "-c", MIXED], env={"WORD": "a b"}, files={"/given/file": given})
    size = 256 * 4096
    assert result.stdout[:size] == bytes(range(256)) * 4096
    assert result.stdout[size:] == b"a b text\n/checkout/xenapic/__init__.py\n"
    assert result.stderr == b"".join(b"error %d\n" % at for at in range(0, size, 65536))
    assert result.status == 128 + signal.SIGTERM
    assert (result.start, list(result.timings)) == (SNAPSHOT, ["image", "snapshot", "restore", "command"])
    assert "(XEN) " in result.serial


FORKED_OR_COLD = r"""
for arguments in "host --json" "plan --require tpr_shadow" "no-such" "-v info"; do
    for command in "xenapic" "python3 -m xenapic"; do
        $command $arguments >/tmp/out 2>/tmp/err
        echo "$arguments: $? $(md5sum </tmp/out) $(tail -n 1 /tmp/err | sed s/[0-9.]*.ms//)"
    done
done
ls -l /proc/*/exe 2>/dev/null | grep -c python
"""


def test_a_forked_command_does_what_a_fresh_process_does(xen_lab: XenLab) -> None:
    result = xen_lab.run(["sh", "-c", FORKED_OR_COLD])
    assert result.status == 0, result.stderr.decode()
    *lines, pythons = result.stdout.decode().splitlines()
    assert lines[::2] == lines[1::2]
    assert [line.split(": ")[1][0] for line in lines[::2]] == list("0120")
    assert int(pythons) == 2, "the relay and the server that forks commands"


COMPILED = r"""
import sys
from importlib.util import cache_from_source
from pathlib import Path
import xenapic.verify.record
mine = [module.__file__ for name, module in sys.modules.items() if name.startswith("xenapic")]
print(sys.implementation.cache_tag, len(mine) > 50)
print([path for path in mine if not Path(cache_from_source(path)).is_file()])
"""


@pytest.mark.parametrize("release", ["4.17", "4.20"])
def test_dom0_compiles_nothing(xen_lab: XenLab, release: str) -> None:
    """Whatever Python this is: one of the releases has another."""
    result = xen_lab.run(["python3", "-c", COMPILED], xen=release)
    tag = {"4.17": "cpython-311", "4.20": "cpython-313"}[release]
    assert result.stdout.decode().splitlines() == [f"{tag} True", "[]"], result.stderr.decode()


def test_a_command_that_takes_too_long(xen_lab: XenLab) -> None:
    with pytest.raises(StageTimeout, match="stage command took more than 1 s") as caught:
        xen_lab.run(["sh", "-c", "echo begun; sleep 60"], timeout=1)
    assert caught.value.stdout == b"begun\n"
    assert caught.value.serial_path is not None
    assert caught.value.serial_path.read_text() == caught.value.serial


def test_a_xen_that_panics_is_noticed_at_once(xen_lab: XenLab) -> None:
    before = processor_time()
    with pytest.raises(XenPanicked) as caught:
        xen_lab.run(["true"], xen_args=["dom0_mem=4M,max:4M"])
    assert processor_time() - before < 20
    assert "Panic on CPU" in caught.value.serial


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_run_leaves_nothing(
    xen_lab: XenLab, nothing_left: Path, number: signal.Signals
) -> None:
    argv = [sys.executable, "-m", "xenapic", "lab", "run", "-m", xen_lab.machine]
    with subprocess.Popen(
        [*argv, "--", "sleep", "60"], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL
    ) as process:
        until = time.monotonic() + 600
        while not emulators(nothing_left) and time.monotonic() < until:
            time.sleep(0.05)
        assert emulators(nothing_left)
        process.send_signal(number)
        process.communicate(timeout=200)
    until = time.monotonic() + 50
    while emulators(nothing_left) and time.monotonic() < until:
        time.sleep(0.05)
    assert emulators(nothing_left) == []
    if number == signal.SIGKILL:
        # Nobody could clean up: the next run does.
        (left,) = nothing_left.iterdir()
        os.utime(left, (0, 0))
        from xenapic.lab.rundir import sweep

        sweep()


def test_commands_in_one_machine(xen_lab: XenLab, tmp_path: Path) -> None:
    """Each has its own output, files and environment; what dom0 was told before is still there."""
    given = tmp_path / "given"
    with xen_lab.start() as machine:
        for number in range(3):
            given.write_text(f"{number}\n" * 100_000)
            script = "cat /given; echo $N >>/tmp/n; cat /tmp/n >&2; exit $N"
            result = machine.run(["sh", "-c", script], files={"/given": given}, env={"N": str(number)})
            assert (result.status, result.stdout) == (number, given.read_bytes())
            assert result.stderr.split() == [b"%d" % n for n in range(number + 1)]
        with pytest.raises(StageTimeout, match="more than 1 s"):
            machine.run(["sleep", "60"], timeout=1)

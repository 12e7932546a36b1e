"""create and destroy on the command line, with a fake at the C boundary: no domain that nobody knows of."""

from __future__ import annotations

import errno
import io
import json
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import xenapic
from tests.library.test_handle import FakeXen
from xenapic.abi.library import Library, load
from xenapic.cli.app import app
from xenapic.live.owners import this_process
from xenapic.live.xen import Xen
from xenapic.model.owner import Owner

pytestmark = pytest.mark.library


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeXen:
    real: Library = load()
    fake = FakeXen(real)
    monkeypatch.setattr(xenapic, "open", lambda _library=None: Xen(replace(real, xenctrl=fake)))
    return fake


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


class Broken(io.TextIOWrapper):
    """A stdout that takes nothing."""

    def __init__(self, number: int) -> None:
        super().__init__(io.BytesIO(), encoding="utf-8")
        self.number = number

    def write(self, _text: str) -> int:
        raise OSError(self.number, os.strerror(self.number))


def run_into(monkeypatch: pytest.MonkeyPatch, stdout: Any, *arguments: str) -> int:
    monkeypatch.setattr(sys, "stdout", stdout)
    with pytest.raises(SystemExit) as end:
        app.main(list(arguments))
    assert isinstance(end.value.code, int)
    return end.value.code


# -- create ----------------------------------------------------------------------------------------


def test_create_prints_the_number_of_a_domain_that_lives_on(fake: FakeXen) -> None:
    done = run("create")
    assert (done.exit_code, done.stdout) == (0, "1\n") and set(fake.domains) == {1}
    done = run("create", "--json")
    assert json.loads(done.stdout)["domid"] == 2 and set(fake.domains) == {1, 2}
    assert all(Owner.from_handle(handle_of(fake, domid)) for domid in fake.domains)
    assert not json.loads(run("list", "--orphans", "--json").stdout)["domains"]


def handle_of(fake: FakeXen, domid: int) -> Any:
    from uuid import UUID

    return UUID(bytes=fake.domains[domid])


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EPIPE, errno.EBADF, errno.EIO])
@pytest.mark.parametrize("more", [[], ["--json"]])
def test_a_number_that_cannot_be_printed_costs_the_domain(
    fake: FakeXen,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    number: int,
    more: list[str],
) -> None:
    assert run_into(monkeypatch, Broken(number), "create", *more) == 1
    assert not fake.domains and fake.destroyed == [1]
    assert f"the number of domain 1 could not be printed ({os.strerror(number)})" in capsys.readouterr().err


def test_the_number_is_flushed_before_the_domain_is_let_go(
    fake: FakeXen, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    let_go = fake.xc_domain_sethandle
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")

    def watch(*arguments: Any) -> int:
        buffer = out.buffer
        assert isinstance(buffer, io.BytesIO)
        seen.append(buffer.getvalue())
        return let_go(*arguments)

    monkeypatch.setattr(fake, "xc_domain_sethandle", watch, raising=False)
    assert run_into(monkeypatch, out, "create") == 0
    assert seen == [b"1\n"]


@pytest.mark.parametrize("call", ["xc_domain_max_vcpus", "xc_domain_setmaxmem"])
def test_a_call_that_fails_after_create_costs_the_domain(fake: FakeXen, call: str) -> None:
    fake.fail[call] = errno.ENOMEM
    done = run("create", "--memory", "64")
    assert done.exit_code == 1 and "ENOMEM" in done.stderr and call in done.stderr
    assert not fake.domains


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_before_the_domain_is_let_go_costs_the_domain(
    fake: FakeXen, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    from xenapic.signals import unwind_on_termination

    ended_by = (signal.SIGTERM, signal.SIGHUP)
    before = {each: signal.signal(each, signal.SIG_DFL) for each in ended_by}  # nohup ignores one
    create = fake.xc_domain_create

    def interrupted(*arguments: Any) -> int:
        result = create(*arguments)
        signal.raise_signal(number)
        return result

    monkeypatch.setattr(fake, "xc_domain_create", interrupted)
    try:
        unwind_on_termination()
        done = run("create")
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
    assert done.exit_code == 128 + number and not fake.domains and not done.stdout


def test_a_refusal_creates_nothing(fake: FakeXen) -> None:
    done = run("create", "--vcpus", "1000")
    assert done.exit_code == 1 and "refused, and Xen was not called" in done.stderr
    done = run("create", "--vcpus", "1000", "--json")
    found = json.loads(done.stdout)
    assert done.exit_code == 1 and found["domid"] is None and found["problems"]
    assert not fake.domains


def test_create_takes_the_policy_options(fake: FakeXen) -> None:
    done = run("create", "--require", "virtual_interrupt_delivery", "--json")
    found = json.loads(done.stdout)
    assert done.exit_code == 1 and found["code"] == "policy-refused" and not fake.domains
    assert run("create", "--dry-run", "--prefer", "virtual_interrupt_delivery").exit_code == 0
    done = run("create", "--set", "assisted_xapic=1")
    assert done.exit_code == 2 and "unknown field 'assisted_xapic'" in done.stderr


# -- destroy ---------------------------------------------------------------------------------------


def test_destroy_goes_on_after_a_failure_and_says_what_became_of_each(fake: FakeXen) -> None:
    fake.domains = {1: bytes(16), 3: bytes(16)}
    done = run("destroy", "1", "2", "3")
    assert done.exit_code == 1 and not fake.domains
    assert done.stdout == "destroyed 1\ndestroyed 3\n" and "domain 2" in done.stderr
    fake.domains = {1: bytes(16), 3: bytes(16)}
    found = json.loads(run("destroy", "1", "2", "3", "--json").stdout)
    assert found["destroyed"] == [1, 3] and [one["domid"] for one in found["failed"]] == [2]


def test_destroy_goes_on_when_xen_refuses_one(fake: FakeXen, monkeypatch: pytest.MonkeyPatch) -> None:
    fake.domains = {domid: bytes(16) for domid in (1, 2, 3)}
    destroy = fake.xc_domain_destroy

    def refuse(xch: Any, domid: int) -> int:
        if domid == 2:
            fake.ffi.errno = errno.EBUSY
            return -1
        return destroy(xch, domid)

    monkeypatch.setattr(fake, "xc_domain_destroy", refuse, raising=False)
    done = run("destroy", "1", "2", "3")
    assert done.exit_code == 1 and set(fake.domains) == {2}
    assert done.stdout == "destroyed 1\ndestroyed 3\n" and "EBUSY" in done.stderr


def test_a_number_given_twice_is_destroyed_once(fake: FakeXen) -> None:
    fake.domains = {1: bytes(16)}
    assert run("destroy", "1", "1").exit_code == 0


ORPHAN = replace(this_process(), pid=1 << 21).to_handle()


def test_orphans_are_destroyed(fake: FakeXen) -> None:
    fake.domains = {1: bytes(16), 2: ORPHAN.bytes, 3: this_process().to_handle().bytes}
    done = run("destroy", "--orphans")
    assert (done.exit_code, done.stdout) == (0, "destroyed 2\n") and set(fake.domains) == {1, 3}


def test_an_orphans_number_that_became_anothers_is_left_alone(
    fake: FakeXen, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.domains = {2: ORPHAN.bytes}
    orphans = Xen.orphans

    def reused(xen: Xen) -> Any:
        found = orphans(xen)
        fake.domains[2] = bytes(range(16))  # the orphan ended, and another domain got its number
        return found

    monkeypatch.setattr(Xen, "orphans", reused)
    done = run("destroy", "--orphans")
    assert done.exit_code == 1 and set(fake.domains) == {2}
    assert "whose number belongs to another domain now" in done.stderr


# -- reports that cannot be written ----------------------------------------------------------------


def test_a_report_that_fails_late_does_not_cost_the_answer(
    fake: FakeXen, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from xenapic.verify import record
    from xenapic.verify.recording import read_recording

    observed = Path(__file__).parent.parent / "data" / "observed"
    smallest = min(observed.glob("*.json"), key=lambda path: path.stat().st_size)
    recording = read_recording(json.loads(smallest.read_text()))
    monkeypatch.setattr(record, "record", lambda *_arguments: recording)
    done = run("verify", "--record", "/dev/full", "--html", str(tmp_path / "page.html"))
    assert done.exit_code == 1 and " agree" in done.stdout
    assert "/dev/full could not be written: No space left on device" in done.stderr
    assert (tmp_path / "page.html").stat().st_size
    assert fake is not None

"""A real libxenctrl without a hypervisor, and a small fake at the C boundary for faults."""

from __future__ import annotations

import errno
import logging
import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from xenapic.abi import library as library_module
from xenapic.abi.handle import Handle
from xenapic.abi.library import Library, load
from xenapic.errors import (
    CallFailed,
    ConfigRefused,
    DomainNotFound,
    HandleClosed,
    LibraryNotFound,
    NoPrivilege,
    NoXen,
    ReleaseMismatch,
    ReleaseUnknown,
)
from xenapic.live.xen import Xen
from xenapic.model.config import DomainConfig

pytestmark = pytest.mark.library


@pytest.fixture(scope="module")
def real() -> Library:
    return load()


class FakeXen:
    """The C functions of libxenctrl, answered from memory; real structures."""

    def __init__(self, real: Library) -> None:
        self.ffi = real.ffi
        self.domains: dict[int, bytes] = {}
        self.fail: dict[str, int] = {}
        self.version = real.release.number[0] << 16 | real.release.number[1]
        self.interrupt_create = False
        self.destroyed: list[int] = []
        self.busy = 0
        self.most_busy = 0
        self.first = 0
        self.ring = b"(XEN) Xen version\n(XEN) SVM: Supported advanced features:\n(XEN)  - none\n"

    def __getattr__(self, name: str) -> Any:
        def ok(*_args: Any) -> int:
            return self._answer(name, 0)

        return ok

    def _answer(self, name: str, result: int) -> int:
        if name in self.fail:
            self.ffi.errno = self.fail[name]
            return -1
        return result

    def xc_interface_open(self, *args: Any) -> Any:
        self.open_flags = args[2]
        if "xc_interface_open" in self.fail:
            self.ffi.errno = self.fail["xc_interface_open"]
            return self.ffi.NULL
        return self.ffi.cast("xc_interface *", 1)

    def xc_get_last_error(self, _xch: Any) -> Any:
        return self.ffi.NULL

    def xc_version(self, _xch: Any, command: int, _arg: Any) -> int:
        self.busy += 1
        self.most_busy = max(self.most_busy, self.busy)
        self.busy -= 1
        return self._answer("xc_version", self.version if command == 0 else 0)

    def xc_physinfo(self, _xch: Any, info: Any) -> int:
        info.capabilities = 0x30B
        info.free_pages = 100_000
        info.hw_cap[3] = 4
        return self._answer("xc_physinfo", 0)

    def xc_readconsolering(
        self, _xch: Any, buffer: Any, count: Any, _clear: int, incremental: int, index: Any
    ) -> int:
        start = max(index[0] if incremental else 0, self.first)
        data = self.ring[start : start + count[0]]
        self.ffi.buffer(buffer)[: len(data)] = data
        count[0] = len(data)
        index[0] = start + len(data)
        return self._answer("xc_readconsolering", 0)

    def xc_domain_create(self, _xch: Any, pdomid: Any, config: Any) -> int:
        if "xc_domain_create" in self.fail:
            return self._answer("xc_domain_create", 0)
        domid = max([0, *self.domains]) + 1
        self.domains[domid] = bytes(config.handle)
        pdomid[0] = domid
        if self.interrupt_create:
            raise KeyboardInterrupt
        return 0

    def xc_domain_getinfolist(self, _xch: Any, first: int, room: int, infos: Any) -> int:
        found = [(domid, handle) for domid, handle in sorted(self.domains.items()) if domid >= first][:room]
        for number, (domid, handle) in enumerate(found):
            infos[number].domain = domid
            infos[number].handle = handle
        return self._answer("xc_domain_getinfolist", len(found))

    def xc_domain_sethandle(self, _xch: Any, domid: int, handle: bytes) -> int:
        self.domains[domid] = handle
        return self._answer("xc_domain_sethandle", 0)

    def xc_domain_destroy(self, _xch: Any, domid: int) -> int:
        if domid not in self.domains:
            self.ffi.errno = errno.ESRCH
            return -1
        del self.domains[domid]
        self.destroyed.append(domid)
        return 0


@pytest.fixture
def fake(real: Library) -> FakeXen:
    return FakeXen(real)


@pytest.fixture
def xen(real: Library, fake: FakeXen) -> Any:
    with Xen(replace(real, xenctrl=fake)) as opened:
        yield opened


# -- five different ways of having no Xen ------------------------------------------------------


def test_no_xen_says_so_and_prints_nothing(real: Library, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(NoXen, match="does not run under Xen") as caught:
        Handle(real)
    assert caught.value.errno == errno.ENOENT
    assert capfd.readouterr() == ("", "")


def test_libxenctrls_log_goes_to_logging(real: Library, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "xenapic.libxenctrl"), pytest.raises(NoXen):
        Handle(real)
    assert "Could not obtain handle" in caplog.text


def test_no_library() -> None:
    with pytest.raises(LibraryNotFound, match="libxenmisc4.16"):
        load("4.16")
    with pytest.raises(LibraryNotFound, match="cannot be read as a library"):
        load("/nowhere/libxenctrl.so.4.17")


def test_nothing_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(*_args: object) -> None:
        raise OSError("no such file")

    monkeypatch.setattr(library_module, "_load", nothing)
    monkeypatch.setattr(library_module, "_installed", list)
    with pytest.raises(LibraryNotFound, match="XENAPIC_LIBXENCTRL"):
        load()
    monkeypatch.setattr(library_module, "_installed", lambda: ["libxenctrl.so.4.99", "libxenctrl.so.4.99.0"])
    with pytest.raises(ReleaseUnknown, match=r"4\.99"):
        load()


def test_unknown_release() -> None:
    with pytest.raises(ReleaseUnknown, match="newer xenapic"):
        load("4.23")
    with pytest.raises(ReleaseUnknown, match="has the soname"):
        load(next(Path("/usr/lib").glob("*/libxentoollog.so.1")))


def test_environment_names_a_library(monkeypatch: pytest.MonkeyPatch) -> None:
    path = next(Path("/usr/lib").glob("*/libxenctrl.so.4.??"))
    monkeypatch.setenv("XENAPIC_LIBXENCTRL", str(path))
    assert (load().path, f"libxenctrl.so.{load().release}") == (str(path), path.name)


def test_other_release_of_hypervisor(real: Library, fake: FakeXen) -> None:
    fake.version = (4 << 16) | 15
    with pytest.raises(ReleaseMismatch, match=r"libxenmisc4\.15"):
        Handle(replace(real, xenctrl=fake))


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM])
def test_no_privilege_on_open(real: Library, fake: FakeXen, number: int) -> None:
    fake.fail["xc_interface_open"] = number
    with pytest.raises(NoPrivilege, match="run as root"):
        Handle(replace(real, xenctrl=fake))


@pytest.mark.parametrize(("number", "word"), [(errno.EPERM, "dom0"), (errno.EACCES, "XSM")])
def test_no_privilege_on_a_call(xen: Xen, fake: FakeXen, number: int, word: str) -> None:
    fake.fail["xc_physinfo"] = number
    with pytest.raises(NoPrivilege, match=word) as caught:
        xen.physinfo()
    assert caught.value.errno == number


def test_failed_call_keeps_errno_and_what_was_asked(xen: Xen, fake: FakeXen) -> None:
    fake.domains[5] = bytes(16)
    fake.fail["xc_domain_pause"] = errno.EBUSY
    with pytest.raises(CallFailed, match=r"pause domain 5: EBUSY \(.*\) from xc_domain_pause") as caught:
        xen.domain(5).pause()
    assert caught.value.errno == errno.EBUSY


def test_unknown_domain(xen: Xen) -> None:
    with pytest.raises(DomainNotFound):
        xen.domain(77)


def test_thousands_of_domains_in_one_snapshot(xen: Xen, fake: FakeXen) -> None:
    fake.domains = {domid: bytes(16) for domid in range(3000)}
    assert [one.domid for one in xen.domains()] == list(range(3000))


def test_following_the_console(xen: Xen, fake: FakeXen) -> None:
    lines = xen.console.follow(from_start=True, poll_seconds=0)
    first, *_rest = [next(lines).text for _ in range(3)]
    assert first == "Xen version"
    fake.ring += b"(d3) half"
    fake.ring += b" a line\n"
    line = next(lines)
    assert (line.origin.value, line.domid, line.text) == ("guest", 3, "half a line")
    fake.first = len(fake.ring) + 40
    fake.ring += b"(d3) overwritten before it was read.....(XEN) cut off\n(XEN) whole\n"
    assert next(lines).origin.value == "lost"
    assert next(lines).text == "whole"


# -- ownership --------------------------------------------------------------------------------------


def test_destroyed_on_leaving(xen: Xen, fake: FakeXen) -> None:
    with pytest.raises(ZeroDivisionError), xen.create_domain(DomainConfig.pv()):
        assert len(fake.domains) == 1
        raise ZeroDivisionError
    assert fake.destroyed == [1]


def test_destroyed_on_ctrl_c_in_the_block(xen: Xen, fake: FakeXen) -> None:
    with pytest.raises(KeyboardInterrupt), xen.create_domain(DomainConfig.pv()):
        raise KeyboardInterrupt
    assert not fake.domains


def test_destroyed_on_ctrl_c_within_create(xen: Xen, fake: FakeXen) -> None:
    fake.interrupt_create = True
    with pytest.raises(KeyboardInterrupt):
        xen.create_domain(DomainConfig.pv())
    assert not fake.domains


def test_destroyed_when_dropped(xen: Xen, fake: FakeXen) -> None:
    xen.create_domain(DomainConfig.pv())
    xen.physinfo()  # the next call, whatever it is, destroys it first
    assert not fake.domains


def test_destroyed_when_the_handle_closes(xen: Xen, fake: FakeXen) -> None:
    kept = xen.create_domain(DomainConfig.pv())
    xen.close()
    assert not fake.domains and not kept.owned


def test_release_keeps_it_under_its_own_handle(xen: Xen, fake: FakeXen) -> None:
    own = UUID(int=42)
    with xen.create_domain(DomainConfig.pv(handle=own)) as domain:
        assert fake.domains[1] != own.bytes
        domain.release()
    assert fake.domains == {1: own.bytes}
    assert not xen.orphans()


def test_a_number_that_became_anothers_is_left_alone(xen: Xen, fake: FakeXen) -> None:
    with xen.create_domain(DomainConfig.pv()):
        fake.domains[1] = bytes(range(16))
    assert 1 in fake.domains


def test_a_forked_child_destroys_nothing(xen: Xen, fake: FakeXen) -> None:
    with xen.create_domain(DomainConfig.pv()) as domain:
        child = os.fork()
        if not child:
            try:
                domain.destroy()
            except HandleClosed:
                os._exit(7)
            os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        assert fake.domains


def test_a_forked_child_does_not_wait_for_a_thread_of_its_parent(
    xen: Xen, fake: FakeXen, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fork while another thread is in a call: the child has its lock, held, and nobody to release it."""
    inside, leave = threading.Event(), threading.Event()

    def wait_inside(*_args: object) -> int:
        inside.set()
        leave.wait()
        return 0

    monkeypatch.setattr(fake, "xc_domain_pause", wait_inside, raising=False)
    thread = threading.Thread(target=xen.handle.domains.pause, args=(1,))
    thread.start()
    inside.wait()
    child = os.fork()
    if not child:
        signal.alarm(10)
        try:
            xen.handle.host.version()
        except HandleClosed:
            xen.close()
            os._exit(7)
        os._exit(1)
    leave.set()
    thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


def test_refused_config_never_reaches_xen(xen: Xen, fake: FakeXen) -> None:
    with pytest.raises(ConfigRefused) as caught:
        xen.create_domain(DomainConfig.pvh(max_grant_frames=0, cpupool_id=0, max_vcpus=500))
    assert {problem.code for problem in caught.value.problems} == {"grant-frames-none", "vcpus-too-many"}
    assert not fake.domains and not fake.destroyed


def test_failing_create_leaks_nothing(xen: Xen, fake: FakeXen) -> None:
    fake.fail["xc_domain_create"] = errno.ENOMEM
    with pytest.raises(CallFailed, match="ENOMEM"):
        xen.create_domain(DomainConfig.pv())


def test_closed_handle(xen: Xen) -> None:
    xen.close()
    xen.close()
    with pytest.raises(HandleClosed):
        xen.physinfo()


def test_threads_take_turns(xen: Xen, fake: FakeXen) -> None:
    threads = [
        threading.Thread(target=lambda: [xen.handle.host.version() for _ in range(200)]) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert fake.most_busy == 1


def test_descriptors_are_not_leaked(real: Library, fake: FakeXen) -> None:
    def open_files() -> int:
        return len(os.listdir("/proc/self/fd"))

    before = open_files()
    for _ in range(20):
        Handle(replace(real, xenctrl=fake)).close()
        with pytest.raises(NoXen):
            Handle(real)
    assert open_files() == before


def test_bare_import_needs_no_extras() -> None:
    code = "import sys, xenapic; xenapic.Xen, xenapic.DomainConfig; print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert not loaded & {"click", "tabulate", "rich", "pycparser", "cffi.api", "xenapic.lab"}

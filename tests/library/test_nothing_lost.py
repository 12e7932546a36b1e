"""Domains are neither lost nor forgotten when a call, the garbage collector or a fork gets in the way."""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.library.test_handle import FakeXen
from xenapic.abi.failures import open_failure
from xenapic.abi.library import Library, load
from xenapic.errors import CallFailed, CloseFailed, HandleClosed, NoXen, Unavailable
from xenapic.live.owners import owner_state, this_process
from xenapic.live.xen import Xen
from xenapic.model.config import DomainConfig
from xenapic.model.owner import Owner, OwnerState

pytestmark = pytest.mark.library
CONFIG = DomainConfig.pv()


@pytest.fixture(scope="module")
def real() -> Library:
    return load()


class Faulty(FakeXen):
    """Calls that do their work and report an error all the same, and counts that fit no buffer."""

    def __init__(self, real: Library) -> None:
        super().__init__(real)
        self.after: dict[str, int] = {}
        self.counts: dict[str, int] = {}
        self.during: Callable[[], object] | None = None

    def _late(self, name: str, result: int) -> int:
        if name in self.after:
            self.ffi.errno = self.after[name]
            return -1
        return self.counts.get(name, result)

    def xc_domain_create(self, xch: Any, pdomid: Any, config: Any) -> int:
        result = self._late("xc_domain_create", super().xc_domain_create(xch, pdomid, config))
        if result < 0:
            pdomid[0] = 0x7FF5
        return result

    def xc_domain_sethandle(self, xch: Any, domid: int, handle: bytes) -> int:
        return self._late("xc_domain_sethandle", super().xc_domain_sethandle(xch, domid, handle))

    def xc_domain_getinfolist(self, xch: Any, first: int, room: int, infos: Any) -> int:
        result = super().xc_domain_getinfolist(xch, first, room, infos)
        return self._late("xc_domain_getinfolist", result)

    def xc_physinfo(self, xch: Any, info: Any) -> int:
        if self.during:
            self.during()
        return super().xc_physinfo(xch, info)

    def xc_readconsolering(self, *args: Any) -> int:
        result = super().xc_readconsolering(*args)
        if "xc_readconsolering" in self.counts:
            args[2][0] = self.counts["xc_readconsolering"]
        return result


class _Late:
    def __init__(self, fake: Faulty) -> None:
        self._fake = fake

    def __getattr__(self, name: str) -> Any:
        return lambda *args: getattr(self._fake, name)(*args)


def late(fake: Faulty) -> Any:
    """Return the fake for a handle that keeps its functions: one that a test replaces later is called, too."""
    return _Late(fake)


@pytest.fixture
def fake(real: Library) -> Faulty:
    return Faulty(real)


@pytest.fixture
def xen(real: Library, fake: Faulty) -> Any:
    with Xen(replace(real, xenctrl=late(fake))) as opened:
        yield opened


def test_a_create_that_worked_but_reports_an_error_leaves_nothing(xen: Xen, fake: Faulty) -> None:
    fake.after["xc_domain_create"] = errno.EFAULT
    with pytest.raises(CallFailed) as caught:
        xen.create_domain(CONFIG)
    assert caught.value.errno == errno.EFAULT
    assert fake.domains == {}


def test_a_release_that_worked_but_reports_an_error_is_a_release(xen: Xen, fake: Faulty) -> None:
    fake.after["xc_domain_sethandle"] = errno.EFAULT
    with xen.create_domain(CONFIG) as domain:
        domain.release()
        assert not domain.owned
    assert list(fake.domains) == [domain.domid]


def test_a_release_that_failed_leaves_the_domain_owned(xen: Xen, fake: Faulty) -> None:
    fake.xc_domain_sethandle = lambda *_args: -1  # type: ignore[method-assign]  # the handle stays
    fake.ffi.errno = errno.EINVAL
    with pytest.raises(CallFailed), xen.create_domain(CONFIG) as domain:
        domain.release()
    assert fake.domains == {}


def test_close_tries_every_domain_then_raises_every_error(real: Library) -> None:
    fake = Faulty(real)
    xen = Xen(replace(real, xenctrl=late(fake)))
    domains = [xen.create_domain(CONFIG) for _ in range(3)]
    stuck, destroy = {domains[0].domid, domains[2].domid}, fake.xc_domain_destroy

    def refuses(xch: Any, domid: int) -> int:
        if domid in stuck:
            fake.ffi.errno = errno.EBUSY
            return -1
        return destroy(xch, domid)

    fake.xc_domain_destroy = refuses  # type: ignore[method-assign,assignment]
    with pytest.raises(CloseFailed) as caught:
        xen.close()
    assert [error.errno for error in caught.value.errors if isinstance(error, CallFailed)] == [
        errno.EBUSY
    ] * 2
    assert set(fake.domains) == stuck and xen.handle.closed


def test_a_domain_dropped_in_the_middle_of_a_call_is_destroyed_by_the_next(xen: Xen, fake: Faulty) -> None:
    kept = [xen.create_domain(CONFIG)]

    def drop() -> None:
        kept.clear()
        gc.collect()

    fake.during = drop
    xen.physinfo()
    fake.during = None
    assert len(fake.domains) == 1, "it must not be destroyed inside the call"
    xen.physinfo()
    assert fake.domains == {}


def test_a_dropped_domain_is_destroyed_by_close(real: Library) -> None:
    fake = Faulty(real)
    xen = Xen(replace(real, xenctrl=late(fake)))
    xen.create_domain(CONFIG)
    gc.collect()
    xen.close()
    assert fake.domains == {}


PROGRAM = """
from dataclasses import replace
from tests.library.test_handle import FakeXen
from xenapic.abi.library import load
from xenapic.live.xen import Xen
from xenapic.model.config import DomainConfig
class Loud(FakeXen):
    def xc_domain_destroy(self, xch, domid):
        print("destroyed", domid, flush=True)
        return super().xc_domain_destroy(xch, domid)
real = load()
xen = Xen(replace(real, xenctrl=Loud(real)))
kept, dropped = xen.create_domain(DomainConfig.pv()), xen.create_domain(DomainConfig.pv())
del dropped
"""


def test_what_is_left_at_the_end_of_the_program_is_destroyed() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert sorted(done.stdout.splitlines()) == ["destroyed 1", "destroyed 2"]


def test_a_child_forked_while_another_thread_is_in_a_call_does_not_hang(xen: Xen, fake: Faulty) -> None:
    inside, go_on = threading.Event(), threading.Event()

    def stay() -> None:
        inside.set()
        go_on.wait(30)

    fake.during = stay
    caller = threading.Thread(target=xen.physinfo)
    caller.start()
    assert inside.wait(30)
    child = os.fork()
    if child == 0:
        xen.close()
        os._exit(7)
    go_on.set()
    caller.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


def test_libxencall_takes_no_lock_that_a_forked_child_would_find_locked(xen: Xen, fake: Faulty) -> None:
    """On a real Xen: `tests.torture.endurance.forks`, where 5 of 60 children hung."""
    assert xen.handle and fake.open_flags == 1 << 1


@pytest.mark.parametrize("count", [257, 1 << 30])
def test_a_count_beyond_the_buffer_is_an_error(xen: Xen, fake: Faulty, count: int) -> None:
    fake.counts["xc_domain_getinfolist"] = count
    with pytest.raises(CallFailed, match="buffer of 256"):
        xen.domains()
    del fake.counts["xc_domain_getinfolist"]
    fake.counts["xc_readconsolering"] = 1 << 30
    with pytest.raises(CallFailed, match="buffer"):
        xen.handle.console.read()


def test_a_ring_without_an_end_is_an_error(xen: Xen, fake: Faulty, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xenapic.abi.calls.console.MOST_BYTES", 1 << 20)
    fake.xc_readconsolering = lambda *args: 0  # type: ignore[method-assign]  # each read is full
    with pytest.raises(CallFailed, match="buffer"):
        xen.handle.console.read()
    with pytest.raises(CallFailed, match="buffer"):
        xen.handle.console.clear()


def test_an_unreadable_ring_is_unknown_and_a_create_goes_on(xen: Xen, fake: Faulty) -> None:
    fake.fail["xc_readconsolering"] = errno.EPERM
    physinfo = fake.xc_physinfo

    def on_intel(xch: Any, info: Any) -> int:
        result = physinfo(xch, info)
        info.hw_cap[1], info.hw_cap[3] = 1 << 5, 0
        return result

    fake.xc_physinfo = on_intel  # type: ignore[method-assign]
    host = xen.host()
    unread = [fact for fact in host.features.values() if "cannot be read" in fact.source]
    assert unread and not any(fact.known for fact in unread)
    with xen.create_domain(CONFIG):
        assert len(fake.domains) == 1


def test_an_owner_that_nobody_waited_for_has_ended() -> None:
    child = subprocess.Popen([sys.executable, "-c", "print(input())"], stdin=subprocess.PIPE)
    stat = Path(f"/proc/{child.pid}/stat")
    mark = replace(this_process(), pid=child.pid, digest=_digest_of(child.pid))
    assert owner_state(mark) is OwnerState.RUNNING
    child.kill()
    while stat.read_text().rpartition(")")[2].split()[0] != "Z":
        pass
    assert owner_state(mark) is OwnerState.ORPHAN
    child.communicate()


def _digest_of(pid: int) -> int:
    from xenapic.live import owners

    found = owners._digest(pid)
    assert found is not None
    return found


@pytest.mark.parametrize("name", [b"\xff\xfe\x80", b") Z 1 1", b"a b) (c", b"\n\t"])
def test_a_process_of_any_name_is_known(name: bytes) -> None:
    """proc(5) puts the name, of any bytes, between the fields of ``/proc/PID/stat``."""
    code = (
        "import sys\n"
        f"open('/proc/self/comm', 'wb').write({name!r})\n"
        "from xenapic.live.owners import this_process\n"
        "owner = this_process()\n"
        "print(owner.pid, owner.namespace, owner.digest, flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        pid, namespace, digest = map(int, process.stdout.readline().split())
        owner = Owner(pid=pid, namespace=namespace, digest=digest)
        assert digest != 0 and owner_state(owner) is OwnerState.RUNNING
        process.kill()
    assert owner_state(owner) is OwnerState.ORPHAN


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENOMEM, errno.EBUSY])
def test_other_errors_at_open_do_not_say_that_xen_is_missing(number: int) -> None:
    error = open_failure(number, "")
    assert type(error) is Unavailable and errno.errorcode[number] in str(error)


@pytest.mark.parametrize("number", [errno.ENOENT, errno.ENODEV, errno.ENXIO])
def test_a_missing_device_says_so(number: int) -> None:
    assert isinstance(open_failure(number, ""), NoXen)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_domain_that_another_thread_creates_during_close_is_destroyed(real: Library, when: str) -> None:
    fake = Faulty(real)
    library = replace(real, xenctrl=late(fake))
    xen = Xen(library)
    create, inside, go_on = fake.xc_domain_create, threading.Event(), threading.Event()

    def slow(*args: Any) -> int:
        result = create(*args) if when == "before" else 0
        inside.set()
        go_on.wait(30)
        return result if when == "before" else create(*args)

    fake.xc_domain_create = slow  # type: ignore[method-assign,assignment]
    made: list[Any] = []

    def work() -> None:
        with contextlib.suppress(HandleClosed):
            made.append(xen.create_domain(CONFIG))

    creator = threading.Thread(target=work)
    creator.start()
    assert inside.wait(30)
    closer = threading.Thread(target=xen.close)
    closer.start()
    go_on.set()
    for thread in (creator, closer):
        thread.join(30)
    assert fake.domains == {} and xen.handle.closed


def test_an_interrupted_clean_up_of_a_create_is_made_up_for_by_close(real: Library) -> None:
    """Ctrl-C after the create, and again while the domain is looked for."""
    fake = Faulty(real)
    xen = Xen(replace(real, xenctrl=late(fake)))
    create, listed = fake.xc_domain_create, fake.xc_domain_getinfolist
    xen.host()

    def interrupted(*args: Any) -> int:
        create(*args)
        raise KeyboardInterrupt

    def again(*args: Any) -> int:
        fake.xc_domain_getinfolist = listed  # type: ignore[method-assign]
        raise KeyboardInterrupt

    fake.xc_domain_create = interrupted  # type: ignore[method-assign,assignment]
    fake.xc_domain_getinfolist = again  # type: ignore[method-assign,assignment]
    with pytest.raises(KeyboardInterrupt):
        xen.create_domain(CONFIG)
    assert len(fake.domains) == 1
    xen.close()
    assert fake.domains == {}


HANDLES = """
from dataclasses import replace
from tests.library.test_handle import FakeXen
from xenapic.abi.library import load
from xenapic.live.xen import Xen
from xenapic.model.config import DomainConfig

real = load()
fake = FakeXen(real)
with Xen(replace(real, xenctrl=fake)) as xen, xen.create_domain(DomainConfig.pv()) as domain:
    assert xen.handle.domains.handle_of(domain.domid) == fake.domains[domain.domid]
"""


def test_a_handle_is_read_while_the_structure_that_holds_it_is_alive() -> None:
    """The C library overwrites what is freed, so that whoever reads it later gets something else."""
    tunables = "glibc.malloc.perturb=165:glibc.malloc.tcache_count=0"
    overwriting = {**os.environ, "PYTHONMALLOC": "malloc", "GLIBC_TUNABLES": tunables}
    done = subprocess.run(
        [sys.executable, "-c", HANDLES], env=overwriting, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr

"""What docs/howto/embed.md says about asyncio: calls run in threads, and a cancelled create leaves no domain."""

from __future__ import annotations

import asyncio
import gc
import threading
from dataclasses import replace
from typing import Any

import pytest

from tests.library.test_measure import MeasuredXen
from xenapic import DomainConfig
from xenapic.abi.library import Library, load
from xenapic.live.xen import Xen

pytestmark = pytest.mark.library


class SlowXen(MeasuredXen):
    """A Xen whose creates wait until the test lets them go on."""

    def __init__(self, real: Library) -> None:
        super().__init__(real)
        self.creating, self.go_on = threading.Event(), threading.Event()

    def xc_domain_create(self, xch: Any, pdomid: Any, config: Any) -> int:
        self.creating.set()
        assert self.go_on.wait(60)
        return super().xc_domain_create(xch, pdomid, config)


def test_a_cancelled_create_leaves_no_domain() -> None:
    real = load()
    fake = SlowXen(real)

    async def create_and_cancel(xen: Xen) -> None:
        task = asyncio.create_task(asyncio.to_thread(xen.create_domain, DomainConfig.pvh()))
        await asyncio.to_thread(fake.creating.wait, 60)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not fake.domains
        fake.go_on.set()

    with Xen(replace(real, xenctrl=fake)) as xen:
        asyncio.run(create_and_cancel(xen))  # ends when its threads have ended
        gc.collect()
        xen.physinfo()  # the next call, whatever it is, destroys it first
        assert not fake.domains and len(fake.destroyed) == 1


def test_the_event_loop_goes_on_during_a_call() -> None:
    real = load()
    fake = SlowXen(real)

    async def count_while_creating(xen: Xen) -> int:
        task = asyncio.create_task(asyncio.to_thread(xen.create_domain, DomainConfig.pvh()))
        await asyncio.to_thread(fake.creating.wait, 60)
        turns = 0
        while turns < 100:
            await asyncio.sleep(0)
            turns += 1
        assert not task.done()
        fake.go_on.set()
        with await task:
            return turns

    with Xen(replace(real, xenctrl=fake)) as xen:
        assert asyncio.run(count_while_creating(xen)) == 100
    assert not fake.domains

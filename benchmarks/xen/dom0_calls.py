"""In dom0: time the same calls from C, from Xen's own Python module and from xenapic; print JSON.

Each round times all three one after the other, so that what disturbs one disturbs all. A figure is the
median of the rounds, in microseconds for one call.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from xen.lowlevel.xc import xc  # type: ignore[import-not-found]

import xenapic

ROUNDS = 7
COUNTS = {"physinfo": 400, "list": 40, "create_destroy": 40}
MANY = 1000
"""Domains in the longest list."""

Row = dict[str, float | None]


def in_c(what: str, count: int, threads: int = 1) -> float:
    """Return the microseconds that one call costs a C program."""
    done = subprocess.run(
        ["/bench/calls", what, str(count), str(threads)], capture_output=True, text=True, check=True
    )
    return float(done.stdout) / 1000


def in_python(call: Callable[[], object], count: int) -> float:
    """Return the microseconds that one `call` costs here."""
    began = time.perf_counter_ns()
    for _ in range(count):
        call()
    return (time.perf_counter_ns() - began) / count / 1000


def in_threads(make: Callable[[], Callable[[], object]], count: int, threads: int) -> float:
    """Return the microseconds for one call when `threads` threads, a handle each, share the work."""
    calls = [make() for _ in range(threads)]
    started = [threading.Thread(target=in_python, args=(call, count)) for call in calls]
    began = time.perf_counter_ns()
    for thread in started:
        thread.start()
    for thread in started:
        thread.join()
    return (time.perf_counter_ns() - began) / count / threads / 1000


def medians(measures: dict[str, Callable[[], float]]) -> Row:
    """Return the median of each measure over the rounds, after one round that does not count."""
    rounds = [{name: measure() for name, measure in measures.items()} for _ in range(ROUNDS + 1)]
    return {name: round(statistics.median(row[name] for row in rounds[1:]), 1) for name in measures}


def lists(xen: xenapic.Xen, peer: Any, count: int) -> Row:
    """Time a list of the domains that there are now, and one whose every field is read."""
    room = len(xen.domains()) + 1
    everything = [name for name in dir(xen.domains()[0]) if not name.startswith("_")]

    def read_all() -> None:
        for domain in xen.domains():
            for name in everything:
                getattr(domain, name)

    return medians(
        {
            "c_us": lambda: in_c("list", count),
            "c_one_by_one_us": lambda: in_c("one_by_one", count),
            "peer_us": lambda: in_python(lambda: peer.domain_getinfo(0, room), count),
            "xenapic_us": lambda: in_python(xen.domains, count),
            "xenapic_every_field_us": lambda: in_python(read_all, max(count // 10, 2)),
        }
    )


def creates(xen: xenapic.Xen, peer: Any) -> dict[str, Row]:
    """Time a create and the destroy that follows: a PVH domain of one vCPU without memory."""
    config = xenapic.DomainConfig.pvh(max_vcpus=1)
    policy = xenapic.Policy()
    count = COUNTS["create_destroy"]

    def by_peer() -> None:
        # The peer has no choice of the emulated devices; what they cost is part of its figure.
        peer.domain_destroy(peer.domain_create(flags=3, max_vcpus=1))

    def ours() -> None:
        with xen.create_domain(config):
            pass

    def with_policy() -> None:
        with xen.create_domain(config, policy=policy):
            pass

    plain = medians(
        {
            "c_us": lambda: in_c("create_destroy", count),
            "peer_us": lambda: in_python(by_peer, count),
            "xenapic_us": lambda: in_python(ours, count),
            "policy_us": lambda: in_python(with_policy, count),
        }
    )
    policy_us = plain.pop("policy_us")
    return {"create_destroy": plain, "create_destroy_policy": {**plain, "xenapic_us": policy_us}}


def bare(xen: xenapic.Xen) -> Callable[[], object]:
    """Return physinfo as cffi alone makes it: no lock, no check of the result, no typed value."""
    library = xen.handle.library
    ffi, xenctrl = library.ffi, library.xenctrl
    xch = xenctrl.xc_interface_open(ffi.NULL, ffi.NULL, 0)
    return lambda: xenctrl.xc_physinfo(xch, ffi.new("struct xen_sysctl_physinfo *"))


def physinfo(xen: xenapic.Xen, peer: Any) -> Row:
    """Time physinfo."""
    count = COUNTS["physinfo"]
    by_cffi = bare(xen)
    return medians(
        {
            "c_us": lambda: in_c("physinfo", count),
            "peer_us": lambda: in_python(peer.physinfo, count),
            "cffi_us": lambda: in_python(by_cffi, count),
            "xenapic_us": lambda: in_python(xen.physinfo, count),
        }
    )


def physinfo_in_threads(threads: int) -> Row:
    """Time physinfo from `threads` threads with a handle each."""
    count = COUNTS["physinfo"] // threads

    def ours() -> Callable[[], object]:
        return xenapic.open().physinfo

    def peers() -> Callable[[], object]:
        call: Callable[[], object] = xc().physinfo
        return call

    return medians(
        {
            "c_us": lambda: in_c("physinfo", count, threads),
            "peer_us": lambda: in_threads(peers, count, threads),
            "xenapic_us": lambda: in_threads(ours, count, threads),
        }
    )


def fill(xen: xenapic.Xen, keep: ExitStack, domains: int) -> int:
    """Create PV domains without memory until there are `domains`; return how many there are."""
    config = xenapic.DomainConfig.pv(max_vcpus=1)
    there = len(xen.domains())
    while there < domains:
        try:
            keep.enter_context(xen.create_domain(config))
        except xenapic.CallFailed as error:
            print(f"stopped at {there} domains: {error}", file=sys.stderr)
            break
        there += 1
    return there


def main() -> None:
    """Print one JSON document with all figures."""
    peer = xc()
    result: dict[str, Any] = {}
    with xenapic.open() as xen, ExitStack() as keep:
        result["xen"] = str(xen.version)
        first = xen.host()
        result["host_first_us"] = round(in_python(xenapic.open().host, 1), 1)
        assert first.version == xen.version
        result["physinfo_8_threads"] = physinfo_in_threads(8)
        for domains in (1, 61, MANY):
            there = fill(xen, keep, domains)
            name = "list" if domains == 61 else f"list_{there}"
            result[name] = {"domains": there, **lists(xen, peer, 4 if domains == MANY else COUNTS["list"])}
            if domains == 61:
                result["physinfo"] = physinfo(xen, peer)
                result |= creates(xen, peer)
                result["host_again"] = medians({"xenapic_us": lambda: in_python(xen.host, 20)})
    print(json.dumps(result))


main()

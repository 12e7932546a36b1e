"""An open libxenctrl handle: each call as a method that takes and returns plain values and raises.

One C handle must not be used by two threads at once, so every call holds the
handle's lock; C calls release the GIL, so several handles do run in parallel.
"""

from __future__ import annotations

import errno
import logging
import mmap
import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import starmap
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from xenapic.abi.library import Library, load
from xenapic.abi.toollog import ToolLog
from xenapic.errors import (
    CallFailed,
    DomainNotFound,
    HandleClosed,
    NoPrivilege,
    NoXen,
    ReleaseMismatch,
    errno_name,
)

if TYPE_CHECKING:
    from xenapic._xenctrl.libxenctrl import (
        CreateDomainStruct,
        DomainInfoStruct,
        HvmLapicStruct,
        PhysInfoStruct,
        TraceOpStruct,
        VcpuInfoStruct,
        XcInterface,
        XenForeignMemory,
    )

__all__ = ["ConsoleChunk", "Handle"]

LOG = logging.getLogger("xenapic.calls")
logging.getLogger("xenapic").addHandler(logging.NullHandler())

# xen/include/public/version.h
XENVER_version = 0
XENVER_extraversion = 1
XENVER_capabilities = 3
XENVER_changeset = 4
XENVER_commandline = 9

HVM_SAVE_LAPIC = 5
"""``HVM_SAVE_CODE(LAPIC)`` (``xen/include/public/arch-x86/hvm/save.h``)."""

XEN_CPUID_TSC_MODE_NEVER_EMULATE = 2
"""``XEN_CPUID_TSC_MODE_NEVER_EMULATE`` (``xen/include/public/arch-x86/cpuid.h``); older ones know it as
``TSC_MODE_NEVER_EMULATE``."""

XEN_SYSCTL_tbuf_op = 2
XEN_SYSCTL_TBUFOP_get_info = 0

DOMID_ANY = 0x7FF5
"""``DOMID_ANY`` (``xen/include/public/xen.h``)."""

OF_A_DOMAIN = ("xc_domain_", "xc_vcpu_", "xenforeignmemory_map")
FIRST_LIST = 256
"""Domains asked for at first; doubled until all fit, so that a list is one hypercall's snapshot."""
RING_READ_BYTES = 1 << 16


class ConsoleChunk(NamedTuple):
    """A piece of Xen's console ring."""

    data: bytes
    start: int
    """Position of the first byte, counted since boot, modulo 2**32."""
    end: int
    """Position after the last byte: where the next read goes on."""


class Handle:
    """libxenctrl, open. Raises a subclass of `xenapic.errors.Unavailable` when Xen cannot be used."""

    def __init__(self, library: Library | None = None) -> None:
        self.library = library or load()
        self._ffi = self.library.ffi
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._xch: XcInterface | None = None
        self._foreign: XenForeignMemory | None = None
        self._log = ToolLog(self.library)
        try:
            self._xch = self._open()
            self._check_release()
        except BaseException:
            self.close()
            raise
        self._list_size = FIRST_LIST

    def close(self) -> None:
        """Close the handle; a second call does nothing. In a forked child it leaves the parent's alone."""
        with self._lock:
            xch, self._xch = self._xch, None
            foreign, self._foreign = self._foreign, None
            if self._pid != os.getpid():
                return
            if foreign is not None:
                self.library.foreign.xenforeignmemory_close(foreign)
            if xch is not None:
                self.library.xenctrl.xc_interface_close(xch)
            self._log.close()

    @property
    def closed(self) -> bool:
        """Whether the handle can no longer be used from this process."""
        return self._xch is None or self._pid != os.getpid()

    # -- host ---------------------------------------------------------------------------------

    def version(self) -> tuple[int, int]:
        """Return Xen's major and minor version (``XENVER_version``)."""
        packed = self._do("xc_version", "ask Xen's version", XENVER_version, self._ffi.NULL)
        return packed >> 16, packed & 0xFFFF

    def extraversion(self) -> str:
        """Return what follows the version, e.g. ``".7"`` (``XENVER_extraversion``)."""
        return self._version_text(XENVER_extraversion, 16, "ask Xen's extra version")

    def capabilities(self) -> str:
        """Return the guest types Xen can run, e.g. ``"xen-3.0-x86_64 hvm-3.0-x86_64"``."""
        return self._version_text(XENVER_capabilities, 1024, "ask Xen's capabilities")

    def changeset(self) -> str:
        """Return the changeset Xen says it was built from; may be empty."""
        return self._version_text(XENVER_changeset, 64, "ask Xen's changeset")

    def commandline(self) -> str:
        """Return Xen's command line; Xen cuts it after 1023 bytes."""
        return self._version_text(XENVER_commandline, 1024, "ask Xen's command line")

    def physinfo(self) -> PhysInfoStruct:
        """Return ``struct xen_sysctl_physinfo``."""
        info: PhysInfoStruct = self._ffi.new("struct xen_sysctl_physinfo *")
        self._do("xc_physinfo", "ask what the host is", info)
        return info

    def cpupool_cpus(self, poolid: int) -> bool | None:
        """Tell whether a CPU pool has any CPU; None when there is no pool of this number."""
        asked = f"ask for CPU pool {poolid}"
        with self._lock:
            xch = self._usable()
            info = self.library.xenctrl.xc_cpupool_getinfo(xch, poolid)
            number = self._ffi.errno
            said = self._log.drain()
            if info != self._ffi.NULL:
                # Xen answers with the next pool when there is none of this number.
                found = info.cpupool_id == poolid
                size = self.library.xenctrl.xc_get_cpumap_size(xch)
                cpus = any(info.cpumap[byte] for byte in range(size))
                self.library.xenctrl.xc_cpupool_infofree(xch, info)
                return cpus if found else None
        if number in (errno.ENOENT, errno.ESRCH):
            return None
        raise self._failure("xc_cpupool_getinfo", number, asked, said)

    def send_debug_keys(self, keys: str) -> None:
        """Press Xen's debug keys, one after the other."""
        self._do("xc_send_debug_keys", f"send debug keys {keys!r}", keys.encode("ascii"))

    def read_console(self, start: int | None = None) -> ConsoleChunk:
        """Read Xen's console ring from a position on (None: all that is there); the ring is left as it is."""
        chunk = self._read_console_once(start)
        data, first, end = bytearray(chunk.data), chunk.start, chunk.end
        # A read that is not full has caught up with the writer; asking until nothing is left may never end.
        while len(chunk.data) == RING_READ_BYTES:
            chunk = self._read_console_once(end)
            if chunk.data and chunk.start != end:  # overtaken by the writer: what we hold is not contiguous
                data.clear()
                first = chunk.start
            data += chunk.data
            end = chunk.end
        return ConsoleChunk(bytes(data), first, end)

    def oldest_in_console(self) -> int:
        """Return the position of the oldest byte that Xen's console ring holds."""
        return self._read_console_once(None, room=1).start

    def clear_console(self) -> None:
        """Empty Xen's console ring, for every reader: Xen forgets what a clearing read returned."""
        while self._read_console_once(None, clear=True).data:
            pass

    def _read_console_once(
        self, start: int | None, clear: bool = False, room: int = RING_READ_BYTES
    ) -> ConsoleChunk:
        buffer = self._ffi.new("char[]", room)
        count = self._ffi.new("unsigned int *", room)
        index = self._ffi.new("uint32_t *", start or 0)
        what = "clear Xen's console ring" if clear else "read Xen's console ring"
        self._do("xc_readconsolering", what, buffer, count, clear, start is not None, index)
        data = bytes(self._ffi.buffer(buffer, count[0]))
        return ConsoleChunk(data, (index[0] - len(data)) & 0xFFFFFFFF, index[0])

    # -- domains ------------------------------------------------------------------------------

    def new_createdomain(self) -> CreateDomainStruct:
        """Return a zeroed ``struct xen_domctl_createdomain`` of this release."""
        struct: CreateDomainStruct = self._ffi.new("struct xen_domctl_createdomain *")
        return struct

    def domain_create(self, domid: int, config: CreateDomainStruct) -> int:
        """Create a domain and return its number; 0 asks for any free one."""
        # Since 4.22 Xen takes 0 for dom0; DOMID_ANY means "any" to every release.
        pdomid = self._ffi.new("uint32_t *", domid or DOMID_ANY)
        what = f"create domain {domid}" if domid else "create a domain"
        self._do("xc_domain_create", what, pdomid, config)
        return int(pdomid[0])

    def domain_destroy(self, domid: int) -> None:
        """Destroy a domain."""
        self._do("xc_domain_destroy", f"destroy domain {domid}", domid)

    def domain_pause(self, domid: int) -> None:
        """Pause a domain; pauses are counted."""
        self._do("xc_domain_pause", f"pause domain {domid}", domid)

    def domain_unpause(self, domid: int) -> None:
        """Take back one pause."""
        self._do("xc_domain_unpause", f"unpause domain {domid}", domid)

    def domain_max_vcpus(self, domid: int, count: int) -> None:
        """Allocate a domain's vCPUs."""
        self._do("xc_domain_max_vcpus", f"give domain {domid} {count} vCPUs", domid, count)

    def domain_setmaxmem(self, domid: int, kib: int) -> None:
        """Limit a domain's memory, in KiB."""
        self._do("xc_domain_setmaxmem", f"limit domain {domid} to {kib} KiB", domid, kib)

    def domain_set_native_tsc(self, domid: int) -> None:
        """Let a domain that has not run read the processor's own TSC."""
        asked = f"give domain {domid} the native TSC"
        self._do("xc_domain_set_tsc_info", asked, domid, XEN_CPUID_TSC_MODE_NEVER_EMULATE, 0, 0, 0)

    def domain_sethandle(self, domid: int, handle: bytes) -> None:
        """Set a domain's handle (16 bytes)."""
        self._do("xc_domain_sethandle", f"set the handle of domain {domid}", domid, handle)

    def domain_info(self, domid: int) -> DomainInfoStruct:
        """Return ``struct xen_domctl_getdomaininfo`` of one domain; raise `DomainNotFound`."""
        info: DomainInfoStruct = self._ffi.new("struct xen_domctl_getdomaininfo *")
        asked = f"ask about domain {domid}"
        if self.library.release.number >= (4, 18):
            self._do("xc_domain_getinfo_single", asked, domid, info)
            return info
        # Before 4.18 only a list can be had, which starts with the first domain at or above the number.
        count = self._do("xc_domain_getinfolist", asked, domid, 1, info)
        if count != 1 or info.domain != domid:
            raise DomainNotFound("xc_domain_getinfolist", errno.ESRCH, asked)
        return info

    def domain_infos(self) -> tuple[Sequence[DomainInfoStruct], int]:
        """Return an array of ``struct xen_domctl_getdomaininfo`` as one hypercall filled it, and how many.

        Its elements live as long as the array.
        """
        while True:
            room = self._list_size
            infos = self._ffi.new("struct xen_domctl_getdomaininfo[]", room)
            count = self._do("xc_domain_getinfolist", "list the domains", 0, room, infos)
            if count < room:
                return infos, count
            self._list_size = room * 2

    def hvm_getcontext(self, domid: int) -> bytes:
        """Return an HVM domain's saved state: records, each with a ``struct hvm_save_descriptor``."""
        asked = f"get the HVM context of domain {domid}"
        size = self._do("xc_domain_hvm_getcontext", asked, domid, self._ffi.NULL, 0)
        buffer = self._ffi.new("uint8_t[]", size)
        used = self._do("xc_domain_hvm_getcontext", asked, domid, buffer, size)
        return bytes(self._ffi.buffer(buffer, used))

    def hvm_setcontext(self, domid: int, context: bytes) -> None:
        """Load an HVM domain's state."""
        buffer = self._ffi.new("uint8_t[]", context)
        self._do(
            "xc_domain_hvm_setcontext", f"set the HVM context of domain {domid}", domid, buffer, len(context)
        )

    def hvm_lapic(self, domid: int, vcpu: int) -> HvmLapicStruct:
        """Return ``struct hvm_hw_lapic`` of one vCPU; only that vCPU is paused meanwhile, by Xen."""
        lapic: HvmLapicStruct = self._ffi.new("struct hvm_hw_lapic *")
        self._do(
            "xc_domain_hvm_getcontext_partial",
            f"get the local APIC of vCPU {vcpu} of domain {domid}",
            domid,
            HVM_SAVE_LAPIC,
            vcpu,
            lapic,
            self._ffi.sizeof("struct hvm_hw_lapic"),
        )
        return lapic

    def hvm_cpu_data(self, values: Mapping[str, int]) -> bytes:
        """Return the data of a CPU record: ``struct hvm_hw_cpu`` with these fields, all others 0."""
        return bytes(self._ffi.buffer(self._ffi.new("struct hvm_hw_cpu *", dict(values))))

    def hvm_lapic_data(self, values: Mapping[str, int]) -> bytes:
        """Return the data of a LAPIC record: ``struct hvm_hw_lapic`` with these fields, all others 0."""
        return bytes(self._ffi.buffer(self._ffi.new("struct hvm_hw_lapic *", dict(values))))

    def vcpu_info(self, domid: int, vcpu: int) -> VcpuInfoStruct:
        """Return ``struct xen_domctl_getvcpuinfo``: where a vCPU is, and whether it runs."""
        info: VcpuInfoStruct = self._ffi.new("struct xen_domctl_getvcpuinfo *")
        self._do("xc_vcpu_getinfo", f"ask about vCPU {vcpu} of domain {domid}", domid, vcpu, info)
        return info

    # -- guests' memory -------------------------------------------------------------------------

    def populate_physmap(self, domid: int, frames: Sequence[int]) -> None:
        """Give a domain a page of memory at each of these frame numbers."""
        extents = self._ffi.new("xen_pfn_t[]", frames)
        asked = f"give domain {domid} {len(frames)} pages of memory"
        self._do("xc_domain_populate_physmap_exact", asked, domid, len(frames), 0, 0, extents)

    def foreign_read(self, domid: int, frames: Sequence[int], offset: int, size: int) -> bytes:
        """Return ``size`` bytes of a domain's memory, ``offset`` bytes from the start of these frames."""
        with self._mapped(domid, frames, mmap.PROT_READ, f"read memory of domain {domid}") as at:
            return bytes(self._ffi.buffer(at + offset, size))

    def foreign_write(self, domid: int, frames: Sequence[int], offset: int, data: bytes) -> None:
        """Write into a domain's memory, ``offset`` bytes from the start of these frames."""
        protection = mmap.PROT_READ | mmap.PROT_WRITE
        with self._mapped(domid, frames, protection, f"write memory of domain {domid}") as at:
            self._ffi.memmove(at + offset, data, len(data))

    @contextmanager
    def _mapped(self, domid: int, frames: Sequence[int], protection: int, asked: str) -> Iterator[Any]:
        """Map frames of a domain as ``char *``, under the lock, for as long as the block lasts."""
        foreign = self.library.foreign
        found: list[Any] = []
        arguments = (domid, protection, len(frames), self._ffi.new("xen_pfn_t[]", frames), self._ffi.NULL)
        with self._lock:
            self._usable()
            fmem = self._open_foreign(asked)
            try:
                # In one go, so that Ctrl-C cannot strike while nobody holds the address.
                found.extend(starmap(foreign.xenforeignmemory_map, [(fmem, *arguments)]))
                number = self._ffi.errno
                if found[0] != self._ffi.NULL:
                    yield self._ffi.cast("char *", found[0])
            finally:
                said = self._log.drain()
                if found and found[0] != self._ffi.NULL:
                    foreign.xenforeignmemory_unmap(fmem, found[0], len(frames))
        if found[0] == self._ffi.NULL:
            raise self._failure("xenforeignmemory_map", number, asked, said)

    def _open_foreign(self, asked: str) -> XenForeignMemory:
        if self._foreign is None:
            fmem = self.library.foreign.xenforeignmemory_open(self._log.logger, 0)
            if fmem == self._ffi.NULL:
                raise self._failure("xenforeignmemory_open", self._ffi.errno, asked, self._log.drain())
            self._foreign = fmem
        return self._foreign

    # -- the trace buffers --------------------------------------------------------------------

    def trace_info(self) -> TraceOpStruct:
        """Return ``struct xen_sysctl_tbuf_op``: the event mask, and frame and bytes of the directory.

        Nothing is switched on, which ``xc_tbuf_enable`` would do. The frame is 0 while
        there are no buffers. ENOSYS: a Xen built without ``CONFIG_TRACEBUFFER``.
        """
        sysctl = self._ffi.new("struct xen_sysctl *", {"cmd": XEN_SYSCTL_tbuf_op})
        sysctl.u.tbuf_op.cmd = XEN_SYSCTL_TBUFOP_get_info
        self._do("xc_sysctl", "ask about Xen's trace buffers", sysctl)
        # A copy: the part does not keep the whole alive.
        info: TraceOpStruct = self._ffi.new("struct xen_sysctl_tbuf_op *", sysctl.u.tbuf_op)
        return info

    def trace_allocate(self, pages: int) -> None:
        """Allocate buffers of so many pages for each CPU, for good, and switch tracing on."""
        self._do("xc_tbuf_set_size", f"allocate {pages} pages of trace buffer for each CPU", pages)

    def trace_enable(self, pages: int) -> None:
        """Switch tracing on; ``pages`` is the size that the buffers have."""
        out = self._ffi.new("unsigned long[2]")
        self._do("xc_tbuf_enable", "switch tracing on", pages, out, out + 1)

    def trace_disable(self) -> None:
        """Switch tracing off. Xen forgets how many records it has lost and not yet told of."""
        self._do("xc_tbuf_disable", "switch tracing off")

    def trace_set_event_mask(self, mask: int) -> None:
        """Choose the classes and subclasses of events that are recorded."""
        self._do("xc_tbuf_set_evt_mask", f"set Xen's trace event mask to {mask:#x}", mask)

    def trace_all_cpus(self) -> None:
        """Record on every CPU; which ones it was before, Xen does not tell."""
        size = self.library.xenctrl.xc_get_cpumap_size(self._usable())
        mask = self._ffi.new("uint8_t[]", b"\xff" * max(size, 1))
        self._do("xc_tbuf_set_cpu_mask", "trace every CPU", mask)

    # -- the one place where C is called --------------------------------------------------------

    def _do(self, name: str, asked: str, *args: Any) -> int:
        """Call ``name`` under the lock; return its result, or raise what its errno means."""
        started = time.perf_counter()
        with self._lock:
            result: int = getattr(self.library.xenctrl, name)(self._usable(), *args)
            number = self._ffi.errno if result < 0 else 0
            said = self._log.drain()
            if result < 0:
                said = said or self._last_error()
        if LOG.isEnabledFor(logging.DEBUG):
            took = (time.perf_counter() - started) * 1e6
            answer = errno_name(number) if result < 0 else result
            LOG.debug("%s: %s -> %s (%.0f us)", name, asked, answer, took)
        if result < 0:
            raise self._failure(name, number, asked, said)
        return result

    def _usable(self) -> XcInterface:
        if self._xch is None:
            raise HandleClosed("the handle is closed")
        if self._pid != os.getpid():
            raise HandleClosed("the handle belongs to the parent process; open one after fork()")
        return self._xch

    def _last_error(self) -> str:
        """Return libxenctrl's error text of the call just made, and forget it."""
        error = self.library.xenctrl.xc_get_last_error(self._usable())
        if error == self._ffi.NULL or error.code == 0:
            return ""
        kind = self._text(self.library.xenctrl.xc_error_code_to_desc(error.code))
        detail = self._text(error.message)
        self.library.xenctrl.xc_clear_last_error(self._usable())
        return f"{kind}: {detail}" if detail else kind

    def _failure(self, name: str, number: int, asked: str, said: str) -> Exception:
        of_domain = name.startswith(OF_A_DOMAIN) and name != "xc_domain_create"
        if number == errno.ESRCH and of_domain:
            return DomainNotFound(name, number, asked, said)
        if number == errno.EPERM:
            return NoPrivilege(
                f"{asked}: Xen refuses (EPERM from {name}). Only the control domain may do this: run it in "
                "dom0; with XSM/Flask, the policy must allow it.",
                errno=number,
            )
        if number == errno.EACCES:
            return NoPrivilege(
                f"{asked}: Xen refuses (EACCES from {name}), though library and hypervisor both call "
                f"themselves {self.library.release}. Either an XSM/Flask policy forbids it (look for "
                "'avc: denied' in Xen's log), or this is a development build whose domctl version differs: "
                "then install the libxenctrl built with it.",
                errno=number,
            )
        return CallFailed(name, number, asked, said)

    # -- opening --------------------------------------------------------------------------------

    def _open(self) -> XcInterface:
        logger = self._log.logger
        xch = self.library.xenctrl.xc_interface_open(logger, logger, 0)
        if xch != self._ffi.NULL:
            return xch
        number = self._ffi.errno
        said = self._log.drain()
        tail = f" (libxenctrl says: {said})" if said else ""
        if number in (errno.EACCES, errno.EPERM):
            raise NoPrivilege(
                f"this user may not open Xen's control device ({errno_name(number)}): run as root{tail}",
                errno=number,
            )
        if _kernel_runs_under_xen():
            raise NoXen(
                "the kernel runs under Xen, but its control device /dev/xen/privcmd is missing "
                f"({errno_name(number)}): run 'modprobe xen-privcmd' in dom0{tail}",
                errno=number,
            )
        raise NoXen(
            f"this machine does not run under Xen ({errno_name(number)}): boot Xen, or try "
            f"'xenapic lab run', which boots one in an emulated machine{tail}",
            errno=number,
        )

    def _check_release(self) -> None:
        """Refuse a library of another release: its domctls would fail with EACCES, or worse."""
        try:
            running = "{}.{}".format(*self.version())
        except CallFailed as error:
            raise NoXen(
                f"Xen's control device is there, but no hypervisor answers: {error}", errno=error.errno
            ) from error
        if running != str(self.library.release):
            raise ReleaseMismatch(
                f"the running hypervisor is Xen {running}, the library {self.library.path} is of Xen "
                f"{self.library.release}: install the library of Xen {running} (Debian: libxenmisc{running})"
            )

    def _version_text(self, command: int, size: int, asked: str) -> str:
        buffer = self._ffi.new("char[]", size)
        self._do("xc_version", asked, command, buffer)
        return self._text(buffer)

    def _text(self, chars: Any) -> str:
        if chars == self._ffi.NULL:
            return ""
        return self._ffi.string(chars).decode(errors="replace")


def _kernel_runs_under_xen() -> bool:
    try:
        return Path("/sys/hypervisor/type").read_text().strip() == "xen"
    except OSError:
        return False

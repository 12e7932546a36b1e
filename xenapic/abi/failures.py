"""What an errno of libxenctrl means, as an error for people."""

from __future__ import annotations

import errno
import os

from xenapic.abi.generations import Release
from xenapic.errors import (
    CallFailed,
    DomainNotFound,
    NoPrivilege,
    NoXen,
    Unavailable,
    XenApicError,
    errno_name,
)

__all__ = ["call_failure", "open_failure"]

ABSENT = (errno.ENOENT, errno.ENODEV, errno.ENXIO)
"""What opening answers if there is no control device, or no hypervisor behind it."""

ABOUT_A_DOMAIN = ("xc_domain_", "xc_vcpu_", "xc_hvm_param_", "xc_evtchn_", "xenforeignmemory_map")
"""How the functions start to which ESRCH means that there is no such domain."""


def call_failure(function: str, number: int, asked: str, said: str, release: Release) -> XenApicError:
    """Return the error for a call that failed; ``said`` is what libxenctrl logged."""
    about_a_domain = function.startswith(ABOUT_A_DOMAIN) and function != "xc_domain_create"
    if number == errno.ESRCH and about_a_domain:
        return DomainNotFound(function, number, asked, said)
    if number == errno.EPERM:
        return NoPrivilege(
            f"{asked}: Xen refuses (EPERM from {function}). Only the control domain may do this: run it in "
            "dom0; with XSM/Flask, the policy must allow it.",
            errno=number,
        )
    if number == errno.EACCES:
        return NoPrivilege(
            f"{asked}: Xen refuses (EACCES from {function}), though library and hypervisor both call "
            f"themselves {release}. Either an XSM/Flask policy forbids it (look for "
            "'avc: denied' in Xen's log), or this is a development build whose domctl version differs: "
            "then install the libxenctrl built with it.",
            errno=number,
        )
    return CallFailed(function, number, asked, said)


def open_failure(number: int, said: str) -> Unavailable:
    """Return the error for a libxenctrl that could not be opened; ``said`` is what it logged."""
    tail = f" (libxenctrl says: {said})" if said else ""
    if number in (errno.EACCES, errno.EPERM):
        return NoPrivilege(
            f"this user may not open Xen's control device ({errno_name(number)}): run as root{tail}",
            errno=number,
        )
    if number not in ABSENT:
        return Unavailable(
            f"Xen's control device cannot be opened: {errno_name(number)} ({os.strerror(number)}){tail}",
            errno=number,
        )
    if _kernel_runs_under_xen():
        return NoXen(
            "the kernel runs under Xen, but its control device /dev/xen/privcmd is missing "
            f"({errno_name(number)}): run 'modprobe xen-privcmd' in dom0{tail}",
            errno=number,
        )
    return NoXen(
        f"this machine does not run under Xen ({errno_name(number)}): boot Xen, or try "
        f"'xenapic lab run', which boots one in an emulated machine{tail}",
        errno=number,
    )


def _kernel_runs_under_xen() -> bool:
    try:
        with open("/sys/hypervisor/type") as file:
            return file.read().strip() == "xen"
    except OSError:
        return False

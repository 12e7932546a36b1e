"""In dom0: run the real xl on each case of a JSON list, and print what was written down, as JSON lines.

    python3 -m tests.toolstack.dom0 CASES

A case: cfg, xlconf, xl_args, capabilities (or null), mode (stop, try, go).
"""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from xenapic.live.xen import Xen

__all__ = ["main"]

HOME = Path("/opt/xl")
LOG = Path("/run/recorded")
CASE = Path("/run/case.cfg")
XL_CONF = Path("/etc/xen/xl.conf")
PLAIN_CONF = 'autoballoon="off"\n'
NEEDED = (
    "/run/xen",
    "/run/xenstored",
    "/run/lock",
    "/var/lib/xen",
    "/var/lib/xenstored",
    "/var/log/xen",
    "/etc/xen",
)
STUBDOMAIN = ("ioemu-stubdom.gz", "qemu-stubdom-linux-kernel", "qemu-stubdom-linux-rootfs")
SEABIOS, SEABIOS_SIZE = "/usr/share/seabios/bios-256k.bin", 256 << 10
"""What libxl opens before it creates a stub domain."""
LONGEST = 60
"""Seconds of the emulator's time for one xl, which waits forever for a xenstored that is not there."""
LIBRARY_HOME = Path("/usr/lib/x86_64-linux-gnu")
ANY_POOL, CREDIT2 = 0xFFFFFFFF, 6
LIBRARIES = {"LD_LIBRARY_PATH": str(HOME)}
Case = dict[str, Any]


def main() -> int:
    """Start what xl needs and run the cases; print a line for the host and one for each case, as they come."""
    given = json.loads(Path(sys.argv[1]).read_text())
    _prepare()
    with Xen() as xen:
        capabilities = int(xen.physinfo().capabilities)
        print(json.dumps({"xen": str(xen.version), "capabilities": capabilities}), flush=True)
    for case in given["cases"]:
        print(json.dumps(_record(case, given)), flush=True)
    return 0


def _prepare() -> None:
    for name in NEEDED:
        Path(name).mkdir(parents=True, exist_ok=True)
    for link, target in (("/var/run", "/run"), ("/var/lock", "/run/lock")):
        if not os.path.lexists(link):
            Path(link).symlink_to(target)
    firmware = HOME / "hvmloader"
    for place in ("/usr/lib/xen-4.17/boot", "/usr/lib/xen-4.20/boot"):
        Path(place).mkdir(parents=True, exist_ok=True)
        (Path(place) / "hvmloader").write_bytes(firmware.read_bytes())
        for name in STUBDOMAIN:
            (Path(place) / name).write_bytes(b"not a kernel")
    Path("/boot").mkdir(exist_ok=True)
    Path("/boot/kernel").write_bytes(b"not a kernel")
    Path(SEABIOS).parent.mkdir(parents=True, exist_ok=True)
    Path(SEABIOS).write_bytes(bytes(SEABIOS_SIZE))
    XL_CONF.write_text(PLAIN_CONF)
    _run([str(HOME / "xenstored"), "--pid-file", "/run/xen/xenstored.pid"])
    _run([str(HOME / "xen-init-dom0")])
    _empty_pool("second")


def _empty_pool(name: str) -> None:
    """Make a CPU pool without a CPU, which xl itself does not."""
    control, store = (
        ctypes.CDLL(str(next(LIBRARY_HOME.glob(f"lib{which}.so.*")))) for which in ("xenctrl", "xenstore")
    )
    control.xc_interface_open.restype = store.xs_open.restype = ctypes.c_void_p
    handle = ctypes.c_void_p(control.xc_interface_open(None, None, 0))
    number = ctypes.c_uint32(ANY_POOL)
    if control.xc_cpupool_create(handle, ctypes.byref(number), CREDIT2):
        raise OSError("no pool could be made")
    control.xc_interface_close(handle)
    handle = ctypes.c_void_p(store.xs_open(0))
    path = f"/local/pool/{number.value}/name".encode()
    if not store.xs_write(handle, 0, path, name.encode(), len(name)):
        raise OSError("xenstored does not take the pool's name")
    store.xs_close(handle)


def _run(command: list[str]) -> None:
    subprocess.run(command, env={**os.environ, **LIBRARIES}, check=True, stdout=sys.stderr)


def _record(case: Case, given: dict[str, Any]) -> dict[str, Any]:
    LOG.unlink(missing_ok=True)
    CASE.write_bytes(case["cfg"].encode("latin-1"))
    XL_CONF.write_text(PLAIN_CONF + case["xlconf"])
    env = {
        **os.environ,
        **LIBRARIES,
        "LD_PRELOAD": str(HOME / "shim.so"),
        "RECORD_TO": str(LOG),
        "RECORD_SIZE": str(given["size"]),
        "RECORD_MODE": case["mode"],
        "CAPABILITIES_AT": str(given["capabilities_at"]),
    }
    if case["capabilities"] is not None:
        env["CAPABILITIES"] = str(case["capabilities"])
    command = [str(HOME / "xl"), "create", str(CASE), *case["xl_args"]]
    try:
        done = subprocess.run(command, env=env, capture_output=True, timeout=LONGEST, check=False)
        status, said = done.returncode, done.stderr.decode("latin-1")
    except subprocess.TimeoutExpired:
        status, said = -1, "xl did not end"
    if case["mode"] == "go":
        _destroy_all()
    lines = LOG.read_text().splitlines() if LOG.exists() else []
    return {"status": status, "said": said, "lines": lines}


def _destroy_all() -> None:
    with Xen() as xen:
        left = [info.domid for info in xen.domains() if info.domid]
    for domid in left:
        subprocess.run(
            [str(HOME / "xl"), "destroy", str(domid)],
            env={**os.environ, **LIBRARIES},
            check=False,
            stdout=sys.stderr,
        )


if __name__ == "__main__":
    sys.exit(main())

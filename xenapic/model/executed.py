"""Which rows of the release table a real Xen has confirmed, and by which recording.

The table of releases (`xenapic.model.releases`) and the model rest on Xen's source. A row here says that a
Xen of the release ran, and that everything in the recording agrees with the model. The recordings are in
``tests/data/recorded`` and ``tests/data/observed``; a test compares each row with its file.
"""

from __future__ import annotations

from xenapic.apic.features import Technology
from xenapic.frozen import dataclass

__all__ = ["EXECUTED", "SOURCE", "Execution", "basis", "executions"]

SOURCE = "source"
"""What a release or a vendor of it rests on without a recording: Xen's source alone."""


@dataclass(frozen=True, slots=True)
class Execution:
    """A recording of one Xen on one processor, all of which agrees with the model."""

    recording: str
    """Name of the file without ``.json``."""
    release: str
    """`XenRelease.name`."""
    xen: str
    """Version and extra version."""
    technology: Technology
    processor: str
    """Emulator's model."""
    shadow: bool
    """Whether this Xen was built with shadow paging."""
    apicv: bool = True
    """False when it was booted with ``apicv=0``."""


def _vmx(recording: str, xen: str, processor: str, *, shadow: bool = False, apicv: bool = True) -> Execution:
    return Execution(recording, _release(xen), xen, Technology.VMX, processor, shadow, apicv)


def _svm(recording: str, xen: str, processor: str = "epyc", *, shadow: bool = False) -> Execution:
    return Execution(recording, _release(xen), xen, Technology.SVM, processor, shadow)


def _release(xen: str) -> str:
    return xen if xen == "4.17-rc" else ".".join(xen.split(".")[:2])


RC = "4.17-rc"
BROADWELL = "broadwell_ult"

EXECUTED = (
    _svm("epyc-4.16", "4.16.7", shadow=True),
    _vmx("broadwell_ult-4.17-rc", RC, BROADWELL, shadow=True),
    _svm("epyc-4.17-rc", RC, shadow=True),
    _vmx("xen-4.17-rc-broadwell_ult", RC, BROADWELL, shadow=True),
    _vmx("xen-4.17-rc-broadwell_ult-apicv0", RC, BROADWELL, shadow=True, apicv=False),
    _vmx("xen-4.17-rc-corei5_lynnfield_750", RC, "corei5_lynnfield_750", shadow=True),
    _vmx("xen-4.17-rc-corei7_ivy_bridge_3770k", RC, "corei7_ivy_bridge_3770k", shadow=True),
    _svm("xen-4.17-rc-ryzen", RC, "ryzen", shadow=True),
    _vmx("broadwell_ult-4.17", "4.17.7", BROADWELL),
    _vmx("corei3_cnl-4.17", "4.17.7", "corei3_cnl"),
    _vmx("tigerlake-4.17-apicv0", "4.17.7", "tigerlake", apicv=False),
    _vmx("tigerlake-4.17-posted", "4.17.5", "tigerlake", shadow=True),
    _vmx("broadwell_ult-4.18", "4.18.6", BROADWELL),
    _svm("epyc-4.19", "4.19.6"),
    _vmx("broadwell_ult-4.20", "4.20.5-pre", BROADWELL),
    _svm("epyc-4.20", "4.20.5-pre"),
    _vmx("broadwell_ult-4.21", "4.21.2", BROADWELL),
    _vmx("broadwell_ult-4.22", "4.22.0", BROADWELL),
)
"""By release, oldest first."""


def executions(release: str, technology: Technology | None = None) -> tuple[Execution, ...]:
    """Return the recordings of a release, of one vendor's processors if ``technology`` is given."""
    return tuple(row for row in EXECUTED if row.release == release and technology in (None, row.technology))


def basis(release: str) -> str:
    """Return what the release's row rests on, vendor by vendor, for people."""
    parts = []
    for technology, vendor in ((Technology.VMX, "Intel"), (Technology.SVM, "AMD")):
        rows = executions(release, technology)
        names = ", ".join(f"{row.recording} ({row.xen})" for row in rows)
        parts.append(f"{vendor}: executed, {names}" if rows else f"{vendor}: {SOURCE}")
    return "; ".join(parts)

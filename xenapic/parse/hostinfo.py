"""Read what a toolstack says about a host: ``xl info``, and ``xe host-cpu-info`` and ``xe host-param-list``.

The texts may be in one file, quoted or indented. ``xl info`` has a key and a value on a line
(``output_xeninfo``, ``output_physinfo``, ``tools/xl/xl_info.c``); ``xe`` the same, or a map of several.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field

from xenapic.apic.signature import Signature
from xenapic.errors import LogInvalid
from xenapic.frozen import dataclass

__all__ = ["HostInfo", "merged", "parse_host_info"]

LINE = re.compile(r"[>|\s]*([a-z][a-z0-9_-]{1,40})(?:\s*\((?:RO|RW|MRO|MRW|SRO|SRW)\))?\s*:(.*)")
"""A key, perhaps what ``xe`` says about it, and a value."""
MAPS = ("cpu_info", "software-version", "chipset-info")
"""Keys of ``xe host-param-list`` whose value is a map."""
OURS = {
    *("xen_major", "xen_minor", "xen_extra", "xen_version", "xen_caps", "xen_changeset", "xen_commandline"),
    *("hw_caps", "virt_caps", "nr_cpus", "max_cpu_id", "nr_nodes", "cores_per_socket", "threads_per_core"),
    *("cpu_mhz", "total_memory", "free_memory", "outstanding_claims"),
    *("vendor", "family", "model", "stepping", "modelname", "cpu_count", "flags"),
    *("software-version:xen", "chipset-info:iommu", "memory-total", "memory-free", "capabilities"),
}
MAX_LINE = 20_000
WORDS = re.compile(r"[0-9a-fA-F]{8}(?::[0-9a-fA-F]{8}){7}")
VERSION = re.compile(r"(\d{1,4})\.(\d{1,4})(\S*)")
"""As Xen calls itself; XCP-ng adds its package's number (``4.13.5-9.36``)."""
NUMBER = re.compile(r"\d{1,15}")


@dataclass(frozen=True)
class HostInfo:
    """The values that were read, by xl's names or xe's, and the place of each."""

    name: str
    values: Mapping[str, str] = field(default_factory=dict)
    places: Mapping[str, str] = field(default_factory=dict)

    def place(self, key: str) -> str:
        """Return the place of a value for the source of a fact."""
        return f"{self.places[key]}: {key}"

    def number(self, key: str) -> int | None:
        """Return a whole number; None if it is missing or something else."""
        text = self.values.get(key, "")
        return int(text) if NUMBER.fullmatch(text) else None

    @property
    def version(self) -> tuple[int, int, str] | None:
        """Major and minor number of Xen and what follows; None if no line has it."""
        text = self.values.get("xen_version") or self.values.get("software-version:xen", "")
        match = VERSION.fullmatch(text)
        return (int(match[1]), int(match[2]), match[3]) if match else None

    @property
    def commandline(self) -> str | None:
        """Xen's boot options; None if no line has them."""
        return self.values.get("xen_commandline")

    @property
    def hw_caps(self) -> tuple[int, ...] | None:
        """The eight words of ``physinfo.hw_cap``; None if no line has them."""
        text = self.values.get("hw_caps", "")
        return tuple(int(word, 16) for word in text.split(":")) if WORDS.fullmatch(text) else None

    @property
    def virt_caps(self) -> frozenset[str] | None:
        """What the host can do for guests; None if no line says it."""
        return frozenset(self.values["virt_caps"].split()) if "virt_caps" in self.values else None

    @property
    def flags(self) -> frozenset[str]:
        """The processor's flags as ``xe`` shows them; dom0 does not see VMX or SVM there."""
        return frozenset(self.values.get("flags", "").split())

    @property
    def signature(self) -> Signature | None:
        """The processor's signature (``xe``); None if the lines for it are not all there."""
        family, model = self.number("family"), self.number("model")
        if family is None or model is None or family > 0xFF or model > 0xFF:
            return None
        stepping = self.number("stepping")
        known = stepping if stepping is not None and stepping < 16 else None
        return Signature(family, model, known, self.values.get("vendor", "")[:16])


def parse_host_info(text: str, name: str) -> HostInfo:
    """Read the text; ``name`` is what to call it. The first value of a key counts.

    Raises `LogInvalid` if it has nothing of what ``xl info`` or ``xe`` say about a host.
    """
    values: dict[str, str] = {}
    places: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        match = LINE.fullmatch(line[:MAX_LINE])
        for key, value in _values(match[1], match[2]) if match else ():
            if key in OURS and key not in values:
                values[key], places[key] = " ".join(value.split()), f"{name}, line {number}"
    if not values.keys() & {"xen_version", "hw_caps", "virt_caps", "software-version:xen", "family"}:
        raise LogInvalid(
            name, "it has nothing of 'xl info', 'xe host-cpu-info' or 'xe host-param-list'; save one of these"
        )
    return HostInfo(name, values, places)


def merged(parts: Sequence[HostInfo]) -> HostInfo:
    """Return what several texts about one host say together; the first that has a value counts."""
    values: dict[str, str] = {}
    places: dict[str, str] = {}
    for part in reversed(parts):
        values.update(part.values)
        places.update(part.places)
    return HostInfo(" and ".join(part.name for part in parts), values, places)


def _values(key: str, value: str) -> Iterator[tuple[str, str]]:
    """Yield what a line says; a map of xe's says several things."""
    if key not in MAPS:
        yield key, value
        return
    for part in value.split(";"):
        inner, colon, text = part.partition(":")
        name = inner.strip()
        if colon:
            yield (name if key == "cpu_info" else f"{key}:{name}"), text

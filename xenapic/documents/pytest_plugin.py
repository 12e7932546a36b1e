"""The fixture ``xen_host``: hosts for the tests of any project, without a Xen and without booting anything.

::

    def test_tool(xen_host):
        host = xen_host("skylake-sp", xen="4.20")           # a processor of the table
        host = xen_host(Path("tests/host1.json"))           # a saved report, boot log or /proc/cpuinfo
        path = xen_host.report("epyc", xen="4.17.5")        # a report as a file, for 'mytool --host FILE'
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from xenapic.model.host import Host

__all__ = ["XenHosts"]

DEFAULT_XEN = "4.20"
JSON_START = b"{"


class XenHosts:
    """Makes hosts, and reports of them in a directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._written = 0

    def __call__(
        self, what: str | os.PathLike[str], *, xen: str | None = None, options: str | None = None
    ) -> Host:
        """Return the host that a processor's name or a file says.

        A text is a processor: a row of the table, a CPUID signature, or what it is sold as. A path is a
        file: a report, a boot log or ``/proc/cpuinfo``, by its content. ``xen`` is a release or a version of
        Xen, by default the file's own, else 4.20; ``options`` are Xen's boot options. Raises `NameUnknown`,
        `FileUnreadable`, `DocumentInvalid`, `LogInvalid` or `HostUnknown`.
        """
        return _named(what, xen, options or "") if isinstance(what, str) else _from_file(what, xen, options)

    def report(
        self, what: str | os.PathLike[str], *, xen: str | None = None, options: str | None = None
    ) -> Path:
        """Return the path of a new report (``xenapic host --json``) of such a host."""
        from xenapic.documents import to_json

        host = self(what, xen=xen, options=options)
        self._written += 1
        path = self._directory / f"xen-host-{self._written}.json"
        path.write_text(json.dumps(to_json(host)))
        return path


def _extra(xen: str | None) -> str:
    from xenapic.model.releases import DEVELOPMENT
    from xenapic.parse.xenversion import parse_version

    version = parse_version(xen) if xen and xen != DEVELOPMENT.name else None
    return version.extra if version else ""


def _named(name: str, xen: str | None, options: str) -> Host:
    from xenapic.apic.processors import processor
    from xenapic.model.named import named_host
    from xenapic.model.releases import xen_release

    return named_host(processor(name), xen_release(xen or DEFAULT_XEN), options, _extra(xen))


def _from_file(path: os.PathLike[str], xen: str | None, options: str | None) -> Host:
    from xenapic.documents import from_json
    from xenapic.errors import DocumentInvalid
    from xenapic.model.host import Host
    from xenapic.model.rehost import host_under
    from xenapic.model.releases import xen_release
    from xenapic.parse.files import file_name, read_file

    content, name = read_file(path), file_name(path)
    if content.lstrip().startswith(JSON_START):
        try:
            host = from_json(content, Host)
        except DocumentInvalid as error:
            raise error.in_file(name) from None
    else:
        host = _from_text(content, name, xen, options)
    release = xen_release(xen) if xen else None
    return host if xen is None and options is None else host_under(host, release, options, _extra(xen))


def _from_text(content: bytes, name: str, xen: str | None, options: str | None) -> Host:
    from xenapic.errors import LogInvalid
    from xenapic.model.cpuinfo import host_from_cpuinfo
    from xenapic.model.logged import host_from_log
    from xenapic.model.releases import xen_release

    release = xen_release(xen) if xen else None
    try:
        return host_from_log(content, name=name, release=release).host
    except LogInvalid as no_log:
        try:
            return host_from_cpuinfo(
                content, release or xen_release(DEFAULT_XEN), options or "", name=name, extra=_extra(xen)
            )
        except LogInvalid:
            raise no_log from None


@pytest.fixture
def xen_host(tmp_path: Path) -> XenHosts:
    """Hosts by a processor's name or from a file: ``xen_host("skylake-sp", xen="4.20")``."""
    return XenHosts(tmp_path)

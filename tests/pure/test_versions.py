"""Versions as people have them, and which defects each has."""

from __future__ import annotations

import re

import pytest
from click.testing import CliRunner

from xenapic.apic.processors import PROCESSORS
from xenapic.cli.app import app
from xenapic.errors import NameUnknown
from xenapic.model.defects import DEFECTS, Defect
from xenapic.model.facts import Answer
from xenapic.model.fates import fate, fates
from xenapic.model.named import named_host
from xenapic.model.releases import xen_release
from xenapic.parse.xenversion import find_version, parse_version
from xenapic.toolstack.request import derive_request

BY_CODE = {row.code: row for row in DEFECTS}


@pytest.mark.parametrize(
    ("text", "upstream", "maker"),
    [
        ("4.17", "4.17", None),
        ("4.17.3", "4.17.3", None),
        ("4.17.3-1", "4.17.3", "a distribution"),
        ("4.17.5-15.2.xcpng8.3", "4.17.5", "XCP-ng"),
        ("4.20.0-1.fc42", "4.20.0", "Fedora or Qubes OS"),
        ("2001:4.17.4-5.fc37", "4.17.4", "Fedora or Qubes OS"),
        ("4.17.5+23-ga4e5191dc0-1+deb12u1", "4.17.5", "Debian"),
        ("4.20.4+63-g7abfd2bce2-0+deb13u1", "4.20.4", "Debian"),
        ("4.16.0-1~ubuntu2.1", "4.16.0", "Ubuntu"),
        ("4.18.3_02-150600.3.15.2", "4.18.3", "SUSE"),
        ("4.18.3-r0", "4.18.3", "Alpine"),
        ("4.13.5-9.40", "4.13.5", "a distribution"),
        ("4.20.5-pre", "4.20.5-pre", None),
        ("4.17.0-rc2", "4.17.0-rc2", None),
        ("4.21-unstable", "4.21-unstable", None),
        ("RELEASE-4.17.3", "4.17.3", None),
        ("Xen version 4.17.3", "4.17.3", None),
    ],
)
def test_versions(text: str, upstream: str, maker: str | None) -> None:
    version = parse_version(text)
    assert version is not None and version.upstream == upstream
    assert (version.distribution.name if version.distribution else None) == maker
    assert version.first <= version.last


@pytest.mark.parametrize("text", ["", "5", "4.x", "four", "4.17 and more", "1.2.3.4.5.6 x", "4.17.3\nfoo"])
def test_no_version(text: str) -> None:
    assert parse_version(text) is None


def test_a_version_in_a_paste() -> None:
    version = find_version("(XEN) Xen version 4.17.6-pre (Debian 4.17.5+23) (x@y) debug=n")
    assert version is not None and version.upstream == "4.17.6-pre"
    assert find_version("xen_version            : 4.13.5\n") == parse_version("4.13.5")
    assert find_version("no Xen here") is None


@pytest.mark.parametrize(
    ("code", "text", "answer", "said"),
    [
        ("vlapic-error-deadlock", "4.17.3", "yes", "fixed in 4.17.6"),
        ("vlapic-error-deadlock", "4.17.6", "no", "fixed in 4.17.6"),
        ("vlapic-error-deadlock", "4.15.5", "yes", "never fixed"),
        ("vlapic-error-deadlock", "4.17.5-15.2.xcpng8.3", "yes", "XCP-ng may have backported it"),
        ("vlapic-error-deadlock", "4.17", "unknown", "depends on the exact version"),
        ("vlapic-error-deadlock", "4.17.5+23-ga4e5191dc0-1", "yes", "fixed in 4.17.6"),
        ("vlapic-error-deadlock", "4.23.0", "unknown", "covers"),
        ("late-refused-create-panic", "4.16.1", "no", "since 4.16.3"),
        ("late-refused-create-panic", "4.16.4", "yes", "no release has a fix"),
        ("late-refused-create-panic", "4.12.1", "no", "came later"),
        ("apic-access-page-shared", "4.17-rc", "unknown", "4.17.0-rc3"),
        ("apic-defect-memory", "4.17.0-rc2", "yes", "4.17.0-rc4"),
        ("apic-defect-memory", "4.17.0", "no", "fixed in 4.17.0-rc4"),
        ("esr-not-latched", "4.20.5-pre", "no", "fixed in 4.20.1"),
        ("esr-not-latched", "4.21-unstable", "unknown", "4.21.0"),
        ("nested-x2apic-entry-fails", "4.12.1", "unknown", "not known"),
        ("x2apic-apicv-without-mode", "4.3.0", "no", "no release has it"),
    ],
)
def test_fates(code: str, text: str, answer: str, said: str) -> None:
    version = parse_version(text)
    assert version is not None
    found = fate(BY_CODE[code], version)
    assert found.answer is Answer(answer) and said in found.text, found


@pytest.mark.parametrize("row", DEFECTS, ids=lambda row: row.code)
def test_spans_agree_with_the_words(row: Defect) -> None:
    """Every version that the words name as a fix ends a span, or is fixed by one."""
    for name in re.findall(r"in (\d+\.\d+\.\d+(?:-rc\d)?)", row.until):
        version = parse_version(name)
        assert version is not None and not row.has(version.first), name
    assert bool(row.until) == bool(not row.spans or row.spans[-1][1])
    for first, end in row.intervals:
        assert first < end
    assert list(row.intervals) == sorted(row.intervals)


def test_every_defect_gets_an_answer() -> None:
    for text in ("4.17.3", "4.22.0", "4.15.1-3", "4.13.2"):
        version = parse_version(text)
        assert version is not None and [one.defect for one in fates(version)] == list(DEFECTS)


def test_a_release_is_taken_as_people_have_it() -> None:
    assert xen_release("4.17.5-15.2.xcpng8.3").name == "4.17"
    assert xen_release("4.17.0-rc2").name == "4.17-rc" and xen_release("4.17.0-rc4").name == "4.17"
    assert derive_request('name="a"\nkernel="/k"\n', xen="4.20.0-1.fc42").release.name == "4.20"
    with pytest.raises(NameUnknown):
        xen_release("4.99.1")


def test_a_point_release_has_its_own_behaviour() -> None:
    """Tertiary controls are activated from 4.17.4 on."""
    row = PROCESSORS["sapphire-rapids-sp"]
    used = {
        extra: bool(named_host(row, xen_release("4.17"), extra=extra).features["tertiary_controls"])
        for extra in (".3", ".4")
    }
    assert used == {".3": False, ".4": True}


@pytest.mark.parametrize("version", ["4.17.3", "4.17.3-1", "4.17.5-15.2.xcpng8.3", "4.20.0-1.fc42"])
def test_the_command_takes_versions(version: str) -> None:
    done = CliRunner().invoke(app, ["plan", "--processor", "skylake-sp", "--xen", version])
    assert done.exit_code == 0 and version in done.output

"""The layout of a release that is not known: proven from its own headers, or refused with the place named."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import xenapic
from xenapic.abi import proof as proofs
from xenapic.abi.declared import DECLARATIONS, PACKED, declarations
from xenapic.abi.generations import RELEASES, Release
from xenapic.abi.layout import HEADERS, compare_headers, equal
from xenapic.abi.library import load
from xenapic.cli.app import app
from xenapic.errors import HeadersUnusable, LayoutUnproven, ReleaseUnknown

NEWEST = RELEASES[-1]
EVENTS = "xenevtchn.h"


def headers_of(row: Release, into: Path, change: tuple[str, str] = ("", "")) -> Path:
    """Write headers with a release's declarations, one text changed."""
    packed = (DECLARATIONS / f"{PACKED}.h").read_text().replace("};", "} __attribute__((packed));")
    text = packed + declarations(row).replace((DECLARATIONS / "libc.h").read_text().strip(), "")
    text = re.sub(r"^struct xen_cpupoolinfo \{", "typedef struct xc_cpupoolinfo {", text, flags=re.M)
    text = re.sub(
        r"(typedef struct xc_cpupoolinfo \{.*?^\});", r"\1 xc_cpupoolinfo_t;", text, flags=re.M | re.S
    )
    text = text.replace("struct xen_cpupoolinfo", "struct xc_cpupoolinfo")
    text = text.replace("...;", "").replace("[...]", "[1]")
    if change[0]:
        assert change[0] in text, change
        text = text.replace(*change, 1)
    names = ["<stdint.h>", "<stdbool.h>", "<stddef.h>", "<stdio.h>"]
    guarded = "\n".join(
        ["#pragma once", *(f"#include {name}" for name in names), text, "typedef struct xc_error xc_error;"]
    )
    into.mkdir(parents=True, exist_ok=True)
    for name in HEADERS:
        (into / name).parent.mkdir(parents=True, exist_ok=True)
        (into / name).write_text("#pragma once\n#include <xenctrl.h>\n")
    (into / "xenctrl.h").write_text(guarded + "\n")
    return into


def library(home: Path, soname: str = "libxenctrl.so.4.23") -> Path:
    path = home / soname
    source = f'const char who[] = "{home.name}";'
    command = ["gcc", "-shared", "-nostdlib", "-x", "c", "-", f"-Wl,-soname,{soname}", "-o", str(path)]
    subprocess.run(command, input=source, text=True, check=True)
    return path


def check(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["abi", "check", *map(str, arguments)])


@pytest.fixture(scope="module")
def made_up(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A library of Xen 4.23, and its headers, which are those of 4.22."""
    home = tmp_path_factory.mktemp("made-up")
    return library(home), headers_of(NEWEST, home / "include")


def test_a_release_with_a_known_layout_is_proven_and_loads(
    made_up: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, headers = made_up
    kept = tmp_path / "layout.json"
    done = check("--headers", headers, "--library", path, "--save", kept)
    assert done.exit_code == 0, done.output
    assert "Xen 4.23 can be used with 4.22's layout, proven from these headers" in done.output
    proof = proofs.read_proof(kept)
    assert (proof.release, proof.as_release) == ("4.23", "4.22")
    with pytest.raises(ReleaseUnknown, match="abi check"):
        load(path)
    for layout in (kept, proof):
        loaded = load(path, layout)
        assert str(loaded.release) == "4.23" and loaded.proof == proof

        assert loaded.release.generation == NEWEST.generation
    monkeypatch.setenv(proofs.ENVIRONMENT, str(kept))
    assert load(path).proof == proof
    monkeypatch.delenv(proofs.ENVIRONMENT)
    monkeypatch.setattr(proofs, "PLACE", kept)
    assert load(path).proof == proof


def test_a_proof_is_of_one_build(made_up: tuple[Path, Path], tmp_path: Path) -> None:
    path, headers = made_up
    kept = tmp_path / "layout.json"
    check("--headers", headers, "--library", path, "--save", kept)
    with pytest.raises(LayoutUnproven, match="another build"):
        load(library(tmp_path), kept)
    with pytest.raises(LayoutUnproven, match=r"of Xen 4\.23, and .* is of Xen 4\.24"):
        load(library(tmp_path, "libxenctrl.so.4.24"), kept)
    data = json.loads(kept.read_text())
    for change in (
        {"as_release": None},
        {"as_release": 5},
        {"release": "4"},
        {"schema": "x"},
        {"as_release": "9.9"},
    ):
        kept.write_text(json.dumps({**data, **change}))
        with pytest.raises(LayoutUnproven):
            load(path, kept)
    for text in ("", "[]", "{", "[" * 100000):
        kept.write_text(text)
        with pytest.raises(LayoutUnproven):
            load(path, kept)
    with pytest.raises(LayoutUnproven, match="cannot be read"):
        load(path, tmp_path / "missing.json")


MOVED = {
    "xen_domctl_createdomain.max_vcpus": ("uint32_t max_vcpus;", "uint32_t new_word; uint32_t max_vcpus;"),
    "xen_sysctl_physinfo.free_pages": ("uint64_t free_pages;", "uint64_t newer; uint64_t free_pages;"),
    "hvm_hw_lapic.disabled": ("uint32_t disabled;", "uint64_t disabled;"),
    "xc_domain_destroy": (
        "int xc_domain_destroy(xc_interface *xch, uint32_t",
        "int xc_domain_destroy(xc_interface *xch, uint64_t",
    ),
}


@pytest.mark.parametrize("place", MOVED)
def test_one_place_moved_is_refused_and_named(place: str, tmp_path: Path) -> None:
    headers = headers_of(NEWEST, tmp_path / "include", MOVED[place])
    kept = tmp_path / "layout.json"
    done = check("--headers", headers, "--library", library(tmp_path), "--save", kept)
    assert done.exit_code == 1 and place in done.output, done.output
    assert "refused: no known layout is that of Xen 4.23" in done.output
    assert not kept.exists()


def test_a_field_or_function_that_is_gone_is_named(tmp_path: Path) -> None:
    headers = headers_of(NEWEST, tmp_path / "include", ("uint64_t free_pages;", ""))
    text = (headers / "xenctrl.h").read_text()
    (headers / "xenctrl.h").write_text(re.sub(r"int xc_domain_pause\([^)]*\);", "", text))
    newest = compare_headers(headers)[0]
    gone = {(one.struct, one.field): one.headers for one in newest.differences}
    assert gone["xen_sysctl_physinfo", "free_pages"] == "missing"
    assert gone["xc_domain_pause", ""] == "missing"


@pytest.mark.parametrize("row", {row.generation: row for row in RELEASES}.values(), ids=str)
def test_each_known_layout_is_found_as_itself_alone(row: Release, tmp_path: Path) -> None:
    comparisons = compare_headers(headers_of(row, tmp_path))
    assert equal(comparisons) == row
    assert [one.release for one in comparisons if not one.differences] == [row]


def test_the_installed_headers_have_the_layout_of_their_release() -> None:
    name = next(Path("/usr/lib").glob("*/libxenctrl.so")).resolve().name
    proven = equal(compare_headers(Path("/usr/include")))
    assert proven is not None and f"libxenctrl.so.{proven}" in name


def test_headers_that_cannot_be_used(made_up: tuple[Path, Path], tmp_path: Path, monkeypatch: Any) -> None:
    _path, headers = made_up
    with pytest.raises(HeadersUnusable, match=r"lacks xenctrl\.h"):
        compare_headers(tmp_path)
    broken = headers_of(NEWEST, tmp_path / "broken", ("uint32_t max_vcpus;", "no_such_type max_vcpus;"))
    with pytest.raises(HeadersUnusable, match="rejects the headers"):
        compare_headers(broken)
    assert check("--headers", headers, "--library", tmp_path / "none").exit_code == 2
    assert check("--headers", headers, "--save", tmp_path / "x").exit_code == 2
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(HeadersUnusable, match="no C compiler"):
        compare_headers(headers)


def test_the_answer_says_that_it_is_not_verified() -> None:
    from dataclasses import replace

    host = xenapic.named_host(xenapic.processor("skylake-sp"), xenapic.xen_release("4.22"))
    version = replace(host.version, major=4, minor=23, extra="-unstable", as_release="4.22")
    host = replace(host, version=version)
    assert str(version) == "4.23-unstable (as 4.22, not verified for 4.23)"
    assert host.release.name == "4.22"
    plan = xenapic.plan(xenapic.Policy(), host)
    assert isinstance(plan, xenapic.Plan)
    assert any(one.code is xenapic.CautionCode.UNVERIFIED for one in plan.warnings)

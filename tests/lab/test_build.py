"""Building a Xen from source: a made-up tree whose make takes milliseconds. No compiler is run on Xen's code."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.lab.test_added import hypervisor
from tests.pure.test_proposal_series import ALLOCATED
from xenapic.cli.app import app
from xenapic.errors import TreeUnexpected
from xenapic.lab import build as building
from xenapic.lab.added import added, remove
from xenapic.lab.apt import Apt
from xenapic.lab.errors import BuildFailed, FetchFailed, LabPrerequisite, LabUsageError
from xenapic.lab.source import digest, files_of, release_of
from xenapic.lab.xens import RELEASES

MAKEFILE = """\
export XEN_VERSION = 4
export XEN_SUBVERSION = 17
all:
\t@echo "  CC      one.o"
\tcat ../image answer.c > xen
\techo built >> {ran}
olddefconfig:
\tgrep -v DEFCONFIG .config > c; cat c kinds > .config; rm c
"""


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XENAPIC_CACHE", str(tmp_path / "cache"))
    home = tmp_path / "tree"
    (home / "xen").mkdir(parents=True)
    (home / "config").mkdir()
    (home / "xen/Makefile").write_text(MAKEFILE.format(ran=tmp_path / "ran"))
    (home / "xen/kinds").write_text("CONFIG_HVM=y\n")
    (home / "xen/answer.c").write_text("answer")
    (home / "xen/one.o").write_text("left by a build")
    (home / "Config.mk").write_text("")
    monkeypatch.setattr(building, "PROGRAMS", ("make", "setpriv"))
    monkeypatch.setattr("xenapic.lab.source.PARTS", ("xen", "config", "Config.mk", "image"))
    (home / "image").write_bytes(hypervisor())
    return home


def lab(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["lab", *map(str, arguments)])


def ran(tree: Path) -> int:
    log = tree.parent / "ran"
    return log.read_text().count("built") if log.exists() else 0


def test_what_is_built_is_added_with_debians_libraries(tree: Path) -> None:
    before = {path: path.read_bytes() for path in tree.rglob("*") if path.is_file()}
    done = lab("build", "mine", "--tree", tree)
    assert done.exit_code == 0, done.output
    mine = added("mine")
    assert mine is not None
    assert (mine.xen, mine.release, mine.root, mine.debug) == ("4.17.7", "4.17", "bookworm", True)
    assert (mine.entry.path / "xen").read_bytes() == hypervisor() + b"answer"
    assert not (mine.entry.path / "libraries.cpio").exists()  # those of the root
    assert mine.taken["source"] == {"path": str(tree), "sha256": digest(tree, files_of(tree))}
    assert set(mine.taken) == {"hypervisor", "source"}
    assert {path: path.read_bytes() for path in tree.rglob("*") if path.is_file()} == before
    log = (tree.parent / "cache/lab/logs/build-mine.log").read_text()
    assert "$ make -C xen XEN_TARGET_ARCH=x86_64 olddefconfig" in log and "  CC      one.o" in log
    listed = json.loads(lab("list", "--json").output)["xens"]
    assert [entry["origin"] for entry in listed if entry["name"] == "mine"] == ["added"]


def test_a_build_is_kept_until_something_that_went_into_it_differs(tree: Path) -> None:
    def build(*more: str) -> int:
        assert lab("build", "mine", "--tree", tree, *more).exit_code == 0
        return ran(tree)

    assert [build(), build()] == [1, 1]
    (tree / "xen/one.o").write_text("another object does not count")
    assert build() == 1
    (tree / "xen/answer.c").write_text("another answer")
    assert build() == 2
    assert build("--config", "CONFIG_DEBUG=y") == 3
    assert build() == 3  # both are kept


def test_settings_go_on_top_of_the_trees_own(tree: Path) -> None:
    (tree / "xen/.config").write_text("CONFIG_DEBUG=n\nCONFIG_OTHER=y\n")
    assert lab("build", "mine", "--tree", tree, "--config", "CONFIG_DEBUG=y").exit_code == 0
    refused = lab("build", "mine", "--tree", tree, "--config", "CONFIG_HVM=n")
    assert isinstance(refused.exception, LabUsageError) or "CONFIG_HVM=n" in refused.output
    bad = lab("build", "mine", "--tree", tree, "--config", "DEBUG")
    assert bad.exit_code and "'DEBUG' is no setting" in bad.output + str(bad.exception)


def test_a_build_that_fails_shows_the_end_of_its_log(tree: Path) -> None:
    makefile = tree / "xen/Makefile"
    makefile.write_text(makefile.read_text().replace("cat ../image", "echo 'one.c:7: error: no' >&2; false"))
    with pytest.raises(BuildFailed) as caught:
        building.build("mine", building.Order(tree=tree))
    assert "one.c:7: error: no" in str(caught.value)
    assert caught.value.log.read_text().count("error: no") >= 1
    assert added("mine") is None
    assert not list((tree.parent / "cache/lab/built").glob("*/work-*"))


def test_what_is_missing_is_said_before_anything_starts(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building, "PROGRAMS", ("make", "flex", "bison", "gcc"))
    there = shutil.which
    monkeypatch.setattr(shutil, "which", lambda name: None if name in {"flex", "gcc"} else there(name))
    with pytest.raises(LabPrerequisite, match="needs flex, gcc.*apt-get install flex gcc libc6-dev"):
        building.build("mine", building.Order(tree=tree))
    assert ran(tree) == 0


def test_a_release_without_libraries_is_refused_before_the_build(tree: Path) -> None:
    makefile = tree / "xen/Makefile"
    makefile.write_text(makefile.read_text().replace("SUBVERSION = 17", "SUBVERSION = 22"))
    assert release_of(tree) == "4.22"
    with pytest.raises(LabUsageError, match=r"is Xen 4\.22, which Debian does not have.*--libraries"):
        building.build("mine", building.Order(tree=tree))
    assert ran(tree) == 0


def test_the_change_is_refused_for_a_tree_that_is_not_as_expected(tree: Path) -> None:
    with pytest.raises(TreeUnexpected, match=r"xen/include/public/arch-x86/xen\.h: has no such file"):
        building.build("mine", building.Order(tree=tree, proposal=True))
    assert ran(tree) == 0 and added("mine") is None


def test_each_change_has_its_option_and_is_remembered(tree: Path) -> None:
    for name, text in {
        "xen/arch/x86/include/asm/hvm/vmx/vmcs.h": "struct vmx_vcpu {\n    struct pi_desc pi_desc;\n};\n",
        "xen/arch/x86/domain.c": ALLOCATED,
    }.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(text)
    assert lab("build", "plain", "--tree", tree).exit_code == 0
    done = lab("build", "mine", "--tree", tree, "--for-bochs")
    assert done.exit_code == 0 and "for-bochs: what Bochs needs for posted interrupts" in done.output
    assert ran(tree) == 2, "with the change it is another build"
    xen = added("mine")
    assert xen is not None and set(xen.taken) == {"hypervisor", "source", "for-bochs"}


def test_the_source_is_one_of_two(tree: Path) -> None:
    for words in ((), ("--tree", tree, "--from", "debian:4.17")):
        assert "give --from debian:RELEASE or --tree" in lab("build", "mine", *words).output
    assert "--from takes debian:RELEASE" in lab("build", "mine", "--from", "4.17").output
    done = lab("build", "mine", "--from", "debian:4.99")
    assert "no Xen '4.99'" in done.output + str(done.exception)
    done = lab("build", "4.17", "--tree", tree)
    assert "choose another one" in done.output + str(done.exception)
    with pytest.raises(LabUsageError, match="is none of Xen|is no tree"):
        release_of(tree / "config")


def test_a_git_tree_gives_what_git_knows(tree: Path) -> None:
    (tree / ".gitignore").write_text("ignored\n")
    (tree / "xen/ignored").write_text("x")
    (tree / "xen/.config").write_text("")
    subprocess.run(["git", "init", "-q", str(tree)], check=True)
    names = files_of(tree)
    assert "xen/ignored" not in names and "xen/one.o" not in names
    assert {"xen/.config", "xen/answer.c", "Config.mk"} <= set(names)


# -- Debian's source package -------------------------------------------------------------------------


def test_the_newest_version_that_the_archive_has_is_taken(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from xenapic.lab import source

    def download(self: Apt, package: str, version: str, into: Path) -> None:
        if version.startswith("4.17.7"):
            raise FetchFailed("apt-get source failed: 404")
        (into / f"{package}_{version}.dsc").write_text("d")

    monkeypatch.setattr(source, "machine_sources", lambda: [])
    monkeypatch.setattr(source, "derive", lambda sources, suite: [])
    monkeypatch.setattr(Apt, "update", lambda self: None)
    monkeypatch.setattr(Apt, "source_versions", lambda self, package: ["4.17.7+13-1", "4.17.5+72-1"])
    monkeypatch.setattr(Apt, "download_source", download)
    said: list[str] = []
    path = source.debian_source(RELEASES["4.17"], said.append)
    assert [file.name for file in path.glob("*.dsc")] == ["xen_4.17.5+72-1.dsc"]
    assert said[1:] == ["fetching the source of Xen 4.17.7+13-1", "fetching the source of Xen 4.17.5+72-1"]
    monkeypatch.setattr(Apt, "source_versions", lambda self, package: ["4.17.7+13-1"])
    with pytest.raises(FetchFailed, match=r"cannot be fetched; get a tree of it, and give that with --tree"):
        source.debian_source(RELEASES["4.20"], said.append)


def test_versions_are_ordered_as_dpkg_orders_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "".join(
        f"Package: xen\nVersion: {version}\n\n" for version in ("4.17.5-1", "4.17.10-1", "4.17.5-1~a")
    )
    monkeypatch.setattr(Apt, "_run", lambda self, *words, cwd=None: text)
    assert Apt(tmp_path, [], "deb-src").source_versions("xen") == ["4.17.10-1", "4.17.5-1", "4.17.5-1~a"]


@pytest.mark.xen
@pytest.mark.thorough
def test_debians_source_is_built_with_the_change_and_boots_on_amd(tmp_path: Path) -> None:
    """It takes minutes where the cache has no build; the second build must come from there."""
    name = f"built-{tmp_path.name}"
    try:
        for _again in range(2):
            done = lab("build", name, "--from", "debian:4.17", "--proposal")
            assert done.exit_code == 0, done.output
        built = added(name)
        assert built is not None and built.release == "4.17" and set(built.taken) >= {"source", "change"}
        command = ["lab", "run", "--quiet", "--xen", name, "--", "xenapic", "host", "--json"]
        ran = subprocess.run([sys.executable, "-m", "xenapic", *command], capture_output=True, check=False)
        assert ran.returncode == 0, ran.stderr.decode()
        assert json.loads(ran.stdout)["schema"].startswith("xenapic/host/")
    finally:
        remove(name)

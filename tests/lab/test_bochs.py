"""Which Bochs the lab uses, and how it starts it."""

from __future__ import annotations

from pathlib import Path

import pytest

from xenapic.lab import bochs, bochs_package, emulators
from xenapic.lab.errors import FetchFailed, LabPrerequisite
from xenapic.lab.machines import machine

FAKE = """\
#!/bin/sh
echo "                        Bochs x86 Emulator {version}"
"""


def install(directory: Path, version: str) -> Path:
    directory.mkdir(parents=True)
    path = directory / "bochs"
    path.write_text(FAKE.format(version=version))
    path.chmod(0o755)
    return path


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(bochs, "_known", {})
    monkeypatch.delenv("XENAPIC_BOCHS", raising=False)
    monkeypatch.setenv("PATH", f"{tmp_path}/a:{tmp_path}/b:/usr/bin:/bin")
    monkeypatch.setattr(bochs, "_installed", _ours(tmp_path))


def _ours(tmp_path: Path):  # type: ignore[no-untyped-def]
    """Look below `tmp_path` only: this machine may have its own Bochs."""
    real = bochs._installed
    return lambda: (found for found in real() if found.argv[0].startswith(str(tmp_path)))


def cannot_fetch(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(progress: object) -> Path:
        raise FetchFailed("no route to host")

    monkeypatch.setattr(bochs_package, "ensure", fail)


def test_the_one_named_is_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XENAPIC_BOCHS", str(install(tmp_path / "own", "3.1")))
    assert bochs.program().version == (3, 1)
    monkeypatch.setenv("XENAPIC_BOCHS", str(tmp_path / "none"))
    with pytest.raises(LabPrerequisite, match="XENAPIC_BOCHS"):
        bochs.program()


def test_an_installed_3_0_is_used_and_nothing_fetched(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cannot_fetch(monkeypatch)
    install(tmp_path / "a", "2.7")
    path = install(tmp_path / "b", "3.0")
    found = bochs.program()
    assert (found.argv, found.version, found.note) == ((str(path),), (3, 0), "")


def test_2_7_is_the_fallback_and_that_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cannot_fetch(monkeypatch)
    install(tmp_path / "a", "2.7")
    install(tmp_path / "b", "3.1")  # does not start dom0
    said: list[str] = []
    emulators.check(machine("broadwell_ult"), said.append)
    assert bochs.program().version == (2, 7)
    assert said == ["Bochs 3.0 could not be fetched, so 2.7 is used: no route to host"]
    with pytest.raises(LabPrerequisite, match=r"arrow_lake needs Bochs 3\.0; .* is 2\.7"):
        emulators.check(machine("arrow_lake"))


def test_without_any_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    cannot_fetch(monkeypatch)
    with pytest.raises(FetchFailed, match="no route to host.*apt-get install bochs bochsbios vgabios"):
        bochs.program()


@pytest.mark.parametrize(("version", "debugger"), [((2, 7), True), ((3, 0), False)])
def test_the_command_line_and_the_display(version: tuple[int, int], debugger: bool, tmp_path: Path) -> None:
    for name in ("BIOS-bochs-latest", "vgabios-stdvga.bin"):
        (tmp_path / name).touch()
    found = bochs.Program(("bochs",), version, (tmp_path,))
    argv = bochs.command(found, tmp_path / "rc", tmp_path / "debugger")
    assert ("-rc" in argv) is debugger
    disk = tmp_path / "disk"
    text = bochs.configuration(
        found,
        "broadwell_ult",
        boot=disk,
        root=disk,
        channel=disk,
        serial="mode=file, dev=x",
        log=disk,
        megabytes=512,
    )
    # Debian builds no "nogui"; asking for it makes every Bochs from 3.0 on fail.
    assert 'display_library: rfb, options="timeout=0,hideIPS"' in text
    assert f"romimage: file={tmp_path}/BIOS-bochs-latest" in text


def test_packages_are_reduced_to_the_files_that_are_used() -> None:
    kept = bochs_package.KEPT.fullmatch
    assert kept("usr/bin/bochs-bin") and kept("usr/lib/x86_64-linux-gnu/bochs/plugins/libbx_pci.so")
    assert kept("usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2")
    assert kept("usr/lib/x86_64-linux-gnu/libstdc++.so.6.0.33")
    assert not kept("usr/lib/systemd/systemd") and not kept("usr/share/doc/bochs/copyright")

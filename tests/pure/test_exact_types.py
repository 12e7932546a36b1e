"""Values of another type than a field's: refused by name, or turned into the field's own type."""

from __future__ import annotations

import pickle
import subprocess
import sys
from enum import Enum
from pathlib import Path
from typing import Any

import pytest

import xenapic
from xenapic.apic.features import feature
from xenapic.apic.processors import PROCESSORS, emulated, processor
from xenapic.errors import ConfigInvalid, NameUnknown
from xenapic.model.config import FIELDS, ConfigFields, DomainConfig
from xenapic.model.flags import ALTP2M, CDF, EMU, IOMMU, MISC, PHYSCAP, Shutdown
from xenapic.model.releases import xen_release


class Index:
    """An integer of another library, as numpy's are: no int, but with ``__index__``."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __index__(self) -> int:
        return self.number


class Word(Enum):
    HVM = "hvm"


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize("value", [True, "1", 1.0, None, [1], PHYSCAP.hvm, Shutdown.reboot, Word.HVM])
def test_what_is_no_number_of_the_field_is_refused_by_name(name: str, value: object) -> None:
    if name == "grant_opts" and value is None:
        return
    fields: dict[str, Any] = {name: value}
    with pytest.raises(ConfigInvalid, match=rf"^{name} must be .*whole number, not "):
        DomainConfig(**fields)


def test_flags_of_another_word_are_refused() -> None:
    wrong: Any = EMU.LAPIC
    with pytest.raises(ConfigInvalid, match=r"^flags must be CDF or a whole number, not <EMU.LAPIC: 1>"):
        DomainConfig(flags=wrong)
    with pytest.raises(ConfigInvalid, match="^max_vcpus must be a whole number"):
        DomainConfig(max_vcpus=wrong)


@pytest.mark.parametrize("name", FIELDS)
def test_any_integer_is_taken_and_becomes_the_fields_own_type(name: str) -> None:
    fields: dict[str, Any] = {name: Index(1)}
    value = getattr(DomainConfig(**fields), name)
    assert value == 1
    assert type(value) is FIELDS[name][1]


def test_numpys_integers_are_taken() -> None:
    numpy: Any = pytest.importorskip("numpy")
    config = DomainConfig.pvh(max_vcpus=numpy.int64(2), flags=numpy.uint32(3))
    assert (config.max_vcpus, config.flags) == (2, CDF.hvm | CDF.hap)
    assert type(config.max_vcpus) is int and type(config.flags) is CDF
    with pytest.raises(ConfigInvalid, match="max_vcpus"):
        DomainConfig(max_vcpus=numpy.bool_(True))


def test_a_number_that_no_enumeration_has_is_left_to_the_rules() -> None:
    assert DomainConfig(altp2m=4).altp2m == 4
    assert DomainConfig(altp2m=2).altp2m is ALTP2M.external
    assert DomainConfig(misc_flags=MISC(0x100)).misc_flags == 0x100
    assert DomainConfig(iommu_opts=IOMMU(1)).iommu_opts is IOMMU.no_sharept


@pytest.mark.parametrize(
    "make", [DomainConfig.pvh, DomainConfig.hvm, DomainConfig.pv, DomainConfig().replace]
)
def test_a_misspelt_field_is_named_with_the_right_spelling(make: Any) -> None:
    with pytest.raises(ConfigInvalid, match=r"no field max_vcpu; did you mean max_vcpus\?"):
        make(max_vcpu=2)
    with pytest.raises(ConfigInvalid, match="no field zzz; its fields are flags, max_vcpus, "):
        make(zzz=2)


def test_the_typed_fields_are_the_configs_fields() -> None:
    hints = {name: str(hint) for name, hint in DomainConfig.__annotations__.items()}
    assert hints == {name: hint.__forward_arg__ for name, hint in ConfigFields.__annotations__.items()}


def test_a_type_checker_sees_a_misspelt_field(tmp_path: Path) -> None:
    snippet = tmp_path / "snippet.py"
    snippet.write_text(
        "from xenapic import DomainConfig\n"
        "DomainConfig.pvh(max_vcpus=2)\n"
        "DomainConfig.pvh(max_vcpu=2)\n"
        "DomainConfig.hvm(max_vcpus='2')\n"
        "DomainConfig.pv().replace(max_vcpu=2)\n"
    )
    root = Path(xenapic.__file__).parent.parent
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--cache-dir",
        str(root / ".mypy_cache"),
        str(snippet),
    ]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    lines = [int(line.split(":")[1]) for line in done.stdout.splitlines() if " error: " in line]
    assert lines == [3, 4, 5], done.stdout + done.stderr


@pytest.mark.parametrize(
    ("ask", "near"),
    [
        (lambda: processor("skylake"), "skylake-client or skylake-sp"),
        (lambda: emulated("brodwell_ult", (2, 8)), "broadwell_ult"),
        (lambda: xen_release("4.23"), "4.22"),
        (lambda: feature("tpr-shadow"), "tpr_shadow"),
    ],
)
def test_an_unknown_name_suggests_names_like_it(ask: Any, near: str) -> None:
    with pytest.raises(NameUnknown) as caught:
        ask()
    assert f"did you mean {near}" in str(caught.value)
    assert caught.value.code == "name-unknown"
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.near) == (str(caught.value), caught.value.near)


def test_a_name_like_no_other_gets_no_suggestion() -> None:
    with pytest.raises(
        NameUnknown, match=r"^there is no processor named 'zzzz' \(xenapic.PROCESSORS has them all\)$"
    ):
        processor("zzzz")
    with pytest.raises(NameUnknown):
        processor("")
    with pytest.raises(KeyError):  # what a table raises
        processor("")


def test_the_tables_are_reachable_from_the_top() -> None:
    assert xenapic.PROCESSORS is PROCESSORS
    assert xenapic.processor("skylake-sp").name == "skylake-sp"
    assert xenapic.xen_release("4.17").number == (4, 17)

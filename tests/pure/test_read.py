"""Policies read from files, and hosts read back from their reports."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xenapic.errors import PolicyInvalid
from xenapic.model.guest_types import GuestType
from xenapic.parse.xlcfg import parse_xl_cfg
from xenapic.policy.read import from_file, from_toml, from_xl_cfg
from xenapic.policy.terms import Aspect, Policy, Want

WHOLE = """
[apic]
tpr_shadow = "require"
posted_interrupts = "host default"
effects = ["x2apic-reads-stay"]
assisted_xapic = true
assisted_x2apic = "default"
guest_x2apic = true
accept = ["apic-defect-memory"]
guest_type = "hvm"
"""


def test_toml() -> None:
    policy, kind = from_toml(WHOLE)
    assert kind is GuestType.HVM
    assert policy == Policy(
        aspects={Aspect.TPR_SHADOW: Want.REQUIRE, Aspect.POSTED: Want.DEFAULT},
        effects=("x2apic-reads-stay",),
        assisted_xapic=True,
        accept=frozenset({"apic-defect-memory"}),
    )
    assert from_toml("[apic]") == (Policy(), None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("apic", "not TOML"),
        ("[other]", "one table"),
        ("apic = 1", "one table"),
        ("[apic]\ntpr = 'require'", "no such key: 'tpr'"),
        ("[apic]\ntpr_shadow = true", "tpr_shadow is one of require, forbid, prefer, host default"),
        ("[apic]\neffects = 'x2apic-reads-stay'", "effects is a list"),
        ("[apic]\neffects = ['x']", "no effect 'x'"),
        ("[apic]\nassisted_xapic = 1", "assisted_xapic is true, false"),
        ("[apic]\nguest_x2apic = 1", "guest_x2apic is True or False"),
        ("[apic]\nguest_type = 'arm'", "guest_type is one of"),
    ],
)
def test_what_is_no_policy_in_toml(text: str, message: str) -> None:
    with pytest.raises(PolicyInvalid, match=message):
        from_toml(text)


def test_xl_cfg() -> None:
    policy, kind = from_xl_cfg(
        'name = "a"; type="hvm"\n'
        "# a comment\n"
        "disk = [ 'phy:/dev/x,xvda,w', # the first\n"
        "         'b' ,\n ]\n"
        'assisted_xapic = 0\nassisted_x2apic="0x1"\n'
        'cpuid = "host,x2apic=0,tm=0"\n'
        "vcpus=4"
    )
    assert kind is GuestType.HVM
    assert policy == Policy(assisted_xapic=False, assisted_x2apic=True, guest_x2apic=False)


def test_xl_cfg_of_a_pv_guest_has_its_flags_ignored_as_xl_does() -> None:
    assert from_xl_cfg("assisted_xapic = 1\n") == (Policy(), GuestType.PV)
    assert from_xl_cfg("builder = 'hvm'\nassisted_xapic = 2\n") == (
        Policy(assisted_xapic=True),
        GuestType.HVM,
    )


def test_xl_cfg_cpuid_lists() -> None:
    for ecx, shown in (
        ("x" * 10 + "0" + "x" * 21, False),
        ("x" * 32, True),
        ("x" * 10 + "1" + "x" * 21, True),
    ):
        policy, _kind = from_xl_cfg(f'type="pvh"\ncpuid = ["1:ecx={ecx},eax=x", "7:ebx=0"]')
        assert policy.guest_x2apic is shown


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a = ", "line 1: a value is"),
        ("a = b", "line 1: a value is"),
        ("a = 1 2", "line 1: the setting does not end"),
        ("a = [1 2]", "line 1: a list goes on"),
        ("a = [1", "line 1"),
        ("\n\na", "line 3: a setting is"),
        ("a = 'x", "line 1: cannot be read"),
        ("\na = (1)", "line 2: cannot be read"),
        ("type = 'arm'", "type is"),
        ("type='pvh'\nassisted_xapic = 'yes'", "assisted_xapic is a number"),
        ("type='pvh'\nassisted_xapic = [1]", "assisted_xapic is a number"),
    ],
)
def test_what_is_no_xl_cfg(text: str, message: str) -> None:
    with pytest.raises(PolicyInvalid, match=message):
        from_xl_cfg(text)


def test_xl_cfg_syntax() -> None:
    assert parse_xl_cfg("a = 'x'\na += 'y'\nb = [1]\nb += ['2', [3]]\nc='A\\101\\n\\''") == {
        "a": "xy",
        "b": ["1", "2", ["3"]],
        "c": "A\n'",
    }


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    for read in (from_xl_cfg, from_toml):
        try:
            policy, _kind = read(text)
        except PolicyInvalid:
            continue
        assert isinstance(policy, Policy)


def test_a_file_is_named_in_the_error(tmp_path: Path) -> None:
    path = tmp_path / "p.toml"
    path.write_text("[apic]\nx = 1\n")
    with pytest.raises(PolicyInvalid, match=r"p\.toml: no such key"):
        from_file(path)
    path = tmp_path / "guest.cfg"
    path.write_text("type = 'pvh'\n")
    assert from_file(path) == (Policy(), GuestType.PVH)

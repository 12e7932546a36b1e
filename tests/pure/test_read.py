"""Policies read from files: TOML, xl.cfg, which of the two it is, and every error with its line."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from xenapic.cli.app import app
from xenapic.errors import FileUnreadable, PolicyInvalid
from xenapic.model.guest_types import GuestType
from xenapic.parse.xlcfg import parse_xl_cfg
from xenapic.policy.read import (
    Syntax,
    from_file,
    from_mapping,
    from_stream,
    from_toml,
    from_xl_cfg,
    read_policy,
    to_mapping,
)
from xenapic.policy.terms import Aspect, Policy, Want

COMPLETE = """
[apic]
tpr_shadow = "require"
posted_interrupts = "host default"
virtual_interrupt_delivery = ["require", "prefer"]
effects = ["x2apic-reads-stay"]
assisted_xapic = true
assisted_x2apic = "default"
guest_x2apic = true
accept = ["apic-defect-memory"]
guest_type = "hvm"
"""


# -- TOML --------------------------------------------------------------------------------------------


def test_toml() -> None:
    read = from_toml(COMPLETE)
    assert read.guest_type is GuestType.HVM
    assert read.policy == Policy(
        aspects={
            Aspect.TPR_SHADOW: Want.REQUIRE,
            Aspect.POSTED: Want.DEFAULT,
            Aspect.DELIVERY: Want.REQUIRE,
        },
        also=((Aspect.DELIVERY, Want.PREFER),),
        effects=("x2apic-reads-stay",),
        assisted_xapic=True,
        accept=frozenset({"apic-defect-memory"}),
    )
    assert from_toml("[apic]").policy == Policy()
    assert from_mapping(to_mapping(read.policy)).policy == read.policy


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("apic", r"line 1|end of the file"),
        ("[apic]\na = \n", "line 2, column 5"),
        ("[other]", "line 1: a policy has no 'other', only the table"),
        ("[apic]\n[other]\nx=1\ny=2", "line 2: a policy has no 'other'"),
        ("apic = 1", r"a policy in TOML has a table \[apic\]"),
        ("", r"a policy in TOML has a table \[apic\]"),
        ("[apic]\ntpr = 'require'", "line 2: no key 'tpr'"),
        ("[apic]\ntpr_shadw = 'require'", "did you mean 'tpr_shadow'"),
        ("[apic]\ntpr_shadow = true", "line 2: tpr_shadow is one of require, forbid, prefer, host default"),
        (
            "[apic]\ntpr_shadow = 'requir'",
            "line 2: no value for tpr_shadow: 'requir'; did you mean 'require'",
        ),
        ("[apic]\ntpr_shadow = []", "line 2: tpr_shadow is one of"),
        ("[apic]\ntpr_shadow = ['require', 'x']", "line 2: no value for tpr_shadow: 'x'"),
        ("[apic]\neffects = 'x2apic-reads-stay'", "line 2: effects is a list"),
        ("[apic]\neffects = [\n'x2apic-reads-stay',\n'x']", "line 4: no effect 'x'"),
        ("[apic]\nassisted_xapic = 1", "line 2: assisted_xapic is true, false"),
        ("[apic]\nguest_x2apic = 1", "line 2: guest_x2apic is true or false"),
        ("[apic]\nguest_type = 'arm'", "line 2: no value for guest_type: 'arm'"),
        ("[apic]\naccept = ['apic-defect-memry']", "did you mean 'apic-defect-memory'"),
        ("apic = { tpr = 1 }", "no key 'tpr'"),
        ("[apic]\nx = " + "[" * 5000, "nested too deeply|line"),
        ("[apic]\nx = " + "9" * 5000, "line|not TOML"),
        ("[apic]\nx = '\0'", "line 2"),
    ],
)
def test_what_is_no_policy_in_toml(text: str, message: str) -> None:
    with pytest.raises(PolicyInvalid, match=message):
        from_toml(text)


def test_every_error_is_reported_at_once_in_the_order_of_the_lines() -> None:
    text = "[apic]\nx = 1\ntpr_shadow = 'yes'\neffects = ['a',\n 'b']\nguest_type = 1\nguest_x2apic = 'no'\n"
    with pytest.raises(PolicyInvalid) as caught:
        from_toml(text)
    assert [problem.partition(":")[0] for problem in caught.value.problems] == [
        "line 2", "line 3", "line 4", "line 5", "line 6", "line 7"
    ]  # fmt: skip
    assert str(caught.value).startswith("6 errors:\n  line 2: no key 'x'")
    with pytest.raises(PolicyInvalid) as both:
        from_mapping({"x": 1, "guest_type": 2})
    assert len(both.value.problems) == 2


def test_python_without_a_reader_of_toml(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tomllib" if sys.version_info >= (3, 11) else "tomli", None)
    with pytest.raises(
        PolicyInvalid, match=r"cannot read TOML: install tomli .*or write the policy as an xl\.cfg"
    ):
        from_toml("[apic]")
    assert from_xl_cfg('name="a"').guest_type is GuestType.PV


# -- xl.cfg ------------------------------------------------------------------------------------------


def test_xl_cfg() -> None:
    read = from_xl_cfg(
        'name = "a"; type="hvm"\n'
        "# a comment\n"
        "disk = [ 'phy:/dev/x,xvda,w', # the first\n"
        "         'b' ,\n ]\n"
        'assisted_xapic = 0\nassisted_x2apic="0x1"\n'
        'cpuid = "host,x2apic=0,tm=0"\n'
        "vcpus=4"
    )
    assert read.guest_type is GuestType.HVM and read.notes == ()
    assert read.policy == Policy(assisted_xapic=False, assisted_x2apic=True, guest_x2apic=False)


@pytest.mark.parametrize(
    ("line", "kind", "note"),
    [
        ("", GuestType.PV, "no type is set, so this is a PV guest, as in xl"),
        ("type='pvh'", GuestType.PVH, ""),
        ("type='h'", GuestType.HVM, ""),
        ("type='p'", GuestType.PV, ""),
        ("type='pv'; type += 'h'", GuestType.PVH, ""),
        ("type=['pvh']", GuestType.PV, "type is a list, so xl ignores it"),
        ("builder='hvm'", GuestType.HVM, ""),
        ("builder='generic'", GuestType.PV, ""),
        ("builder='hvm'; type='hvm'", GuestType.HVM, ""),
    ],
)
def test_the_type_is_xls(line: str, kind: GuestType, note: str) -> None:
    read = from_xl_cfg(f"name='a'\n{line}\n")
    assert read.guest_type is kind
    assert note in "; ".join(read.notes) and bool(read.notes) is bool(note)


def test_a_pv_guests_assisted_settings_are_ignored_as_in_xl() -> None:
    read = from_xl_cfg("name='a'\nassisted_xapic = 1\n")
    assert read.policy == Policy() and "xl ignores assisted_xapic for a PV guest" in read.notes


@pytest.mark.parametrize("value", ["'yes'", "[1]", "'1 '"])
def test_a_setting_that_is_no_number_is_xls_default(value: str) -> None:
    read = from_xl_cfg(f"name='a'\ntype='hvm'\nassisted_xapic = {value}\n")
    assert read.policy == Policy() and "line 3: assisted_xapic is" in read.notes[0]
    added = from_xl_cfg("name='a'\ntype='hvm'\nassisted_xapic = 1\nassisted_xapic += '0'\n")
    assert added.policy == Policy() and "line 4" in added.notes[0]
    assert from_xl_cfg("name='a'\ntype='hvm'\nassisted_xapic = '-1'").policy.assisted_xapic is True


ECX = "x" * 10 + "{}" + "x" * 21


@pytest.mark.parametrize(
    ("cpuid", "shown"),
    [
        ('"host,x2apic=0"', False),
        ('"host,x2apic=0x0"', False),
        ('"host,x2apic=2"', False),
        ('"host,x2apic=1"', True),
        ('"host,x2apic=x"', True),
        ('"host,x2apic=k"', True),
        ('"host,x2apic=0,x2apic=1"', True),
        ('"host,x2apic=1,x2apic=0"', False),
        ('"host,x2apic=0,x2apic=x"', True),
        ('"host,x2apic=0,x2apic=z"', False),
        ('",host,x2apic=0"', False),
        ('"host, x2apic=0"', True),
        ('"host,x2apic =0"', True),
        ('"host,x2apic= 0"', False),
        ('"x2apic=0"', True),
        ('"host"', True),
        ('""', True),
        (f'["1:ecx={ECX.format("0")},eax={"x" * 32}", "7:ebx={"0" * 32}"]', False),
        (f'["0x00000001:ecx={ECX.format("0")}"]', False),
        (f'["01:ecx={ECX.format("0")}"]', False),
        (f'[" 1:ecx={ECX.format("0")}"]', False),
        (f'["4294967297:ecx={ECX.format("0")}"]', False),
        (f'["1:eax={"x" * 32}, ecx={ECX.format("0")}"]', False),
        (f'["1 :ecx={ECX.format("0")}"]', True),
        (f'["1,0:ecx={ECX.format("0")}"]', True),
        (f'["1: ecx={ECX.format("0")}"]', True),
        (f'["1:ecx={ECX.format("0")[:31]}"]', True),
        (f'["1:edx={"x" * 31},ecx={ECX.format("0")}"]', True),
        (f'["1:ecx={ECX.format("x")}"]', True),
        (f'["1:ecx={ECX.format("1")}"]', True),
        (f'["1:ecx={ECX.format("0")}", "1:ecx={ECX.format("1")}"]', True),
        (f'[["1"], "1:ecx={ECX.format("0")}"]', True),
        ("[]", True),
        ("1", True),
    ],
)
def test_cpuid_hides_x2apic_as_libxl_reads_it(cpuid: str, shown: bool) -> None:
    assert from_xl_cfg(f'name="a"\ntype="pvh"\ncpuid = {cpuid}').policy.guest_x2apic is shown


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a = ", "line 1: a value is"),
        ("a = b", "line 1: a value is"),
        ("a = 1 2", "line 1: the setting does not end"),
        ("a = [1 2]", "line 1: a list goes on"),
        ("a = [1", "line 1"),
        ("\n\na", "line 3: a setting is"),
        ("a = 'x\n", "line 1: cannot be read"),
        ("\na = (1)", "line 2: cannot be read"),
        ("\ufeffname = 'a'", "line 1: cannot be read"),
        ("name = 'a'\n\0x = 1", "line 2: cannot be read"),
        ("name='a'\ntype = 'arm'", "line 2: type is hvm, pv, pvh, not 'arm'; xl refuses"),
        ("name='a'\ntype = 'PVH'", "line 2: type is"),
        ("name='a'\nbuilder = 'linux'", "line 2: builder is hvm, generic, not 'linux'"),
        ("name='a'\ntype = 'pvh'\nbuilder = 'hvm'", "line 3: builder says hvm, type says pvh"),
        ("", "the file sets no name"),
        ("# xl.conf\nautoballoon='off'\n", "the file sets no name"),
        ("name = ['a']", "the file sets no name"),
        ("type = 'pvh'", r"sets no name.*a policy in TOML begins with \[apic\]"),
    ],
)
def test_what_is_no_xl_cfg(text: str, message: str) -> None:
    with pytest.raises(PolicyInvalid, match=message):
        from_xl_cfg(text)


def test_xl_cfg_syntax() -> None:
    assert parse_xl_cfg("a = 'x'\na += 'y'\nb = [1]\nb += ['2', [3]]\nc='A\\n\\''") == {
        "a": "xy",
        "b": ["1", "2", ["3"]],
        "c": "A\n'",
    }


# -- which of the two ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "syntax"),
    [
        ("[apic]\n", Syntax.TOML),
        ("# a comment\r\n  [ apic ]  # more\r\ntpr_shadow='require'\r\n", Syntax.TOML),
        ("\ufeff[apic]\n", Syntax.TOML),
        ("apic = { tpr_shadow = 'require' }\n", Syntax.TOML),
        ("apic.tpr_shadow = 'require'\n", Syntax.TOML),
        ("name='a'\n", Syntax.XL_CFG),
        ("name='a'\nx = [\n[1]\n]\n", Syntax.XL_CFG),
        ("name='a'\nx = [\n['apic']\n]\n", Syntax.XL_CFG),
        ("name='a'\napic = 1\n", Syntax.XL_CFG),
        ("name='a' # [apic]\n", Syntax.XL_CFG),
    ],
)
def test_the_content_decides(text: str, syntax: Syntax) -> None:
    read = read_policy(text)
    assert read.notes[0] == f"read as {syntax.title}"
    assert read_policy(text.encode(), syntax=syntax.value).policy == read.policy


def test_an_option_overrides_the_content() -> None:
    with pytest.raises(PolicyInvalid, match="a policy has no 'name'"):
        read_policy("name = 'a'", syntax="toml")
    with pytest.raises(PolicyInvalid, match="line 1"):
        read_policy("[apic]", syntax=Syntax.XL_CFG)
    with pytest.raises(PolicyInvalid, match="no syntax 'yaml'; known: toml, xl.cfg"):
        read_policy("[apic]", syntax="yaml")


def test_bytes_that_are_not_utf8() -> None:
    with pytest.raises(PolicyInvalid, match=r"^a\.toml: line 3: byte 0xe9 is not UTF-8"):
        read_policy(b"[apic]\n\n# caf\xe9\n", "a.toml")
    assert read_policy(b"# caf\xe9\nname='caf\xe9'\ntype='pvh'\n").guest_type is GuestType.PVH


def test_a_file_and_its_errors(tmp_path: Path) -> None:
    path = tmp_path / "policy"
    path.write_text("[apic]\nx = 1\n")
    with pytest.raises(PolicyInvalid, match=r"policy: line 2: no key 'x'") as caught:
        from_file(path)
    assert caught.value.file == str(path)
    path.write_text("[apic]\nx = 1\ny = 2\n")
    with pytest.raises(
        PolicyInvalid, match=r"policy: 2 errors:\n  line 2: no key 'x'.*\n  line 3: no key 'y'"
    ):
        from_file(path)
    path.write_text("name = 'a'\ntype = 'pvh'\n")
    assert from_file(path).guest_type is GuestType.PVH
    for wrong in (tmp_path, tmp_path / "missing", f"{tmp_path}/\0"):
        with pytest.raises(FileUnreadable):
            from_file(wrong)


@given(st.text(max_size=60) | st.text(max_size=30).map(lambda text: f"[apic]\n{text}"))
def test_any_text_is_read_or_refused(text: str) -> None:
    for read in (from_xl_cfg, from_toml, read_policy):
        try:
            assert isinstance(read(text).policy, Policy)
        except PolicyInvalid as error:
            assert error.problems and str(error)


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        read_policy(data)
    except PolicyInvalid as error:
        assert str(error)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([want.value for want in Want])
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
)
KEYS = st.sampled_from(
    [aspect.value for aspect in Aspect] + ["effects", "accept", "guest_type", "guest_x2apic"]
)


@given(st.dictionaries(KEYS | st.text(max_size=5), VALUES, max_size=4))
def test_any_mapping_is_read_or_refused(table: dict[str, object]) -> None:
    try:
        policy = from_mapping(table).policy
    except PolicyInvalid as error:
        assert error.problems
    else:
        assert from_mapping(to_mapping(policy)).policy == policy


# -- the command ---------------------------------------------------------------------------------------

ON = ("--processor", "broadwell_ult", "--xen", "4.20")


def test_the_command_reads_standard_input_and_says_what_it_read() -> None:
    done = CliRunner().invoke(app, ["plan", "-", *ON], input="[apic]\ntpr_shadow = 'require'\n")
    assert done.exit_code == 0, done.output
    assert "standard input: read as TOML" in done.stderr
    done = CliRunner().invoke(app, ["plan", "-", *ON], input="name='a'\n")
    assert done.exit_code == 0 and "no type is set, so this is a PV guest" in done.stderr


def test_the_command_refuses_what_is_no_policy(tmp_path: Path) -> None:
    path = tmp_path / "empty"
    path.touch()
    done = CliRunner().invoke(app, ["plan", str(path), *ON])
    assert done.exit_code == 2 and "sets no name" in done.stderr


@pytest.mark.parametrize(
    "asked",
    [
        ("--require", "tpr_shadow", "--forbid", "tpr_shadow"),
        ("--forbid", "tpr_shadow", "--require", "tpr_shadow"),
        ("--forbid", "tpr_shadow", "--prefer", "tpr_shadow", "--require", "tpr_shadow"),
        ("--effect", "nothing-accelerated", "--require", "tpr_shadow"),
        ("--assisted-x2apic", "yes", "--forbid", "virtualize_x2apic_mode"),
        ("--require", "virtualize_x2apic_mode", "--assisted-x2apic", "no"),
    ],
)
def test_options_that_contradict_each_other_are_a_conflict(asked: tuple[str, ...]) -> None:
    done = CliRunner().invoke(app, ["plan", *ON, *asked])
    assert done.exit_code == 1 and "policy-conflict" in done.output


def test_options_override_the_file(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text("[apic]\nvirtualize_x2apic_mode = 'forbid'\n")
    assert CliRunner().invoke(app, ["plan", str(path), *ON]).exit_code == 1
    done = CliRunner().invoke(app, ["plan", str(path), *ON, "--prefer", "virtualize_x2apic_mode"])
    assert done.exit_code == 0, done.output
    done = CliRunner().invoke(app, ["plan", *ON, "--require", "tpr_shadow", "--prefer", "tpr_shadow"])
    assert done.exit_code == 0 and "asked-twice" in done.output


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (("--require", "tpr_shadow"), 0),
        (("--require", "ipi"), 2),
        (("--require", "posted_interrupts", "--processor", "zen4"), 1),
        (("--effect", "xapic-eoi-stay"), 2),
        (("--accept", "apic-defect-memry"), 2),
        (("--host", "report.json"), 2),
        (("missing.toml",), 2),
        (("refused.toml",), 1),
        (("invalid.toml",), 2),
        (("invalid.cfg",), 2),
    ],
)
def test_no_and_nonsense_have_different_exit_statuses(
    arguments: tuple[str, ...], status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("report.json").write_text('{"schema": "xenapic/host/1"}')
    Path("refused.toml").write_text("[apic]\neffects = ['nothing-accelerated']\n")
    Path("invalid.toml").write_text("[apic]\neffects = ['everything-accelerated']\n")
    Path("invalid.cfg").write_text("type = 'pvh'\n")
    host = () if "--host" in arguments or "--processor" in arguments else ("--processor", "broadwell_ult")
    done = CliRunner().invoke(app, ["plan", *arguments, *host])
    assert done.exit_code == status, done.output


def test_several_processors_are_a_pool() -> None:
    done = CliRunner().invoke(
        app, ["plan", "--json", "--processor", "skylake-sp", "--processor", "westmere", "--xen", "4.20"]
    )
    document = json.loads(done.stdout)
    assert list(document["hosts"]) == ["skylake-sp Xen 4.20", "westmere Xen 4.20"]
    assert "tpr_shadow" in document["holds"] and "virtual_interrupt_delivery" in document["differs"]


def test_huge_and_deep_input_is_refused() -> None:
    deep = "name = 'a'\nx = " + "[" * 100_000 + "\n"
    for data in (deep, "[apic]\nx = " + "[" * 100_000, "[apic]\n" + "x." * 50_000 + "y = 1", "\0" * 1000):
        with pytest.raises(PolicyInvalid):
            read_policy(data)
    with pytest.raises(FileUnreadable, match="standard input: it has more than"):
        from_stream(io.BytesIO(b"[apic]" + b" " * (33 << 20)), "standard input")

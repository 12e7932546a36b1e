"""A plan as settings: what xl and libvirt read from them asks for the same plan. And pools: who stands in the way."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from click.testing import CliRunner, Result

import xenapic
from tests.hosts import host
from xenapic.cli.app import app
from xenapic.documents import to_json
from xenapic.policy.plan import Plan
from xenapic.policy.pool import plan_pool
from xenapic.policy.read import Syntax, read_policy
from xenapic.policy.realise import libvirt_xml, settings, xl_cfg

POLICIES = {
    "nothing": xenapic.Policy(),
    "no x2apic": xenapic.Policy(guest_x2apic=False),
    "not assisted": xenapic.Policy(assisted_x2apic=False),
    "plain memory": xenapic.Policy(assisted_xapic=False, accept=frozenset({"apic-defect-memory"})),
    "preferred": xenapic.Policy(aspects={xenapic.Aspect.POSTED: xenapic.Want.PREFER}),
}


def plans() -> list[Plan]:
    made = []
    for release in ("4.15", "4.17-rc", "4.20"):
        for name in ("skylake-sp", "westmere", "epyc"):
            known = xenapic.named_host(xenapic.processor(name), xenapic.xen_release(release))
            for policy in POLICIES.values():
                for kind in xenapic.GuestType:
                    answer = xenapic.plan(policy, known, kind)
                    made += [answer] if isinstance(answer, Plan) else []
    return made


def test_the_settings_ask_for_the_same_plan() -> None:
    several = plans()
    assert len(several) > 60
    for made in several:
        read = read_policy(f'name = "guest"\n{xl_cfg(made)}', syntax=Syntax.XL_CFG)
        assert read.guest_type is made.guest_type and read.notes == ("read as xl.cfg",)
        accepted = xenapic.Policy(
            assisted_xapic=read.policy.assisted_xapic,
            assisted_x2apic=read.policy.assisted_x2apic,
            guest_x2apic=read.policy.guest_x2apic,
            accept=made.policy.accept,
        )
        again = xenapic.plan(accepted, made.host, made.guest_type)
        assert isinstance(again, Plan), settings(made)
        assert (again.misc_flags, again.in_force) == (made.misc_flags, made.in_force)


def test_libvirts_elements_say_the_same() -> None:
    for made in plans():
        text = libvirt_xml(made)
        ET.fromstring(text)
        read = read_policy(text, syntax=Syntax.LIBVIRT)
        assert read.guest_type is made.guest_type
        hidden = not made.policy.guest_x2apic and made.guest_type is not xenapic.GuestType.PV
        assert read.policy.guest_x2apic is not hidden


def test_a_release_with_nothing_to_set_says_so() -> None:
    answer = xenapic.plan(xenapic.Policy(), host("4.20", ".2"))
    assert isinstance(answer, Plan)
    assert settings(answer) == ('type = "pvh"',)
    assert "# Xen 4.20.2 decides for the whole host" in xl_cfg(answer)
    rc = xenapic.plan(
        xenapic.Policy(assisted_x2apic=False),
        xenapic.named_host(xenapic.processor("skylake-sp"), xenapic.xen_release("4.17-rc")),
    )
    assert isinstance(rc, Plan)
    assert settings(rc)[1:] == ("assisted_xapic = 1", "assisted_x2apic = 0")
    assert "libvirt cannot set assisted_xapic = 1, assisted_x2apic = 0" in libvirt_xml(rc)


def test_words_of_others_stay_in_their_comment() -> None:
    made = host("4.20", "--><evil/>\nname = 1\n-")
    answer = xenapic.plan(xenapic.Policy(), made)
    assert isinstance(answer, Plan)
    assert len(ET.fromstring(libvirt_xml(answer))) == 1
    assert [line for line in xl_cfg(answer).splitlines() if not line.startswith("#")] == ['type = "pvh"']


# -- the command -------------------------------------------------------------------------------------


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["plan", *arguments])


def test_the_command() -> None:
    done = run("--processor", "skylake-sp", "--hide-x2apic", "--xl-cfg")
    assert done.exit_code == 0 and 'cpuid = "host,x2apic=0"' in done.stdout
    assert "<domain type='xen'>" in run("--processor", "skylake-sp", "--libvirt-xml").stdout
    refused = run("--processor", "epyc", "--require", "tpr_shadow", "--xl-cfg")
    assert refused.exit_code == 1 and "type =" not in refused.stdout
    assert run("--processor", "epyc", "--xl-cfg", "--json").exit_code == 2


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    for number in range(30):
        name = "epyc" if number % 3 else "skylake-sp"
        made = xenapic.named_host(xenapic.processor(name), xenapic.xen_release("4.20"))
        (tmp_path / f"h{number:02}.json").write_text(json.dumps(to_json(made)))
    return tmp_path


def test_a_pool_is_grouped(pool: Path) -> None:
    done = run("--pool", str(pool), "--require", "virtual_interrupt_delivery")
    assert done.exit_code == 1
    assert done.stdout.startswith(f"20 hosts stand in the way: {pool}/h01.json, {pool}/h02.json")
    assert " and 14 more" in done.stdout and done.stdout.count("aspect-missing") == 1
    document = json.loads(run("--pool", str(pool), "--require", "posted_interrupts", "--json").stdout)
    assert [len(names) for names in document["in_the_way"]] == [20]
    assert len(document["hosts"]) == 30


def test_hosts_that_are_refused_for_other_reasons_are_apart() -> None:
    hosts = {
        "a": xenapic.named_host(xenapic.processor("westmere"), xenapic.xen_release("4.20")),
        "b": xenapic.named_host(xenapic.processor("skylake-sp"), xenapic.xen_release("4.20")),
        "c": xenapic.named_host(xenapic.processor("westmere"), xenapic.xen_release("4.17")),
        "d": host("4.20", start=100),
    }
    made = plan_pool(xenapic.Policy(aspects={xenapic.Aspect.POSTED: xenapic.Want.REQUIRE}), hosts)
    assert made.in_the_way == (("a", "c"), ("d",))


def test_a_bad_report_and_an_empty_directory(pool: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    (pool / "bad.json").write_text("{}")
    bad = run("--pool", str(pool))
    assert bad.exit_code == 2 and "bad.json" in bad.stderr
    empty = run("--pool", str(tmp_path_factory.mktemp("empty")))
    assert empty.exit_code == 2 and "has no report" in empty.stderr

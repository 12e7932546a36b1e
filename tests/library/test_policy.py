"""Creating a domain for a policy: what reaches Xen, what is remembered, what remains."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tests.counting import counted
from tests.library.test_handle import FakeXen
from xenapic.abi.library import Library, load
from xenapic.cli.app import app
from xenapic.errors import PolicyRefused
from xenapic.live import policy_journal
from xenapic.live.owners import this_process
from xenapic.live.policy_store import sweep
from xenapic.live.xen import Xen
from xenapic.model.config import DomainConfig
from xenapic.model.guest_types import GuestType
from xenapic.model.owner import Owner
from xenapic.policy.plan import Plan, Refusal
from xenapic.policy.terms import Aspect, Policy, Want

pytestmark = pytest.mark.library
DEFECT = frozenset({"apic-defect-memory"})


class Development(FakeXen):
    """A 4.17-rc on Intel: both kinds of assistance are offered."""

    def __init__(self, real: Library) -> None:
        super().__init__(real)
        self.misc_flags: list[int] = []
        self.physinfo_calls = 0
        self.ring = b"(XEN) Xen\n(XEN) VMX: Supported advanced features:\n" + b"".join(
            b"(XEN)  - %s\n" % line
            for line in (
                b"APIC MMIO access virtualisation",
                b"APIC TPR shadow",
                b"Virtual Interrupt Delivery",
            )
        )
        self.ring += b"(XEN) HVM: ASIDs enabled.\n"

    def xc_physinfo(self, _xch: Any, info: Any) -> int:
        super().xc_physinfo(_xch, info)
        info.hw_cap[3], info.hw_cap[1] = 0, 1 << 5
        info.arch_capabilities = 3
        self.physinfo_calls += 1
        return 0

    def xc_domain_create(self, _xch: Any, pdomid: Any, config: Any) -> int:
        self.misc_flags.append(config.arch.misc_flags)
        return super().xc_domain_create(_xch, pdomid, config)


@pytest.fixture
def real() -> Library:
    library = load()
    if str(library.release) != "4.17":
        pytest.skip("the interface was in 4.17 alone")
    return library


@pytest.fixture
def fake(real: Library) -> Development:
    return Development(real)


@pytest.fixture
def xen(real: Library, fake: Development, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("XENAPIC_STATE", str(tmp_path / "state"))
    with Xen(replace(real, xenctrl=fake)) as opened:
        yield opened


@pytest.mark.parametrize(
    ("policy", "flags"),
    [
        (Policy(), 6),
        (Policy(assisted_x2apic=False), 2),
        (Policy(aspects={Aspect.X2APIC_MODE: Want.FORBID}), 2),
        (Policy(assisted_xapic=False, accept=DEFECT), 4),
        (Policy(assisted_xapic=False, assisted_x2apic=False, accept=DEFECT), 0),
    ],
)
def test_the_plans_flags_reach_xen(xen: Xen, fake: Development, policy: Policy, flags: int) -> None:
    with xen.create_domain(DomainConfig.pvh(), policy) as domain:
        assert fake.misc_flags == [flags]
        assert domain.policy() == policy
    assert not fake.domains and domain.domid not in fake.domains


def test_one_pass_for_each_create(xen: Xen, fake: Development, monkeypatch: pytest.MonkeyPatch) -> None:
    xen.host()
    calls, physinfo = counted(monkeypatch), fake.physinfo_calls
    with xen.create_domain(DomainConfig.pvh(), Policy()):
        assert calls == ["plan", "check_request"]
        assert fake.physinfo_calls == physinfo + 1
    with xen.create_domain(DomainConfig.pvh()):
        assert calls == ["plan", "check_request", "check_request"]


def test_one_pass_for_the_command(xen: Xen, fake: Development, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = counted(monkeypatch)
    assert run(xen, monkeypatch, "create", "--assisted-x2apic", "no").exit_code == 0
    assert (calls, fake.misc_flags) == (["plan", "check_request"], [2])


def test_a_refused_policy_never_reaches_xen(xen: Xen, fake: Development) -> None:
    with pytest.raises(PolicyRefused) as caught:
        xen.create_domain(DomainConfig.pvh(), Policy(assisted_xapic=False))
    assert [reason.code.value for reason in caught.value.reasons] == ["apic-defect-memory"]
    assert not fake.misc_flags


def test_a_domain_handed_over_keeps_its_policy(xen: Xen, tmp_path: Path) -> None:
    policy = Policy(assisted_x2apic=False)
    with xen.create_domain(DomainConfig.pvh(), policy) as domain:
        domain.release()
    again = xen.domain(domain.domid)
    assert again.policy() == policy
    (kept,) = (tmp_path / "state").glob("*.json")
    again.destroy()
    assert not kept.exists()
    xen.close()
    assert list((tmp_path / "state").iterdir()) == []


def test_a_damaged_or_missing_memory_is_no_policy(xen: Xen, tmp_path: Path) -> None:
    with xen.create_domain(DomainConfig.pvh(), Policy()) as domain:
        (path,) = (tmp_path / "state").iterdir()
        text = path.read_text()
        for damage in (
            text.replace('"apic": {', '"apic": {"tpr_shadow": "maybe", '),
            text[:-9],
            "",
            "[" * 9999,
            "\0",
        ):
            path.write_text(damage)
            assert domain.policy() is None
        path.write_text(text)
        assert domain.policy() == Policy()
        path.unlink()
        assert domain.policy() is None


def test_the_policies_of_many_domains_take_little_room(xen: Xen, tmp_path: Path) -> None:
    """One file for the process, which forgets the domains that are gone; others find the policy by the handle."""
    policies = [Policy(assisted_x2apic=False), Policy()]
    with xen.create_domain(DomainConfig.pvh(), policies[0]) as first:
        for _ in range(1500):
            with xen.create_domain(DomainConfig.pvh(), policies[1]) as domain:
                pass
        with xen.create_domain(DomainConfig.pvh(), policies[1]) as domain:
            assert [xen.domain(each.domid).policy() for each in (first, domain)] == policies
        (path,) = (tmp_path / "state").iterdir()
        assert path.stat().st_size < 100_000
    xen.close()
    assert list((tmp_path / "state").iterdir()) == []


def test_a_line_that_was_cut_does_not_spoil_the_next(
    xen: Xen, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write = os.write
    with xen.create_domain(DomainConfig.pvh(), Policy()) as first:
        monkeypatch.setattr(os, "write", lambda file, data: write(file, data[:20]))
        with xen.create_domain(DomainConfig.pvh(), Policy()) as cut:
            assert cut.policy() is None and "is not remembered" in caplog.text
        monkeypatch.setattr(os, "write", write)
        with xen.create_domain(DomainConfig.pvh(), Policy()) as second:
            assert (first.policy(), second.policy()) == (Policy(), Policy())


def test_a_forked_child_leaves_the_parents_policies_alone(xen: Xen, tmp_path: Path) -> None:
    with xen.create_domain(DomainConfig.pvh(), Policy()) as domain:
        child = os.fork()
        if child == 0:
            try:
                policy_journal.close_unused()
                policy_journal._close_all()
            finally:
                os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        assert domain.policy() == Policy()
        with xen.create_domain(DomainConfig.pvh(), Policy()) as another:
            assert another.policy() == Policy()


def test_the_policies_of_a_killed_program_go_with_its_orphans(
    xen: Xen, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    with xen.create_domain(DomainConfig.pvh(), Policy()) as domain:
        ended = Owner(pid=this_process().pid, namespace=this_process().namespace, digest=1).to_handle()
        theirs = state / f"{ended.hex[:24]}.jsonl"
        theirs.write_text("{}\n")
        (state / "nonsense.jsonl").touch()
        sweep()
        assert domain.policy() == Policy() and not theirs.exists()
        theirs.write_text("{}\n")
        assert run(xen, monkeypatch, "destroy", "--orphans").exit_code == 0
    assert [path.name for path in state.iterdir()] == ["nonsense.jsonl"]


def test_where_nothing_can_be_remembered_the_domain_is_made_all_the_same(
    xen: Xen, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XENAPIC_STATE", str(tmp_path / "file"))
    with xen.create_domain(DomainConfig.pvh(), Policy()) as domain:
        assert domain.policy() is None
    assert "is not remembered" in caplog.text


def test_plan(xen: Xen) -> None:
    assert isinstance(xen.plan(Policy()), Plan)
    assert isinstance(xen.plan(Policy(effects=("nothing-accelerated",))), Refusal)
    assert isinstance(xen.plan(Policy(effects=("nothing-accelerated",)), GuestType.PV), Plan)


# -- the command ----------------------------------------------------------------------------------


def run(xen: Xen, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Any:
    monkeypatch.setattr("xenapic.open", lambda _library=None: xen)
    return CliRunner().invoke(app, arguments)


def test_create_for_a_policy(
    xen: Xen, fake: Development, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "policy.toml"
    path.write_text('[apic]\nvirtualize_x2apic_mode = "forbid"\nguest_type = "hvm"\n')
    done = run(xen, monkeypatch, "create", "--policy", str(path))
    assert (done.exit_code, done.stdout) == (0, "1\n")
    assert fake.misc_flags == [2]


def test_create_refuses_a_policy(xen: Xen, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "guest.cfg"
    path.write_text('name = "a"\ntype = "pvh"\nkernel = "/boot/kernel"\nassisted_xapic = 0\n')
    done = run(xen, monkeypatch, "create", "--policy", str(path))
    assert done.exit_code == 1
    assert "apic-defect-memory" in done.stderr and "Leave it at the host's default" in done.stderr


def test_plan_for_this_host(xen: Xen, monkeypatch: pytest.MonkeyPatch) -> None:
    done = run(xen, monkeypatch, "plan", "--json", "--require", "tpr_shadow")
    assert done.exit_code == 0, done.output
    (planned,) = json.loads(done.stdout)["hosts"].values()
    assert planned["misc_flags"]["names"] == ["ASSISTED_XAPIC", "ASSISTED_X2APIC"]

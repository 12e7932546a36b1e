"""The explorer in a real browser: what it shows is what the library says."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import replace
from errno import errorcode
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from tests.hosts import host as invented_host
from xenapic.apic.features import Technology
from xenapic.apic.processors import PROCESSORS
from xenapic.apic.registers import SLOT_SIZE
from xenapic.apic.state import ApicState
from xenapic.documents import to_json
from xenapic.explorer.hosts import KEYS
from xenapic.model import proposal
from xenapic.model.acceleration import VcpuApic, vcpu_apic_svm
from xenapic.model.facts import Answer, Fact
from xenapic.model.host import Host
from xenapic.model.named import named_host
from xenapic.model.proposal import APIC
from xenapic.model.releases import XEN_RELEASES, xen_release
from xenapic.policy.outlook import AccessRow, access_rows, possible_hosts, rows
from xenapic.policy.plan import Plan, plan
from xenapic.policy.reasons import Code
from xenapic.policy.terms import Policy

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]
Cells = dict[tuple[str, int], str]

READ_CELLS = """
const cells = {};
for (const cell of document.querySelectorAll(`#result${arguments[0]} td`))
  cells[`${cell.dataset.op} ${cell.dataset.slot}`] = cell.dataset.text;
return [cells, (document.querySelector(`#result${arguments[0]} .warn`) || {}).textContent || ""];
"""
FOLLOW = """
const done = arguments[1];
addEventListener("hashchange", () => setTimeout(done), {once: true});
location.hash = arguments[0];
"""
DROP = """
const [name, text, side, done] = arguments;
const transfer = new DataTransfer(), before = reports.size;
transfer.items.add(new File([text], name));
document.getElementById("notice").hidden = true;
document.getElementById(`side${side}`).dispatchEvent(
  new DragEvent("drop", {dataTransfer: transfer, bubbles: true, cancelable: true}));
const wait = () => reports.size > before || !document.getElementById("notice").hidden ? done() : setTimeout(wait, 5);
wait();
"""


class Explorer:
    """The page in the browser, by what a reader can do and see."""

    def __init__(self, browser: Chrome, path: Path) -> None:
        self.browser = browser
        browser.get("about:blank")
        browser.get(path.as_uri())

    def go(self, **choice: str) -> None:
        """Follow a link with these choices; ``b_`` stands for the second one."""
        choice = {"all": "1", **choice}
        parts = (f"{key.replace('b_', 'b.', 1)}={quote(value, safe='')}" for key, value in choice.items())
        fragment = "&".join(parts)
        self.browser.execute_script(
            "history.replaceState(null, '', `#${arguments[0]}`); fromAddress();", fragment
        )

    def address(self) -> str:
        return str(self.browser.execute_script("return location.hash.slice(1)"))

    def shown(self, which: int = 0) -> tuple[Cells, str]:
        """The text of every cell, by operation and offset, and the warning."""
        cells, warning = self.browser.execute_script(READ_CELLS, which)
        return {_place(key): text for key, text in cells.items()}, warning

    def text(self, css: str) -> str:
        return str(self.browser.execute_script(f"return document.querySelector({json.dumps(css)}).innerText"))

    def choose(self, name: str, value: str) -> None:
        """Choose in one of the page's lists, as a reader does."""
        from selenium.webdriver.common.by import By
        from selenium.webdriver.support.ui import Select

        Select(self.browser.find_element(By.ID, name)).select_by_value(value)

    def drop(self, name: str, text: str, side: int = 0) -> None:
        """Drop a file onto a choice."""
        self.browser.execute_async_script(DROP, name, text, side)


def _place(key: str) -> tuple[str, int]:
    operation, slot = key.split()
    return ("read", "write")[int(operation)], int(slot) * SLOT_SIZE


@pytest.fixture(scope="module")
def explorer(chromium: Chrome, page: Path) -> Iterator[Explorer]:
    explorer = Explorer(chromium, page)
    yield explorer
    errors = [
        entry
        for entry in chromium.execute("getLog", {"type": "browser"})["value"]
        if entry["level"] == "SEVERE"
    ]
    assert not errors


def cells(accesses: Iterator[AccessRow]) -> Cells:
    """What the page should show for these accesses."""
    texts: dict[tuple[str, int], list[str]] = {}
    for row in accesses:
        text = f"{row.value}: {row.outcome}" if row.value else str(row.outcome)
        texts.setdefault((row.operation.value, int(row.register.offset)), []).append(text)
    return {place: "; ".join(each) for place, each in texts.items()}


def planned(host: Host, policy: Policy | None = None) -> Plan:
    policy = replace(policy or Policy(), accept=frozenset({Code.DEFECT_MEMORY.value}))
    result = plan(policy, host)
    assert isinstance(result, Plan)
    return result


EXAMPLES = ("skylake-sp", "sandy-bridge-ep", "penryn", "zen2")
STATES = tuple(ApicState)


def test_every_release_option_and_state_shows_what_the_library_says(explorer: Explorer) -> None:
    assert set(EXAMPLES) <= set(PROCESSORS)
    tables = set()
    every = product(EXAMPLES, (XEN_RELEASES[-1], xen_release("4.17-rc")), ("", "apicv=0"), STATES)
    for name, release, options, state in every:
        given = {"processor": name, "xen": release.name, "state": state.value}
        explorer.go(**given, **({"options": options} if options else {}))
        shown, _ = explorer.shown()
        assert shown == cells(
            access_rows(planned(named_host(PROCESSORS[name], release, options)), state, everything=True)
        ), given
        tables.add(tuple(shown.items()))
    assert len(tables) >= 8


def test_the_flags_of_4_17_rc(explorer: Explorer) -> None:
    flags = {"": None, "1": True, "0": False}
    for name, xapic, x2apic, state in product(
        ("skylake-sp", "sandy-bridge-ep"), flags, flags, (ApicState.XAPIC, ApicState.X2APIC)
    ):
        given = {"processor": name, "xen": "4.17-rc", "state": state.value}
        given |= {"assisted_xapic": xapic} if xapic else {}
        given |= {"assisted_x2apic": x2apic} if x2apic else {}
        explorer.go(**given)
        policy = Policy(
            assisted_xapic=flags[xapic],
            assisted_x2apic=flags[x2apic],
            accept=frozenset({Code.DEFECT_MEMORY.value}),
        )
        answer = plan(policy, named_host(PROCESSORS[name], xen_release("4.17-rc")))
        shown, warning = explorer.shown()
        if isinstance(answer, Plan):
            assert shown == cells(access_rows(answer, state, everything=True)), given
            assert ("plain memory" in warning) is (
                name == "skylake-sp" and xapic == "0" and state is ApicState.XAPIC
            ) or name != "skylake-sp"
        else:
            assert not shown and all(reason.code.value in warning for reason in answer.reasons)


def test_the_proposal(explorer: Explorer) -> None:
    chance = random.Random(12)
    refused = 0
    for name, _ in product(EXAMPLES, range(6)):
        words = [chance.choice("dd+-") for _ in APIC]
        pairs = list(zip(APIC, words, strict=True))
        on, off = (APIC(sum(bit for bit, word in pairs if word == wanted)) for wanted in "+-")
        state = chance.choice(STATES)
        host = named_host(PROCESSORS[name], XEN_RELEASES[-1])
        controls = possible_hosts(host)[0]
        asked = " ".join(f"{word}{bit.name}" for bit, word in pairs if word != "d")
        explorer.go(processor=name, xen=XEN_RELEASES[-1].name, state=state.value, proposal=asked)
        shown, warning = explorer.shown()
        answer = proposal.resolve(proposal.available(controls), on, off)
        if isinstance(answer, proposal.Refused):
            refused += 1
            assert not shown and f"{errorcode[answer.errno]}: {answer.rule}" in warning
            assert all(str(bit.name) in warning for bit in APIC if bit in answer.bits)
            continue
        vcpu: VcpuApic = vcpu_apic_svm(state)
        if host.technology is Technology.VMX:
            vcpu = proposal.vcpu(controls, answer, state)
        assert shown == cells(rows((vcpu,), everything=True)), (name, asked)
    assert 5 < refused < 20


def with_facts(host: Host, **answers: Answer) -> Host:
    facts = {key: Fact(answer, "invented for this test", "ask") for key, answer in answers.items()}
    return replace(host, features={**host.features, **facts})


def test_a_dropped_report_is_looked_up_by_its_facts(explorer: Explorer) -> None:
    """Also where facts are unknown, and in combinations that no processor of the table has."""
    chance = random.Random(7)
    explorer.go(processor="zen2", xen="4.20", state="xapic")
    for number in range(8):
        base = invented_host()
        host = with_facts(base, **{key: chance.choice(tuple(Answer)) for key in KEYS})
        explorer.drop(f"report{number}.json", json.dumps(to_json(host)))
        state = chance.choice(STATES)
        explorer.choose("state0", str(STATES.index(state)))
        shown, _ = explorer.shown()
        assert shown == cells(access_rows(planned(host), state, everything=True))
        assert f"report=report{number}" in explorer.address()
        link = explorer.address()
        explorer.go(processor="zen2", xen="4.20", state="xapic")
        explorer.browser.execute_async_script(FOLLOW, link)  # the link alone shows the same
        assert explorer.shown()[0] == shown
    assert "invented for this test" in explorer.text("#detail")


def test_a_dropped_recording(explorer: Explorer) -> None:
    explorer.go(processor="zen2", xen="4.20", state="xapic")
    for file in sorted((Path(__file__).parent.parent / "data/observed").glob("*.json")):
        recording = json.loads(file.read_text())
        explorer.drop(file.name, file.read_text())
        host = named_host(
            PROCESSORS[recording["processor"]],
            xen_release(recording["xen"]),
            " ".join(recording["xen_options"]),
        )
        assert explorer.shown()[0] == cells(access_rows(planned(host), ApicState.XAPIC, everything=True)), (
            file.name
        )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("no json", "it is no JSON"),
        ("{}", "neither a host report"),
        ("null", "neither a host report"),
        ('{"schema": "xenapic/host/1", "release": "9.9"}', "9.9, which this page does not know"),
        (
            '{"physinfo": {}, "xen_options": [], "processor": "nonsense", "xen": "4.20"}',
            "does not name a processor",
        ),
    ],
)
def test_a_file_that_is_something_else_is_not_taken(explorer: Explorer, text: str, says: str) -> None:
    explorer.go(processor="zen2", xen="4.20", state="xapic")
    before = explorer.address()
    explorer.drop("<img src=x onerror=alert(1)>.json", text)
    assert says in explorer.text("#notice") and "<img src=x" in explorer.text("#notice")
    assert explorer.address() == before


def test_choosing_and_comparing_by_hand(explorer: Explorer) -> None:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    explorer.go(processor="zen2", xen="4.20", state="xapic")
    for name, value in (
        ("host0", "skylake-sp"),
        ("xen0", "4.17"),
        ("state0", str(STATES.index(ApicState.X2APIC))),
    ):
        explorer.choose(name, value)
    assert "processor=skylake-sp&xen=4.17&state=x2apic" in explorer.address()
    explorer.browser.find_element(By.ID, "compare").click()
    explorer.choose("options1", "1")
    first, second = (
        cells(
            access_rows(
                planned(named_host(PROCESSORS["skylake-sp"], xen_release("4.17"), options)),
                ApicState.X2APIC,
                everything=True,
            )
        )
        for options in ("", "apicv=0")
    )
    assert (explorer.shown(0)[0], explorer.shown(1)[0]) == (first, second)
    differing = sum(first[place] != second[place] for place in first)
    assert explorer.text("#differences h2") == f"{differing} of {len(first)} accesses differ"
    assert len(explorer.browser.find_elements(By.CSS_SELECTOR, "#result1 td.differs")) == differing
    cell = explorer.browser.find_element(By.CSS_SELECTOR, "#map01 td[data-slot='8']")
    cell.click()
    for key in (Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT):
        explorer.browser.switch_to.active_element.send_keys(key)
    detail = explorer.text("#detail")
    assert "write of EOI, MSR 80B" in detail
    assert "EOI virtualization" in detail and "WRMSR (32)" in detail and "vmx_vlapic_msr_changed" in detail
    explorer.browser.switch_to.active_element.send_keys(Keys.HOME)
    assert explorer.browser.switch_to.active_element.get_attribute("data-slot") == "0"


def test_a_link_to_what_the_page_lacks_is_said(explorer: Explorer) -> None:
    explorer.go(processor="i9-nonsense", xen="4.99", state="<b>")
    assert all(part in explorer.text("#notice") for part in ("i9-nonsense", "4.99", "state=<b>"))
    assert len(explorer.shown()[0]) == 512
    explorer.go(host="4.20:V.yyyyyyz.nn", proposal="+NONSENSE")
    assert all(part in explorer.text("#notice") for part in ("yyyyyyz", "+NONSENSE"))


def test_a_narrow_screen_needs_no_sideways_scrolling(explorer: Explorer) -> None:
    metrics = {"width": 360, "height": 700, "deviceScaleFactor": 1, "mobile": True}
    explorer.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        explorer.go(
            processor="skylake-sp",
            xen="4.17-rc",
            state="xapic",
            b_processor="zen2",
            b_xen="4.20",
            b_state="x2apic",
            b_proposal="-POSTED",
        )
        assert explorer.browser.execute_script("return document.documentElement.scrollWidth") <= 360
    finally:
        explorer.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_it_loads_nothing(explorer: Explorer) -> None:
    assert explorer.browser.execute_script("return performance.getEntriesByType('resource').length") == 0

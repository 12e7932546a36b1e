"""The glossary explains everything that exists, has no dead references, and is found by any spelling."""

from __future__ import annotations

import ast
import json
import os
import runpy
import subprocess
import sys
from enum import IntFlag
from pathlib import Path

import jsonschema
import pytest
from click.testing import CliRunner

from xenapic.apic.controls import ENTRY_RULES
from xenapic.apic.features import FEATURES
from xenapic.apic.outcome import Completion, Kind, SvmExit, VmxExit
from xenapic.apic.processors import PROCESSORS
from xenapic.apic.registers import REGISTERS
from xenapic.apic.state import ApicState
from xenapic.cli.app import app
from xenapic.documents import schema_text
from xenapic.errors import XenApicError, errno_name
from xenapic.glossary import TopicKind, find, names, near, prose, source, topics
from xenapic.glossary.controls import saved_by
from xenapic.glossary.policies import remedies_of
from xenapic.glossary.topic import Topic
from xenapic.model import create, rules
from xenapic.model.defects import DEFECTS
from xenapic.model.flags import CDF, EMU, MISC, PHYSCAP, PHYSCAP_X86
from xenapic.model.releases import XEN_RELEASES
from xenapic.policy.cautions import CautionCode
from xenapic.policy.reasons import Code
from xenapic.policy.terms import EFFECTS, Aspect, Want

ROOT = Path(__file__).parent.parent.parent
MUST = {
    TopicKind.CONTROL: [row.key for row in FEATURES],
    TopicKind.ENTRY_RULE: [rule.code for rule in ENTRY_RULES],
    TopicKind.STATE: [state.value for state in ApicState],
    TopicKind.REGISTER: [row.symbol for row in REGISTERS.values()],
    TopicKind.OUTCOME: [kind.value for kind in Kind],
    TopicKind.COMPLETION: [one.value for one in Completion],
    TopicKind.EXIT: [one.name for one in (*VmxExit, *SvmExit)],
    TopicKind.SETTING: ["assisted_xapic", "assisted_x2apic"],
    TopicKind.FLAG: [
        f"{word.__name__}.{flag.name}" for word in (MISC, PHYSCAP, PHYSCAP_X86, CDF, EMU) for flag in word
    ],
    TopicKind.RELEASE: [release.name for release in XEN_RELEASES],
    TopicKind.DEFECT: [row.code for row in DEFECTS],
    TopicKind.WANT: [want.value for want in Want],
    TopicKind.EFFECT: [row.name for row in EFFECTS],
    TopicKind.REFUSAL: [code.value for code in Code if code is not Code.DEFECT_MEMORY],
    TopicKind.WARNING: [code.value for code in CautionCode],
    TopicKind.CREATE_RULE: [rule.code for rule in rules.RULES],
    TopicKind.ERRNO: [errno_name(rule.errno) for rule in rules.RULES if rule.errno is not None],
    TopicKind.PROCESSOR: list(PROCESSORS),
}


def test_names_are_unique() -> None:
    every = [name for kind in TopicKind for name in source(kind).names()]
    assert len(every) == len(set(every)) and every == list(names())


def test_the_index_is_that_of_the_topics() -> None:
    written = runpy.run_path(str(ROOT / "tools/write_index.py"))
    assert written["INDEX"].read_text() == written["index"](), "run `make index`"


def test_only_the_topic_that_is_asked_for_is_built() -> None:
    """Looking up a term loads neither the rules of Xen nor the policies, and reads no docstring."""
    code = (
        "import sys; from xenapic.glossary import find; "
        "assert find('x2apic')[0].name == 'x2apic'; "
        "print(*[m for m in sys.modules if m.startswith('xenapic.')], *{'ast', 'inspect'} & {*sys.modules})"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert set(loaded.split()) == {
        "xenapic.apic", "xenapic.apic.state", "xenapic.glossary", "xenapic.glossary.hostoptions",
        "xenapic.glossary.prose",
        "xenapic.glossary.states", "xenapic.glossary.topic",
    }  # fmt: skip


def test_texts_do_not_depend_on_docstrings() -> None:
    """With -OO Python drops docstrings; every topic stays the same."""
    code = "from xenapic.glossary import topics; print(hash(str([*topics().values()])))"
    texts = {
        subprocess.run(
            [sys.executable, *options, "-c", code], capture_output=True, text=True, check=True,
            env={**os.environ, "PYTHONHASHSEED": "0"},
        ).stdout
        for options in ((), ("-OO",))
    }  # fmt: skip
    assert len(texts) == 1


@pytest.mark.parametrize("word", [MISC, PHYSCAP, PHYSCAP_X86, CDF, EMU])
def test_every_flag_has_a_text(word: type[IntFlag]) -> None:
    assert all(prose.FLAGS[f"{word.__name__}.{member.name}"] for member in word)


@pytest.mark.parametrize("kind", MUST, ids=lambda kind: kind.value)
def test_everything_has_a_topic(kind: TopicKind) -> None:
    assert {topic.name for topic in topics().values() if topic.kind is kind} >= set(MUST[kind])


def test_every_aspect_and_every_code_can_be_explained() -> None:
    for name in (*(aspect.value for aspect in Aspect), *(code.value for code in Code)):
        assert name in topics()


def test_every_code_that_check_gives_in_addition_to_the_rules() -> None:
    calls = [
        node for node in ast.walk(ast.parse(Path(create.__file__).read_text())) if isinstance(node, ast.Call)
    ]
    codes = {
        str(keyword.value.value)
        for call in calls
        for keyword in call.keywords
        if keyword.arg == "code" and isinstance(keyword.value, ast.Constant)
    }
    assert codes == set(prose.OWN_CODES) <= set(topics())


def test_every_error_class() -> None:
    waiting = [XenApicError]
    while waiting:
        kind = waiting.pop()
        waiting += kind.__subclasses__()
        if kind.__module__.startswith("xenapic.") and ".cli." not in kind.__module__:
            assert [one.name for one in find(kind.__name__)] == [kind.code]


def test_nothing_dangles() -> None:
    assert [(t.name, name) for t in topics().values() for name in t.see if name not in topics()] == []


def test_every_topic_says_something() -> None:
    assert [topic.name for topic in topics().values() if not (topic.title and topic.text.strip())] == []


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("virtual-interrupt delivery", "virtual_interrupt_delivery"),
        ("Use TPR Shadow", "tpr_shadow"),
        ("TPR shadow", "tpr_shadow"),
        ("0x80B", "EOI"),
        ("80bh", "EOI"),
        ("MSR 80b", "EOI"),
        ("0x0b0", "EOI"),
        ("0xB0", "EOI"),
        ("APIC_ICR", "ICR"),
        ("44", "APIC_ACCESS"),
        ("exit reason 56", "APIC_WRITE"),
        ("einval", "EINVAL"),
        ("ENOTSUP", "EOPNOTSUPP"),
        ("0x48e", "MSR 0x482/0x48E"),
        ("XEN_X86_ASSISTED_XAPIC", "MISC.ASSISTED_XAPIC"),
        ("Xen 4.17-rc", "4.17-rc"),
        ("XSA-412", "apic-access-page-shared"),
        ("ASPECT-IMPOSED", "aspect-imposed"),
        ("0x840", "reserved 400"),
        ("0x3f8", None),
        ("", None),
        ("nonsense", None),
    ],
)
def test_spellings(text: str, name: str | None) -> None:
    assert [topic.name for topic in find(text)] == ([name] if name else [])


def test_every_topic_is_found_by_its_name_and_title() -> None:
    for topic in topics().values():
        assert topic in find(topic.name) and topic in find(topic.title)


def test_near_misses() -> None:
    assert near("tpr_shadwo")[0] == "tpr_shadow"
    assert "assisted_xapic" in near("asisted_xapic")
    assert near("qqqqqqqq") == []


def test_what_stays_by_a_control_is_the_tables() -> None:
    state, read, write = ApicState.XAPIC, *("read", "write")
    found = {(s, op.value): offsets for (s, op), offsets in saved_by("virtual_interrupt_delivery").items()}
    assert found[(state, write)] == [0x0B0, 0x300] and (state, read) not in found
    found = {(s, op.value): offsets for (s, op), offsets in saved_by("apic_register_virtualization").items()}
    assert 0x030 in found[(state, read)] and 0x080 not in found[(state, read)]


def test_a_register_tells_each_situation() -> None:
    (topic,) = find("EOI")
    assert "xAPIC with APICv, write: stays; EOI virtualization" in topic.effect
    assert "4.17-rc without the xAPIC flag, write: memory" in topic.effect


def test_every_code_of_refusal_has_remedies() -> None:
    assert all(remedies_of().values())


def shown(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["explain", *arguments])
    assert done.exit_code == 0, done.output
    return done.output


def test_explain() -> None:
    text = shown("virtual-interrupt", "delivery")
    assert "control virtual_interrupt_delivery" in text and 'SDM: volume 3C, "Evaluation' in text
    assert shown("assisted_x2apic").count("assisted_x2apic)") == 1


def test_explain_lists_everything() -> None:
    text = " ".join(shown().split())
    assert all(name in text for name in topics()) and all(f"{kind.value}:" in text for kind in TopicKind)


def test_explain_of_what_is_unknown() -> None:
    done = CliRunner().invoke(app, ["explain", "tpr_shadwo"])
    assert done.exit_code == 2 and "did you mean tpr_shadow?" in done.stderr
    assert CliRunner().invoke(app, ["explain", "qqqqqqqq"]).exit_code == 2


@pytest.mark.parametrize("arguments", [["0x80B"], []])
def test_explain_as_json(arguments: list[str]) -> None:
    document = json.loads(shown("--json", *arguments))
    jsonschema.validate(document, json.loads(schema_text("explain")))
    assert [one["name"] for one in document["topics"]] == (["EOI"] if arguments else list(topics()))


def test_a_topic_is_a_value() -> None:
    assert Topic("a", TopicKind.TERM, "a", "a") == Topic("a", TopicKind.TERM, "a", "a")

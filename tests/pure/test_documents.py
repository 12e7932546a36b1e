"""Documents: written and read without loss, refused with the place named, described by their schemas."""

from __future__ import annotations

import copy
import json
import pkgutil
import runpy
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import xenapic
from tests.documents import LIBRARY_VALUES, NAMES, document_values, real_values
from tests.hosts import host
from xenapic import documents
from xenapic.documents import DOCUMENTS, VERSION, document_type, from_json, schema_text, to_json
from xenapic.errors import DocumentInvalid
from xenapic.model.host import Host
from xenapic.parse.codec import decode, encode
from xenapic.policy.plan import plan
from xenapic.policy.pool import plan_pool
from xenapic.policy.terms import Aspect, Policy, Want

ROOT = Path(__file__).parent.parent.parent
SLOW = settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large], deadline=None)
FEW = settings(SLOW, max_examples=20)


def validator(name: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(json.loads(schema_text(name)))


def through_text(data: Any) -> Any:
    return json.loads(json.dumps(data))


# -- both directions --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
@FEW
def test_a_document_reads_back_equal_and_follows_its_schema(name: str, data: st.DataObject) -> None:
    document = data.draw(document_values(name))
    written = through_text(encode(document))
    assert next(iter(written.items())) == ("schema", f"xenapic/{name}/{VERSION}")
    assert decode(document_type(name), written) == document
    validator(name).validate(written)


@pytest.mark.parametrize("name", LIBRARY_VALUES)
@given(data=st.data())
@FEW
def test_a_value_of_the_library_reads_back_equal(name: str, data: st.DataObject) -> None:
    value = data.draw(LIBRARY_VALUES[name])
    text = json.dumps(to_json(value))
    assert json.loads(text)["schema"] == f"xenapic/{name}/{VERSION}"
    again = from_json(text, type(value))
    assert again == value
    assert to_json(again) == json.loads(text)


def test_keys_of_a_later_version_are_skipped() -> None:
    written = through_text(to_json(host()))
    written["later"] = [1]
    written["grant_limits"]["later"] = None
    written["features"]["later"] = written["interface"]
    written["features"]["tpr_shadow"]["later"] = {}
    assert from_json(written) == host()


def test_an_older_report_lacks_facts() -> None:
    written = through_text(to_json(host()))
    for key in ("tboot", "flask", "nested_virt", "altp2m", "measurement"):
        del written[key]
    del written["features"]["x2avic"]
    old = from_json(written, Host)
    assert not old.tboot.known and not old.features["x2avic"].known and old.measured is None
    assert old.version == host().version and old.features["tpr_shadow"] == host().features["tpr_shadow"]


def test_what_takes_a_domain_on_the_host_takes_it_on_its_report() -> None:
    made = host()
    assert plan(Policy(), from_json(to_json(made), Host)) == plan(Policy(), made)


# -- what is refused ----------------------------------------------------------------------------------

Place = tuple[tuple[str | int, ...], str]


def places(data: Any, keys: tuple[str | int, ...] = (), path: str = "") -> Iterator[Place]:
    """Every place in a document, as the keys that lead there and as errors write it."""
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, inner in items:
        if isinstance(key, int):
            step = f"{path}[{key}]"
        elif key.replace("-", "_").isidentifier():
            step = f"{path}.{key}" if path else key
        else:
            step = f"{path}[{json.dumps(key)}]"
        yield (*keys, key), step
        yield from places(inner, (*keys, key), step)


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
@FEW
def test_an_error_names_the_place(name: str, data: st.DataObject) -> None:
    """The schema, which another tool made, says whether the change does harm."""
    written = through_text(encode(data.draw(document_values(name))))
    keys, path = data.draw(st.sampled_from(list(places(written))))
    changed = copy.deepcopy(written)
    around = changed
    for key in keys[:-1]:
        around = around[key]
    if isinstance(keys[-1], str) and data.draw(st.booleans(), "remove the key"):
        del around[keys[-1]]
    else:
        around[keys[-1]] = data.draw(st.sampled_from([7, "text", None, True, [[[]]], {"a": {"b": {}}}]))
    try:
        decode(document_type(name), changed)
    except DocumentInvalid as error:
        assert error.path.startswith(path), f"{error}, and {path} was changed"
        assert str(error) == f"{error.path}: {error.message}"
        assert not any(word in error.message for word in ("NoneType", "dict", "KeyError", "True", "None "))
    else:
        assert validator(name).is_valid(changed)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"features": {"tpr_shadow": {"answer": "yes", "source": 7, "how": None}}},
         "features.tpr_shadow.source: expected text, got 7"),
        ({"features": {"a b": 3}}, 'features["a b"]: expected an object, got 3'),
        ({"physinfo": {}}, "physinfo.threads_per_core: the key is missing"),
        ({"technology": "ARM"}, 'technology: expected one of "VMX", "SVM" or null, got "ARM"'),
        ({"interface": True}, "interface: expected an object, got true"),
        ({"interface": {"answer": [], "source": "", "how": ""}},
         'interface.answer: expected one of "yes", "no", "unknown", got a list'),
        ({"schema": "xenapic/host/2"}, "schema: unknown schema \"xenapic/host/2\""),
    ],
)  # fmt: skip
def test_errors_are_for_people(change: dict[str, Any], message: str) -> None:
    with pytest.raises(DocumentInvalid) as caught:
        from_json({**to_json(host()), **change})
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    "changes",
    [("physinfo", "hw_cap", "abc"), ("version", "commandline", None), ("physinfo", "nr_cpus", True),
     ("physinfo", "capabilities", {"value": -1, "names": []})],
)  # fmt: skip
def test_types_are_exact(changes: tuple[str, str, Any]) -> None:
    section, key, value = changes
    written = through_text(to_json(host()))
    written[section][key] = value
    with pytest.raises(DocumentInvalid, match=rf"^{section}\.{key}"):
        from_json(written)


@pytest.mark.parametrize("text", ["", "{", "[1", b"\xff", "[" * 100_000])
def test_what_is_no_json(text: str | bytes) -> None:
    with pytest.raises(DocumentInvalid, match="not JSON"):
        from_json(text)


@pytest.mark.parametrize(
    "data", ["[]", "null", "7", "{}", '{"schema": 7}', '{"schema": "xenapic/nonsense/1"}']
)
def test_what_is_no_document(data: str) -> None:
    with pytest.raises(DocumentInvalid):
        from_json(data)


def test_another_document_than_the_one_expected() -> None:
    with pytest.raises(DocumentInvalid, match="expected a document of a Host, got xenapic/host-plan/1"):
        from_json(to_json(plan(Policy(), host())), Host)


def test_a_value_without_a_document() -> None:
    with pytest.raises(TypeError, match="no JSON document for a int"):
        to_json(7)


def test_a_policy_with_an_unknown_effect() -> None:
    written = to_json(plan(Policy(), host()))
    written["policy"]["effects"] = ["nonsense"]
    with pytest.raises(DocumentInvalid, match="^policy: .*nonsense"):
        from_json(written)


# -- schemas --------------------------------------------------------------------------------------------


def test_shipped_schemas_are_those_that_the_classes_give() -> None:
    script = runpy.run_path(str(ROOT / "tools/write_schemas.py"))
    shipped = {path.stem: path.read_text() for path in script["SCHEMAS"].glob("*.json")}
    made = {name: script["text"](name) for name in DOCUMENTS}
    assert shipped == made, "run `make schemas`"


@pytest.mark.parametrize("name", NAMES)
def test_schemas(name: str) -> None:
    schema = json.loads(schema_text(name))
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$schema"].endswith("2020-12/schema") and schema["$id"].endswith(f":{name}:{VERSION}")
    assert not validator(name).is_valid({})
    assert not validator(name).is_valid({"schema": f"xenapic/{name}/{VERSION}"})
    assert '"description"' in schema_text(name)


def test_every_document_says_its_name() -> None:
    for name, homes in DOCUMENTS.items():
        for home in homes:
            module, _, kind = home.partition(":")
            found = getattr(__import__(f"xenapic.{module}", fromlist=[kind]), kind)
            assert f"xenapic/{name}/{VERSION}" == found.SCHEMA
    with pytest.raises(KeyError):
        schema_text("nonsense")


# -- from outside ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with some documents of each name."""
    folder = tmp_path_factory.mktemp("documents")

    @given(data=st.data())
    @settings(SLOW, max_examples=3, database=None)
    def write(data: st.DataObject) -> None:
        for name in NAMES:
            path = folder / f"{name}-{len(list(folder.iterdir()))}.json"
            path.write_text(json.dumps(to_json(data.draw(real_values(name)))))

    write()
    return folder


def test_a_program_outside_the_package_reads_and_writes_each_document(examples: Path) -> None:
    program = ROOT / "tests" / "data" / "programs" / "documents.py"
    done = subprocess.run([sys.executable, program, examples], capture_output=True, text=True, cwd=examples)
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) == set(NAMES)


def test_importing_documents_is_light() -> None:
    code = "import sys, xenapic.documents; print(*[m for m in sys.modules if m.startswith('xenapic.')])"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert set(loaded.split()) == {
        "xenapic.documents", "xenapic.errors", "xenapic.parse", "xenapic.parse.codec", "xenapic.parse.files",
        "xenapic.parse.flagnames", "xenapic.parse.jsonforms", "xenapic.parse.jsontext",
    }  # fmt: skip
    assert documents.VERSION == 1


def classes_with_a_schema() -> set[str]:
    """Every class of the package that is a document."""
    classes = set()
    for module in pkgutil.walk_packages(xenapic.__path__, "xenapic."):
        if not module.name.endswith("__main__") and ".guest." not in module.name:
            for value in vars(import_module(module.name)).values():
                if isinstance(value, type) and "SCHEMA" in vars(value):
                    classes.add(f"{value.__module__.removeprefix('xenapic.')}:{value.__name__}")
    return classes


def test_every_document_is_in_the_list_and_so_in_these_tests() -> None:
    assert classes_with_a_schema() == {home for homes in DOCUMENTS.values() for home in homes}
    read_back = {name for name in NAMES if hasattr(document_type(name), "value")}
    assert read_back == set(LIBRARY_VALUES)


def test_a_report_of_an_unknown_release_is_refused_by_its_place() -> None:
    refused = to_json(plan(Policy(aspects={Aspect.X2APIC_MODE: Want.REQUIRE}), host(log=b"(XEN) nothing\n")))
    pool = to_json(plan_pool(Policy(), {"a host": host()}))
    documents_and_places: list[tuple[Any, Any, str]] = [
        (report := to_json(host()), report["version"], "version"),
        (made := to_json(plan(Policy(), host())), made["plan"]["host"]["version"], "plan.host.version"),
        (refused, refused["host"]["version"], "host.version"),
        (pool, pool["hosts"]["a host"]["host"]["version"], 'hosts["a host"].host.version'),
    ]
    for document, version, place in documents_and_places:
        version["minor"] = 99
        with pytest.raises(DocumentInvalid) as caught:
            from_json(document)
        assert caught.value.path == place and "4.99" in str(caught.value)

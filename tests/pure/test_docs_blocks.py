"""Every code block of README and the documentation: what needs no Xen runs, and shows what it shows."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

import xenapic
from xenapic.cli.app import app
from xenapic_docs.blocks import CHECKED, ROOT, Block, Session, blocks, pages, updated, xenapic_calls

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ALL = [block for page in pages() for block in blocks(page)]
CONSOLE = [block for block in ALL if block.language == "console"]


def of(language: str, *, on_xen: bool = False) -> list[Block]:
    return [block for block in ALL if block.language == language and block.on_xen is on_xen]


def page_id(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return Session(tmp_path)


def test_every_block_is_of_a_kind_that_is_checked() -> None:
    assert {block.language for block in ALL} <= {*CHECKED, "text", "c"}
    words = {word for block in ALL for word in block.words if word != block.name}
    assert words == {"on-xen"}


@pytest.mark.parametrize("page", pages(), ids=page_id)
def test_no_block_is_indented(page: Path) -> None:
    """An indented block has no language, so nothing would check it."""
    outside = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    assert re.findall(r"\n\n {4}\S.*", outside) == []


@pytest.mark.parametrize("page", pages(), ids=page_id)
def test_no_output_is_cut(page: Path) -> None:
    assert [block for block in blocks(page) if "…" in block.text] == []


@pytest.mark.parametrize("page", pages(), ids=page_id)
def test_output_is_what_the_commands_print(page: Path) -> None:
    assert updated(page) == page.read_text(), (
        "the output changed: run `make outputs` and look at the difference"
    )


@pytest.mark.parametrize("page", pages(), ids=page_id)
def test_commands_without_output_run(page: Path, session: Session) -> None:
    for block in blocks(page):
        session.save(block)
        if block.language != "console" or block.on_xen:
            continue
        for command in block.commands:
            if not command.output.strip():
                status, text = session.run(command.line)
                assert status in (0, 1) and "Traceback" not in text, f"{command.line}\n{text}"


@pytest.mark.parametrize("block", [*CONSOLE, *of("sh")], ids=str)
def test_commands_have_the_options_that_are_used(
    block: Block, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(session.directory)
    monkeypatch.setattr(click.Command, "invoke", lambda self, context: None)
    added = re.findall(r"^(?:\$ )?xenapic lab (?:add|build) (\S+)", block.text, re.MULTILINE)
    for module in ("added", "catalog"):
        monkeypatch.setattr(f"xenapic.lab.{module}.added_names", lambda: added)
    lines = [command.line for command in block.commands] if block.language == "console" else [block.text]
    for saved in blocks(block.page):
        session.save(saved)
    for arguments in xenapic_calls("\n".join(lines)):
        app.main(arguments, prog_name="xenapic", standalone_mode=False)


@pytest.mark.parametrize("block", of("sh"), ids=str)
def test_shell_lines_name_what_exists(block: Block) -> None:
    subprocess.run(["bash", "-n", "-c", block.text], check=True)
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert phony is not None and set(re.findall(r"\bmake ([\w-]+)", block.text)) <= set(phony[1].split())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(re.findall(r"xenapic\[(\w+)\]", block.text)) <= set(project["optional-dependencies"])


@pytest.mark.parametrize("block", of("python"), ids=str)
def test_python_runs_without_a_xen(block: Block, session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_xen(*_args: object) -> None:
        raise AssertionError(f"{block} opens Xen: mark it on-xen")

    monkeypatch.chdir(session.directory)
    monkeypatch.setattr(xenapic, "open", no_xen)
    exec(compile(block.text, str(block), "exec"), {"__name__": "__main__"})


@pytest.mark.parametrize("block", of("toml"), ids=str)
def test_policies_are_policies(block: Block, session: Session) -> None:
    assert block.name is not None
    session.save(block)
    status, text = session.run(f"xenapic plan {block.name} --processor granite-rapids --xen 4.20")
    assert status in (0, 1) and re.search(r"granite-rapids", text), text


def test_output_that_changed_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "```console\n$ echo one\nold\n\n$ echo two\n```\n\n```console on-xen\n$ echo three\nkept\n```\n"
    )
    assert updated(page) == page.read_text().replace("old", "one")


def test_calls_are_found_in_shell_text() -> None:
    text = 'id=$(xenapic create --vcpus 2); xenapic inspect "$id" | xenapic x > f\nxenapic lab run -- xenapic host'
    assert xenapic_calls(text) == [
        ["create", "--vcpus", "2"], ["inspect", "1"], ["x"], ["lab", "run", "--", "xenapic", "host"], ["host"],
    ]  # fmt: skip

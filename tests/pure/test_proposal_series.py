"""The patch series for somebody's tree: made-up trees, and what is said when a place is not as expected."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from xenapic.cli.app import app
from xenapic.errors import TreeUnexpected
from xenapic.proposal.bochs import ALIGNED
from xenapic.proposal.change import PATCHES
from xenapic.proposal.edit import changed, extent
from xenapic.proposal.places import How, NewFile, Patch, Place, fragment
from xenapic.proposal.series import apply, change_digest, changed_files, messages

INTR = """\
#include <xen/lib.h>

int helper(int a);

static int helper_two(int a)
{
    return has_feature;
}

void assist(struct vcpu *v,
            int a)
{
    int vector;

    if ( has_feature )
    {
        first();
    }

    if ( !has_feature &&
         other )
        second();
}
"""
TREE = {
    "xen/Makefile": "export XEN_VERSION = 4\nexport XEN_SUBVERSION = 17\n",
    "xen/a/intr.c": INTR,
    "xen/a/Makefile": "obj-y += apic.o\n",
    "xen/a/domain.h": "struct other {\n    int a;\n};\n\nstruct hvm {\n    int ops;\n};\n",
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name, text in TREE.items():
        path = tmp_path / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "tree"


def place(how: How, expect: str, put: str = "", within: str = "assist", times: int = 1) -> Place:
    return Place(("xen/a/intr.c",), within, how, (expect,), put, times=times)


# -- one place ---------------------------------------------------------------------------------------


def test_a_text_is_replaced_in_its_function_alone() -> None:
    text = changed(INTR, place(How.SWAP, "has_feature", "asked(v)", times=2), "intr.c")
    assert "return has_feature;" in text
    assert text.count("asked(v)") == 2
    assert text.replace("asked(v)", "has_feature") == INTR


def test_white_space_matches_other_white_space_and_words_are_whole() -> None:
    text = changed(INTR, place(How.SWAP, "!has_feature && other", "never"), "intr.c")
    assert "if ( never )" in text
    with pytest.raises(TreeUnexpected):
        changed(INTR, place(How.SWAP, "feature", "x", times=2), "intr.c")


@pytest.mark.parametrize(
    ("how", "expect", "result"),
    [
        (How.BEFORE, "first();", "    {\n    NEW\n        first();\n"),
        (How.AFTER, "int vector;", "    int vector;\n    NEW\n\n"),
        (How.AFTER_BLOCK, "if ( has_feature )", "        first();\n    }\n    NEW\n\n"),
    ],
)
def test_lines_go_where_they_belong(how: How, expect: str, result: str) -> None:
    text = changed(INTR, place(how, expect, "    NEW\n"), "intr.c")
    assert result in text
    assert text.replace("    NEW\n", "") == INTR


def test_lines_go_above_a_function_and_lines_are_dropped() -> None:
    above = changed(INTR, place(How.ABOVE, "", "NEW\n\n"), "intr.c")
    assert "}\n\nNEW\n\nvoid assist(struct vcpu *v," in above
    dropped = changed(INTR, place(How.DROP, "first();", times=2), "intr.c")
    assert dropped == INTR.replace("        first();\n    }\n", "")


def test_a_struct_has_an_extent_too() -> None:
    text = TREE["xen/a/domain.h"]
    start, end = extent(text, "struct hvm", "domain.h")
    assert text[start:end] == "struct hvm {\n    int ops;\n};\n"


@pytest.mark.parametrize(
    ("within", "expect", "times", "said"),
    [
        ("assist", "has_feature", 3, "intr.c: assist: has 'has_feature' 2 times, where 3 was expected"),
        ("gone", "has_feature", 1, "intr.c: gone: defined 0 times in this file, not once"),
        ("helper", "a", 1, "intr.c: helper: defined 0 times"),  # declared only
    ],
)
def test_a_place_that_is_not_as_expected_is_named(within: str, expect: str, times: int, said: str) -> None:
    with pytest.raises(TreeUnexpected) as caught:
        changed(INTR, place(How.SWAP, expect, "x", within, times), "intr.c")
    assert said in str(caught.value)
    assert caught.value.file == "intr.c"
    assert caught.value.within == within


def test_the_spelling_of_another_release_is_taken_too() -> None:
    spelt = Place(
        ("xen/a/intr.c",), "assist", How.SWAP, ("caps.feature", "has_feature"), "(@ && ours)", times=2
    )
    assert changed(INTR, spelt, "intr.c").count("(has_feature && ours)") == 2


# -- a series ----------------------------------------------------------------------------------------

MADE_UP = (
    Patch(
        "x86: one",
        "Because.",
        (
            place(How.AFTER, "int vector;", "    int more;\n"),
            Place(("xen/a/Makefile",), "", How.BEFORE, ("obj-y += apic.o",), "obj-y += new.o\n"),
        ),
        (NewFile("xen/a/new.c", "domain.h"),),
    ),
    Patch("x86: two", "It builds on the first.", (place(How.SWAP, "int more;", "long more;"),)),
)


def test_git_takes_the_series_and_gets_the_same_files(tree: Path, tmp_path: Path) -> None:
    applied = apply(tree, MADE_UP)
    assert {path.name: path.read_text() for path in (tree / "xen/a").iterdir()} == {
        Path(name).name: text for name, text in TREE.items() if name.startswith("xen/a/")
    }  # nothing is changed
    for name, content in messages(applied, "Ann Onymous <ann@example.org>").items():
        (tmp_path / name).write_bytes(content)

    def git(*words: str) -> str:
        given = ["git", "-c", "user.name=x", "-c", "user.email=x@y", "-C", str(tree), *words]
        return subprocess.run(given, check=True, capture_output=True, text=True).stdout

    git("init", "-q")
    git("add", ".")
    git("commit", "-q", "-m", "start")
    git("am", "-q", *map(str, sorted(tmp_path.glob("*.patch"))))
    assert git("log", "--format=%s|%an|%b").split("\n")[:2] == [
        "x86: two|Ann Onymous|It builds on the first.",
        "",
    ]
    for path, text in changed_files(applied).items():
        assert (tree / path).read_text() == text
    assert (tree / "xen/a/new.c").read_text() == fragment("domain.h")
    assert "    long more;\n" in (tree / "xen/a/intr.c").read_text()
    assert git("status", "--porcelain") == ""


def test_a_tree_that_has_the_change_and_a_directory_that_is_no_tree(tree: Path) -> None:
    for path, text in changed_files(apply(tree, MADE_UP)).items():
        (tree / path).write_text(text)
    with pytest.raises(TreeUnexpected, match=r"xen/a/new\.c: is there already"):
        apply(tree, MADE_UP)
    shutil.rmtree(tree / "xen")
    with pytest.raises(TreeUnexpected, match="is no tree of Xen's source"):
        apply(tree, MADE_UP)


def test_a_file_that_moved_is_found_by_its_function(tree: Path) -> None:
    moved = Place(("xen/a/domain.h", "xen/a/intr.c"), "assist", How.SWAP, ("has_feature",), "x", times=2)
    (one,) = apply(tree, (Patch("s", "w", (moved,)),))
    assert list(one.files) == ["xen/a/intr.c"]
    with pytest.raises(TreeUnexpected, match=r"xen/gone\.c: assist: has no such file"):
        apply(tree, (Patch("s", "w", (Place(("xen/gone.c",), "assist", How.SWAP, ("x",), "y"),)),))


def test_the_command_writes_nothing_for_a_tree_that_is_not_xens(tree: Path, tmp_path: Path) -> None:
    into = tmp_path / "out"
    done = CliRunner().invoke(app, ["proposal", "series", "--tree", str(tree), "--output", str(into)])
    assert done.exit_code
    assert "xen/include/public/arch-x86/xen.h" in done.stderr
    assert not into.exists()


# -- the change itself -------------------------------------------------------------------------------


def test_every_patch_has_a_reason_in_the_form_that_xens_log_has() -> None:
    for patch in PATCHES:
        assert len(patch.subject) <= 72
        assert patch.why.strip() == patch.why
        assert all(len(line) <= 75 for line in patch.why.splitlines())
    assert len({patch.subject for patch in PATCHES}) == len(PATCHES)


def test_nothing_that_is_put_has_tabs_or_lines_that_are_too_long() -> None:
    texts = [at.text() for patch in PATCHES for at in patch.places]
    texts += [added.text() for patch in PATCHES for added in patch.adds]
    for line in "\n".join(texts).splitlines():
        assert "\t" not in line
        assert len(line) <= 80
        assert line == line.rstrip()


def test_a_place_expects_only_a_few_words_of_xen() -> None:
    expected = [text for patch in PATCHES for at in patch.places for text in at.expect]
    assert max(map(len, expected)) < 140


def test_the_bits_of_the_code_are_those_of_the_model() -> None:
    from xenapic.model.proposal import APIC

    public = fragment("public.h")
    for bit in APIC:
        assert f"#define XEN_X86_APIC_{bit.name:<11} (1u << {bit.bit_length() - 1})" in public
    assert f"#define XEN_X86_APIC_ALL         {sum(APIC):#x}u" in public


def test_the_checksum_follows_the_change() -> None:
    assert change_digest() == change_digest(PATCHES)
    assert change_digest(PATCHES[:-1]) != change_digest()


# -- what only an emulator needs ---------------------------------------------------------------------

VMX_VCPU = "struct vmx_vcpu {\n    unsigned long vmcs;\n    struct pi_desc       pi_desc;\n};\n"
ALLOCATED = """\
struct vcpu *alloc_vcpu_struct(const struct domain *d)
{
    struct vcpu *v;

    BUILD_BUG_ON(sizeof(*v) > PAGE_SIZE);
    v = alloc_xenheap_pages(0, flags(d));
    if ( v )
        clear_page(v);

    return v;
}

void free_vcpu_struct(struct vcpu *v)
{
    free_xenheap_page(v);
}
"""


@pytest.mark.parametrize(
    ("header", "source"),
    [
        ("xen/include/asm-x86/hvm/vmx/vmcs.h", "xen/arch/x86/domain.c"),  # up to 4.16
        ("xen/arch/x86/include/asm/hvm/vmx/vmcs.h", "xen/arch/x86/domain.c"),
        ("xen/arch/x86/include/asm/hvm/vmx/vmcs.h", "xen/common/domain.c"),  # from 4.22 on
    ],
)
def test_the_descriptor_is_aligned_wherever_a_release_has_it(tree: Path, header: str, source: str) -> None:
    texts = {"xen/arch/x86/domain.c": "int other;\n", "xen/common/domain.c": "int other;\n", header: VMX_VCPU}
    for name, text in {**texts, source: ALLOCATED}.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(text)
    now = changed_files(apply(tree, (ALIGNED,)))
    assert set(now) == {header, source}
    assert "pi_desc       pi_desc __attribute__((aligned(4096)));" in now[header]
    for text in ("> 8 * PAGE_SIZE", "alloc_xenheap_pages(3, flags(d))", "memset(v, 0, 8 * PAGE_SIZE)"):
        assert text in now[source]
    assert "free_xenheap_pages(v, 3);" in now[source] and "free_xenheap_page(" not in now[source]

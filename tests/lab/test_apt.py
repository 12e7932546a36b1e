"""Package sources are derived from the machine's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from xenapic.lab.apt import Source, derive, machine_sources, parse_deb822, parse_one_line
from xenapic.lab.errors import LabPrerequisite

DEB822 = """\
Types: deb deb-src
# a comment
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates bookworm-backports
Components: main contrib
Signed-By: /usr/share/keyrings/k.gpg

Types: deb
URIs: http://mirror.example/security
Suites: bookworm-security
Components: main

Types: deb-src
URIs: http://src.example
Suites: bookworm
Components: main

Types: deb
Enabled: no
URIs: http://off.example
Suites: bookworm
Components: main

Types: deb
URIs: http://other.example
Suites: nodistro
Components: main
"""

ONE_LINE = """\
# deb http://commented.example bookworm main
deb [arch=amd64 signed-by=/k.gpg] http://mirror.example/debian trixie main contrib
deb http://tool.example tool-bookworm main
deb http://mirror.example/nonfree trixie non-free
deb-src http://mirror.example/debian trixie main
"""


def test_deb822_for_the_other_release() -> None:
    assert derive(parse_deb822(DEB822), "trixie") == [
        Source(
            ("http://mirror.example/debian",),
            ("trixie", "trixie-updates"),
            (("Signed-By", "/usr/share/keyrings/k.gpg"),),
        ),
        Source(("http://mirror.example/security",), ("trixie-security",)),
    ]


def test_one_line_for_its_own_and_the_other_release() -> None:
    found = list(parse_one_line(ONE_LINE))
    (own,), (other,) = derive(found, "trixie"), derive(found, "bookworm")
    assert own.uris == other.uris == ("http://mirror.example/debian",)
    assert (own.suites, other.suites) == (("trixie",), ("bookworm",))
    assert own.options == (("Signed-By", "/k.gpg"),)


def test_the_release_itself_wins_over_another() -> None:
    both = [Source(("http://a",), ("bookworm",)), Source(("http://b",), ("trixie",))]
    assert [s.uris for s in derive(both, "trixie")] == [("http://b",)]


def test_a_key_written_out_in_the_file_is_kept() -> None:
    text = "Types: deb\nURIs: http://m\nSuites: trixie\nComponents: main\nSigned-By:\n KEY\n .\n END\n"
    (source,) = derive(parse_deb822(text), "trixie")
    assert "Signed-By: \n KEY\n .\n END" in source.deb822()


def test_without_debian_sources_it_says_so(tmp_path: Path) -> None:
    (tmp_path / "sources.list").write_text("deb http://u.example noble main\n")
    with pytest.raises(LabPrerequisite, match="no source of Debian packages"):
        derive(machine_sources(tmp_path), "trixie")

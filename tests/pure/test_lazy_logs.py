"""Messages reach `logging` as always, and a program that does not use it need not import it."""

from __future__ import annotations

import subprocess
import sys

import pytest


def said(code: str) -> tuple[str, str]:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip(), done.stderr


def test_debug_messages_are_not_wanted_before_logging_is_imported() -> None:
    code = "import sys; from xenapic.logs import DEBUG, Log; print(Log('xenapic.calls').wants(DEBUG))"
    assert said(f"{code}; print('logging' in sys.modules)")[0] == "False\nFalse"


@pytest.mark.parametrize(("level", "wanted"), [("DEBUG", "True"), ("INFO", "False")])
def test_debug_messages_are_wanted_by_whoever_asks_for_them(level: str, wanted: str) -> None:
    asked = (
        f"from xenapic.logs import DEBUG, Log; log = Log('xenapic.calls'); log.wants(DEBUG); import logging; \
logging.basicConfig(level=logging.{level}); print(log.wants(DEBUG))"
    )
    assert said(asked)[0] == wanted


@pytest.mark.parametrize("name", ["xenapic", "xenapic.calls"])
def test_a_warning_goes_nowhere_unless_the_program_says_where(name: str) -> None:
    warn = f"from xenapic.logs import WARNING, Log; Log({name!r}).log(WARNING, 'seen')"
    assert said(warn) == ("", "")
    assert "seen" in said(f"import logging; logging.basicConfig(); {warn}")[1]
    assert (
        "seen"
        in said(f"{warn}; import logging; logging.basicConfig(); Log({name!r}).log(WARNING, 'seen')")[1]
    )

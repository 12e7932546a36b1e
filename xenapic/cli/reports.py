"""The files that ``verify`` and ``lab verify`` write."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from xenapic.verify.check import Report
    from xenapic.verify.matrix import Result
    from xenapic.verify.recording import Recording

__all__ = ["write", "write_reports"]


def write(path: str | Path, text: str) -> None:
    """Write a file and the directories above it; ``-`` is stdout."""
    if path == "-":
        click.echo(text, nl=False)
        return
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def write_reports(
    title: str,
    reports: Mapping[str, tuple[Recording, Report]],
    junit_file: str | None,
    html_file: str | None,
    results: Mapping[str, Result] | None = None,
) -> None:
    """Write the reports that were asked for; ``results`` of a matrix begin the page with an overview."""
    if junit_file:
        from xenapic.verify.reports import junit

        write(junit_file, junit([report for _recording, report in reports.values()]))
    if html_file:
        from xenapic.verify.page import html_page

        if results is None:
            write(html_file, html_page(title, reports))
        else:
            from xenapic.verify.matrix import overview

            write(html_file, html_page(title, reports, overview(dict(results))))

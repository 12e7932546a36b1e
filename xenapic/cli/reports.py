"""The files that commands write beside what they print."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from xenapic.cli.status import Status

if TYPE_CHECKING:
    from xenapic.verify.check import Report
    from xenapic.verify.matrix import Result
    from xenapic.verify.recording import Recording

__all__ = ["Files", "on_stdout"]

STDOUT = "-"


def on_stdout(as_json: bool, *files: str | None) -> bool:
    """Return True if one of the files is stdout; raise a usage error if stdout is to hold two things."""
    count = files.count(STDOUT)
    if count + as_json > 1:
        raise click.UsageError("stdout ('-') can hold only one document")
    return bool(count)


class Files:
    """Writes files, and remembers which could not be written: the result is printed all the same."""

    def __init__(self) -> None:
        self.failures: list[str] = []

    def write(self, path: str | Path | None, text: Callable[[], str]) -> None:
        """Write what a function returns, to a file or to stdout (``-``); do nothing without a path."""
        if path is None:
            return
        if path == STDOUT:
            click.echo(text(), nl=False)
            return
        try:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            Path(path).write_text(text())
        except OSError as error:
            self.failures.append(f"{path} could not be written: {error.strerror}")

    def write_recording(self, path: str | Path | None, recording: Recording) -> None:
        """Write a recording as JSON."""
        import json

        from xenapic.documents import to_json

        self.write(path, lambda: json.dumps(to_json(recording), indent=1) + "\n")

    def write_reports(
        self,
        title: str,
        reports: Mapping[str, tuple[Recording, Report]],
        junit_file: str | None,
        html_file: str | None,
        results: Mapping[str, Result] | None = None,
    ) -> None:
        """Write the reports that were asked for; ``results`` of a matrix begin the page with an overview."""
        from xenapic.documents.junit import junit, of_report
        from xenapic.verify.matrix import overview
        from xenapic.verify.page import html_page

        self.write(junit_file, lambda: junit(of_report(report) for _recording, report in reports.values()))
        first = None if results is None else overview(dict(results))
        self.write(html_file, lambda: html_page(title, reports, first))

    def finish(self, status: int = Status.FINE) -> None:
        """Say which files are missing; exit if there are any, with the status if it is not 0 anyway."""
        for failure in self.failures:
            click.echo(f"xenapic: {failure} [output]", err=True)
        if self.failures:
            raise SystemExit(status or Status.REFUSED)

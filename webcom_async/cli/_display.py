"""
What a person sees, and the only door to rich.

Progress and errors go to stderr, results to stdout, so that both can be redirected apart.
"""

import os
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

import msgspec
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from webcom_async._untrusted import printable
from webcom_async.models import Outcome, Report
from webcom_async.models import Progress as CampaignProgress

__all__ = [
    "ProgressLine",
    "progress_line",
    "report_json",
    "say",
    "show_error",
    "show_json",
    "show_report",
    "stdout",
]

_STYLES = {
    Outcome.ACCEPTED: "green",
    Outcome.REJECTED: "red",
    Outcome.UNKNOWN: "yellow",
    Outcome.NOT_SENT: "cyan",
}


class ProgressLine:
    """One live line: how far a campaign is."""

    def __init__(self, bar: Progress, total: int) -> None:
        self._bar = bar
        self._task = bar.add_task("sending", total=total, rate="", counts="")

    def show(self, progress: CampaignProgress) -> None:
        """Bring the line up to date."""
        self._bar.update(
            self._task,
            completed=progress.recipients,
            rate=f"{progress.recipients_per_second:,.0f}/s",
            counts=_counts(progress),
        )


def _counts(progress: CampaignProgress) -> str:
    """Return outcomes and retries in colour; those that are zero are left out, but for the two that matter most."""
    told = [
        f"[{_STYLES[outcome]}]{count:,} {outcome.value}[/]"
        for outcome, count in progress.outcomes.items()
        if count or outcome in (Outcome.ACCEPTED, Outcome.REJECTED)
    ]
    return " ".join([*told, f"[dim]{progress.retries:,} retried[/]"])


@contextmanager
def progress_line(total: int, *, visible: bool) -> Generator[ProgressLine, None, None]:
    """Show a live line on stderr while the block runs; a terminal sees it move, a file gets its last state."""
    columns = (
        BarColumn(bar_width=None),
        TextColumn("{task.completed:,.0f}/{task.total:,.0f}"),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(compact=True),
        TextColumn("{task.fields[counts]}"),
    )
    with Progress(*columns, console=_stderr(), disable=not visible) as bar:
        yield ProgressLine(bar, total)


def show_report(report: Report, title: str, further: Mapping[str, str] | None = None) -> None:
    """Print a campaign's report as a table on stdout, and *further* facts below it."""
    table = Table(title=title, box=SIMPLE_HEAD, title_justify="left")
    table.add_column("outcome")
    table.add_column("recipients", justify="right")
    table.add_column("share", justify="right")
    for outcome, count in report.outcomes.items():
        share = f"{count / report.recipients:.2%}" if report.recipients else "–"
        table.add_row(outcome.value, f"{count:,}", share, style=_STYLES[outcome] if count else "dim")
    table.add_section()
    for reason, count in report.reasons.items():
        table.add_row(f"  {reason.value}", f"{count:,}", "", style="dim")
    facts = {
        "requests": f"{report.requests:,}, {report.retries:,} of them repeated",
        "time": f"{report.seconds:.2f} s, {report.recipients_per_second:,.0f} recipients/s",
        "campaign": printable(report.campaign),
    }
    if not report.complete:
        facts["incomplete"] = "the campaign ended before its last recipient"
    with stdout():
        console = Console()
        console.print(table)
        console.print(_facts(facts | dict(further or {})))


def _facts(facts: dict[str, str]) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 2))
    table.add_column(style="dim")
    table.add_column()
    for name, value in facts.items():
        table.add_row(name, Text(value))
    return table


def report_json(report: Report) -> dict[str, Any]:
    """Return *report* for machines."""
    return {
        "campaign": report.campaign,
        "complete": report.complete,
        "recipients": report.recipients,
        "outcomes": {outcome.value: count for outcome, count in report.outcomes.items()},
        "reasons": {reason.value: count for reason, count in report.reasons.items()},
        "requests": report.requests,
        "retries": report.retries,
        "seconds": round(report.seconds, 3),
        "recipients_per_second": round(report.recipients_per_second, 1),
    }


def show_json(value: object) -> None:
    """Print *value* as one line of JSON on stdout."""
    say(msgspec.json.encode(value).decode())


def say(line: str) -> None:
    """Print one line on stdout, as it is."""
    with stdout():
        sys.stdout.write(line + "\n")


def show_error(message: str) -> None:
    """Print one line on stderr."""
    sys.stderr.write(f"webcom-async: {printable(' '.join(message.split()))}\n")


@contextmanager
def stdout() -> Generator[None, None, None]:
    """Write to stdout; where it is closed or full, say so on stderr: the campaign is not undone by that."""
    try:
        yield
        sys.stdout.flush()
    except (OSError, AttributeError) as exc:
        show_error(f"the output could not be written: {getattr(exc, 'strerror', None) or 'it is closed'}")
        # What is left in its buffer would be tried, and reported, again at the interpreter's end.
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123


def _stderr() -> Console:
    return Console(stderr=True)

"""
What a person sees: words, a progress line and JSON.

Progress and errors go to stderr, results to stdout, so that both can be redirected apart.
"""

import json
import sys
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import Any

import msgspec
from rich.box import SIMPLE_HEAD
from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn
from rich.table import Column, Table
from rich.text import Text

from webcom_async._cli.ui.translations import tr, tr_plural
from webcom_async._domain.reasons import Reason
from webcom_async._domain.results import Outcome, Report
from webcom_async._domain.results import Progress as CampaignProgress
from webcom_async._domain.untrusted_text import printable

__all__ = [
    "ProgressLine",
    "add_outcomes",
    "ask",
    "checking",
    "counts_json",
    "facts_table",
    "new_console",
    "progress_line",
    "report_json",
    "say",
    "say_aside",
    "show_counts",
    "show_error",
    "show_facts",
    "show_json",
    "show_report",
    "show_tables",
]

_YES = {"y", "yes", "д", "да"}
_NARROWEST = 40  # columns: counts of a campaign need 35
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
        self._bar.update(
            self._task,
            completed=progress.recipients,
            rate=f"{progress.recipients_per_second:,.0f}/s",
            counts=_counts(progress),
        )


def _counts(progress: CampaignProgress) -> str:
    """Show only accepted and rejected when they are zero."""
    told = [
        f"[{_STYLES[outcome]}]{count:,} {tr(outcome.value)}[/]"
        for outcome, count in progress.outcomes.items()
        if count or outcome in (Outcome.ACCEPTED, Outcome.REJECTED)
    ]
    limits = [tr("{in_flight}/{limit} requests in flight", in_flight=progress.in_flight, limit=progress.limit)]
    if progress.rate is not None:
        limits.append(tr("at most {rate}/s", rate=f"{progress.rate:,.0f}"))
    retried = tr_plural("{count} retry", "{count} retries", progress.retries)
    return " ".join([*told, f"[dim]{', '.join([retried, *limits])}[/]"])


def _uncut(longest: str) -> Column:
    """In 80 columns the end of the line gives way, and no number loses its digits."""
    return Column(no_wrap=True, min_width=len(longest))


@contextmanager
def progress_line(total: int, *, visible: bool) -> Generator[ProgressLine, None, None]:
    """A terminal sees the line move, a file gets its last state."""
    columns = (
        BarColumn(bar_width=None),
        TextColumn("{task.completed:,.0f}/{task.total:,.0f}", table_column=_uncut(f"{total:,}/{total:,}")),
        TextColumn("{task.fields[rate]}", table_column=_uncut("10,000/s")),
        TimeRemainingColumn(compact=True),
        TextColumn("{task.fields[counts]}"),
    )
    with Progress(*columns, console=new_console(stderr=True), disable=not visible) as bar:
        yield ProgressLine(bar, total)


def show_report(report: Report, title: str, further: Mapping[str, str] | None = None) -> None:
    requests, retries = f"{report.requests:,}", f"{report.retries:,}"
    seconds, rate = f"{report.seconds:.2f}", f"{report.recipients_per_second:,.0f}"
    facts = {
        tr("requests"): tr("{requests}, {retries} of them repeated", requests=requests, retries=retries),
        tr("time"): tr("{seconds} s, {rate} recipients/s", seconds=seconds, rate=rate),
        tr("campaign"): printable(report.campaign),
    }
    if report.from_journal:
        facts[tr("from the journal")] = tr_plural(
            "{count} recipient, not sent to again", "{count} recipients, not sent to again", report.from_journal
        )
    if not report.complete:
        facts[tr("incomplete")] = tr("the campaign ended before its last recipient")
    show_counts(report.outcomes, report.reasons, title, facts | dict(further or {}))


def show_counts(
    outcomes: Mapping[Outcome, int], reasons: Mapping[Reason, int], title: str, facts: Mapping[str, str]
) -> None:
    table = Table(title=title, box=SIMPLE_HEAD, title_justify="left")
    add_outcomes(table, outcomes)
    table.add_section()
    for reason, count in reasons.items():
        table.add_row(f"  {tr(reason.value)}", f"{count:,}", "", style="dim")
    show_tables(table, facts_table(facts))


def add_outcomes(table: Table, outcomes: Mapping[Outcome, int]) -> None:
    table.add_column(tr("outcome"))
    table.add_column(tr("recipients"), justify="right")
    table.add_column(tr("share"), justify="right")
    everyone = sum(outcomes.values())
    for outcome, count in outcomes.items():
        share = f"{count / everyone:.2%}" if everyone else "–"
        table.add_row(tr(outcome.value), f"{count:,}", share, style=_STYLES[outcome] if count else "dim")


def show_facts(title: str, facts: Mapping[str, str]) -> None:
    table = facts_table(facts)
    table.title, table.title_justify = title, "left"
    show_tables(table)


def show_tables(*tables: RenderableType) -> None:
    console = new_console()
    for table in tables:
        console.print(table)


def facts_table(facts: Mapping[str, str]) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 2))
    table.add_column(style="dim")
    table.add_column()
    for name, value in facts.items():
        table.add_row(name, Text(printable(value)))
    return table


def counts_json(campaign: str, outcomes: Mapping[Outcome, int], reasons: Mapping[Reason, int]) -> dict[str, Any]:
    return {
        "campaign": campaign,
        "recipients": sum(outcomes.values()),
        "outcomes": {outcome.value: count for outcome, count in outcomes.items()},
        "reasons": {reason.value: count for reason, count in reasons.items()},
    }


def report_json(report: Report) -> dict[str, Any]:
    return counts_json(report.campaign, report.outcomes, report.reasons) | {
        "complete": report.complete,
        "from_journal": report.from_journal,
        "requests": report.requests,
        "retries": report.retries,
        "seconds": round(report.seconds, 3),
        "recipients_per_second": round(report.recipients_per_second, 1),
    }


def show_json(value: object) -> None:
    """Write ASCII: nothing in it can steer a terminal."""
    say(json.dumps(msgspec.to_builtins(value), separators=(",", ":")).replace("\x7f", "\\u007f"))


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def show_error(message: str) -> None:
    say_aside(f"webcom-async: {' '.join(message.split())}")


def say_aside(line: str) -> None:
    """Print nothing that could steer a terminal."""
    sys.stderr.write(f"{printable(line)}\n")


def ask(question: str) -> bool | None:
    """Return None without a terminal."""
    if sys.stdin is None or not sys.stdin.isatty():
        return None
    sys.stderr.write(f"{printable(question)} {tr('[y/N]')} ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().casefold() in _YES


@contextmanager
def checking(*, visible: bool) -> Generator[Callable[[int], None], None, None]:
    """Show rows read, where stderr is a terminal."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TextColumn("{task.fields[rows]}"))
    console = new_console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not (visible and console.is_terminal)) as bar:
        task = bar.add_task(tr("reading the file"), total=None, rows="")
        yield lambda rows: bar.update(task, rows=tr_plural("{count} row", "{count} rows", rows))


def new_console(*, stderr: bool = False) -> Console:
    """With a width of zero, as `COLUMNS=0` sets it, tables would be empty, and `--help` would never end."""
    console = Console(stderr=stderr)
    return console if console.width >= _NARROWEST else Console(stderr=stderr, width=_NARROWEST)

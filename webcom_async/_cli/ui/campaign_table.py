"""What a person sees of a campaign of many workers."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from webcom_async._cli.ui.console import add_outcomes, facts_table, new_console, show_tables
from webcom_async._cli.ui.translations import gettext_noop, tr, tr_plural
from webcom_async._domain.results import Outcome
from webcom_async._domain.untrusted_text import listed, printable
from webcom_async.scaleout import CampaignState, CampaignStatus, WorkerStatus

__all__ = ["LiveStatus", "live_standing", "show_campaigns", "show_status", "status_json"]

_STYLES = {
    CampaignState.RUNNING: "green",
    CampaignState.PAUSED: "yellow",
    CampaignState.HALTED: "red",
    CampaignState.CANCELLED: "red",
    CampaignState.FINISHED: "",
}
_SAID = {CampaignState.CANCELLED: gettext_noop("cancelled for good")}  # Russian has another word for a recipient
_BAR = 40  # characters


class LiveStatus:
    """A campaign as it stood last, and how fast it went."""

    def __init__(self) -> None:
        self._shown: Group | str = ""

    def show(self, status: CampaignStatus, rate: float | None) -> None:
        """*rate* is in recipients per second, None if it is not known yet."""
        # Here, and not when it is drawn: the thread that draws does not know the language.
        self._shown = Group(*_tables(status, rate, bar=True))

    def __rich__(self) -> Group | str:
        return self._shown


@contextmanager
def live_standing(*, visible: bool) -> Generator[LiveStatus, None, None]:
    shown = LiveStatus()
    if not visible:
        yield shown
        return
    with Live(shown, console=new_console(stderr=True), refresh_per_second=4, transient=True):
        yield shown


def show_status(status: CampaignStatus, rate: float | None = None) -> None:
    show_tables(*_tables(status, rate))


def show_campaigns(standings: Sequence[CampaignStatus]) -> None:
    table = Table(title=tr("Campaigns"), box=SIMPLE_HEAD, title_justify="left")
    table.add_column(tr("campaign"), overflow="fold")
    table.add_column(tr("state"), no_wrap=True)
    for name in (tr("done"), tr("recipients"), tr("accepted")):
        table.add_column(name, justify="right")
    table.add_column(tr("planned (UTC)"), no_wrap=True)
    for each in standings:
        table.add_row(
            Text(printable(each.settings.campaign)),
            Text(_state(each), style=_STYLES[each.state]),
            f"{_done(each):,}",
            f"{each.recipients:,}",
            f"{each.outcomes[Outcome.ACCEPTED]:,}",
            f"{each.planned:%Y-%m-%d %H:%M}",
        )
    show_tables(table)


def _tables(status: CampaignStatus, rate: float | None, *, bar: bool = False) -> list[RenderableType]:
    done = _done(status)
    counts = Table(title=Text(printable(status.settings.campaign)), box=SIMPLE_HEAD, title_justify="left")
    add_outcomes(counts, status.outcomes)
    shown: list[RenderableType] = [counts]
    if bar:
        progress = ProgressBar(total=max(status.recipients, 1), completed=done, width=_BAR)
        shown.append(Padding(progress, (0, 0, 1, 0)))  # it does not end its line by itself
    shown.append(facts_table(_facts(status, done, rate)))
    if status.workers:
        shown.append(_workers(status.workers))
    return shown


def _facts(status: CampaignStatus, done: int, rate: float | None) -> dict[str, str]:
    share = f"{done / status.recipients:.1%}" if status.recipients else "–"
    facts = {
        tr("state"): ": ".join(filter(None, [_state(status), status.why or _idle(status)])),
        tr("done"): tr_plural(
            "{done} of {count} recipient, {share}",
            "{done} of {count} recipients, {share}",
            status.recipients,
            done=f"{done:,}",
            share=share,
        ),
    }
    if status.open and status.state is not CampaignState.CANCELLED:
        facts[tr("to be sent again")] = f"{status.open:,}"
    facts[tr("shards")] = tr("{done} of {count}", done=f"{status.shards_done:,}", count=f"{status.shards:,}")
    if rate is not None:
        facts[tr("speed")] = tr("{rate} recipients/s", rate=f"{rate:,.0f}")
    if status.settings.rate is not None:
        facts[tr("limit")] = tr("at most {rate}/s", rate=f"{status.settings.rate:,.0f}")
    facts[tr("planned (UTC)")] = _moment(status.planned)
    if status.ended is not None:
        facts[tr("ended (UTC)")] = _moment(status.ended)
    return facts


def _workers(workers: Sequence[WorkerStatus]) -> Table:
    table = Table(box=SIMPLE_HEAD)
    table.add_column(tr("worker"), overflow="fold")
    table.add_column(tr("done"), justify="right")
    table.add_column(tr("holds shards"))
    table.add_column(tr("lease"), justify="right")
    now = datetime.now(UTC)
    for worker in workers:
        left = "" if worker.until is None else _left((worker.until - now).total_seconds())
        held = listed([str(number) for number in worker.shards])
        table.add_row(Text(printable(worker.name)), f"{worker.done:,}", held, left, style=None if held else "dim")
    return table


def _left(seconds: float) -> str:
    return tr("{seconds} s", seconds=f"{seconds:,.0f}") if seconds > 0 else tr("expired")


def _state(status: CampaignStatus) -> str:
    return tr(_SAID.get(status.state, status.state.value))


def _idle(status: CampaignStatus) -> str:
    """Remark that a campaign runs and no worker holds a shard of it."""
    now = datetime.now(UTC)
    at_work = any(worker.until is not None and worker.until > now for worker in status.workers)
    return "" if at_work or status.state is not CampaignState.RUNNING else tr("no worker is on it now")


def _done(status: CampaignStatus) -> int:
    return sum(status.outcomes.values())


def _moment(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def status_json(status: CampaignStatus, awaited_version: str | None = None) -> dict[str, Any]:
    """Machines compute a speed from two of them."""
    return {
        "seen": datetime.now(UTC),
        "campaign": status.settings.campaign,
        "state": status.state.value,
        "why": status.why,
        "recipients": status.recipients,
        "done": _done(status),
        "outcomes": {outcome.value: count for outcome, count in status.outcomes.items()},
        "open": status.open,
        "shards": status.shards,
        "shards_done": status.shards_done,
        "rate": status.settings.rate,
        "planned": status.planned,
        "ended": status.ended,
        "workers": status.workers,
        "awaited_version": awaited_version,
    }

"""What a person sees of a campaign of many workers."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from webcom_async._cli.ui.console import add_outcomes, facts_table, show_tables
from webcom_async._cli.ui.translations import tr
from webcom_async._domain.results import Outcome
from webcom_async._domain.untrusted_text import listed, printable
from webcom_async.scaleout import CampaignState, Standing, WorkerStanding

__all__ = ["LiveStanding", "live_standing", "show_campaigns", "show_standing", "standing_json"]

_STYLES = {
    CampaignState.RUNNING: "green",
    CampaignState.PAUSED: "yellow",
    CampaignState.HALTED: "red",
    CampaignState.CANCELLED: "red",
    CampaignState.FINISHED: "",
}
_SAID = {CampaignState.CANCELLED: "cancelled for good"}  # a recipient is cancelled, too, in other words
_BAR = 40  # characters


class LiveStanding:
    """A campaign as it stood last, and how fast it went."""

    def __init__(self) -> None:
        self._shown: Group | str = ""

    def show(self, standing: Standing, rate: float | None) -> None:
        """Bring it up to date; *rate* is in recipients per second, None if it is not known yet."""
        # Here, and not when it is drawn: the thread that draws does not know the language.
        self._shown = Group(*_tables(standing, rate, bar=True))

    def __rich__(self) -> Group | str:
        return self._shown


@contextmanager
def live_standing(*, visible: bool) -> Generator[LiveStanding, None, None]:
    """Show a campaign of many workers on stderr while the block runs; a terminal sees it move."""
    shown = LiveStanding()
    if not visible:
        yield shown
        return
    with Live(shown, console=Console(stderr=True), refresh_per_second=4, transient=True):
        yield shown


def show_standing(standing: Standing, rate: float | None = None) -> None:
    """Print a campaign as it stands, and its workers, on stdout."""
    show_tables(*_tables(standing, rate))


def show_campaigns(standings: Sequence[Standing]) -> None:
    """Print a line for each campaign on stdout."""
    table = Table(title=tr("Campaigns"), box=SIMPLE_HEAD, title_justify="left")
    table.add_column(tr("campaign"), overflow="fold")
    table.add_column(tr("state"), no_wrap=True)
    for name in ("done", "recipients", "accepted"):
        table.add_column(tr(name), justify="right")
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


def _tables(standing: Standing, rate: float | None, *, bar: bool = False) -> list[RenderableType]:
    """Return a campaign's counts, its facts, and its workers."""
    done = _done(standing)
    counts = Table(title=Text(printable(standing.settings.campaign)), box=SIMPLE_HEAD, title_justify="left")
    add_outcomes(counts, standing.outcomes)
    shown: list[RenderableType] = [counts]
    if bar:
        progress = ProgressBar(total=max(standing.recipients, 1), completed=done, width=_BAR)
        shown.append(Padding(progress, (0, 0, 1, 0)))  # it does not end its line by itself
    shown.append(facts_table(_facts(standing, done, rate)))
    if standing.workers:
        shown.append(_workers(standing.workers))
    return shown


def _facts(standing: Standing, done: int, rate: float | None) -> dict[str, str]:
    share = f"{done / standing.recipients:.1%}" if standing.recipients else "–"
    facts = {
        tr("state"): ": ".join(filter(None, [_state(standing), standing.why or _idle(standing)])),
        tr("done"): tr("{done} of {count} recipients, {share}", done=f"{done:,}", count=_count(standing), share=share),
    }
    if standing.open and standing.state is not CampaignState.CANCELLED:
        facts[tr("to be asked again")] = f"{standing.open:,}"
    facts[tr("shards")] = tr("{done} of {count}", done=f"{standing.shards_done:,}", count=f"{standing.shards:,}")
    if rate is not None:
        facts[tr("speed")] = tr("{rate} recipients/s", rate=f"{rate:,.0f}")
    if standing.settings.rate is not None:
        facts[tr("limit")] = tr("at most {rate}/s", rate=f"{standing.settings.rate:,.0f}")
    facts[tr("planned (UTC)")] = _moment(standing.planned)
    if standing.ended is not None:
        facts[tr("ended (UTC)")] = _moment(standing.ended)
    return facts


def _workers(workers: Sequence[WorkerStanding]) -> Table:
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


def _state(standing: Standing) -> str:
    return tr(_SAID.get(standing.state, standing.state.value))


def _idle(standing: Standing) -> str:
    """Say that a campaign runs of which nobody holds a shard."""
    now = datetime.now(UTC)
    at_work = any(worker.until is not None and worker.until > now for worker in standing.workers)
    return "" if at_work or standing.state is not CampaignState.RUNNING else tr("nobody works on it now")


def _done(standing: Standing) -> int:
    return sum(standing.outcomes.values())


def _count(standing: Standing) -> str:
    return f"{standing.recipients:,}"


def _moment(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def standing_json(standing: Standing) -> dict[str, Any]:
    """Return a campaign as it stands for machines, which take a speed from two of these."""
    return {
        "seen": datetime.now(UTC),
        "campaign": standing.settings.campaign,
        "state": standing.state.value,
        "why": standing.why,
        "recipients": standing.recipients,
        "done": _done(standing),
        "outcomes": {outcome.value: count for outcome, count in standing.outcomes.items()},
        "open": standing.open,
        "shards": standing.shards,
        "shards_done": standing.shards_done,
        "rate": standing.settings.rate,
        "planned": standing.planned,
        "ended": standing.ended,
        "workers": standing.workers,
    }

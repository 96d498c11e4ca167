"""What a person sees of deliveries and balances."""

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.live import Live
from rich.table import Table
from rich.text import Text

from webcom_async._cli.ui.console import new_console, show_tables
from webcom_async._cli.ui.translations import tr
from webcom_async._domain.delivery import DeliveryReport, DeliveryState, TrackReport
from webcom_async._domain.untrusted_text import printable

__all__ = ["live_table", "report_fields", "show_rows", "show_track", "track_fields"]

_STYLES = {
    DeliveryState.DELIVER: "green",
    DeliveryState.READ: "green",
    DeliveryState.NOT_DELIVER: "red",
    DeliveryState.EXPIRED: "red",
    DeliveryState.PARTLY_DELIVER: "yellow",
    DeliveryState.UNKNOWN: "yellow",
}


def show_rows(title: str, names: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Cells are shown as text, whatever they hold."""
    table = Table(title=Text(printable(title)), box=SIMPLE_HEAD, title_justify="left")
    for name in names:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    show_tables(table)


@contextmanager
def live_table(report: Callable[[], TrackReport | None], *, visible: bool) -> Generator[None, None, None]:
    """A file gets the last state."""
    if not visible:
        yield
        return

    def table() -> Table | str:
        known = report()
        return "" if known is None else _table(known)

    with Live(get_renderable=table, console=new_console(stderr=True), refresh_per_second=4, transient=True):
        yield


def show_track(report: TrackReport) -> None:
    show_tables(_table(report))


def _table(report: TrackReport) -> Table:
    table = Table(title=Text(printable(report.campaign)), box=SIMPLE_HEAD, title_justify="left", show_footer=True)
    table.add_column(tr("state"), footer=tr("in all"))
    table.add_column("SMS", footer=f"{report.accepted:,}", justify="right")
    table.add_column(tr("share"), footer=tr("{share} delivered", share=f"{report.delivery_rate:.2%}"), justify="right")
    for state, count in report.states.items():
        share = f"{count / report.accepted:.2%}" if count else ""
        table.add_row(state.value, f"{count:,}", share, style=_STYLES.get(state, "") if count else "dim")
    table.add_section()
    table.add_row(tr("open"), f"{report.open:,}", "")
    table.add_row(tr("overdue"), f"{report.overdue:,}", "")
    table.add_row(tr("parts"), f"{report.parts:,}", "")
    table.add_row(tr("spent"), f"{report.spent.normalize():,f}", tr("on {count} SMS", count=f"{report.priced:,}"))
    table.add_row(tr("questions"), f"{report.requests:,}", tr("{seconds} s", seconds=f"{report.seconds:,.0f}"))
    return table


def track_fields(report: TrackReport) -> dict[str, Any]:
    """Money is text."""
    return {
        "campaign": report.campaign,
        "accepted": report.accepted,
        "states": {state.value: count for state, count in report.states.items()},
        "final": report.final,
        "open": report.open,
        "overdue": report.overdue,
        "delivery_rate": round(report.delivery_rate, 6),
        "parts": report.parts,
        "spent": str(report.spent),
        "priced": report.priced,
        "requests": report.requests,
        "seconds": round(report.seconds, 3),
    }


def report_fields(report: DeliveryReport) -> dict[str, Any]:
    """Money is text, times are UTC."""
    return {
        "id_sms": report.id_sms,
        "state": report.state.value,
        "final": report.final,
        "said": report.said,
        "changed_at": None if report.changed_at is None else report.changed_at.isoformat(),
        "num_parts": report.num_parts,
        "price": None if report.price is None else str(report.price),
    }

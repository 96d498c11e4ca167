"""`webcom-async track`: a campaign's SMS on their way to the end, with a live table."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from webcom_async._cli.exit_codes import ExitCode, of_signal, signal_word
from webcom_async._cli.options import FROM_ENVIRONMENT, AccountOptions, AsJson, Lang, Seconds, Switch
from webcom_async._cli.run.client_factory import client_maker, settings_of
from webcom_async._cli.signals import SignalAwareRun
from webcom_async._cli.ui.console import show_error, show_json
from webcom_async._cli.ui.tracking_table import live_table, report_fields, show_track, track_fields
from webcom_async._cli.ui.translations import choose_language, tr, tr_plural
from webcom_async._domain.delivery import Delivery, Pace, TrackReport
from webcom_async._domain.errors import InputError
from webcom_async._domain.given import identity_of, is_url, new_private_file
from webcom_async._tracking.tracker import Track
from webcom_async.client import WebcomClient
from webcom_async.files._text_rows import csv_rows

__all__ = ["track_command"]

_PACE = Pace()
_COLUMNS = ("client_id_sms", "phone", "id_sms", "state", "final", "said", "changed_at", "num_parts", "price", "overdue")


def track_command(
    journal: Path,
    /,
    *,
    campaign: str,
    reports: Path | None = None,
    first: Seconds | None = None,
    longest: Seconds = _PACE.longest,
    deadline: Seconds = _PACE.deadline,
    prices: Switch = False,
    changes: Path | None = None,
    wait: Seconds = 0.0,
    account: AccountOptions = FROM_ENVIRONMENT,
    lang: Lang | None = None,
    as_json: AsJson = False,
) -> int:
    """
    Follow every accepted SMS of a campaign to its end.

    The journal remembers how far it is: after a Ctrl-C or a crash the same command goes on.

    Exit codes: 0 all have reached a final state; 1 an SMS is overdue; 2 bad input; 3 the gateway ended it; 130 Ctrl-C;
    143 SIGTERM.

    Args:
        journal: The journal of a campaign that is not running now.
        campaign: The campaign's name.
        reports: The file in which `webhook` keeps reports, if there is one.
        first: Seconds from an SMS's acceptance until the gateway is asked for it: 30, or 1,800 with --reports.
        longest: Seconds between two questions for one SMS, at most.
        deadline: Seconds from its acceptance for which an SMS is followed.
        prices: Ask for the price of an SMS whose end a webhook has told.
        changes: Write every change into this new CSV file. Those of earlier runs that were the last come again.
        wait: Seconds to wait for a journal that is in use, by a campaign.
        account: Which gateway, and how it is asked.
        lang: The language of the tables; the locale's, or WEBCOM_LANG, if left out.
        as_json: Print one line of JSON instead of tables.
    """
    choose_language(lang)
    if not is_url(journal) and not journal.exists():
        raise InputError(f"journal {journal}: there is no such file")
    begin = Pace.first_beside(reports) if first is None else first
    pace = Pace(first=begin, longest=longest, deadline=deadline)
    make = client_maker(account, settings_of(account))
    run = SignalAwareRun[TrackReport]()
    kept = None if changes is None else _ChangesFile(changes)
    try:
        report = _follow(
            run,
            make,
            lambda client: client.track(
                journal, campaign=campaign, reports=reports, pace=pace, prices=prices, wait=wait
            ),
            _forget if kept is None else kept.write,
            visible=not as_json,
        )
    finally:
        if kept is not None:
            kept.close()
    if as_json:
        show_json(track_fields(report))
    else:
        show_track(report)
    if run.stopped is not None:
        stopped = of_signal(run.stopped)
        show_error(f"{signal_word(stopped)}; {tr('the same command goes on')}")
        return stopped
    return ExitCode.NOT_ALL_ACCEPTED if report.overdue else ExitCode.ALL_ACCEPTED


def _follow(
    run: SignalAwareRun[TrackReport],
    make: Callable[[], WebcomClient],
    track: Callable[[WebcomClient], Track],
    keep: Callable[[Delivery], None],
    *,
    visible: bool,
) -> TrackReport:
    """Raise `KeyboardInterrupt` if a signal ends the work before it has begun."""

    async def follow() -> TrackReport:
        async with run.listening(), make() as client, track(client) as tracking:
            run.begin(lambda: tracking.report)
            with live_table(lambda: tracking.report, visible=visible), run.stoppable():
                async for change in tracking:
                    keep(change)
        return tracking.report

    return run.run(follow)


def _forget(_change: Delivery) -> None:
    """Without a file, the table alone shows changes."""


class _ChangesFile:
    """
    A new file of changes. If it cannot be written, it ends nothing; what it lacks is counted.

    Raises:
        InputError: The file exists, or cannot be created.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._file = new_private_file(path, buffering=0)
        except OSError as exc:
            raise InputError(f"{path}: {exc.strerror}") from None
        self._opened = identity_of(self._file.fileno())
        self._rows = csv_rows(self._file, _COLUMNS, ",")
        self._missing = 0
        self._failed = False
        self._put([])  # the header

    def write(self, change: Delivery) -> None:
        fields = {"client_id_sms": change.client_id_sms, "phone": change.phone, "overdue": change.overdue}
        told = fields | report_fields(change.report)
        self._put([["" if told[name] is None else str(told[name]) for name in _COLUMNS]])

    def close(self) -> None:
        """Say what the file lacks."""
        with suppress(OSError):
            self._file.close()
        if self._missing:
            words = tr_plural(
                "{count} change is missing from {file}; the same command with another --changes writes the last of "
                "each SMS again",
                "{count} changes are missing from {file}; the same command with another --changes writes the last of "
                "each SMS again",
                self._missing,
                file=self._path,
            )
            show_error(words)
        elif self._opened != identity_of(self._path):
            show_error(
                tr(
                    "{file} was moved or removed while it was written: its changes are where it was moved, or lost if "
                    "it was removed",
                    file=self._path,
                )
            )

    def _put(self, rows: list[list[str]]) -> None:
        if not self._failed:
            try:
                self._rows.write(rows)
            except OSError as exc:
                self._failed = True
                words = tr("{file}: the changes could not be written: {error}", file=self._path, error=exc.strerror)
                show_error(words)
        if self._failed:
            self._missing += len(rows)

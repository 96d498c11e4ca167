"""One campaign with a live line and a report: what `send` and `demo` share."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import AbstractContextManager, AsyncExitStack
from datetime import datetime
from pathlib import Path
from signal import Signals
from typing import Literal, NamedTuple, Protocol

import msgspec

from webcom_async._cli.exit_codes import ExitCode, of_report, of_signal, signal_word
from webcom_async._cli.run.result_join import Joined
from webcom_async._cli.run.resume_hint import tell_name
from webcom_async._cli.signals import SignalAwareRun
from webcom_async._cli.ui.console import (
    ProgressLine,
    progress_line,
    report_json,
    say_aside,
    show_error,
    show_json,
    show_report,
)
from webcom_async._cli.ui.translations import explain, tr, tr_plural
from webcom_async._domain.clock import Clock
from webcom_async._domain.errors import (
    AuthenticationError,
    GatewayUnavailable,
    InputError,
    QuotaExhausted,
    WebcomError,
)
from webcom_async._domain.messages import Message, Recipient
from webcom_async._domain.reasons import Reason
from webcom_async._domain.results import NetworkStats, Outcome, Report, SendResult
from webcom_async._sending.campaign import Campaign, Results
from webcom_async.audience.calling_hours import Rounds
from webcom_async.client import WebcomClient
from webcom_async.files import Cells, ResultsFile, results_file
from webcom_async.journal import SqliteJournal

__all__ = [
    "Ended",
    "Reconciliation",
    "SendPlan",
    "Sink",
    "added",
    "conclude",
    "early_end",
    "new_results",
    "run_campaign",
    "run_into",
]


_NAP = 60.0  # seconds


class SendPlan(NamedTuple):
    """
    What to send.

    Attributes:
        client: Makes the client.
        recipients: The recipients.
        total: How many they are.
        message: What; None if everyone brings a text.
        sender: The sender for recipients with a text of their own.
        campaign: The campaign's name.
        made_up: Whether the command made that name up.
        journal: The file that remembers it; None for none.
        wait: Seconds to wait for a journal that is in use.
        resend_rejected: Reasons that no longer hold, for those who are rejected in the journal.
        validity_period: No attempt is made after it.
        new_ids: `not-sent` for new ids of recipients that were never sent to.
        acknowledge_repeated_ids: Whether the campaign goes on although `id_sms` repeat.
        rounds: When which of the recipients, who are then iterated once a round, may be sent to; None for now.
        clock: Time, for tests.
    """

    client: Callable[[], WebcomClient]
    recipients: Iterable[Recipient | str]
    total: int
    message: Message | None
    sender: str | None
    campaign: str
    made_up: bool = False
    journal: Path | None = None
    wait: float = 0.0
    resend_rejected: Collection[Reason] = ()
    validity_period: datetime | None = None
    new_ids: Literal["not-sent"] | None = None
    acknowledge_repeated_ids: bool = False
    rounds: Rounds | None = None
    clock: Clock = Clock()

    def stream(self, client: WebcomClient) -> Campaign:
        sender = None if self.message is not None else self.sender
        return client.stream(
            self.recipients,
            message=self.message,
            sender=sender,
            campaign=self.campaign,
            journal=None if self.journal is None else SqliteJournal(self.journal, wait=self.wait, clock=self.clock),
            resend_rejected=self.resend_rejected,
            validity_period=self.validity_period,
            new_ids=self.new_ids,
            acknowledge_repeated_ids=self.acknowledge_repeated_ids,
        )


class Reconciliation(NamedTuple):
    """
    Sending again to the recipients that are unknown in a journal.

    Attributes:
        client: Makes the client.
        total: How many they are.
        campaign: The campaign's name.
        journal: The file that remembers it.
        wait: Seconds to wait for a journal that is in use.
        acknowledge_repeated_ids: Whether it goes on although `id_sms` repeat.
    """

    client: Callable[[], WebcomClient]
    total: int
    campaign: str
    journal: Path
    wait: float = 0.0
    acknowledge_repeated_ids: bool = False
    rounds: None = None
    clock: Clock = Clock()

    def stream(self, client: WebcomClient) -> Campaign:
        journal = SqliteJournal(self.journal, wait=self.wait, clock=self.clock)
        acknowledged = self.acknowledge_repeated_ids
        return client.reconcile(journal, campaign=self.campaign, acknowledge_repeated_ids=acknowledged)


class Sink(Protocol):
    """Where results go."""

    def write(self, results: list[SendResult]) -> None: ...


class Ended(NamedTuple):
    """
    How a campaign ended.

    Attributes:
        report: Its counts.
        error: What ended it early; None if it ran to its end.
        stopped: The signal that did, Ctrl-C or SIGTERM.
        missing: How many results are not in the file that was to have them.
    """

    report: Report
    error: WebcomError | None = None
    stopped: Signals | None = None
    missing: int = 0


def early_end(ended: Ended, way_on: str) -> ExitCode | None:
    """Say on stderr what ended a campaign; return None if nothing did."""
    if ended.error is not None:
        resumable = isinstance(ended.error, QuotaExhausted | GatewayUnavailable)
        show_error(f"{explain(ended.error)}; {way_on}" if resumable else explain(ended.error))
        refused = isinstance(ended.error, AuthenticationError) and ended.report.not_sent == ended.report.recipients
        return ExitCode.BAD_INPUT if refused else ExitCode.ENDED_EARLY
    if ended.stopped is not None:
        stopped = of_signal(ended.stopped)
        show_error(f"{signal_word(stopped)}; {way_on}")
        return stopped
    return None


def run_campaign(plan: SendPlan | Reconciliation, *, visible: bool, results: Sink | None = None) -> Ended:
    """
    Send, and return the counts, whatever happens; raise only before anything is sent.

    Ctrl-C and SIGTERM let the campaign drain: no new batch starts, and requests in flight get the client's grace. A
    second one ends it at once; what was in flight is then unknown. *results* gets all that was settled.
    """
    run = SignalAwareRun[None]()
    rounds = _Rounds(plan, results, run, visible=visible)
    error: WebcomError | None = None
    try:
        run.run(rounds.send)
    except WebcomError as exc:
        if not run.begun:
            raise
        error = exc
    return Ended(rounds.report, error, None if error else run.stopped)


def new_results(
    path: Path | None, columns: Cells = (), *, delimiter: str = ",", replace: bool = False
) -> AbstractContextManager[ResultsFile | None]:
    """Parquet cannot be read before it is closed, so it has no name until then."""
    whole = path is not None and path.suffix.casefold() == ".parquet"
    return results_file(path, columns, delimiter=delimiter, replace=replace, whole=whole)


def run_into(
    opening: AbstractContextManager[ResultsFile | None],
    plan: SendPlan | Reconciliation,
    join: Callable[[ResultsFile | None], Joined],
    *,
    visible: bool,
) -> Ended:
    """
    A file that cannot be written ends nothing; what it lacks is counted.

    *join* puts results beside rows, and replaces a `SendPlan`'s recipients.
    """
    ended, joined = None, None
    try:
        with opening as file:
            joined = join(file)
            whole = plan._replace(recipients=joined) if isinstance(plan, SendPlan) else plan
            ended = run_campaign(whole, visible=visible, results=joined)
            joined.write([])
    except InputError as exc:
        if ended is None or joined is None:
            raise
        joined.fail(exc)
    return ended._replace(report=joined.report(ended.report), missing=joined.missing)


class _Rounds:
    """A campaign in one round or more, and what its rounds add up to."""

    def __init__(
        self, plan: SendPlan | Reconciliation, results: Sink | None, run: SignalAwareRun[None], *, visible: bool
    ) -> None:
        self._plan = plan
        self._results = results
        self._run = run
        self._visible = visible
        self._stream: Results | None = None  # of the latest round
        self._ended: list[Report] = []

    @property
    def report(self) -> Report:
        latest = [] if self._stream is None else [self._stream.report]
        report = added([*self._ended, *latest], self._plan.campaign)
        waiting = self._plan.rounds is not None and self._plan.rounds.opening is not None
        return msgspec.structs.replace(report, complete=False) if waiting else report

    async def send(self) -> None:
        """A second signal ends this as a cancelled task."""
        rounds = self._plan.rounds
        async with self._run.listening(), self._plan.client() as client:
            if self._visible and isinstance(self._plan, SendPlan) and self._plan.made_up:
                tell_name(self._plan.campaign)
            if rounds is None:
                await self._send_round(self._plan.stream(client))
                return
            while not self._run.stopped and rounds.opening is not None:
                if await self._wait_until(rounds.opening):
                    await self._send_round(self._plan.stream(client))

    async def _wait_until(self, moment: datetime) -> bool:
        """Return False if a signal comes before the round begins."""
        clock, told = self._plan.clock, False
        with self._run.stoppable():
            while (seconds := (moment - clock.now()).total_seconds()) > 0:
                if self._visible and not told:
                    say_aside(tr("waiting until {moment}", moment=f"{moment:%Y-%m-%d %H:%M %Z}"))
                    told = True
                # Little by little: a machine that was asleep wakes up late.
                await clock.sleep(min(seconds, _NAP))
        return not self._run.stopped

    async def _send_round(self, campaign: Campaign) -> None:
        if self._stream is not None:
            self._ended.append(self._stream.report)
        done = sum(report.recipients for report in self._ended)
        reading = self._run.stoppable()  # leaving the stream is what lets it drain
        async with AsyncExitStack() as opened:
            stream = self._stream = await opened.enter_async_context(campaign)
            self._run.begin(lambda: None)
            # The line comes last and ends first; only what is kept at the end comes after it.
            with progress_line(self._plan.total - done, visible=self._visible) as line:
                try:
                    with reading:
                        async for batch in stream.batches():
                            self._keep(batch, stream, line)
                finally:
                    try:
                        await opened.aclose()
                    finally:
                        self._keep(stream.unread, stream, line)

    def _keep(self, batch: list[SendResult], stream: Results, line: ProgressLine) -> None:
        if self._results is not None:
            self._results.write(batch)
        line.show(stream.progress)


def added(reports: Sequence[Report], campaign: str) -> Report:
    """The *reports* are the rounds of one campaign."""
    if len(reports) == 1:
        return reports[0]
    numbers = {
        field: sum(getattr(report, field) for report in reports)
        for field in (*NetworkStats.__struct_fields__, "seconds", "from_journal")
    }
    reasons = Counter[Reason]()
    for report in reports:
        reasons.update(report.reasons)
    return Report(
        campaign=campaign,
        outcomes={outcome: sum(report.outcomes[outcome] for report in reports) for outcome in Outcome},
        reasons=dict(reasons.most_common()),
        complete=bool(reports) and all(report.complete for report in reports),
        **numbers,
    )


def conclude(ended: Ended, *, as_json: bool, way_on: str, rewrite: str) -> int:
    """*rewrite* is the command that writes the results again."""
    if as_json:
        show_json(report_json(ended.report))
    else:
        show_report(ended.report, tr("Report"))
    if ended.missing:
        words = tr_plural(
            "{count} result is missing from the file of results; to write all of them: {command}",
            "{count} results are missing from the file of results; to write all of them: {command}",
            ended.missing,
            command=rewrite,
        )
        show_error(words)
    early = early_end(ended, way_on)
    return of_report(ended.report) if early is None else early

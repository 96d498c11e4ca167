"""One campaign with a live line and a report: what `send` and `demo` share."""

from asyncio import CancelledError
from collections.abc import Callable, Collection, Iterable
from contextlib import AsyncExitStack
from pathlib import Path
from signal import Signals
from typing import NamedTuple

import anyio

from webcom_async._reasons import Reason
from webcom_async.campaign import Campaign, Results
from webcom_async.cli._display import ProgressLine, progress_line, show_error
from webcom_async.cli._exit_codes import ExitCode, of_signal
from webcom_async.cli._recipients_file import ResultsFile
from webcom_async.cli._signals import cut_short, listening, signal_of
from webcom_async.client import WebcomClient
from webcom_async.errors import WebcomError
from webcom_async.models import Message, Recipient, Report, SendResult

__all__ = ["Ended", "Plan", "early_end", "run_campaign"]


class Plan(NamedTuple):
    """
    What to send.

    Attributes:
        client: Makes the client.
        recipients: To whom.
        total: How many they are.
        message: What; None if everyone brings a text.
        sender: From whom, for recipients who bring a text.
        campaign: The campaign's name.
        journal: The file that remembers it; None for none.
        resend_rejected: Reasons that no longer hold, for those who are rejected in the journal.
    """

    client: Callable[[], WebcomClient]
    recipients: Iterable[Recipient | str]
    total: int
    message: Message | None
    sender: str | None
    campaign: str
    journal: Path | None = None
    resend_rejected: Collection[Reason] = ()

    def stream(self, client: WebcomClient) -> Campaign:
        """Return the campaign, not yet begun."""
        sender = None if self.message is not None else self.sender
        return client.stream(
            self.recipients,
            message=self.message,
            sender=sender,
            campaign=self.campaign,
            journal=self.journal,
            resend_rejected=self.resend_rejected,
        )


class Ended(NamedTuple):
    """
    How a campaign ended.

    Attributes:
        report: Its counts.
        error: What ended it early; None if it ran to its end.
        stopped: The signal that did, Ctrl-C or SIGTERM.
    """

    report: Report
    error: WebcomError | None = None
    stopped: Signals | None = None


def early_end(ended: Ended, way_on: str) -> ExitCode | None:
    """Say on stderr what ended a campaign early, and return its exit code; None if nothing did."""
    if ended.error is not None:
        show_error(str(ended.error))
        return ExitCode.ENDED_EARLY
    if ended.stopped is not None:
        stopped = of_signal(ended.stopped)
        show_error(f"{stopped.name.lower()}; {way_on}")
        return stopped
    return None


def run_campaign(plan: Plan, *, visible: bool, results: ResultsFile | None = None) -> Ended:
    """
    Send, and come back with the counts, whatever happens.

    Ctrl-C and SIGTERM let the campaign drain: no new batch starts, and requests under way get the client's grace. A
    second one ends it at once; what was under way is then unknown.

    Args:
        plan: What to send.
        visible: Whether a live line is shown.
        results: Where results go as they come. Nothing that was settled is missing there in the end.

    Raises:
        InputError, ConfigurationError: Before anything is sent.
        KeyboardInterrupt: Likewise.
    """
    course = _Course(plan, results, visible=visible)
    try:
        stream = anyio.run(course.run)
    except WebcomError as exc:
        if exc.report is None:
            raise
        return Ended(exc.report, error=exc)
    except OSError as exc:
        if course.stream is None:
            raise
        return Ended(course.stream.report, error=WebcomError(f"the results could not be written: {exc.strerror}"))
    except (KeyboardInterrupt, CancelledError) as exc:
        if course.stream is None:
            raise
        return Ended(course.stream.report, stopped=course.stopped or signal_of(exc))
    return Ended(stream.report, stopped=course.stopped)


class _Course:
    """
    A campaign under way, and what a signal does to it.

    Attributes:
        stream: Its results; None before it began.
        stopped: The first signal that came.
    """

    def __init__(self, plan: Plan, results: ResultsFile | None, *, visible: bool) -> None:
        self.stream: Results | None = None
        self.stopped: Signals | None = None
        self._plan = plan
        self._results = results
        self._visible = visible

    async def run(self) -> Results:
        """Send, to the end or to a signal. A second signal ends this as a cancelled task."""
        self._reading = anyio.CancelScope()
        async with listening(self._stop), self._plan.client() as client:
            return await self._send(self._plan.stream(client))

    async def _send(self, campaign: Campaign) -> Results:
        async with AsyncExitStack() as opened:
            stream = self.stream = await opened.enter_async_context(campaign)
            # The line comes last and ends first, but for what is kept when all is over.
            with progress_line(self._plan.total, visible=self._visible) as line:
                try:
                    with self._reading:
                        async for batch in stream.batches():
                            self._keep(batch, stream, line)
                finally:
                    try:
                        await opened.aclose()
                    finally:
                        self._keep(stream.unread, stream, line)
        return stream

    def _keep(self, batch: list[SendResult], stream: Results, line: ProgressLine) -> None:
        if self._results is not None:
            self._results.write(batch)
        line.show(stream.progress)

    def _stop(self, number: Signals) -> None:
        if self.stopped is None:
            self.stopped = number
            self._reading.cancel()  # leaving the stream is what lets it drain
        else:
            cut_short()

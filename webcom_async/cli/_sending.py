"""One campaign with a live line and a report: what `send` and `demo` share."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import NamedTuple

import anyio

from webcom_async.campaign import Campaign
from webcom_async.cli._display import progress_line
from webcom_async.cli._recipients_file import ResultsFile
from webcom_async.client import WebcomClient
from webcom_async.errors import InputError, WebcomError
from webcom_async.models import Message, Recipient, Report

__all__ = ["Ended", "Plan", "run_campaign"]


class Plan(NamedTuple):
    """
    What to send.

    Attributes:
        client: Makes the client.
        recipients: To whom.
        total: How many they are.
        message: What; None if everyone brings a text.
        sender: From whom, for recipients who bring a text.
        campaign: The campaign's name; None for a random one.
    """

    client: Callable[[], WebcomClient]
    recipients: Iterable[Recipient | str]
    total: int
    message: Message | None
    sender: str | None
    campaign: str | None

    def stream(self, client: WebcomClient) -> Campaign:
        """Return the campaign, not yet begun."""
        sender = None if self.message is not None else self.sender
        return client.stream(self.recipients, message=self.message, sender=sender, campaign=self.campaign)


class Ended(NamedTuple):
    """
    How a campaign ended.

    Attributes:
        report: Its counts.
        error: What ended it early; None if it ran to its end.
        interrupted: Whether the user did.
    """

    report: Report
    error: WebcomError | None = None
    interrupted: bool = False


def run_campaign(plan: Plan, *, visible: bool, results: ResultsFile | None = None) -> Ended:
    """
    Send, and come back with the counts, whatever happens.

    Args:
        plan: What to send.
        visible: Whether a live line is shown.
        results: Where results go as they come.

    Raises:
        InputError, ConfigurationError: Before anything is sent.
    """
    latest: list[Callable[[], Report]] = []
    try:
        return Ended(anyio.run(partial(_send, plan, latest, visible=visible, results=results)))
    except InputError:
        raise
    except WebcomError as exc:
        if exc.report is None:
            raise
        return Ended(exc.report, error=exc)
    except KeyboardInterrupt:
        if not latest:
            raise
        return Ended(latest[0](), interrupted=True)


async def _send(
    plan: Plan, latest: list[Callable[[], Report]], *, visible: bool, results: ResultsFile | None
) -> Report:
    async with plan.client() as client, plan.stream(client) as stream:
        latest.append(lambda: stream.report)
        with progress_line(plan.total, visible=visible) as line:
            try:
                async for batch in stream.batches():
                    if results is not None:
                        results.write(batch)
                    line.show(stream.progress)
            finally:
                line.show(stream.progress)
    return stream.report

"""
The books of a campaign: what is written down before a batch leaves, and when its answer has come.

Either a journal, from the event loop: one hop to a worker thread per batch, one call at a time. Or, without one, the
little that must not be forgotten while the campaign runs. Which campaign is written into which file is decided by the
caller; what the rows say is the journal's business.
"""

import os
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import Protocol, Self, TypeVar

import anyio
from anyio.to_thread import run_sync

from webcom_async import _policy
from webcom_async._client_ids import ClientIdSms
from webcom_async._reasons import Reason
from webcom_async._wire import Addressed, WirePhone
from webcom_async.errors import JournalError
from webcom_async.journal import CampaignHeader, Journal, Reserved, campaigns
from webcom_async.models import Message, Outcome, SendResult, not_accepted

__all__ = ["Bookkeeper", "Books", "Scratchpad", "stored_header"]

T = TypeVar("T")
StrPath = str | os.PathLike[str]

_PAGE = 500  # recipients per hop


class Books(Protocol):
    """Where a campaign writes down what leaves and what became of it."""

    async def reserve(self, addressed: Sequence[Addressed]) -> Reserved:
        """Say who of a batch may leave now, and that they do."""
        ...

    async def settle(self, results: Sequence[SendResult]) -> list[SendResult]:
        """Say what became of them, and return what is known now, in the same order."""
        ...

    async def aclose(self) -> None:
        """Close the books."""
        ...


class Scratchpad:
    """
    The books of a campaign without a journal: whom it has asked for in vain, so that no later word denies it.

    A phone may stand in a source twice. If the first request for it is in question, and the second is held back, it
    may have been sent to all the same. Grows with the number of unknown recipients only.
    """

    def __init__(self) -> None:
        self._unknown: set[ClientIdSms] = set()

    async def reserve(self, addressed: Sequence[Addressed]) -> Reserved:
        """Let everyone leave."""
        unknown = self._unknown
        if not unknown:
            return Reserved(list(addressed), [], [])
        again = {to.client_id_sms for _, phones in addressed for to in phones if to.client_id_sms in unknown}
        return Reserved(list(addressed), [], [], again)

    async def settle(self, results: Sequence[SendResult]) -> list[SendResult]:
        """Remember who is unknown."""
        known = list(results)
        if self._unknown:
            known = [_policy.in_doubt(each) if each.client_id_sms in self._unknown else each for each in results]
            self._unknown.difference_update(each.client_id_sms for each in known)
        self._unknown.update(each.client_id_sms for each in not_accepted(known) if each.outcome is Outcome.UNKNOWN)
        return known

    async def aclose(self) -> None:
        """Do nothing."""


class Bookkeeper:
    """
    The books of a campaign with a journal.

    A call that has begun is finished even if its caller is cancelled: the file never stands between two states.
    """

    def __init__(self, journal: Journal, one_at_a_time: anyio.CapacityLimiter) -> None:
        self._journal = journal
        self._one_at_a_time = one_at_a_time

    @classmethod
    async def open(
        cls,
        path: StrPath,
        header: CampaignHeader,
        now: Callable[[], datetime],
        *,
        resend_rejected: Iterable[Reason] = (),
        against_first_run: Exception | None = None,
    ) -> Self:
        """
        Open the journal of a campaign; its header is on the disk when this returns.

        Args:
            path: The file.
            header: Which campaign.
            now: The time.
            resend_rejected: See `Journal`.
            against_first_run: Raised unless the campaign has recipients already.

        Raises:
            JournalError: It cannot be used for this campaign.
        """

        def open_journal() -> Journal:
            journal = Journal(path, header, now=now, resend_rejected=resend_rejected)
            if against_first_run is not None and next(journal.results(), None) is None:
                journal.close()
                raise against_first_run
            return journal

        one_at_a_time = anyio.CapacityLimiter(1)
        return cls(await run_sync(open_journal, limiter=one_at_a_time), one_at_a_time)

    async def reserve(self, addressed: Sequence[Addressed]) -> Reserved:
        """See `Journal.reserve`."""
        return await self._call(lambda: self._journal.reserve(addressed))

    async def settle(self, results: Sequence[SendResult]) -> list[SendResult]:
        """See `Journal.settle`."""
        return await self._call(lambda: self._journal.settle(results))

    async def unsettled(self) -> AsyncGenerator[tuple[Message, WirePhone], None]:
        """See `Journal.unsettled`; those who are settled on the way do not come again."""
        rows: Iterator[tuple[Message, WirePhone]] = self._journal.unsettled()
        while page := await self._call(lambda: list(islice(rows, _PAGE))):
            for row in page:
                yield row

    async def aclose(self) -> None:
        """Close the file, and let others open it."""
        await self._call(self._journal.close)

    async def _call(self, call: Callable[[], T]) -> T:
        return await run_sync(call, limiter=self._one_at_a_time)


async def stored_header(path: StrPath, campaign: str) -> CampaignHeader:
    """
    Return the header of a campaign that a file holds.

    Raises:
        JournalError: The file cannot be used, or holds no such campaign.
    """
    found = await run_sync(lambda: campaigns(path))
    for stored in found:
        if stored.header.campaign == campaign:
            return stored.header
    names = ", ".join(repr(stored.header.campaign) for stored in found) or "none"
    raise JournalError(f"{os.fspath(path)} holds no campaign {campaign!r}; it holds {names}")

"""
The journal from an event loop: one hop to a worker thread per batch, one call at a time.

Which campaign is written into which file is decided by the caller; what the rows say is the journal's business.
"""

import os
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import Self, TypeVar

import anyio
from anyio.to_thread import run_sync

from webcom_async._wire import Addressed, WirePhone
from webcom_async.errors import JournalError
from webcom_async.journal import CampaignHeader, Journal, Reserved, campaigns
from webcom_async.models import Message, SendResult

__all__ = ["Bookkeeper", "stored_header"]

T = TypeVar("T")
StrPath = str | os.PathLike[str]

_PAGE = 500  # recipients per hop


class Bookkeeper:
    """
    Writes down what leaves and what became of it.

    A call that has begun is finished even if its caller is cancelled: the file never stands between two states.
    """

    def __init__(self, journal: Journal, one_at_a_time: anyio.CapacityLimiter) -> None:
        self._journal = journal
        self._one_at_a_time = one_at_a_time

    @classmethod
    async def open(cls, path: StrPath, header: CampaignHeader, now: Callable[[], datetime]) -> Self:
        """
        Open the journal of a campaign; its header is on the disk when this returns.

        Raises:
            JournalError: It cannot be used for this campaign.
        """
        one_at_a_time = anyio.CapacityLimiter(1)
        journal = await run_sync(lambda: Journal(path, header, now=now), limiter=one_at_a_time)
        return cls(journal, one_at_a_time)

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

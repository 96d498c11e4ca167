"""
The books of a campaign with a journal: from the event loop, one hop to a worker thread per batch, one call at a time.

Which campaign is written into which file is decided by the caller; what the rows say is the journal's business.
"""

import os
import threading
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import Self, TypeVar

import anyio
from anyio import CancelScope
from anyio.to_thread import run_sync

from webcom_async._books import Reserved
from webcom_async._reasons import Reason
from webcom_async._wire import Addressed, WirePhone
from webcom_async.errors import JournalError
from webcom_async.journal import CampaignHeader, Journal, campaigns, fingerprint, has_begun
from webcom_async.models import Message, SendResult

__all__ = ["Bookkeeper", "header_of", "stored_header"]

T = TypeVar("T")
StrPath = str | os.PathLike[str]

_PAGE = 500  # recipients per hop


class Bookkeeper:
    """
    The books of a campaign with a journal.

    A call that has begun is finished even if its caller is cancelled: the file never stands between two states.
    """

    def __init__(self) -> None:
        self._one_at_a_time = anyio.CapacityLimiter(1)
        self._lock = threading.Lock()
        self._left = False
        self._opened: Journal | None = None

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
        books = cls()

        def open_journal() -> None:
            if against_first_run is not None and not has_begun(path, header.campaign):
                raise against_first_run
            books._take(Journal(path, header, now=now, resend_rejected=resend_rejected))

        try:
            await run_sync(open_journal, limiter=books._one_at_a_time)
        except BaseException:
            books._leave()
            raise
        return books

    async def reserve(self, addressed: list[Addressed]) -> Reserved:
        """See `Journal.reserve`."""
        return await self._call(lambda: self._journal.reserve(addressed))

    async def settle(self, results: list[SendResult], reserved: Reserved) -> list[SendResult]:
        """See `Journal.settle`. What became of them is written down even if the caller is being cancelled."""
        return await self._call(lambda: self._journal.settle(results, reserved), shielded=True)

    async def recall(self, results: Sequence[SendResult]) -> list[SendResult]:
        """See `Journal.recall`. It is looked up even if the caller is being cancelled."""
        return await self._call(lambda: self._journal.recall(results), shielded=True)

    async def unsettled(self) -> AsyncGenerator[tuple[Message, WirePhone], None]:
        """See `Journal.unsettled`; those who are settled on the way do not come again."""
        rows: Iterator[tuple[Message, WirePhone]] = self._journal.unsettled()
        while page := await self._call(lambda: list(islice(rows, _PAGE))):
            for row in page:
                yield row

    async def aclose(self) -> None:
        """Close the file, and let others open it."""
        try:
            await self._call(self._journal.close)
        except BaseException:
            self._leave()
            raise

    @property
    def _journal(self) -> Journal:
        assert self._opened is not None  # noqa: S101 - `open` has returned
        return self._opened

    async def _call(self, call: Callable[[], T], *, shielded: bool = False) -> T:
        def locked() -> T:
            with self._lock:
                return call()

        returned: list[T] = []
        with CancelScope(shield=shielded):
            returned.append(await run_sync(locked, limiter=self._one_at_a_time))
        return returned[0]

    # asyncio can cancel a task without waiting for its thread. What the thread is at is finished then, and only after
    # that the file is closed: left to the garbage collector, it would stay locked for some time.

    def _take(self, journal: Journal) -> None:
        with self._lock:
            self._opened = journal
            if self._left:
                journal.close()

    def _leave(self) -> None:
        with self._lock:
            self._left = True
            if self._opened is not None:
                self._opened.close()


def header_of(campaign: str, id_bits: int, message: Message | None, sender: str | None) -> CampaignHeader:
    """Return what may not change between two runs of a campaign whose call says *message* and *sender*."""
    return CampaignHeader(campaign=campaign, id_bits=id_bits, fingerprint=fingerprint(message, sender))


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

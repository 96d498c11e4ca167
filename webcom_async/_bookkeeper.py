"""
The books of a campaign: what is written down before a batch leaves, and when its answer has come.

Either a journal, from the event loop: one hop to a worker thread per batch, one call at a time. Or, without one, the
little that must not be forgotten while the campaign runs. Which campaign is written into which file is decided by the
caller; what the rows say is the journal's business.
"""

import os
import threading
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import Protocol, Self, TypeVar

import anyio
import msgspec
from anyio.to_thread import run_sync

from webcom_async._client_ids import ClientIdSms
from webcom_async._policy import collision, doubted, in_doubt
from webcom_async._reasons import Reason
from webcom_async._wire import Addressed, WirePhone
from webcom_async.errors import JournalError
from webcom_async.journal import CampaignHeader, Journal, Reserved, campaigns, has_begun
from webcom_async.models import Message, Outcome, SendResult, not_accepted

__all__ = ["Bookkeeper", "Books", "Scratchpad", "stored_header"]

T = TypeVar("T")
StrPath = str | os.PathLike[str]

_PAGE = 500  # recipients per hop
_SAMPLE = 64  # of each batch; who looks at everyone takes a tenth of all the time, and sees little more
_REMEMBERED = 4_096  # answers, twice


class Books(Protocol):
    """Where a campaign writes down what leaves and what became of it."""

    async def reserve(self, addressed: list[Addressed]) -> Reserved:
        """Say who of a batch may leave now, and that they do."""
        ...

    async def settle(self, results: Sequence[SendResult]) -> list[SendResult]:
        """Say what became of those who were reserved, and return what is known now, in the same order."""
        ...

    async def recall(self, results: Sequence[SendResult]) -> list[SendResult]:
        """Return what is known of those who were not reserved, *results* as far as nothing is."""
        ...

    async def aclose(self) -> None:
        """Close the books."""
        ...


class Scratchpad:
    """
    The books of a campaign without a journal: the little that must not be forgotten while it runs.

    Whom it has asked for in vain, so that no later word denies it: a phone may stand in a source twice, and if the
    first request for it is in question, and the second is held back, it may have been sent to all the same. This grows
    with the number of unknown recipients only. And a sample of the latest answers, to notice one that comes twice.
    """

    def __init__(self) -> None:
        self._unknown: set[ClientIdSms] = set()
        self._latest: dict[str, SendResult] = {}
        self._older: dict[str, SendResult] = {}

    async def reserve(self, addressed: list[Addressed]) -> Reserved:
        """Let everyone leave."""
        unknown = self._unknown
        if not unknown:
            return Reserved(addressed, [], [])
        again = {to.client_id_sms for _, phones in addressed for to in phones if to.client_id_sms in unknown}
        return Reserved(addressed, [], [], again)

    async def settle(self, results: Sequence[SendResult]) -> list[SendResult]:
        """
        Remember who is unknown, and what was answered.

        Raises:
            IdCollision: Two ids were answered with one `id_sms`, as far as it is in the sample.
        """
        known = await self.recall(results)
        twice = self._look_back(known)
        shared = {
            before.id_sms or "": {now.client_id_sms, before.client_id_sms}
            for now, before in twice
            if now.client_id_sms != before.client_id_sms
        }
        if twice:
            swallowed = {now for now, before in twice if now.phone != before.phone and now.id_sms not in shared}
            known = [_swallowed(each) if each in swallowed else each for each in known]
            known = [doubted(each) if each.id_sms in shared else each for each in known]
        self._unknown.difference_update(each.client_id_sms for each in known if self._unknown)
        self._unknown.update(each.client_id_sms for each in not_accepted(known) if each.outcome is Outcome.UNKNOWN)
        if shared:
            raise collision(shared, known)
        return known

    async def recall(self, results: Sequence[SendResult]) -> list[SendResult]:
        """Return *results*, in which who is unknown stays so."""
        unknown = self._unknown
        if not unknown:
            return list(results)
        return [in_doubt(each) if each.client_id_sms in unknown else each for each in results]

    async def aclose(self) -> None:
        """Do nothing."""

    def _look_back(self, results: list[SendResult]) -> list[tuple[SendResult, SendResult]]:
        """Return those who were answered with an `id_sms` that was an answer lately, each with whose it was."""
        answered = {each.id_sms: each for each in results[:_SAMPLE] if each.id_sms is not None}
        generations = (self._latest, self._older)
        twice = [
            (answered[id_sms], before[id_sms]) for before in generations for id_sms in answered.keys() & before.keys()
        ]
        self._latest |= answered
        if len(self._latest) > _REMEMBERED:
            self._older, self._latest = self._latest, {}
        return twice


def _swallowed(result: SendResult) -> SendResult:
    """Return *result*, whose id was another phone's before: the gateway answers with that one's SMS, and sends none."""
    words = f"client_id_sms {result.client_id_sms} was another phone's: the gateway sends one SMS per id"
    return msgspec.structs.replace(result, outcome=Outcome.NOT_SENT, id_sms=None, reason=Reason.ID_REUSED, error=words)


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

    async def settle(self, results: Sequence[SendResult]) -> list[SendResult]:
        """See `Journal.settle`."""
        return await self._call(lambda: self._journal.settle(results))

    async def recall(self, results: Sequence[SendResult]) -> list[SendResult]:
        """See `Journal.recall`."""
        return await self._call(lambda: self._journal.recall(results))

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

    async def _call(self, call: Callable[[], T]) -> T:
        def locked() -> T:
            with self._lock:
                return call()

        return await run_sync(locked, limiter=self._one_at_a_time)

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

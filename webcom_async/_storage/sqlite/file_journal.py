"""A journal in a SQLite file, for the event loop: one hop to a worker thread per batch, one call at a time."""

from collections.abc import AsyncGenerator, Callable, Collection, Generator, Mapping, Sequence
from datetime import datetime, tzinfo
from functools import partial
from typing import Any

from anyio.to_thread import run_sync

from webcom_async._domain.clock import Clock
from webcom_async._domain.given import StrPath
from webcom_async._domain.messages import Addressed, Message, OutboundRecipient
from webcom_async._domain.reasons import Reason
from webcom_async._domain.results import Outcome, SendResult
from webcom_async._domain.types import ClientIdSms
from webcom_async._storage.contracts import (
    CampaignHeader,
    CampaignNotBegun,
    DurableCampaignJournal,
    Reservation,
    StoredCampaign,
)
from webcom_async._storage.sqlite.archive import (
    StoredResults,
    campaigns,
    export,
    has_begun,
    purge,
    stored_campaign,
    stored_header,
)
from webcom_async._storage.sqlite.journal import CampaignFile
from webcom_async._storage.waiting import check_wait, wait_until_free
from webcom_async._storage.worker_thread import WorkerThread

__all__ = ["SqliteCampaignJournal", "SqliteJournal"]


class SqliteJournal:
    """
    A journal in a file, which one campaign at a time may write; each call runs in a thread.

    Any number of processes may read it meanwhile. A reader sees the file as it was at one moment, and writes nothing
    beside it: it reads a private copy in the directory for temporary files, which `TMPDIR` names.

    Args:
        path: The file.
        zone: The zone of times in a file of a version before 5, which stored them without one.
        wait: Seconds for which `open` and `purge` wait for a file that is in use. By default they fail at once.
        clock: The clock.

    Raises:
        ConfigurationError: *wait* is not a number of seconds.
        JournalInUse: From `open` and `purge`: the file is still in use by another campaign or process.
    """

    def __init__(
        self, path: StrPath, *, zone: tzinfo | None = None, wait: float = 0.0, clock: Clock | None = None
    ) -> None:
        self._path = path
        self._zone = zone
        self._wait = check_wait(wait)
        self._clock = clock or Clock()

    async def open(
        self,
        header: CampaignHeader,
        now: Callable[[], datetime],
        *,
        resend_rejected: Collection[Reason] = (),
        require_begun: bool = False,
    ) -> DurableCampaignJournal:
        """Open a campaign; creates the file if it is missing, and locks it until the journal is closed."""
        headers: list[CampaignHeader] = []

        def open_journal() -> CampaignFile:
            if require_begun and not has_begun(self._path, header.campaign, zone=self._zone):
                raise CampaignNotBegun
            file = CampaignFile(self._path, header, now=now, resend_rejected=resend_rejected, zone=self._zone)
            headers.append(file.header)
            return file

        held = await wait_until_free(lambda: WorkerThread[CampaignFile].open(open_journal), self._wait, self._clock)
        return SqliteCampaignJournal(held, headers[-1])

    async def header(self, campaign: str) -> CampaignHeader:
        """Return the header of a stored campaign."""
        return await run_sync(partial(stored_header, self._path, campaign, zone=self._zone))

    async def stored_campaigns(self) -> list[StoredCampaign]:
        """Return the stored campaigns, in the order of their first runs."""
        return await run_sync(partial(campaigns, self._path, zone=self._zone))

    async def counts(self, campaign: str) -> dict[Outcome, int]:
        """Return a campaign's recipients per outcome, with every outcome as a key."""
        return (await run_sync(partial(stored_campaign, self._path, campaign, zone=self._zone))).counts

    async def results(self, campaign: str, *outcomes: Outcome) -> AsyncGenerator[SendResult, None]:
        """Yield a campaign's results. It holds a copy of the file: close the generator if you leave it early."""
        wanted = frozenset(outcomes or Outcome)
        async with await WorkerThread[StoredResults].open(
            lambda: StoredResults(self._path, campaign, zone=self._zone)
        ) as held:
            rows = await held.call(iter)
            while page := await held.page(rows):
                for result in page:
                    if result.outcome in wanted:
                        yield result

    async def export(self, campaign: str | None = None) -> AsyncGenerator[dict[str, Any], None]:
        """Yield all stored fields. It holds a copy of the file: close the generator if you leave it early."""
        rows = export(self._path, campaign, zone=self._zone)
        async with await WorkerThread[Generator[dict[str, Any], None, None]].open(lambda: rows) as held:
            while page := await held.page(rows):
                for row in page:
                    yield row

    async def purge(self, campaign: str) -> int:
        """Remove a campaign and return the number of its recipients; no data stays readable in free pages."""
        remove = partial(purge, self._path, campaign, zone=self._zone)
        return await wait_until_free(lambda: run_sync(remove), self._wait, self._clock)


class SqliteCampaignJournal:
    """A campaign's journal in a file."""

    def __init__(self, held: WorkerThread[CampaignFile], header: CampaignHeader) -> None:
        self.header = header
        self._held = held

    async def reserve(
        self, addressed: list[Addressed], *, new_ids: Mapping[ClientIdSms, ClientIdSms] = {}
    ) -> Reservation:
        return await self._held.call(lambda journal: journal.reserve(addressed, new_ids=new_ids))

    async def settle(
        self, results: list[SendResult], reserved: Reservation, *, all_accepted: bool = False
    ) -> list[SendResult]:
        """Stores results even if the caller is being cancelled."""
        return await self._held.call(
            lambda journal: journal.settle(results, reserved, all_accepted=all_accepted), shielded=True
        )

    async def lookup(self, results: Sequence[SendResult]) -> list[SendResult]:
        """Returns even if the caller is being cancelled."""
        return await self._held.call(lambda journal: journal.lookup(results), shielded=True)

    async def unsettled(self) -> AsyncGenerator[tuple[Message, OutboundRecipient], None]:
        rows = await self._held.call(lambda journal: journal.unsettled())
        while page := await self._held.page(rows):
            for row in page:
                yield row

    async def aclose(self) -> None:
        await self._held.aclose()

"""
The books of a campaign with a journal: from the event loop, one hop to a worker thread per batch, one call at a time.

Which file it is, the caller decides; what the rows say is the journal's business.
"""

from collections.abc import AsyncGenerator, Callable, Collection, Generator, Sequence
from datetime import datetime
from typing import Any

from anyio.to_thread import run_sync

from webcom_async._domain.messages import Message
from webcom_async._domain.paths import StrPath
from webcom_async._domain.reasons import Reason
from webcom_async._domain.results import Outcome, SendResult
from webcom_async._storage.contracts import CampaignHeader, Reservation, StoredCampaign
from webcom_async._storage.sqlite.archive import StoredResults, campaigns, export, has_begun, purge, stored_campaign
from webcom_async._storage.sqlite.journal import CampaignFile
from webcom_async._storage.worker_thread import WorkerThread
from webcom_async._wire.base import Addressed, WirePhone

__all__ = ["SqliteCampaignJournal", "SqliteJournal"]


class SqliteJournal:
    """
    The journals in a file, which one campaign at a time may write.

    Args:
        path: The file.
    """

    def __init__(self, path: StrPath) -> None:
        self._path = path

    async def open(
        self,
        header: CampaignHeader,
        now: Callable[[], datetime],
        *,
        resend_rejected: Collection[Reason] = (),
        against_first_run: Exception | None = None,
    ) -> "SqliteCampaignJournal":
        """See `Journal.open`. The file is made if it is not there, and locked until the books are closed."""

        def open_journal() -> CampaignFile:
            if against_first_run is not None and not has_begun(self._path, header.campaign):
                raise against_first_run
            return CampaignFile(self._path, header, now=now, resend_rejected=resend_rejected)

        return SqliteCampaignJournal(await WorkerThread[CampaignFile].open(open_journal))

    async def header(self, campaign: str) -> CampaignHeader:
        """See `Journal.header`."""
        return (await run_sync(stored_campaign, self._path, campaign)).header

    async def stored_campaigns(self) -> list[StoredCampaign]:
        """See `JournalReader.stored_campaigns`."""
        return await run_sync(campaigns, self._path)

    async def counts(self, campaign: str) -> dict[Outcome, int]:
        """See `JournalReader.counts`."""
        return (await run_sync(stored_campaign, self._path, campaign)).counts

    async def results(self, campaign: str, *outcomes: Outcome) -> AsyncGenerator[SendResult, None]:
        """See `JournalReader.results`. The file is locked meanwhile: close the generator if you leave it early."""
        wanted = frozenset(outcomes or Outcome)
        async with await WorkerThread[StoredResults].open(lambda: StoredResults(self._path, campaign)) as held:
            rows = await held.call(iter)
            while page := await held.page(rows):
                for result in page:
                    if result.outcome in wanted:
                        yield result

    async def export(self, campaign: str | None = None) -> AsyncGenerator[dict[str, Any], None]:
        """See `JournalReader.export`. The file is locked meanwhile: close the generator if you leave it early."""
        rows = export(self._path, campaign)
        async with await WorkerThread[Generator[dict[str, Any], None, None]].open(lambda: rows) as held:
            while page := await held.page(rows):
                for row in page:
                    yield row

    async def purge(self, campaign: str) -> int:
        """See `JournalReader.purge`. Nothing is left to read in free pages."""
        return await run_sync(purge, self._path, campaign)


class SqliteCampaignJournal:
    """The books of a campaign with a journal in a file."""

    def __init__(self, held: WorkerThread[CampaignFile]) -> None:
        self._held = held

    async def reserve(self, addressed: list[Addressed]) -> Reservation:
        """See `CampaignFile.reserve`."""
        return await self._held.call(lambda journal: journal.reserve(addressed))

    async def settle(self, results: list[SendResult], reserved: Reservation) -> list[SendResult]:
        """See `CampaignFile.settle`. What became of them is written down even if the caller is being cancelled."""
        return await self._held.call(lambda journal: journal.settle(results, reserved), shielded=True)

    async def lookup(self, results: Sequence[SendResult]) -> list[SendResult]:
        """See `CampaignFile.lookup`. It is looked up even if the caller is being cancelled."""
        return await self._held.call(lambda journal: journal.lookup(results), shielded=True)

    async def unsettled(self) -> AsyncGenerator[tuple[Message, WirePhone], None]:
        """See `CampaignFile.unsettled`; those who are settled on the way do not come again."""
        rows = await self._held.call(lambda journal: journal.unsettled())
        while page := await self._held.page(rows):
            for row in page:
                yield row

    async def aclose(self) -> None:
        """Close the file, and let others open it."""
        await self._held.aclose()

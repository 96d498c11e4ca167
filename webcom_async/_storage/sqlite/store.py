"""
A store in a folder, for campaigns that one process sends: the same promises without a server.

For the event loop: each call is one hop to a worker thread, one at a time. Other processes may read a campaign's
status and results, pause, resume and cancel it meanwhile; a second process that tries to send gets the error that the
journal is in use.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import anyio

from webcom_async._domain.clock import Clock
from webcom_async._domain.errors import InputError, UsageError
from webcom_async._domain.given import StrPath, refuse_blank
from webcom_async._domain.messages import Addressed, Message, OutboundRecipient, Recipient
from webcom_async._domain.options import Options
from webcom_async._domain.reasons import Reason
from webcom_async._domain.results import Outcome, SendResult
from webcom_async._domain.sources import RecipientSource
from webcom_async._domain.types import ClientIdSms
from webcom_async._domain.zones import DEFAULT_ZONE
from webcom_async._storage import campaign_rules as _rules
from webcom_async._storage.campaign_store import (
    BatchDone,
    BatchRef,
    CampaignSettings,
    CampaignState,
    CampaignStatus,
    Lease,
    Shard,
)
from webcom_async._storage.contracts import CampaignHeader, Journal, Reservation
from webcom_async._storage.plan import Planning
from webcom_async._storage.sqlite.campaign_folder import CAMPAIGNS, CampaignFolder, SharedCampaignFile
from webcom_async._storage.worker_thread import WorkerThread

__all__ = ["SqliteStore"]

T = TypeVar("T")


class SqliteStore:
    """
    A `CampaignStore` in a folder: `campaigns.db` with plans and statuses, and a journal per campaign.

    The first call opens it; it then belongs to that event loop. Close it with `async with`, or `aclose()`.

    Args:
        folder: The folder. `plan` creates it if missing, readable by you alone; its parent must exist.
        clock: The clock.
        time_zone: The gateway's zone in which a journal of a version before 5 keeps recipients' times.

    Raises:
        ConfigurationError: From the constructor: the zone is not known.
        InputError: From the constructor: the folder's path is empty or blank.
        JournalError: From every method: the folder cannot be read or written, or another process sends from it; the
            message says which, and what to do.
        UsageError: The store is closed.

    Attributes:
        shared: See `CampaignStore.shared`.
    """

    shared: bool = False

    def __init__(self, folder: StrPath, *, clock: Clock | None = None, time_zone: str = DEFAULT_ZONE) -> None:
        refuse_blank("the store's folder", folder)
        self._path = Path(folder)
        self._clock = clock or Clock()
        self._zone = Options(time_zone=time_zone).zone
        self._held: WorkerThread[CampaignFolder] | None = None
        self._opening = anyio.Lock()
        self._closed = False

    # ------------------------------------------------------------------------ the plan

    async def plan(self, settings: CampaignSettings, recipients: RecipientSource) -> int:
        """A slow source does not block other users of the store."""
        _rules.check_settings(settings)
        planning = Planning(settings, recipients)
        held = await self._open(create=True)
        draft = await held.call(lambda folder: folder.begin_draft(settings))
        try:
            while page := await planning.page():
                await held.call(partial(CampaignFolder.add_to_draft, draft=draft, page=page))
            planning.check_somebody()
            await held.call(lambda folder: folder.plan(settings, draft, planning.recipients, planning.digest))
        finally:
            await held.call(lambda folder: folder.drop_draft(draft), shielded=True)
            with anyio.CancelScope(shield=True):
                await planning.aclose()
        return planning.recipients

    async def settings(self, campaign: str) -> CampaignSettings:
        return await self._call(lambda folder: folder.settings(campaign))

    async def claim(self, campaign: str, account: str | None) -> str | None:
        return await self._call(lambda folder: folder.claim(campaign, account))

    async def acknowledge_repeated_ids(self, campaign: str) -> None:
        await self._call(lambda folder: folder.acknowledge_repeated_ids(campaign))

    async def give_new_ids(self, campaign: str) -> None:
        await self._call(lambda folder: folder.give_new_ids(campaign))

    async def campaigns(self, *states: CampaignState) -> list[str]:
        if self._held is None and not self._is_there():
            return []
        return await self._call(lambda folder: folder.campaigns(*states))

    async def recipients(self, ref: BatchRef) -> list[Recipient]:
        return await self._call(lambda folder: folder.recipients(ref))

    # ------------------------------------------------------------------------ the status

    async def status(self, campaign: str) -> CampaignStatus:
        return await self._call(lambda folder: folder.status(campaign))

    async def change_state(self, campaign: str, state: CampaignState, why: str = "") -> CampaignStatus:
        return await self._call(lambda folder: folder.change_state(campaign, state, why))

    async def shards(self, campaign: str) -> list[Shard]:
        return await self._call(lambda folder: folder.shards(campaign))

    async def try_dispatch(self, campaign: str, shard: int, generation: int) -> bool:
        return await self._call(lambda folder: folder.try_dispatch(campaign, shard, generation))

    async def acquire(self, campaign: str, shard: int, holder: str, seconds: float) -> Lease | None:
        """The first lease locks the journal until the campaign has ended."""
        return await self._call(lambda folder: folder.acquire(campaign, shard, holder, seconds))

    async def renew(self, lease: Lease) -> bool:
        return await self._call(lambda folder: folder.renew(lease))

    async def release(self, lease: Lease) -> None:
        await self._call(lambda folder: folder.release(lease))

    async def open_batches(self, campaign: str, shard: int) -> list[BatchRef]:
        return await self._call(lambda folder: folder.open_batches(campaign, shard))

    async def batch_done(self, lease: Lease, ref: BatchRef, done: BatchDone) -> None:
        await self._call(lambda folder: folder.batch_done(lease, ref, done))

    async def shard_done(self, lease: Lease) -> bool:
        return await self._call(lambda folder: folder.shard_done(lease))

    async def reserve_rate(self, campaign: str, recipients: int) -> float:
        return await self._call(lambda folder: folder.reserve_rate(campaign, recipients))

    # ------------------------------------------------------------------------ the journal

    def journals(self, lease: Lease) -> Journal:
        return LeasedSqliteJournal(self._open, lease)

    async def journal_path(self, campaign: str) -> Path:
        """Return the path of a campaign's journal, for `WebcomClient.track` and the like once no worker sends."""
        return await self._call(lambda folder: folder.journal_path(campaign))

    async def results(self, campaign: str, *outcomes: Outcome) -> AsyncGenerator[SendResult]:
        """Reads a copy of the journal if another process sends."""
        held = await self._open()
        close, rows = await held.call(lambda folder: folder.open_results(campaign, outcomes))
        try:
            while page := await held.page(rows):
                for row in page:
                    yield row
        finally:
            await held.call(lambda _: close(), shielded=True)

    async def lookup(self, campaign: str, results: Sequence[SendResult]) -> list[SendResult]:
        """Reads a copy of the journal if another process sends."""
        return await self._call(lambda folder: folder.lookup(campaign, results))

    async def aclose(self) -> None:
        self._closed = True
        async with self._opening:
            held, self._held = self._held, None
            if held is not None:
                await held.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with anyio.CancelScope(shield=True):
            await self.aclose()

    async def _call(self, call: Callable[[CampaignFolder], T]) -> T:
        return await (await self._open()).call(call)

    async def _open(self, *, create: bool = False) -> WorkerThread[CampaignFolder]:
        async with self._opening:
            if self._closed:
                raise UsageError("this store is closed: make another one")
            if self._held is None:
                if not create and not self._is_there():
                    raise InputError(f"no campaign was planned in {self._path}: give another folder, or plan one")
                self._held = await WorkerThread[CampaignFolder].open(
                    lambda: CampaignFolder(self._path, self._clock, self._zone)
                )
            return self._held

    def _is_there(self) -> bool:
        return (self._path / CAMPAIGNS).exists()


class LeasedSqliteJournal:
    """A campaign's journal for the holder of a lease; see `CampaignStore.journals`."""

    def __init__(self, open_folder: Callable[[], Awaitable[WorkerThread[CampaignFolder]]], lease: Lease) -> None:
        self._open_folder = open_folder
        self._lease = lease

    async def open(
        self,
        header: CampaignHeader,
        now: Callable[[], datetime],
        *,
        resend_rejected: Collection[Reason] = (),
        require_begun: bool = False,
    ) -> "LeasedCampaignJournal":
        """Shares the open file among this process's workers."""
        held = await self._open_folder()
        shared = await held.call(
            lambda folder: folder.open_journal(header, now, resend_rejected, require_begun=require_begun)
        )
        return LeasedCampaignJournal(held, shared, self._lease, shared.header)

    async def header(self, campaign: str) -> CampaignHeader:
        return await (await self._open_folder()).call(lambda folder: folder.stored_header(campaign))


class LeasedCampaignJournal:
    """A campaign's open journal for the holder of a lease."""

    def __init__(
        self, held: WorkerThread[CampaignFolder], shared: SharedCampaignFile, lease: Lease, header: CampaignHeader
    ) -> None:
        self.header = header
        self._held = held
        self._shared = shared
        self._lease = lease

    async def reserve(
        self, addressed: list[Addressed], *, new_ids: Mapping[ClientIdSms, ClientIdSms] = {}
    ) -> Reservation:
        return await self._held.call(lambda folder: folder.reserve(self._lease, self._shared, addressed, new_ids))

    async def settle(
        self, results: list[SendResult], reserved: Reservation, *, all_accepted: bool = False
    ) -> list[SendResult]:
        """Stores results even if the caller is being cancelled."""
        return await self._held.call(
            lambda folder: folder.settle(self._lease, self._shared, results, reserved, all_accepted=all_accepted),
            shielded=True,
        )

    async def lookup(self, results: list[SendResult]) -> list[SendResult]:
        """Returns even if the caller is being cancelled."""
        return await self._held.call(lambda _: self._shared.journal.lookup(results), shielded=True)

    async def unsettled(self) -> AsyncGenerator[tuple[Message, OutboundRecipient]]:
        rows = await self._held.call(lambda _: self._shared.journal.unsettled())
        while page := await self._held.page(rows):
            for row in page:
                yield row

    async def aclose(self) -> None:
        """Release the journal, which stays open for other workers."""
        await self._held.call(lambda folder: folder.close_journal(self._shared), shielded=True)

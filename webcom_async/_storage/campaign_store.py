"""
The contract of stores, which hold campaigns for many workers.

A store has three parts. The *plan* says which recipients get which messages, in batches that are grouped into shards;
it is written once, as a whole, and never changes. The *status* says which worker holds which shard until when, which
batches are done, and whether the campaign is running. The *journal* has the result of every recipient, and nothing is
sent without its reservation: only the journal decides whether a recipient may be sent to.

All calls may be made by many workers at once. If the store is unavailable (its server restarts), a call waits up to the
store's `patience`, then raises `StoreUnavailable`. Every call may be repeated.
"""

import enum
from collections.abc import AsyncGenerator, Sequence
from datetime import datetime
from typing import Protocol

import msgspec

from webcom_async._domain.messages import Message, Recipient
from webcom_async._domain.results import Outcome, SendResult
from webcom_async._domain.sources import RecipientSource
from webcom_async._domain.types import IdBits
from webcom_async._storage.contracts import Journal

__all__ = [
    "BatchDone",
    "BatchRef",
    "CampaignSettings",
    "CampaignState",
    "CampaignStatus",
    "CampaignStore",
    "Lease",
    "Shard",
    "WorkerStatus",
]


class CampaignState(enum.StrEnum):
    """Whether a campaign is running, and if not, why."""

    RUNNING = "running"
    PAUSED = "paused"  #: on request, until it is resumed
    HALTED = "halted"  #: by an error that affects every batch, such as an empty account; `why` has the error
    CANCELLED = "cancelled"  #: for good: the remaining recipients are never sent to
    FINISHED = "finished"  #: every shard is done


class CampaignSettings(msgspec.Struct, frozen=True, kw_only=True):
    """
    The settings that a campaign is planned with; they never change.

    Attributes:
        campaign: The campaign's name; the recipients' ids are derived from it.
        message: The message for recipients without a text or message of their own.
        sender: The sender for recipients with a text of their own.
        validity_period: The moment after which no attempt is made; aware.
        time_send: The moment to send at; aware (documented for XML only).
        id_bits: The width of derived ids.
        rate: Recipients per second over all workers; None for no limit.
        batch_size: The most recipients in a batch, which one step of an engine sends.
        shard_size: The most recipients in a shard, which one worker sends at a time.
    """

    campaign: str
    message: Message | None = None
    sender: str | None = None
    validity_period: datetime | None = None
    time_send: datetime | None = None
    id_bits: IdBits = 63
    rate: float | None = None
    batch_size: int = 500
    shard_size: int = 10_000


class BatchRef(msgspec.Struct, frozen=True):
    """The numbers of a batch, without phones or texts. Batches are numbered within the campaign, from 1."""

    campaign: str
    shard: int
    batch: int


class Shard(msgspec.Struct, frozen=True, kw_only=True):
    """
    A part of a campaign that one worker sends.

    Attributes:
        campaign: The campaign's name.
        number: The number within the campaign: 1, 2, 3, ….
        recipients: Number of recipients.
        generation: Number of dispatches by an engine; 0 before the first.
        done: Whether all batches are done.
        holder: The worker that holds the shard, or held it last; None if none ever has.
        until: When the lease expires; None if no worker holds the shard (released, done, or never acquired).
        expired: Whether that moment has passed, by the store's clock.
    """

    campaign: str
    number: int
    recipients: int
    generation: int
    done: bool
    holder: str | None
    until: datetime | None
    expired: bool


class Lease(msgspec.Struct, frozen=True):
    """
    A worker's right to send a shard, for as long as the worker renews it.

    Attributes:
        campaign: The campaign's name.
        shard: The shard's number.
        token: A number that grows with every lease of the store; a newer lease of the shard makes older ones invalid.
        holder: The worker's name.
        seconds: Seconds that the lease holds after it is acquired or renewed.
        replaced: The worker whose lease was revoked for this one; empty if nobody held the shard.
    """

    campaign: str
    shard: int
    token: int
    holder: str
    seconds: float
    replaced: str = ""


class BatchDone(msgspec.Struct, frozen=True, kw_only=True):
    """
    The counts of a sent batch; its open recipients may be sent again.

    Attributes:
        outcomes: Recipients per outcome.
        open: Recipients that may be sent again: unknown, or not sent for a transient reason.
        left_out: Results of recipients that cannot be sent to, and so are not in the journal: bad phones, duplicates.
    """

    outcomes: dict[Outcome, int]
    open: int = 0
    left_out: list[SendResult] = []


class WorkerStatus(msgspec.Struct, frozen=True, kw_only=True):
    """
    A worker, as the store sees it.

    Attributes:
        name: The worker's name.
        shards: The numbers of the shards that the worker holds.
        done: Recipients in all batches that the worker has done.
        until: When the latest of its leases expires; None if it holds none.
    """

    name: str
    shards: list[int]
    done: int
    until: datetime | None


class CampaignStatus(msgspec.Struct, frozen=True, kw_only=True):
    """
    The status of a campaign over all workers.

    Attributes:
        settings: The settings that the campaign was planned with.
        state: The state.
        why: The reason for the state in words; may be empty.
        recipients: Number of recipients.
        outcomes: Recipients of done batches per outcome, with every outcome as a key. A recipient in two batches counts
            twice, with its one SMS.
        open: Recipients of done batches that may be sent again.
        shards: Number of shards.
        shards_done: Number of shards that are done.
        workers: Workers that send or have sent the campaign, by name.
        planned: When the campaign was planned.
        ended: When the campaign was finished or cancelled; None before.
        acknowledged: Whether workers go on although `id_sms` repeat.
        new_ids: Whether recipients that were never sent to get new ids.
    """

    settings: CampaignSettings
    state: CampaignState
    why: str
    recipients: int
    outcomes: dict[Outcome, int]
    open: int
    shards: int
    shards_done: int
    workers: list[WorkerStatus]
    planned: datetime
    ended: datetime | None
    acknowledged: bool = False
    new_ids: bool = False


class CampaignStore(Protocol):
    """Where campaigns for many workers are stored."""

    @property
    def shared(self) -> bool:
        """Whether workers on several hosts may use the store at once."""
        ...

    # ------------------------------------------------------------------------ the plan

    async def plan(self, settings: CampaignSettings, recipients: RecipientSource) -> int:
        """
        Store a campaign, all of it or nothing, in the state `RUNNING`; return the number of recipients.

        Recipients are pulled lazily and stored as given: one that cannot be sent to becomes a result when its batch is
        sent. Planning again with the same settings and recipients changes nothing.

        Raises:
            InputError: A setting or an item cannot be used, or the campaign was planned with others; the message says
                which.
        """
        ...

    async def settings(self, campaign: str) -> CampaignSettings:
        """Return a campaign's settings; raise `InputError` if it is not planned here."""
        ...

    async def claim(self, campaign: str, account: str | None) -> str | None:
        """
        Return the account that a campaign is sent with: *account*, unless an earlier call has set another.

        The gateway remembers ids per account, so all workers must use one. An account is a digest; see
        `WebcomClient.account`. None clears it, for a caller that knows that a new token belongs to the same account.

        Raises:
            InputError: The campaign is not planned here.
        """
        ...

    async def acknowledge_repeated_ids(self, campaign: str) -> None:
        """
        Let all workers go on although `id_sms` repeat; see `WebcomClient.stream`. Resume the campaign afterwards.

        Raises:
            InputError: The campaign is not planned here.
        """
        ...

    async def give_new_ids(self, campaign: str) -> None:
        """
        Give recipients that were never sent to other derived ids, for good; see `WebcomClient.stream`. Resume the
        campaign afterwards. A second call changes nothing.

        Raises:
            InputError: The campaign is not planned here, or no recipient of it was sent to.
            JournalError: A run or a worker has the campaign; wait for the end of that, or of its lease.
        """
        ...

    async def campaigns(self, *states: CampaignState) -> list[str]:
        """Return the names of campaigns in these *states* (default: all), in the order of planning."""
        ...

    async def recipients(self, ref: BatchRef) -> list[Recipient]:
        """Return a batch's recipients."""
        ...

    # ------------------------------------------------------------------------ the status

    async def status(self, campaign: str) -> CampaignStatus:
        """Return a campaign's status; takes a few milliseconds at any size."""
        ...

    async def change_state(self, campaign: str, state: CampaignState, why: str = "") -> CampaignStatus:
        """
        Pause, halt, resume or cancel a campaign, and return its new status.

        Once this returns, no batch leaves that was not reserved before, unless the state is `RUNNING`. Resuming a
        finished campaign dispatches its shards with open recipients again. The current state may be set again, and
        nothing changes.

        Raises:
            InputError: The campaign was cancelled, or is finished and cannot be resumed; nothing changes.
        """
        ...

    async def shards(self, campaign: str) -> list[Shard]:
        """Return a campaign's shards, in order."""
        ...

    async def try_dispatch(self, campaign: str, shard: int, generation: int) -> bool:
        """
        Record that an engine dispatches a shard for the *generation*-th time; False if another has done so.

        The caller that gets True starts the shard, so two schedulers never start it twice.
        """
        ...

    async def acquire(self, campaign: str, shard: int, holder: str, seconds: float) -> Lease | None:
        """
        Return a new lease of a shard; None if it is done, held by another worker, or the campaign is not running.

        A lease that has expired, or that the same holder has, is revoked first: its reservations then count as unknown,
        and its holder can reserve nothing more.
        """
        ...

    async def renew(self, lease: Lease) -> bool:
        """
        Let a lease expire `lease.seconds` from now, even if it has expired; False if it was revoked.

        The seconds are those of the given lease, whatever it was acquired for.
        """
        ...

    async def release(self, lease: Lease) -> None:
        """Free the shard for other workers. Does nothing if the lease was revoked."""
        ...

    async def open_batches(self, campaign: str, shard: int) -> list[BatchRef]:
        """Return a shard's batches that are not done or have open recipients, in order."""
        ...

    async def batch_done(self, lease: Lease, ref: BatchRef, done: BatchDone) -> None:
        """
        Record a batch's counts, in place of earlier ones.

        Raises:
            LeaseLost: The lease was revoked; nothing is recorded.
        """
        ...

    async def shard_done(self, lease: Lease) -> bool:
        """
        Mark a shard as done and release the lease; return whether the campaign is `FINISHED` with it.

        Raises:
            LeaseLost: The lease was revoked.
        """
        ...

    async def reserve_rate(self, campaign: str, recipients: int) -> float:
        """
        Reserve the campaign's rate for so many recipients, and return the seconds to wait before they leave.

        The store's clock counts. 0.0 if the campaign has no rate.
        """
        ...

    # ------------------------------------------------------------------------ the journal

    def journals(self, lease: Lease) -> Journal:
        """
        Return the journal to send a shard's batches with.

        Its `reserve` raises `LeaseLost` if the lease was revoked, and `CampaignStopped` if the campaign is not running;
        in both cases nothing of the batch may leave. A recipient reserved under another valid lease is refused as a
        duplicate; one reserved under a revoked lease counts as possibly sent. The holder of a revoked lease may still
        record accepted recipients, and nothing else.
        """
        ...

    def results(self, campaign: str, *outcomes: Outcome) -> AsyncGenerator[SendResult, None]:
        """
        Yield the results of a campaign's recipients lazily: of those in the journal, then of those left out.

        Args:
            campaign: The campaign's name.
            outcomes: The outcomes to yield; all if none is given.
        """
        ...

    async def lookup(self, campaign: str, results: Sequence[SendResult]) -> list[SendResult]:
        """
        Return the stored results of recipients, by the ids in *results*; the given result where none is stored.

        Args:
            campaign: The campaign's name.
            results: The results to look up; a few hundred at a time.
        """
        ...

    async def aclose(self) -> None:
        """Close the store. Leases expire by themselves."""
        ...

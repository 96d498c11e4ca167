"""
What a campaign of many workers is written down in: the promises that every store keeps.

Three things stand in a store. The *plan*: what is said to whom, in batches that are grouped into shards; it is written
once, as a whole, and never changes. The *standing*: which shard is held by which worker until when, which batches are
done, and whether the campaign goes on. And the *journal*, which knows of every recipient what became of them, and
without whose reservation nothing leaves. Whatever else says so, only the journal decides whether somebody is sent to.

All calls may be made from many workers at once. A call that meets a store that is away (a server that is restarted)
waits for it as long as the store's `patience`, and raises `StoreUnavailable` after that; making the call again is
always right.
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


class CampaignState(enum.Enum):
    """Whether a campaign goes on."""

    RUNNING = "running"
    PAUSED = "paused"  #: by somebody's wish, until somebody resumes it
    HALTED = "halted"  #: by a failure that would meet every batch, such as an empty account; `why` has the words
    CANCELLED = "cancelled"  #: for good: who was not sent to will not be
    FINISHED = "finished"  #: every shard is done


class CampaignSettings(msgspec.Struct, frozen=True, kw_only=True):
    """
    What a campaign is planned with; it does not change afterwards.

    Attributes:
        campaign: Its name: ids of recipients are derived from it.
        message: What is said to everyone who does not bring a text or message.
        sender: The sender for recipients that bring a text only.
        validity_period: No attempt is made after this moment; aware.
        time_send: Send at this moment; aware (documented for XML only).
        id_bits: The width of derived ids.
        rate: Recipients per second over all workers; None for as fast as it goes.
        batch_size: Recipients in a batch, at most: what one step of an engine sends.
        shard_size: Recipients in a shard, at most: what one worker takes at a time.
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
    """A batch by its numbers, without phones or texts. Batches are numbered within the campaign, from 1."""

    campaign: str
    shard: int
    batch: int


class Shard(msgspec.Struct, frozen=True, kw_only=True):
    """
    A part of a campaign that one worker sends.

    Attributes:
        campaign: The campaign's name.
        number: 1, 2, 3, … within the campaign.
        recipients: How many.
        generation: How often it was handed out by an engine: 0 before the first time.
        done: Whether all its batches are done.
        holder: Who holds it, or held it last; None if nobody ever has.
        until: Until when; None if nobody holds it now (given back, done, or never taken).
        expired: Whether that moment has passed, by the store's own clock.
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
    A worker's right to send a shard, for as long as it is renewed.

    Attributes:
        campaign: The campaign's name.
        shard: The shard's number.
        token: Grows with every lease of the store: an older one is worth nothing once another was given.
        holder: The worker's name.
        seconds: How long it holds after it was taken or renewed.
    """

    campaign: str
    shard: int
    token: int
    holder: str
    seconds: float


class BatchDone(msgspec.Struct, frozen=True, kw_only=True):
    """
    What became of a batch; it may be sent again to those who are open.

    Attributes:
        outcomes: Recipients per outcome.
        open: How many of them asking again may still help: unknown, or not sent for a reason that may pass.
        left_out: Those who were never in the journal because they cannot be sent to: bad phones, duplicates.
    """

    outcomes: dict[Outcome, int]
    open: int = 0
    left_out: list[SendResult] = []


class WorkerStatus(msgspec.Struct, frozen=True, kw_only=True):
    """
    A worker as the store sees it.

    Attributes:
        name: Its name.
        shards: The numbers of the shards that it holds now.
        done: Recipients of the batches that it has done, in all.
        until: When the latest of its leases ends unless it is renewed, a sign of life; None if it holds none.
    """

    name: str
    shards: list[int]
    done: int
    until: datetime | None


class CampaignStatus(msgspec.Struct, frozen=True, kw_only=True):
    """
    A campaign as it stands, over all workers.

    Attributes:
        settings: What it was planned with.
        state: Whether it goes on.
        why: Words about that; empty if there are none.
        recipients: How many it has.
        outcomes: Recipients of done batches per outcome; all outcomes are there. Who comes twice, in two batches,
            counts twice, with the one SMS that they got.
        open: Recipients of done batches for whom asking again may still help.
        shards: How many it has.
        shards_done: How many of them are done.
        workers: Who works, or has worked, on it; by name.
        planned: When it was planned.
        ended: When it was finished or cancelled; None as long as it was not.
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


class CampaignStore(Protocol):
    """Where a campaign of many workers is written down."""

    @property
    def shared(self) -> bool:
        """Whether workers on several hosts may send from it at once, so that one may do what another cannot."""
        ...

    # ------------------------------------------------------------------------ the plan

    async def plan(self, settings: CampaignSettings, recipients: RecipientSource) -> int:
        """
        Write down a campaign: all of it, or nothing; its state is `RUNNING` then. Return how many recipients it has.

        Recipients are pulled lazily and kept as they are; whoever cannot be sent to becomes a result when their batch
        is sent. Planning again with the same settings and the same recipients changes nothing.

        Raises:
            InputError: A setting or an item cannot be used; or the campaign was planned with other settings or other
                recipients: the message says which.
        """
        ...

    async def settings(self, campaign: str) -> CampaignSettings:
        """Return what a campaign was planned with; raise `InputError` if it was not planned here."""
        ...

    async def claim(self, campaign: str, account: str | None) -> str | None:
        """
        Return whose account a campaign is sent with: *account*, if nobody has said so before.

        The gateway remembers ids per account, so all workers must have the same. An account is a digest; see
        `WebcomClient.account`. None forgets it, for whoever knows that another token is the same account's.

        Raises:
            InputError: The campaign was not planned here.
        """
        ...

    async def campaigns(self, *states: CampaignState) -> list[str]:
        """Return the names of campaigns in these *states*, or of all if none is given, as they were planned."""
        ...

    async def recipients(self, ref: BatchRef) -> list[Recipient]:
        """Return a batch's recipients."""
        ...

    # ------------------------------------------------------------------------ the standing

    async def status(self, campaign: str) -> CampaignStatus:
        """Return how a campaign stands; a few milliseconds of work, whatever its size."""
        ...

    async def change_state(self, campaign: str, state: CampaignState, why: str = "") -> CampaignStatus:
        """
        Pause, halt, resume or cancel a campaign, and return how it stands then.

        When this returns, no batch leaves any more that was not reserved before, unless the state is `RUNNING`.
        `FINISHED` may be resumed, which hands out again the shards that have open recipients. Asking for the state that
        is there changes nothing.

        Raises:
            InputError: The campaign was cancelled, or is finished and not to be resumed; nothing is changed.
        """
        ...

    async def shards(self, campaign: str) -> list[Shard]:
        """Return a campaign's shards, in order."""
        ...

    async def try_dispatch(self, campaign: str, shard: int, generation: int) -> bool:
        """
        Note that an engine hands out a shard for the *generation*-th time; False if somebody has done so already.

        Who gets True starts it. This is what keeps two schedulers from starting a shard twice.
        """
        ...

    async def acquire(self, campaign: str, shard: int, holder: str, seconds: float) -> Lease | None:
        """
        Return a new lease of a shard; None if it is done, the campaign does not run, or somebody else holds it.

        A lease that has expired, or whose holder has the same name, is revoked first: what its requests were reserved
        with counts as unknown from then on, and its holder can reserve nothing more.
        """
        ...

    async def renew(self, lease: Lease) -> bool:
        """Let a lease hold for its seconds from now on, even if it has expired; False if it was revoked."""
        ...

    async def release(self, lease: Lease) -> None:
        """Let others take the shard at once. Nothing is done if the lease was revoked."""
        ...

    async def open_batches(self, campaign: str, shard: int) -> list[BatchRef]:
        """Return the batches of a shard that are not done, or have open recipients; in order."""
        ...

    async def batch_done(self, lease: Lease, ref: BatchRef, done: BatchDone) -> None:
        """
        Note what became of a batch. The latest word counts.

        Raises:
            LeaseLost: The lease was revoked; nothing is noted.
        """
        ...

    async def shard_done(self, lease: Lease) -> bool:
        """
        Note that a shard is done, and give the lease back; return whether it was the last one of the campaign.

        The campaign is `FINISHED` then.

        Raises:
            LeaseLost: The lease was revoked.
        """
        ...

    async def reserve_rate(self, campaign: str, recipients: int) -> float:
        """
        Return after how many seconds so many recipients may leave, at the campaign's rate over all workers.

        The turn is taken with this call, by the store's own clock. 0.0 if the campaign has no rate.
        """
        ...

    # ------------------------------------------------------------------------ the journal

    def journals(self, lease: Lease) -> Journal:
        """
        Return the journal to send a shard's batches with.

        It promises what every journal promises. Beyond that, it reserves for the lease's holder: `reserve` raises
        `LeaseLost` if the lease was revoked, and `CampaignStopped` if the campaign does not run; in both cases nothing
        of the batch may leave. Whoever is reserved under another lease that holds is not sent to: they are a
        duplicate. What stands reserved under a revoked lease is in doubt. A revoked lease's holder may still write
        down that somebody was accepted, and nothing else.
        """
        ...

    def results(self, campaign: str, *outcomes: Outcome) -> AsyncGenerator[SendResult, None]:
        """
        Yield what is known of a campaign's recipients: of those who were offered, and of those left out; lazily.

        Args:
            campaign: Its name.
            outcomes: Only these; all, if none is given.
        """
        ...

    async def lookup(self, campaign: str, results: Sequence[SendResult]) -> list[SendResult]:
        """
        Return what is known of the recipients of *results*, by their ids, and the result itself where nothing is.

        Args:
            campaign: Its name.
            results: What to say of those of whom nothing is known; a few hundred at a time.
        """
        ...

    async def aclose(self) -> None:
        """Close the store. Leases that are held expire."""
        ...

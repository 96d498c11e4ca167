"""
A worker: it takes a shard, sends its batches, and keeps telling the store that it lives.

Whatever dispatches shards calls `run_shard`, or, where each batch is a step of its own, holds a lease with
`LeaseKeeper` and calls `run_batch`. Both may be called again at any time, and by several at once: the store decides
who may send.
"""

import enum
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing
from functools import partial
from typing import Protocol, TypeVar

import anyio
import msgspec
from anyio import CancelScope

from webcom_async._domain.clock import Clock
from webcom_async._domain.errors import (
    AuthenticationError,
    CampaignStopped,
    ConfigurationError,
    GatewayUnavailable,
    InputError,
    JournalError,
    LeaseLost,
    StoreUnavailable,
    TlsError,
    UsageError,
    WebcomError,
)
from webcom_async._domain.messages import Recipient
from webcom_async._domain.options import Options
from webcom_async._domain.results import Outcome, SendResult
from webcom_async._gateway.safeguards import Safeguards
from webcom_async._sending.campaign import Results
from webcom_async._storage import campaign_rules as _rules
from webcom_async._storage.campaign_store import (
    BatchDone,
    BatchRef,
    CampaignSettings,
    CampaignState,
    CampaignStore,
    Lease,
)
from webcom_async.client import WebcomClient
from webcom_async.scaleout._batch_summary import RecordingJournal, summarize
from webcom_async.scaleout._lease_keeper import LeaseKeeper

__all__ = ["ShardEnd", "ShardOutcome", "Steps", "Worker", "run_batch", "run_shard"]

logger: logging.Logger = logging.getLogger("webcom_async")

T = TypeVar("T")

LEASE_SECONDS = 60.0
LONGEST_LEASE = 86_400.0
_PAUSE = 1.0  # seconds, before a store that was away is asked again
_FAREWELL = 5.0  # seconds that a lease is tried to be given back for


class ShardOutcome(enum.Enum):
    """How the running of a shard has ended."""

    DONE = "done"  #: all its batches are done, by this worker or by others
    HELD = "held"  #: another worker has it; try again when its lease may have run out
    LOST = "lost"  #: another worker took it over, or this one could not renew its lease; try again
    STOPPED = "stopped"  #: the campaign does not run; try again if it is resumed
    UNREACHED = "unreached"  #: not from this host, for the gateway or the store; from another, or from here later


class ShardEnd(msgspec.Struct, frozen=True, kw_only=True):
    """
    How the running of a shard has ended.

    Attributes:
        campaign: The campaign's name.
        shard: The shard's number.
        ending: How.
        finished: Whether the campaign is finished, and this was its last shard.
        why: Words about it; empty if it is done.
    """

    campaign: str
    shard: int
    ending: ShardOutcome
    finished: bool = False
    why: str = ""


class _Waiting:
    """
    How a worker waits.

    Args:
        sleep: Waits so many seconds.
    """

    def __init__(self, sleep: Callable[[float], Awaitable[None]]) -> None:
        self.sleep = sleep

    async def patiently(self, call: Callable[[], Awaitable[T]]) -> T:
        """Return what *call* returns, made again for as long as the store is away."""
        while True:
            try:
                return await call()
            except StoreUnavailable as exc:
                logger.warning("store_unavailable", extra={"error": str(exc)})
                await self.sleep(_PAUSE)


class _CampaignMemory:
    """What a worker knows of a campaign: its settings, and what it has learnt while it sent."""

    def __init__(self, settings: CampaignSettings, retry_quota: int) -> None:
        self.settings = settings
        self.safeguards = Safeguards(retry_quota)
        # One turn at a time is taken ahead: more would be lost with the worker, and hold others up.
        self.turns = anyio.Lock()


class Steps(Protocol):
    """
    How an engine remembers what was done of a shard, so that whoever goes on does not do it again.

    An engine without a memory of its own needs none: the store knows what is done, too.
    """

    async def open_batches(self, look: Callable[[], Awaitable[list[BatchRef]]]) -> list[BatchRef]:
        """Return what *look* returns; it need not be called if that is remembered."""
        ...

    def sent(
        self, refs: Sequence[BatchRef], send: Callable[[BatchRef], Awaitable[int]]
    ) -> Callable[[BatchRef], Awaitable[int]]:
        """
        Return what sends one of *refs*, several of which are sent at once, and returns how many recipients stay open.

        It need not call *send* if that is remembered.
        """
        ...


class _NoSteps:
    """Everything is done when it comes up."""

    async def open_batches(self, look: Callable[[], Awaitable[list[BatchRef]]]) -> list[BatchRef]:
        return await look()

    def sent(
        self,
        refs: Sequence[BatchRef],  # noqa: ARG002
        send: Callable[[BatchRef], Awaitable[int]],
    ) -> Callable[[BatchRef], Awaitable[int]]:
        return send


class Worker:
    """
    What a process sends campaigns with. What it learns of a campaign holds for all shards that it sends of that.

    Args:
        client: Sends. Its `in_flight` also is how many batches of a shard are sent at once.
        store: Where campaigns are written down.
        name: What it is called: its leases are in this name, and whoever comes with the same one takes them over.
        lease_seconds: Seconds after which others may take over what it holds, unless it says that it lives.
        clock: How to wait, for tests.
    """

    def __init__(
        self,
        client: WebcomClient,
        store: CampaignStore,
        name: str,
        *,
        lease_seconds: float = LEASE_SECONDS,
        clock: Clock | None = None,
    ) -> None:
        if not isinstance(name, str) or not name.strip():
            raise InputError(f"a worker's name is {name!r}; it must be one that no other worker has")
        if not 0 < lease_seconds <= LONGEST_LEASE:
            raise InputError(f"lease_seconds is {lease_seconds!r}; it must be above 0 and at most {LONGEST_LEASE:g}")
        self._client = client
        self._store = store
        self._name = name
        self._lease_seconds = lease_seconds
        self._waiting = _Waiting((clock or Clock()).sleep)
        self._known: dict[str, _CampaignMemory] = {}
        self._at_work: set[tuple[str, int]] = set()

    async def run_shard(self, campaign: str, shard: int, *, steps: Steps | None = None) -> ShardEnd:
        """
        Send what is left of a shard, unless another worker is at it; see `run_shard`.

        Args:
            campaign: The campaign's name.
            shard: The shard's number.
            steps: How an engine remembers what was done of it.

        Raises:
            InputError: There is no such campaign or shard.
            ConfigurationError: The client derives ids of another width than the campaign was planned with.
            JournalError: The store cannot be used from here; it was not the campaign's fault, and that goes on.
            UsageError: The client or the store is closed.
        """
        if (campaign, shard) in self._at_work:
            # By its name alone it would take the shard from itself.
            return ShardEnd(
                campaign=campaign, shard=shard, ending=ShardOutcome.HELD, why="this worker is at it already"
            )
        self._at_work.add((campaign, shard))
        try:
            return await self._run_shard(campaign, shard, steps or _NoSteps())
        finally:
            self._at_work.discard((campaign, shard))

    async def run_batch(self, lease: Lease, ref: BatchRef, *, leaving: int | None = None) -> BatchDone:
        """
        Send a batch, note what became of it, and return that; see `run_batch`.

        Args:
            lease: The right to do so.
            ref: Which.
            leaving: How many of it are likely to leave, if that is known: as many are asked of the campaign's rate.
        """
        known = await self._know(ref.campaign)
        people = await self._store.recipients(ref)
        await self._take_turn(known, len(people) if leaving is None else leaving)
        recording = RecordingJournal(self._store.journals(lease))
        results: list[SendResult] = []
        try:
            failure = await self._send(known, people, recording, results)
        except anyio.get_cancelled_exc_class():
            await self._note_in_time(lease, ref, summarize(results, len(people), recording))
            raise
        if failure is not None and not isinstance(failure, LeaseLost | StoreUnavailable):
            self._forget(ref.campaign)
        if failure is not None and (isinstance(failure, JournalError) or not results):
            raise failure
        done = summarize(results, len(people), recording)
        await self._store.batch_done(lease, ref, done)
        if failure is not None:
            raise failure
        return done

    async def _run_shard(self, campaign: str, shard: int, steps: Steps) -> ShardEnd:
        await self._waiting.patiently(lambda: self._learn(campaign))
        lease = await self._waiting.patiently(
            lambda: self._store.acquire(campaign, shard, self._name, self._lease_seconds)
        )
        if lease is None:
            return await self._waiting.patiently(lambda: self._why_not(campaign, shard))
        logger.info("shard_taken", extra={"campaign": campaign, "shard": shard, "token": lease.token})
        try:
            end = await self._hold(lease, steps)
        finally:
            await self._give_back(lease)
        if end.finished:
            self._forget(campaign)
        if end.ending is ShardOutcome.UNREACHED:
            logger.warning("shard_given_back", extra={"campaign": campaign, "shard": shard, "error": end.why})
            # The shard is free: time for the others, before it is offered to this worker again.
            await self._waiting.sleep(self._lease_seconds)
        logger.info("shard_ended", extra={"campaign": campaign, "shard": shard, "ending": end.ending.value})
        return end

    async def _know(self, campaign: str) -> _CampaignMemory:
        return self._known.get(campaign) or await self._learn(campaign)

    async def _learn(self, campaign: str) -> _CampaignMemory:
        """Look at a campaign's settings, which are others if it was purged and planned anew, and whether they suit."""
        settings = await self._store.settings(campaign)
        options = self._client.options
        if settings.id_bits != options.id_bits:
            raise ConfigurationError(
                f"campaign {campaign!r} was planned with id_bits={settings.id_bits}, and this client has "
                f"id_bits={options.id_bits}: it would send everybody a second SMS. Give all clients the same"
            )
        account = self._client.account(campaign)
        if await self._store.claim(campaign, account) != account:
            raise ConfigurationError(
                f"campaign {campaign!r} was begun with another account: the gateway remembers who was sent to per "
                "account. Give all workers the same; if it is the same account under a new token, resume the campaign "
                "with --same-account, or call store.claim(campaign, None)"
            )
        known = self._known.get(campaign)
        if known is None or known.settings != settings:
            known = self._known[campaign] = _CampaignMemory(settings, options.retry_quota)
        return known

    def _forget(self, campaign: str) -> None:
        """Begin anew with a campaign that was stopped, if it is resumed: whatever stopped it was cleared up."""
        self._known.pop(campaign, None)

    async def _why_not(self, campaign: str, shard: int) -> ShardEnd:
        """Say why a shard could not be taken."""
        status = await self._store.status(campaign)
        if status.state not in {CampaignState.RUNNING, CampaignState.FINISHED}:
            why = str(_rules.stopped(campaign, status.state, status.why))
            return ShardEnd(campaign=campaign, shard=shard, ending=ShardOutcome.STOPPED, why=why)
        [found] = [each for each in await self._store.shards(campaign) if each.number == shard]
        if found.done:
            return ShardEnd(campaign=campaign, shard=shard, ending=ShardOutcome.DONE)
        return ShardEnd(campaign=campaign, shard=shard, ending=ShardOutcome.HELD, why=f"{found.holder} has it")

    async def _hold(self, lease: Lease, steps: Steps) -> ShardEnd:
        """Send a shard under *lease*, and say how that ended."""
        end = ShardEnd(campaign=lease.campaign, shard=lease.shard, ending=ShardOutcome.DONE)
        try:
            async with LeaseKeeper(self._store, lease):
                running = _Running(self, lease, self._store, self._client.options, self._waiting)
                finished = await running.run(steps)
            return msgspec.structs.replace(end, finished=finished)
        except (LeaseLost, StoreUnavailable) as exc:
            return msgspec.structs.replace(end, ending=ShardOutcome.LOST, why=str(exc))
        except CampaignStopped as exc:
            return msgspec.structs.replace(end, ending=ShardOutcome.STOPPED, why=str(exc))
        except UsageError:
            raise
        except WebcomError as exc:
            if self._store.shared and isinstance(exc, GatewayUnavailable | TlsError | JournalError):
                return msgspec.structs.replace(end, ending=ShardOutcome.UNREACHED, why=str(exc))
            await self._halt(lease.campaign, str(exc))
            if isinstance(exc, AuthenticationError):
                await self._waiting.patiently(lambda: self._disown(lease.campaign))
            return msgspec.structs.replace(end, ending=ShardOutcome.STOPPED, why=str(exc))

    async def _halt(self, campaign: str, why: str) -> None:
        """Halt a campaign that runs; one that somebody has paused stays so, until somebody resumes it."""
        status = await self._waiting.patiently(lambda: self._store.status(campaign))
        if status.state is not CampaignState.RUNNING:
            return
        try:
            await self._waiting.patiently(lambda: self._store.change_state(campaign, CampaignState.HALTED, why))
        except InputError:
            return  # it has ended meanwhile
        logger.warning("campaign_halted", extra={"campaign": campaign, "error": why})

    async def _disown(self, campaign: str) -> None:
        """Forget whose account a campaign is that nobody was served from: its password, or token, was mistyped."""
        served = self._store.results(campaign, Outcome.ACCEPTED, Outcome.REJECTED, Outcome.UNKNOWN)
        async with aclosing(served):
            if await anext(served, None) is None:
                await self._store.claim(campaign, None)

    async def _give_back(self, lease: Lease) -> None:
        with CancelScope(shield=True, deadline=anyio.current_time() + _FAREWELL):
            try:
                await self._store.release(lease)
            except WebcomError:
                logger.info("lease_not_given_back", extra={"campaign": lease.campaign, "shard": lease.shard})

    async def _take_turn(self, known: _CampaignMemory, recipients: int) -> None:
        if known.settings.rate is None:
            return
        async with known.turns:
            await self._waiting.sleep(await self._store.reserve_rate(known.settings.campaign, recipients))

    async def _note_in_time(self, lease: Lease, ref: BatchRef, done: BatchDone) -> None:
        """Note what became of a batch that was cut short, if anybody was sent to: else its counts lag the journal's."""
        if done.outcomes[Outcome.NOT_SENT] == sum(done.outcomes.values()):
            return
        with CancelScope(shield=True, deadline=anyio.current_time() + _FAREWELL):
            try:
                await self._store.batch_done(lease, ref, done)
            except WebcomError:
                logger.info("batch_not_noted", extra={"campaign": ref.campaign, "shard": ref.shard})

    async def _send(
        self,
        known: _CampaignMemory,
        people: Sequence[Recipient],
        recording: RecordingJournal,
        results: list[SendResult],
    ) -> WebcomError | None:
        """Offer *people* to the client, append what becomes of them to *results*, and return what ended it early."""
        settings = known.settings
        campaign = self._client.stream(
            _timed(people, settings),
            message=settings.message,
            sender=settings.sender,
            campaign=settings.campaign,
            journal=recording,
        )
        campaign.safeguards = known.safeguards
        stream: Results | None = None
        try:
            async with campaign as stream:
                async for some in stream.batches():
                    results += some
        except WebcomError as exc:
            return exc
        finally:
            if stream is not None:
                results += stream.unread  # what came while it was being left
        return None


def _timed(people: Sequence[Recipient], settings: CampaignSettings) -> Sequence[Recipient]:
    """Return *people* with the campaign's times as their own: a time that has passed is a result then, and no error."""
    if settings.validity_period is None and settings.time_send is None:
        return people
    return [
        msgspec.structs.replace(
            each,
            validity_period=each.validity_period or settings.validity_period,
            time_send=each.time_send or settings.time_send,
        )
        for each in people
    ]


class _Running:
    """One worker's way through a shard."""

    def __init__(self, worker: Worker, lease: Lease, store: CampaignStore, options: Options, waiting: _Waiting) -> None:
        self._worker = worker
        self._options = options
        self._waiting = waiting
        self._store = store
        self._lease = lease
        # The client has asked again already, and more often than this; whatever stays open takes a while to pass.
        self._pauses = (0.0, options.wait_initial, options.wait_max)
        self._failure: Exception | None = None
        self._open: dict[BatchRef, int] = {}

    async def run(self, steps: Steps) -> bool:
        """Send all batches that are open, and those again in which somebody stays so; return `ShardEnd.finished`."""
        for number in range(len(self._pauses)):
            refs = await steps.open_batches(partial(self._waiting.patiently, self._open_batches))
            if not refs:
                break
            await self._waiting.sleep(self._pauses[number])
            # Again one by one: a phone that stands in two batches is a duplicate as long as both are under way.
            at_once = 1 if number else self._options.in_flight
            await self._pass_over(refs, steps.sent(refs, self._send), at_once)
            if not any(self._open.values()):
                break
        return await self._waiting.patiently(lambda: self._store.shard_done(self._lease))

    async def _pass_over(
        self, refs: Sequence[BatchRef], send: Callable[[BatchRef], Awaitable[int]], at_once: int
    ) -> None:
        """Have *send* send *refs*, so many at once."""
        left = iter(refs)
        async with anyio.create_task_group() as tasks:
            for _ in range(min(at_once, len(refs))):
                tasks.start_soon(self._work, left, send)
        if self._failure is not None:
            raise self._failure

    async def _work(self, left: Iterator[BatchRef], send: Callable[[BatchRef], Awaitable[int]]) -> None:
        try:
            while self._failure is None and (ref := next(left, None)) is not None:
                self._open[ref] = await send(ref)
        except Exception as exc:  # noqa: BLE001 - raised bare, when the batches under way have ended
            self._failure = self._failure or exc

    async def _open_batches(self) -> list[BatchRef]:
        return await self._store.open_batches(self._lease.campaign, self._lease.shard)

    async def _send(self, ref: BatchRef) -> int:
        """Send a batch, however long the store is away, and return how many recipients stay open."""
        leaving = self._open.get(ref)
        done = await self._waiting.patiently(lambda: self._worker.run_batch(self._lease, ref, leaving=leaving))
        return done.open


async def run_shard(
    client: WebcomClient,
    store: CampaignStore,
    campaign: str,
    shard: int,
    *,
    holder: str,
    lease_seconds: float = LEASE_SECONDS,
) -> ShardEnd:
    """
    Send what is left of a shard, unless another worker is at it, and say how that ended.

    Calling it again, from anywhere, is always right: who was sent to is not sent to again. It waits while the store is
    away. Recipients that stay open (unknown, or not sent for a reason that may pass) are asked for in further passes.
    A failure that would meet everybody, such as an empty account, halts the campaign for all its workers; that the
    gateway is not reached from here, or that the store refuses this worker, is no such failure where there are others.

    Args:
        client: Sends.
        store: Where the campaign was planned.
        campaign: The campaign's name.
        shard: The shard's number.
        holder: The worker's name; see `Worker`.
        lease_seconds: See `Worker`.

    Raises:
        InputError, ConfigurationError, JournalError, UsageError: See `Worker.run_shard`.
    """
    return await Worker(client, store, holder, lease_seconds=lease_seconds).run_shard(campaign, shard)


async def run_batch(client: WebcomClient, store: CampaignStore, lease: Lease, ref: BatchRef) -> BatchDone:
    """
    Send a batch, note what became of it, and return that.

    Call it while a `LeaseKeeper` renews the lease. A `Worker` whose method of the same name is called instead remembers
    from one batch to the next what the gateway takes from nobody, and how many retries are left.

    Args:
        client: Sends.
        store: Where the campaign was planned.
        lease: The right to do so.
        ref: Which batch.

    Raises:
        LeaseLost, CampaignStopped: Nothing has left; what was sent before is in the journal.
        StoreUnavailable: The store is away; call it again.
        WebcomError: A failure that would meet every batch. What is known of this one is noted.
    """
    return await Worker(client, store, lease.holder).run_batch(lease, ref)

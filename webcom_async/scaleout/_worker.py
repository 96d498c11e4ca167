"""
Workers: acquire a shard, send its batches, and renew the lease meanwhile.

An engine calls `run_shard` to send a shard. An engine that runs each batch as a step of its own holds a lease with
`LeaseKeeper` and calls `run_batch`. Both may be called again at any time, and concurrently: the store decides which
worker may send.
"""

import enum
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
    GatewaySilent,
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
from webcom_async._events.observers import Observers
from webcom_async._events.sending import CampaignHalted
from webcom_async._events.workers import (
    BatchNotNoted,
    LeaseNotGivenBack,
    ShardEnded,
    ShardGivenBack,
    ShardTaken,
    ShardTakenOver,
    StoreAwaited,
)
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

T = TypeVar("T")

LEASE_SECONDS = 60.0
LONGEST_LEASE = 86_400.0
_PAUSE = 1.0  # seconds before a call to an unavailable store is retried
_FAREWELL = 5.0  # seconds for the last write, when a worker stops


class ShardOutcome(enum.StrEnum):
    """How a run of a shard ends."""

    DONE = "done"  #: all its batches are done, by this worker or others
    HELD = "held"  #: another worker holds it; try again when its lease may have expired
    LOST = "lost"  #: another worker took it over, or the lease could not be renewed; try again
    STOPPED = "stopped"  #: the campaign is not running; try again when it is resumed
    UNREACHED = "unreached"  #: this host gets no answer from the gateway or the store; try on another, or later


class ShardEnd(msgspec.Struct, frozen=True, kw_only=True):
    """
    The end of a run of a shard.

    Attributes:
        campaign: The campaign's name.
        shard: The shard's number.
        ending: How the run ended.
        finished: Whether this was the campaign's last shard, so that it is finished.
        why: The reason in words; empty if the shard is done.
    """

    campaign: str
    shard: int
    ending: ShardOutcome
    finished: bool = False
    why: str = ""


class _Waiting:
    """Waits with *sleep*, which takes seconds, and emits what it waits for."""

    def __init__(self, sleep: Callable[[float], Awaitable[None]], observers: Observers) -> None:
        self.sleep = sleep
        self._observers = observers

    async def patiently(self, call: Callable[[], Awaitable[T]]) -> T:
        """Return the result of *call*, repeated while the store is unavailable."""
        while True:
            try:
                return await call()
            except StoreUnavailable as exc:
                self._observers.emit(StoreAwaited(error=str(exc)))
                await self.sleep(_PAUSE)


class _CampaignMemory:
    """A worker's cache for a campaign: its settings, and what was learnt while sending."""

    def __init__(self, settings: CampaignSettings, options: Options) -> None:
        self.settings = settings
        self.acknowledged = False
        self.safeguards = Safeguards(options)
        # A worker reserves rate for one batch ahead: more would be lost if it died, and delay others.
        self.turns = anyio.Lock()


class Steps(Protocol):
    """
    An engine's own record of a shard's finished steps, which a later execution does not repeat.

    An engine without such a record needs no `Steps`: the store keeps one too.
    """

    async def open_batches(self, look: Callable[[], Awaitable[list[BatchRef]]]) -> list[BatchRef]:
        """Return the result of *look*, or the recorded one."""
        ...

    def sent(
        self, refs: Sequence[BatchRef], send: Callable[[BatchRef], Awaitable[int]]
    ) -> Callable[[BatchRef], Awaitable[int]]:
        """
        Return a function that sends one of *refs* with *send*, and returns how many recipients stay open.

        It is called for several batches at once. It may return a recorded result instead of calling *send*.
        """
        ...


class _NoSteps:
    """Records nothing: every step is executed."""

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
    Sends shards in one process. What it learns about a campaign applies to all of that campaign's shards.

    Args:
        client: The client. Its `in_flight` is also the number of a shard's batches sent at once.
        store: The store with the planned campaigns.
        name: The worker's name, which must be unique: a worker takes over leases held under its own name.
        lease_seconds: Seconds until other workers may take over a shard, unless its lease is renewed.
        clock: The clock that pauses use.
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
        self._observers = client.observers
        self._waiting = _Waiting((clock or Clock()).sleep, self._observers)
        self._known: dict[str, _CampaignMemory] = {}
        self._at_work: set[tuple[str, int]] = set()

    async def run_shard(self, campaign: str, shard: int, *, steps: Steps | None = None) -> ShardEnd:
        """
        Send the rest of a shard, unless another worker holds it; see the function `run_shard`.

        Args:
            campaign: The campaign's name.
            shard: The shard's number.
            steps: The engine's record of finished steps.

        Raises:
            InputError: The campaign or the shard does not exist.
            ConfigurationError: The client's ids or account differ from the campaign's.
            JournalError: This worker cannot use the store; the campaign goes on.
            UsageError: The client or the store is closed.
        """
        if (campaign, shard) in self._at_work:
            # The store would let it take the shard over from itself.
            return ShardEnd(
                campaign=campaign, shard=shard, ending=ShardOutcome.HELD, why="this worker is sending it already"
            )
        self._at_work.add((campaign, shard))
        try:
            return await self._run_shard(campaign, shard, steps or _NoSteps())
        finally:
            self._at_work.discard((campaign, shard))

    async def run_batch(self, lease: Lease, ref: BatchRef, *, leaving: int | None = None) -> BatchDone:
        """
        Send a batch, record the counts and return them; see the function `run_batch`.

        Args:
            lease: The lease of the batch's shard.
            ref: The batch.
            leaving: The recipients likely to be sent to, if known; the campaign's rate is reserved for them.
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
        self._emit_taken(lease)
        try:
            end = await self._hold(lease, steps)
        finally:
            await self._give_back(lease)
        if end.finished:
            self._forget(campaign)
        if end.ending is ShardOutcome.UNREACHED:
            self._observers.emit(ShardGivenBack(campaign=campaign, shard=shard, error=end.why))
            # Let other workers take the free shard first, before it is offered to this one again.
            await self._waiting.sleep(self._lease_seconds)
        self._observers.emit(ShardEnded(campaign=campaign, shard=shard, ending=end.ending.value))
        return end

    def _emit_taken(self, lease: Lease) -> None:
        campaign, shard, token = lease.campaign, lease.shard, lease.token
        self._observers.emit(ShardTaken(campaign=campaign, shard=shard, token=token))
        if lease.replaced:
            self._observers.emit(ShardTakenOver(campaign=campaign, shard=shard, token=token, holder=lease.replaced))

    async def _know(self, campaign: str) -> _CampaignMemory:
        return self._known.get(campaign) or await self._learn(campaign)

    async def _learn(self, campaign: str) -> _CampaignMemory:
        """Load a campaign's settings, which may have changed if it was purged; check that the client fits."""
        settings = await self._store.settings(campaign)
        options = self._client.options
        if settings.id_bits != options.id_bits:
            raise ConfigurationError(
                f"campaign {campaign!r} was planned with id_bits={settings.id_bits}, and this client has "
                f"id_bits={options.id_bits}: it would send every recipient a second SMS. Give all clients the same"
            )
        account = self._client.account(campaign)
        if await self._store.claim(campaign, account) != account:
            raise ConfigurationError(
                f"campaign {campaign!r} was begun with another account: the gateway remembers ids per "
                "account. Give all workers the same; if it is the same account under a new token, resume the campaign "
                "with --same-account, or call store.claim(campaign, None)"
            )
        known = self._known.get(campaign)
        if known is None or known.settings != settings:
            known = self._known[campaign] = _CampaignMemory(settings, options)
        known.acknowledged = (await self._store.status(campaign)).acknowledged
        return known

    def _forget(self, campaign: str) -> None:
        """Drop what was learnt about a stopped campaign: once it is resumed, the cause is removed."""
        self._known.pop(campaign, None)

    async def _why_not(self, campaign: str, shard: int) -> ShardEnd:
        status = await self._store.status(campaign)
        if status.state not in {CampaignState.RUNNING, CampaignState.FINISHED}:
            why = str(_rules.stopped(campaign, status.state, status.why))
            return ShardEnd(campaign=campaign, shard=shard, ending=ShardOutcome.STOPPED, why=why)
        [found] = [each for each in await self._store.shards(campaign) if each.number == shard]
        if found.done:
            return ShardEnd(campaign=campaign, shard=shard, ending=ShardOutcome.DONE)
        return ShardEnd(campaign=campaign, shard=shard, ending=ShardOutcome.HELD, why=f"{found.holder} has it")

    async def _hold(self, lease: Lease, steps: Steps) -> ShardEnd:
        end = ShardEnd(campaign=lease.campaign, shard=lease.shard, ending=ShardOutcome.DONE)
        try:
            async with LeaseKeeper(self._store, lease, self._observers):
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
            if self._store.shared and isinstance(exc, GatewaySilent | GatewayUnavailable | TlsError | JournalError):
                return msgspec.structs.replace(end, ending=ShardOutcome.UNREACHED, why=str(exc))
            await self._halt(lease.campaign, exc)
            if isinstance(exc, AuthenticationError):
                await self._waiting.patiently(lambda: self._disown(lease.campaign))
            return msgspec.structs.replace(end, ending=ShardOutcome.STOPPED, why=str(exc))

    async def _halt(self, campaign: str, failure: WebcomError) -> None:
        """Halt a campaign, unless it is paused."""
        status = await self._waiting.patiently(lambda: self._store.status(campaign))
        if status.state is not CampaignState.RUNNING:
            return
        try:
            await self._waiting.patiently(
                lambda: self._store.change_state(campaign, CampaignState.HALTED, str(failure))
            )
        except InputError:
            return  # the campaign has ended meanwhile
        error = type(failure).__name__
        self._observers.emit(CampaignHalted(campaign=campaign, error=error, reason=failure.reason, why=str(failure)))

    async def _disown(self, campaign: str) -> None:
        """Drop the claim on the account if no recipient was served: its credentials may be mistyped."""
        served = self._store.results(campaign, Outcome.ACCEPTED, Outcome.REJECTED, Outcome.UNKNOWN)
        async with aclosing(served):
            if await anext(served, None) is None:
                await self._store.claim(campaign, None)

    async def _give_back(self, lease: Lease) -> None:
        with CancelScope(shield=True, deadline=anyio.current_time() + _FAREWELL):
            try:
                await self._store.release(lease)
            except WebcomError:
                self._observers.emit(LeaseNotGivenBack(campaign=lease.campaign, shard=lease.shard))

    async def _take_turn(self, known: _CampaignMemory, recipients: int) -> None:
        if known.settings.rate is None:
            return
        async with known.turns:
            await self._waiting.sleep(await self._store.reserve_rate(known.settings.campaign, recipients))

    async def _note_in_time(self, lease: Lease, ref: BatchRef, done: BatchDone) -> None:
        """Record the counts of a cancelled batch, or they fall behind the journal."""
        if done.outcomes[Outcome.NOT_SENT] == sum(done.outcomes.values()):
            return
        with CancelScope(shield=True, deadline=anyio.current_time() + _FAREWELL):
            try:
                await self._store.batch_done(lease, ref, done)
            except WebcomError:
                self._observers.emit(BatchNotNoted(campaign=ref.campaign, shard=ref.shard))

    async def _send(
        self,
        known: _CampaignMemory,
        people: Sequence[Recipient],
        recording: RecordingJournal,
        results: list[SendResult],
    ) -> WebcomError | None:
        """Send to *people*, append to *results*, and return the error that ended it."""
        settings = known.settings
        campaign = self._client.stream(
            _timed(people, settings),
            message=settings.message,
            sender=settings.sender,
            campaign=settings.campaign,
            journal=recording,
            acknowledge_repeated_ids=known.acknowledged,
        )
        campaign.safeguards = known.safeguards
        campaign.events.whole = False
        stream: Results | None = None
        try:
            async with campaign as stream:
                async for some in stream.batches():
                    results += some
        except WebcomError as exc:
            return exc
        finally:
            if stream is not None:
                results += stream.unread  # results that arrived while the stream was closing
        return None


def _timed(people: Sequence[Recipient], settings: CampaignSettings) -> Sequence[Recipient]:
    """Fill in the campaign's times: a time that has passed is then a result, not an error."""
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
    """One worker's run of a shard."""

    def __init__(self, worker: Worker, lease: Lease, store: CampaignStore, options: Options, waiting: _Waiting) -> None:
        self._worker = worker
        self._options = options
        self._waiting = waiting
        self._store = store
        self._lease = lease
        # The client has already retried many times: what is still open needs some time.
        self._pauses = (0.0, options.wait_initial, options.wait_max)
        self._failure: Exception | None = None
        self._open: dict[BatchRef, int] = {}

    async def run(self, steps: Steps) -> bool:
        """Send open batches, in passes while recipients stay open; return `ShardEnd.finished`."""
        for number in range(len(self._pauses)):
            refs = await steps.open_batches(partial(self._waiting.patiently, self._open_batches))
            if not refs:
                break
            await self._waiting.sleep(self._pauses[number])
            # Later passes go one by one: a phone in two batches is a duplicate while both are in flight.
            at_once = 1 if number else self._options.in_flight
            await self._pass_over(refs, steps.sent(refs, self._send), at_once)
            if not any(self._open.values()):
                break
        return await self._waiting.patiently(lambda: self._store.shard_done(self._lease))

    async def _pass_over(
        self, refs: Sequence[BatchRef], send: Callable[[BatchRef], Awaitable[int]], at_once: int
    ) -> None:
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
        except Exception as exc:  # noqa: BLE001 - raised bare, when the batches in flight have ended
            self._failure = self._failure or exc

    async def _open_batches(self) -> list[BatchRef]:
        return await self._store.open_batches(self._lease.campaign, self._lease.shard)

    async def _send(self, ref: BatchRef) -> int:
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
    Send the rest of a shard, unless another worker holds it, and return how that ended.

    Calling it again, on any host, is safe: settled recipients are not sent to again. It waits while the store is
    unavailable. Recipients that stay open (unknown, or not sent for a transient reason) are sent again in further
    passes. An error that affects every recipient, such as an empty account, halts the campaign. If the store is shared,
    an error that may concern this host alone, such as an unreachable or silent gateway, does not.

    Args:
        client: The client.
        store: The store with the planned campaign.
        campaign: The campaign's name.
        shard: The shard's number.
        holder: The worker's name; see `Worker`.
        lease_seconds: Seconds that a lease holds; see `Worker`.

    Raises:
        InputError, ConfigurationError, JournalError, UsageError: See `Worker.run_shard`.
    """
    return await Worker(client, store, holder, lease_seconds=lease_seconds).run_shard(campaign, shard)


async def run_batch(client: WebcomClient, store: CampaignStore, lease: Lease, ref: BatchRef) -> BatchDone:
    """
    Send a batch, record the counts and return them.

    Call it while a `LeaseKeeper` renews the lease. `Worker.run_batch` also remembers between batches which messages the
    gateway refuses, and how many retries are left.

    Args:
        client: The client.
        store: The store with the planned campaign.
        lease: The lease of the batch's shard.
        ref: The batch.

    Raises:
        LeaseLost, CampaignStopped: Nothing was sent; earlier results are in the journal.
        StoreUnavailable: The store is unavailable; call it again.
        WebcomError: An error that affects every batch; this batch's results are recorded.
    """
    return await Worker(client, store, lease.holder).run_batch(lease, ref)

"""
A campaign of many workers on DBOS Transact, the extra `dbos`: the only door to it.

    async with DbosEngine(store, client, system_database_url="postgresql://…") as engine:
        await engine.start("spring")    # on any host, once the campaign is planned; a client is not needed for this
        await engine.run()              # on every host that sends: until it is cancelled

A campaign is a workflow whose id is the campaign's name. It hands out shards as workflows `name/shard/generation` on a
queue that all workers listen to, and oversees them: a shard whose lease has expired, or whose workflow ended or
vanished without the shard being done, is handed out again, under the next generation. A step is a batch, and carries
its numbers only: phones and texts stay in the store.

The engine is trusted with nothing but to start things again. Whether somebody may be sent to is for the store's leases
and journal to say, so that an execution too many, such as that of a worker which slept and woke up, sends nobody a
second SMS.

What is known of DBOS 3.4, and why the code is as it is:

* Async workflows run on the event loop that was running when `launch` was called, so the client, the store and they
  share one. The database is asked in threads: the loop is not held up, not even while PostgreSQL is away, and the
  threads go on by themselves when it is back.
* What ran in a process that died stays `PENDING` for ever, unless a process with the same executor id comes back. Hence
  the generations of a shard, and in every worker a watch for campaigns whose overseer is silent: `resume_workflow` puts
  a `PENDING` workflow back on its queue, and an older execution of it that still lives can write nothing more.
* A step's record is found again by the step's number. Batches leave several at once and end in any order, so their
  numbers are reserved before (`reserve_step`).
* What a step raises is written down and raised again for ever, so steps return words instead. What a cancelled task
  raises is not written down: a worker that stops cancels its workflows, and puts them back on their queues.
* There is one DBOS in a process, hence one worker.
* Its console handler is left out where its logger has a handler; what it logs goes on to the application's.
"""

import asyncio
import logging
import os
import re
import socket
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from types import TracebackType
from typing import Any, Self, TypeVar

import anyio
from anyio.to_thread import run_sync

try:
    from dbos import (
        DBOS,
        DBOSClient,
        DBOSPortableJSONSerializer,
        EnqueueOptions,
        StepReservation,
        WorkflowStatus,
        error,
    )
except ImportError:
    raise ImportError("webcom_async.scaleout.dbos needs DBOS: python -m pip install 'webcom-async[dbos]'") from None
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from webcom_async.client import WebcomClient
from webcom_async.errors import InputError, LeaseLost, StoreUnavailable, UsageError, WebcomError
from webcom_async.journal._file import SQLITE_VERSION
from webcom_async.scaleout._overseeing import Due, HandOut, Overseer
from webcom_async.scaleout._running import Worker
from webcom_async.scaleout._store import BatchRef, CampaignState, Standing, Store

__all__ = ["DbosEngine", "runs_on_sqlite"]

T = TypeVar("T")

_log = logging.getLogger("webcom_async")

_APPLICATION = "webcom-async"
_VERSION = "1"  # of the workflows: one with another number is not touched by this code
_SCHEMA = "webcom_async_engine"
_CAMPAIGN, _CAMPAIGNS = "webcom_async.campaign", "webcom-async-campaigns"  # a workflow's name, and its queue's
_SHARD, _SHARDS = "webcom_async.shard", "webcom-async-shards"
_QUEUES = {_CAMPAIGN: _CAMPAIGNS, _SHARD: _SHARDS}
_ALIVE = frozenset({"ENQUEUED", "DELAYED", "PENDING"})
_POLL = {_SHARDS: 0.2, _CAMPAIGNS: 1.0}  # seconds between two looks: a shard may take less than a second
_CONNECTIONS = 5  # to the database, each for workflows and for the rest
_ROUNDS = 1_000  # of one campaign
_FAILED = -1  # how many of a batch are open, in the words of a step

_engines_own = re.compile(r"/\d+/\d+\Z|#\d+\Z").search


class DbosEngine:
    """
    Starts campaigns, and works on them, with DBOS. Open it with `async with`; asyncio only.

    Args:
        store: Where campaigns are planned.
        client: What they are sent with; not needed by a process that is no worker.
        system_database_url: DBOS's own tables: `postgresql://…`, or `sqlite:///path` where one process does all.
            They may be in the store's database: they have a schema of their own.
        name: The worker's; it must be its own. One that stays the same from one start to the next, such as a host's or
            a stateful set's, takes its work up again at once after a crash. By default one that is used once.
        lease_seconds: After so long without a word from it a worker's shards are given to others.
        shards_at_once: Shards of one campaign that a worker sends at once. The worker that starts last decides for all.

    Raises:
        InputError: An argument cannot be used.
    """

    def __init__(
        self,
        store: Store,
        client: WebcomClient | None = None,
        *,
        system_database_url: str,
        name: str | None = None,
        lease_seconds: float = 60.0,
        shards_at_once: int = 2,
    ) -> None:
        if not lease_seconds > 0:
            raise InputError(f"lease_seconds is {lease_seconds!r}; it must be greater than zero")
        if shards_at_once < 1:
            raise InputError(f"shards_at_once is {shards_at_once!r}; it must be at least 1")
        _check_url(system_database_url)
        if system_database_url.startswith("sqlite") and not runs_on_sqlite():
            raise InputError(
                f"DBOS needs SQLite 3.42 with Python 3.12 or newer, and this one has {_dotted(SQLITE_VERSION)}: take "
                "Python 3.11, or one that brings a newer SQLite, or PostgreSQL. One process needs no engine: "
                "`webcom-async send --journal` does the same"
            )
        self.name: str = name or f"{socket.gethostname()}-{os.urandom(4).hex()}"
        self._store = store
        self._client = client
        self._url = system_database_url
        self._lease_seconds = lease_seconds
        self._shards_at_once = shards_at_once
        self._ledger: _Ledger | None = None

    def __repr__(self) -> str:
        return f"DbosEngine(name={self.name!r})"

    async def __aenter__(self) -> Self:
        # Where the database that both are in does not exist, DBOS would make it.
        await self._store.campaigns(CampaignState.RUNNING)
        self._ledger = await _Ledger.open(self._url)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        ledger, self._ledger = self._ledger, None
        if ledger is not None:
            with anyio.CancelScope(shield=True):
                await ledger.aclose()

    async def start(self, campaign: str) -> None:
        """
        Have a planned campaign sent, by the workers there are and those that come. Doing it again changes nothing.

        Raises:
            InputError: It was not planned in the store; or DBOS has its name for a workflow of another kind.
            StoreUnavailable: DBOS's database cannot be reached.
        """
        await self._store.settings(campaign)
        await self._opened.begin(campaign)

    @staticmethod
    def check_name(campaign: str) -> None:
        """
        Look whether a campaign of this name can be started; `start` does so, but then it is planned already.

        Raises:
            InputError: A shard, or a second round, of another campaign could have it.
        """
        if _engines_own(campaign):
            raise InputError(f"campaign {campaign!r} ends as the engine's own names do: leave off what follows / or #")

    async def run(self) -> None:
        """
        Work on every campaign that is started, until this is cancelled: then leases are given back.

        Raises:
            UsageError: There is a worker in this process already, or this engine has no client.
            StoreUnavailable: DBOS's database, or the store, cannot be reached to begin with. Later it is waited for.
        """
        async with self.working():
            await anyio.sleep_forever()

    @asynccontextmanager
    async def working(self) -> AsyncGenerator[None, None]:
        """Work while the block runs; see `run`."""
        global _worker  # noqa: PLW0603 - as DBOS itself, it is one in a process
        if self._client is None:
            raise UsageError("a worker needs a client to send with: DbosEngine(store, client, …)")
        if _worker is not None:
            raise UsageError("there is a worker in this process already")
        worker = _worker = _Worker(self._store, self._client, self._opened, self.name, self._lease_seconds)
        try:
            await worker.take_up()
            async with self._launched():
                watching = asyncio.create_task(worker.watch())
                try:
                    yield
                finally:
                    watching.cancel()
                    with anyio.CancelScope(shield=True):
                        await asyncio.wait([watching])
                        await worker.stop()
        finally:
            _worker = None
            # Should the database be away now, the leases' end does it later.
            with anyio.CancelScope(shield=True), suppress(StoreUnavailable):
                await worker.put_back()

    async def wait(self, campaign: str, every: float = 0.2) -> Standing:
        """
        Return how a campaign stands once it is neither running nor paused.

        Args:
            campaign: Its name.
            every: Seconds between two looks at the store.
        """
        while True:
            standing = await self._store.standing(campaign)
            if standing.state not in (CampaignState.RUNNING, CampaignState.PAUSED):
                return standing
            await anyio.sleep(every)

    @property
    def _opened(self) -> "_Ledger":
        if self._ledger is None:
            raise UsageError("open the engine with async with")
        return self._ledger

    @asynccontextmanager
    async def _launched(self) -> AsyncGenerator[None, None]:
        """Have DBOS run workflows on this event loop while the block runs."""
        # The queues are there before it looks for them, which it does once a second.
        await self._opened.listen(self._shards_at_once)
        DBOS(
            config={
                "name": _APPLICATION,
                "application_version": _VERSION,
                "executor_id": self.name,
                "system_database_url": self._url,
                "dbos_system_schema": _SCHEMA,
                "sys_db_pool_size": _CONNECTIONS,
                "serializer": DBOSPortableJSONSerializer(),
                "log_level": _log_level(),
                "enable_otlp": False,
            }
        )
        if (DBOS.application_version, DBOS.executor_id) != (_VERSION, self.name):
            raise UsageError("DBOS is used by this process already: let the worker have a process of its own")
        try:
            DBOS.launch()
            yield
        finally:
            with anyio.CancelScope(shield=True):
                await run_sync(DBOS.destroy)
            # It has made its own threads the loop's, and they are gone.
            asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor())


def runs_on_sqlite(python: tuple[int, ...] = sys.version_info[:2], sqlite: tuple[int, ...] = SQLITE_VERSION) -> bool:
    """Whether DBOS can keep its tables in SQLite here: from Python 3.12 on it writes `unixepoch('subsec')`, of 3.42."""
    return python < (3, 12) or sqlite >= (3, 42)


def _dotted(version: Sequence[int]) -> str:
    return ".".join(map(str, version))


class _Ledger:
    """
    What is written and read of DBOS's books from outside its workflows. Every call may be repeated.

    Raises:
        StoreUnavailable: By every method: the database cannot be reached.
    """

    def __init__(self, client: DBOSClient) -> None:
        self._client = client

    @classmethod
    async def open(cls, url: str) -> Self:
        """Connect, and make the tables if they are not there."""

        def connect() -> DBOSClient:
            _log_level()
            DBOS.migrate(url, schema=_SCHEMA)
            return DBOSClient(
                system_database_url=url,
                dbos_system_schema=_SCHEMA,
                serializer=DBOSPortableJSONSerializer(),
                system_database_pool_size=_CONNECTIONS,
                application_name=_APPLICATION,
                retry_connection_errors=False,  # a thread that waits for a database could not be cancelled
            )

        return cls(await _asked(connect))

    async def aclose(self) -> None:
        """Disconnect."""
        await run_sync(self._client.destroy)

    async def listen(self, shards_at_once: int) -> None:
        """Have the queues."""
        # Per campaign: one with a low rate leaves the others their share of a worker.
        await self._ask(
            lambda client: client.register_queue(
                _SHARDS, partition_worker_concurrency=shards_at_once, polling_interval_sec=_POLL[_SHARDS]
            )
        )
        await self._ask(lambda client: client.register_queue(_CAMPAIGNS, polling_interval_sec=_POLL[_CAMPAIGNS]))

    async def begin(self, campaign: str) -> None:
        """Enqueue a campaign's workflow, unless one is on its way already; raise `InputError` if its name is taken."""
        DbosEngine.check_name(campaign)
        for workflow_id in _rounds(campaign):
            found = (await self.workflows([workflow_id])).get(workflow_id)
            if found is not None and found.name != _CAMPAIGN:
                raise InputError(f"campaign {campaign!r} has a name that is a workflow's of another kind")
            if found is None:
                await self._enqueue(_enqueued(_CAMPAIGN, workflow_id), campaign)
            if found is None or found.status in _ALIVE:
                return

    async def overseer(self, campaign: str) -> WorkflowStatus | None:
        """Return the workflow that oversees a campaign; None if none is on its way."""
        for workflow_id in _rounds(campaign):
            found = (await self.workflows([workflow_id])).get(workflow_id)
            if found is None or found.status in _ALIVE:
                return found
        return None

    async def workflows(self, ids: list[str]) -> dict[str, WorkflowStatus]:
        """Return what is known of workflows, by their ids."""
        return await self._listed(workflow_ids=ids) if ids else {}

    async def begun_by(self, name: str) -> list[WorkflowStatus]:
        """Return the workflows that a worker has begun, and not ended."""
        return list((await self._listed(executor_id=name, status="PENDING")).values())

    async def put_back(self, workflow: WorkflowStatus) -> None:
        """Have a workflow that somebody has begun taken up by whoever comes first."""
        queue = _QUEUES[workflow.name]
        await self._ask(lambda client: client.resume_workflow(workflow.workflow_id, queue_name=queue))

    async def cancel(self, ids: list[str]) -> None:
        """Have nobody take workflows up any more."""
        await self._ask(lambda client: client.cancel_workflows(ids))

    async def note(self, workflow_id: str, words: dict[str, Any]) -> None:
        """Write something beside a workflow, for everybody to read."""
        await self._ask(lambda client: client.update_workflow_attributes(workflow_id, words))

    async def _enqueue(self, options: EnqueueOptions, campaign: str) -> None:
        def enqueue(client: DBOSClient) -> None:
            client.enqueue(options, campaign)

        await self._ask(enqueue)

    async def _listed(self, **which: Any) -> dict[str, WorkflowStatus]:
        found = await self._ask(lambda client: client.list_workflows(load_input=False, load_output=False, **which))
        return {status.workflow_id: status for status in found}

    async def _ask(self, question: Callable[[DBOSClient], T]) -> T:
        return await _asked(lambda: question(self._client))


def _check_url(url: str) -> None:
    """Raise `InputError` if DBOS could not read a URL, which may hold a password."""
    try:
        make_url(url)
    except (ArgumentError, ValueError):
        raise InputError(
            "DBOS cannot read the database's URL; it is written postgresql://USER:PASSWORD@HOST:PORT/DATABASE, "
            "with one host and port"
        ) from None


def _log_level() -> str:
    """Have DBOS log warnings, where the application says nothing else, and to nowhere else than that does."""
    logger = logging.getLogger("dbos")
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.WARNING)
    return logging.getLevelName(logger.level)


async def _asked(question: Callable[[], T]) -> T:
    """Return the answer of DBOS's database."""
    try:
        return await run_sync(question)
    except (SQLAlchemyError, error.DBOSException, OSError) as exc:
        # Its words hold no password, but may go on for many lines, with SQL.
        said = str(getattr(exc, "orig", None) or exc).strip().partition("\n")[0]
        raise StoreUnavailable(f"DBOS's database cannot be used: {said}") from None


def _rounds(campaign: str) -> Iterable[str]:
    """Yield the ids of a campaign's workflow: its name, and what follows if it is resumed after its end."""
    yield campaign
    yield from (f"{campaign}#{number}" for number in range(2, _ROUNDS))


def _enqueued(name: str, workflow_id: str) -> EnqueueOptions:
    return {"workflow_name": name, "queue_name": _QUEUES[name], "workflow_id": workflow_id, "app_version": _VERSION}


class _Heard:
    """
    When overseers were heard of last, by this process's own clock.

    Args:
        patience: Seconds after which one is silent.
    """

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._last: dict[str, tuple[object, float]] = {}

    def silent(self, workflow_id: str, words: dict[str, Any] | None) -> bool:
        """Whether a workflow has had the same words beside it for too long."""
        now = time.monotonic()
        known, since = self._last.get(workflow_id, (None, now))
        if known == words and workflow_id in self._last:
            if now - since < self._patience:
                return False
            del self._last[workflow_id]
            return True
        self._last[workflow_id] = words, now
        return False


class _Worker:
    """
    What this process does of the workflows that DBOS gives it.

    Args:
        store: Where campaigns stand.
        client: What is sent with.
        ledger: DBOS's books.
        name: The holder of leases.
        seconds: How long a lease holds, and how long an overseer may be silent.
    """

    def __init__(self, store: Store, client: WebcomClient, ledger: _Ledger, name: str, seconds: float) -> None:
        self._store = store
        self._worker = Worker(client, store, name, lease_seconds=seconds)
        self._ledger = ledger
        self._name = name
        self._seconds = seconds
        self._pause = min(5.0, seconds / 12)  # between two looks of an overseer
        self._tasks: set[asyncio.Task[Any]] = set()
        self._stopping = False

    # ------------------------------------------------------------------------ from start to stop

    async def take_up(self) -> None:
        """Free what a process of the same name held: DBOS will start that again."""
        for campaign in await self._store.campaigns(CampaignState.RUNNING):
            for shard in await self._store.shards(campaign):
                if shard.until is not None and shard.holder == self._name:
                    lease = await self._store.take(campaign, shard.number, self._name, self._seconds)
                    if lease is not None:
                        await self._store.give_back(lease)

    async def watch(self) -> None:
        """See to it that every campaign that runs has a workflow which oversees it, for ever."""
        heard = _Heard(self._seconds)
        while True:
            try:
                await self._look(heard)
            except WebcomError as exc:  # most likely the store is away
                _log.warning("campaigns_unseen", extra={"error": str(exc)})
            await anyio.sleep(self._seconds / 4)

    async def _look(self, heard: "_Heard") -> None:
        refused: list[str] = []
        for campaign in await self._store.campaigns(CampaignState.RUNNING):
            try:
                await self._look_at(campaign, heard)
            except InputError as exc:  # of this campaign alone; those behind it are looked at all the same
                refused.append(str(exc))
        if refused:
            _log.warning("campaigns_not_started", extra={"error": "; ".join(refused)})

    async def _look_at(self, campaign: str, heard: "_Heard") -> None:
        DbosEngine.check_name(campaign)  # or another campaign's workflow would be taken for its overseer
        overseer = await self._ledger.overseer(campaign)
        if overseer is None:
            await self._ledger.begin(campaign)
        elif overseer.status == "PENDING" and heard.silent(overseer.workflow_id, overseer.attributes):
            _log.warning("overseer_silent", extra={"campaign": campaign})
            await self._ledger.put_back(overseer)

    async def stop(self) -> None:
        """End what is under way here: requests get the client's grace, and leases are given back."""
        self._stopping = True
        while tasks := set(self._tasks):
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    async def put_back(self) -> None:
        """Have others take up what was not ended here."""
        for workflow in await self._ledger.begun_by(self._name):
            await self._ledger.put_back(workflow)

    async def body(self, work: Coroutine[Any, Any, str]) -> str:
        """Do a workflow's work, so that `stop` can end it."""
        task = asyncio.current_task()
        if self._stopping or task is None:
            work.close()
            raise asyncio.CancelledError  # not an outcome: it stays to be taken up
        self._tasks.add(task)
        try:
            return await work
        finally:
            self._tasks.discard(task)

    # ------------------------------------------------------------------------ the workflows

    async def oversee(self, campaign: str) -> str:
        """Hand out a campaign's shards, and again those that are due, until it is finished or cancelled."""
        beating = asyncio.create_task(self._beat(str(DBOS.workflow_id)))
        try:
            while due := await DBOS.run_step_async({"name": "oversee"}, self._due, campaign):
                for shard, generation in due:
                    options = _enqueued(_SHARD, _shard_id(campaign, shard, generation))
                    options["queue_partition_key"] = campaign
                    await DBOS.enqueue_workflow_with_options_async(options, campaign, shard)
        finally:
            beating.cancel()
        return "ended"

    async def _beat(self, workflow_id: str) -> None:
        """Say now and then that this overseer lives."""
        while True:
            with suppress(StoreUnavailable):  # nobody else hears anything either
                await self._ledger.note(workflow_id, {"beat": os.urandom(8).hex()})
            await anyio.sleep(self._seconds / 4)

    async def _due(self, campaign: str) -> list[Due]:
        """
        Wait until shards are due, and return them with their generations; nothing, at the campaign's end.

        A generation is the caller's alone, and is noted in the store. Should this process die before the shard's
        workflow is enqueued, the next overseer misses that, and hands the shard out again.
        """
        overseer = Overseer(self._seconds)
        while True:
            try:
                state = (await self._store.standing(campaign)).state
                if overseer.is_over(state):
                    return []
                if due := await self._hand_out(campaign, state, overseer):
                    return due
            except StoreUnavailable as exc:
                _log.warning("store_unavailable", extra={"error": str(exc)})
            await anyio.sleep(self._pause)

    async def _hand_out(self, campaign: str, state: CampaignState, overseer: Overseer) -> list[Due]:
        """Note in the store what is due and in nobody's hands, and return it."""
        shards = [shard for shard in await self._store.shards(campaign) if not shard.done]
        ids = {shard.number: _shard_id(campaign, shard.number, shard.generation) for shard in shards}
        workflows = await self._ledger.workflows(list(ids.values()))
        latest = {number: _hand_out_of(workflows.get(workflow_id)) for number, workflow_id in ids.items()}
        due = overseer.due(state, shards, latest, time.monotonic())
        # Should one of them still be under way, or its worker come back, it ends with its next step.
        await self._ledger.cancel([ids[each.shard] for each in due if ids[each.shard] in workflows])
        return [each for each in due if await self._store.hand_out(campaign, *each)]

    async def send(self, campaign: str, shard: int) -> str:
        """Send a shard, and say how that ended."""
        steps = _Steps()
        try:
            end = await self._worker.run_shard(campaign, shard, steps=steps)
        except WebcomError as exc:
            # Of this worker alone, such as a client that is set up otherwise: the shard is for another one.
            _log.error("shard_failed", extra={"campaign": campaign, "shard": shard, "error": str(exc)})
            await anyio.sleep(self._seconds / 4)
            return "failed"
        if steps.ended is not None:
            raise steps.ended
        return end.ending.value


class _Steps:
    """
    A shard's batches as steps of the workflow that is running.

    Attributes:
        ended: What DBOS has ended the workflow with; it is raised where nothing stands between that and DBOS.
    """

    def __init__(self) -> None:
        self.ended: BaseException | None = None

    async def open_batches(self, look: Callable[[], Awaitable[list[BatchRef]]]) -> list[BatchRef]:
        """Look which batches are open, once and for all."""

        async def numbers() -> list[tuple[str, int, int]]:
            return [(ref.campaign, ref.shard, ref.batch) for ref in await look()]

        return [BatchRef(*numbers) for numbers in await self._ran(DBOS.reserve_step(), "open", numbers)]

    def sent(
        self, refs: Sequence[BatchRef], send: Callable[[BatchRef], Awaitable[int]]
    ) -> Callable[[BatchRef], Awaitable[int]]:
        """Return *send*, each of whose calls is a step, numbered as *refs* are ordered."""
        reserved = {ref: DBOS.reserve_step() for ref in refs}

        async def step(ref: BatchRef) -> int:
            failures: list[WebcomError] = []

            async def attempt() -> int:
                try:
                    return await send(ref)
                except WebcomError as exc:
                    failures.append(exc)
                    return _FAILED

            still_open = await self._ran(reserved[ref], f"batch {ref.batch}", attempt)
            if still_open == _FAILED:
                raise failures[0] if failures else LeaseLost("an earlier execution of this shard was ended")
            return still_open

        return step

    async def _ran(self, step: StepReservation, name: str, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        try:
            return await step.run_async({"name": name}, work)
        except error.DBOSBaseException as exc:
            self.ended = exc
            raise LeaseLost("the engine gave the shard to another worker") from None


_worker: _Worker | None = None  # of this process, as there is one DBOS


def _working() -> _Worker:
    if _worker is None:
        raise asyncio.CancelledError  # it has just ended; whoever comes next takes the workflow up
    return _worker


@DBOS.workflow(name=_CAMPAIGN, max_recovery_attempts=None)
async def _campaign(campaign: str) -> str:
    worker = _working()
    return await worker.body(worker.oversee(campaign))


@DBOS.workflow(name=_SHARD, max_recovery_attempts=None)
async def _shard(campaign: str, shard: int) -> str:
    worker = _working()
    return await worker.body(worker.send(campaign, shard))


def _shard_id(campaign: str, shard: int, generation: int) -> str:
    return f"{campaign}/{shard}/{generation}"


def _hand_out_of(workflow: WorkflowStatus | None) -> HandOut:
    """Return what has become of a shard that was handed out as a workflow."""
    if workflow is None or workflow.status not in _ALIVE:
        return HandOut.ENDED
    return HandOut.STARTED if workflow.status == "PENDING" else HandOut.WAITING

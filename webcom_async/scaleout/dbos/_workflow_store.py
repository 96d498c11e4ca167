"""
Access DBOS's tables from outside its workflows: what is enqueued, running and ended.

Calls run in threads, so that the event loop is not blocked while the database is unavailable.
"""

import logging
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, Self, TypeVar

from anyio import get_cancelled_exc_class, move_on_after
from anyio.to_thread import run_sync
from dbos import DBOSClient, DBOSPortableJSONSerializer, EnqueueOptions, WorkflowStatus, error
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from webcom_async._domain.errors import InputError, StoreUnavailable
from webcom_async._domain.given import check_file
from webcom_async.scaleout.dbos._database import EngineDatabase
from webcom_async.scaleout.dbos._names import (
    APPLICATION,
    CAMPAIGN,
    CAMPAIGNS,
    QUEUES,
    SCHEMA,
    SHARDS,
    VERSION,
    check_name,
    enqueued,
    rounds,
)
from webcom_async.scaleout.dbos._sqlite_compat import usable

__all__ = ["ALIVE", "CONNECTIONS", "WorkflowStore", "asked", "log_level", "usable_url"]

ALIVE = frozenset({"ENQUEUED", "DELAYED", "PENDING"})
CONNECTIONS = 5  # to the database: so many for workflows, and as many for all else
_POLL = {SHARDS: 0.2, CAMPAIGNS: 1.0}  # seconds between two looks: a shard may take less than a second

_POLL_WHILE_IDLE = 3.0  # seconds; a campaign that is started then begins after them
_ANSWER_SECONDS = 10.0
_START_SECONDS = 60.0  # DBOS may have tables to migrate

T = TypeVar("T")


class WorkflowStore:
    """
    Reads and writes DBOS's workflows from outside them. Every call may be repeated.

    Raises:
        StoreUnavailable: The database cannot be reached; raised by every method.
    """

    def __init__(self, client: DBOSClient, database: EngineDatabase) -> None:
        self._client = client
        self._database = database

    @classmethod
    async def open(cls, database: EngineDatabase, *, migrate: bool = True) -> Self:
        """Without *migrate*, the tables are used as they are."""

        def connect() -> DBOSClient:
            log_level()
            if migrate:
                database.migrate()
            return DBOSClient(
                system_database_url=database.url,
                system_database_engine=database.engine(CONNECTIONS),
                dbos_system_schema=SCHEMA,
                serializer=DBOSPortableJSONSerializer(),
                system_database_pool_size=CONNECTIONS,
                application_name=APPLICATION,
                retry_connection_errors=False,  # a thread that waits for a database cannot be cancelled
            )

        return cls(await asked(database, connect), database)

    async def aclose(self) -> None:
        with suppress(StoreUnavailable):
            await self._ask(DBOSClient.destroy)
        self._database.dispose()

    async def listen(self, shards_at_once: int) -> None:
        # The limit is per campaign: one with a low rate must not occupy a whole worker.
        await self._ask(
            lambda client: client.register_queue(
                SHARDS, partition_worker_concurrency=shards_at_once, polling_interval_sec=_POLL[SHARDS]
            )
        )
        await self._ask(lambda client: client.register_queue(CAMPAIGNS, polling_interval_sec=_POLL[CAMPAIGNS]))

    async def poll(self, *, busy: bool) -> None:
        """Let all workers look often while a campaign runs, and seldom while none does."""
        await self._ask(partial(_set_intervals, busy=busy))

    async def begin(self, campaign: str) -> None:
        """Enqueue a campaign's workflow, unless one is alive; raise `InputError` if its name is taken."""
        check_name(campaign)
        for workflow_id in rounds(campaign):
            found = (await self.workflows([workflow_id])).get(workflow_id)
            if found is not None and found.name != CAMPAIGN:
                raise InputError(f"campaign {campaign!r}: DBOS has a workflow of another kind under this name")
            if found is None:
                await self._enqueue(enqueued(CAMPAIGN, workflow_id), campaign)
            if found is None or found.status in ALIVE:
                return

    async def scheduler(self, campaign: str) -> WorkflowStatus | None:
        """Return a campaign's living scheduler, if there is one."""
        for workflow_id in rounds(campaign):
            found = (await self.workflows([workflow_id])).get(workflow_id)
            if found is None or found.status in ALIVE:
                return found
        return None

    async def awaited_version(self, campaign: str) -> str | None:
        """Return the version of the workers that a campaign waits for; None if this code's are among them."""
        found = await self.scheduler(campaign)
        version = None if found is None else found.app_version
        return None if version in (None, VERSION) else version

    async def check(self) -> None:
        """Raise `StoreUnavailable` if the tables cannot be read."""
        await self.workflows([CAMPAIGNS])

    async def workflows(self, ids: list[str]) -> dict[str, WorkflowStatus]:
        return await self._listed(workflow_ids=ids) if ids else {}

    async def begun_by(self, name: str) -> list[WorkflowStatus]:
        return list((await self._listed(executor_id=name, status="PENDING")).values())

    async def put_back(self, workflow: WorkflowStatus) -> None:
        queue = QUEUES[workflow.name]
        await self._ask(lambda client: client.resume_workflow(workflow.workflow_id, queue_name=queue))

    async def cancel(self, ids: list[str]) -> None:
        await self._ask(lambda client: client.cancel_workflows(ids))

    async def note(self, workflow_id: str, words: dict[str, Any]) -> None:
        """Store attributes with a workflow, for every process to read."""
        await self._ask(lambda client: client.update_workflow_attributes(workflow_id, words))

    async def _enqueue(self, options: EnqueueOptions, campaign: str) -> None:
        def enqueue(client: DBOSClient) -> None:
            client.enqueue(options, campaign)

        await self._ask(enqueue)

    async def _listed(self, **which: Any) -> dict[str, WorkflowStatus]:
        found = await self._ask(lambda client: client.list_workflows(load_input=False, load_output=False, **which))
        return {status.workflow_id: status for status in found}

    async def _ask(self, question: Callable[[DBOSClient], T]) -> T:
        return await asked(self._database, lambda: question(self._client), _ANSWER_SECONDS)


def usable_url(url: str) -> str:
    """
    Return the URL to give DBOS for *url*; raise `InputError` if DBOS cannot read it, or would create a database
    elsewhere.
    """
    try:
        read = make_url(url)
    except (ArgumentError, ValueError):
        raise InputError(
            "DBOS cannot read the database's URL; it is written postgresql://USER:PASSWORD@HOST:PORT/DATABASE, "
            "with one host and port"
        ) from None
    if read.get_backend_name() not in {"postgres", "postgresql"}:
        _check_path(read.database)
        return usable(url)
    if not read.database:
        raise InputError("the database's URL names no database; it is written postgresql://USER:PASSWORD@HOST/DATABASE")
    return read.render_as_string(hide_password=False)


def _check_path(path: str | None) -> None:
    """Refuse anything but a regular file, which SQLAlchemy would open."""
    if path is None:
        return
    try:
        check_file(path, new=True)
    except FileNotFoundError:
        pass  # its directory is created later, or SQLite reports that it is missing
    except OSError as exc:
        raise InputError(f"DBOS's database {path}: {exc.strerror}") from None


def log_level() -> str:
    """Quieten DBOS's log, unless the application has configured it."""
    logger = logging.getLogger("dbos")
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.WARNING)
    return logging.getLevelName(logger.level)


def _set_intervals(client: DBOSClient, *, busy: bool) -> None:
    for name, seconds in _POLL.items():
        queue = client.retrieve_queue(name)
        wanted = seconds if busy else _POLL_WHILE_IDLE
        if queue is not None and queue.polling_interval_sec != wanted:
            queue.set_polling_interval_sec(wanted)


async def asked(database: EngineDatabase, question: Callable[[], T], seconds: float = _START_SECONDS) -> T:
    """
    Return the answer to *question*, which waits for the database in a thread.

    A caller that is cancelled leaves at once. The thread ends then, and where the database is silent, because its
    connection is cut.

    Args:
        database: The database.
        question: A function that waits for it.
        seconds: Seconds after which the database counts as unavailable.
    """
    answers: list[T] = []
    cuts = database.cuts
    try:
        with move_on_after(seconds) as scope:
            answers.append(await run_sync(question, abandon_on_cancel=True))
    except (SQLAlchemyError, error.DBOSException, OSError) as exc:
        if database.cuts > cuts:  # by another question, which was not answered either
            raise StoreUnavailable("DBOS's database cannot be used: it did not answer") from None
        # The text holds no password, but may have many lines of SQL.
        said = str(getattr(exc, "orig", None) or exc).strip().partition("\n")[0]
        raise StoreUnavailable(f"DBOS's database cannot be used: {said}") from None
    except get_cancelled_exc_class():
        database.cut()
        raise
    if scope.cancelled_caught:
        database.cut()
        raise StoreUnavailable(f"DBOS's database cannot be used: it did not answer for {seconds:g} s")
    return answers[0]

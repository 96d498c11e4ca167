"""The store on PostgreSQL: the class that callers use."""

import os
import re
import socket
from collections.abc import AsyncGenerator, Callable, Collection, Iterable, Sequence
from contextlib import aclosing
from datetime import datetime
from functools import partial
from types import TracebackType
from typing import Any, Self

from anyio import CancelScope

from webcom_async._domain.clock import Clock
from webcom_async._domain.errors import ConfigurationError, LeaseLost
from webcom_async._domain.messages import Recipient
from webcom_async._domain.options import Options
from webcom_async._domain.reasons import Reason
from webcom_async._domain.results import Outcome, SendResult
from webcom_async._domain.sources import RecipientSource
from webcom_async._domain.zones import DEFAULT_ZONE
from webcom_async._events.observers import Observer, Observers
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
from webcom_async._storage.contracts import (
    CampaignHeader,
    CampaignNotBegun,
    DurableCampaignJournal,
    Journal,
    StoredCampaign,
)
from webcom_async._storage.postgres import archive as _archive
from webcom_async._storage.postgres import campaign_sql as _sql_standing
from webcom_async._storage.postgres import campaigns as _status
from webcom_async._storage.postgres import journal_sql as _sql
from webcom_async._storage.postgres import plan as _planning
from webcom_async._storage.postgres.connection import Session
from webcom_async._storage.postgres.journal import PostgresCampaignJournal, Tenure, recalled
from webcom_async._storage.postgres.migrations import prepare
from webcom_async._storage.postgres.server import Server
from webcom_async._storage.reservation_rules import changed_settings

__all__ = ["LeasedPostgresJournal", "PostgresStore"]

_SCHEMA = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_OF_A_WORKER = (CampaignState.RUNNING.value,)
_OF_A_RUN = (CampaignState.RUNNING.value, CampaignState.FINISHED.value)


class PostgresStore:
    """
    A journal on PostgreSQL, and a `CampaignStore`.

    The first call connects, and creates or migrates the tables. The store then belongs to that asyncio event loop;
    close it with `async with`, or `aclose()`. If the server is unavailable, each call waits for it.

    `client.stream(journal=store)` may run on many hosts at once for one campaign. Each run has a lease, which it renews
    while it sends. Recipients that it has reserved are duplicates for other runs, and possibly sent once the lease has
    expired.

    Args:
        dsn: A `postgresql://USER:PASSWORD@HOST:PORT/DATABASE`, or libpq's `key=value` form. libpq takes missing parts
            from `PGHOST`, `PGPASSWORD` and so on, or from `~/.pgpass`.
        schema: The schema of the tables; created if missing.
        lease: Seconds that a run's reservations hold without a renewal.
        patience: Seconds that a call waits for a server that cannot be reached, or does not answer and is not at work.
        connections: The most connections at once.
        clock: The clock.
        time_zone: The gateway's zone in which tables of version 1 keep recipients' times.
        observers: Functions that are called with `StoreAway` and `StoreBack`; see `webcom_async.events`.

    Raises:
        ConfigurationError: The constructor cannot use an argument; or a method runs outside asyncio.
        JournalError: From every method: the tables cannot be used; the message says why, and what to do.
        StoreUnavailable: From every method: the server was unavailable for longer than *patience*.
        UsageError: From every method: the store is closed, or belongs to another event loop.

    Attributes:
        shared: See `CampaignStore.shared`.
    """

    shared: bool = True

    def __init__(
        self,
        dsn: str,
        *,
        schema: str = "webcom_async",
        lease: float = 600.0,
        patience: float = 60.0,
        connections: int = 8,
        clock: Clock | None = None,
        time_zone: str = DEFAULT_ZONE,
        observers: Iterable[Observer] = (),
    ) -> None:
        Options(time_zone=time_zone)  # refuses a zone that is not known
        if not _SCHEMA.fullmatch(schema) or schema.startswith("pg_"):
            raise ConfigurationError(f"schema is {schema!r}; it must be a lower-case name, such as webcom_async")
        _require_above_zero(lease=lease, connections=connections)
        if patience < 0:
            raise ConfigurationError(f"patience is {patience!r}; it must be 0 seconds or more")
        self._clock = clock or Clock()
        self._lease = lease
        self._server = Server(
            dsn,
            schema=schema,
            prepare=partial(prepare, time_zone=time_zone),
            patience=patience,
            connections=connections,
            clock=self._clock,
            observers=Observers(observers),
        )

    def __repr__(self) -> str:
        return f"<PostgresStore: {self._server}, schema {self._server.schema}>"

    # ------------------------------------------------------------------------ the journal of a run

    async def open(
        self,
        header: CampaignHeader,
        now: Callable[[], datetime],
        *,
        resend_rejected: Collection[Reason] = (),
        require_begun: bool = False,
    ) -> DurableCampaignJournal:
        """Takes a lease, and releases it when the journal is closed."""
        holder = f"{socket.gethostname()}:{os.getpid()}"

        async def enter(session: Session) -> Tenure:
            number = await _enter(session, self._server, header, now(), require_begun=require_begun)
            await session.change(_sql.END_EXPIRED_RUNS, campaign=number)
            [(token,)] = await session.fetch(
                _sql.ADD_LEASE, campaign=number, shard=None, holder=holder, seconds=self._lease
            )
            # Read under the lease, which keeps other runs from giving new ids.
            stored = await _archive.stored_header(session, self._server, header.campaign)
            return Tenure(number, stored, token, self._lease, _OF_A_RUN, own=True)

        tenure = await self._server.call(enter)
        return PostgresCampaignJournal(self._server, tenure, now, self._clock.monotonic, resend_rejected)

    async def header(self, campaign: str) -> CampaignHeader:
        return await self._server.call(lambda session: _archive.stored_header(session, self._server, campaign))

    # ------------------------------------------------------------------------ between runs

    async def stored_campaigns(self) -> list[StoredCampaign]:
        return await self._server.call(_archive.stored_campaigns)

    async def counts(self, campaign: str) -> dict[Outcome, int]:
        async def count(session: Session) -> dict[Outcome, int]:
            number = await _archive.number_of(session, self._server, campaign)
            return (await _archive.count_results(session, number))[0]

        return await self._server.call(count)

    async def results(self, campaign: str, *outcomes: Outcome) -> AsyncGenerator[SendResult]:
        """Yields recipients that a batch left out last."""
        async with aclosing(_archive.results(self._server, campaign, *outcomes)) as found:
            async for result in found:
                yield result
        number = await self._server.call(lambda session: _archive.number_of(session, self._server, campaign))
        async with aclosing(_status.left_out(self._server, number)) as others:
            async for result in others:
                if not outcomes or result.outcome in outcomes:
                    yield result

    async def lookup(self, campaign: str, results: Sequence[SendResult]) -> list[SendResult]:
        async def lookup(session: Session) -> list[SendResult]:
            number = await _archive.number_of(session, self._server, campaign)
            return await recalled(session, number, results)

        return await self._server.call(lookup)

    def export(self, campaign: str | None = None) -> AsyncGenerator[dict[str, Any]]:
        """Delivery is not tracked on PostgreSQL: its fields are None."""
        return _archive.export(self._server, campaign)

    async def purge(self, campaign: str) -> int:
        """
        Removes the plan too.

        No reader of the server sees the rows any more. Its files keep them until the next VACUUM, backups and
        write-ahead log until they are deleted.
        """
        return await self._server.call(lambda session: _archive.purge(session, self._server, campaign))

    # ------------------------------------------------------------------------ the plan

    async def plan(self, settings: CampaignSettings, recipients: RecipientSource) -> int:
        """Writes nothing if the server fails meanwhile: call it again, with the source from its start."""
        _rules.check_settings(settings)
        try:
            return await self._server.once(lambda session: _planning.plan(session, settings, recipients, self._clock))
        except _planning.SourceError as exc:
            raise exc.cause from None

    async def settings(self, campaign: str) -> CampaignSettings:
        return await self._server.call(lambda session: _status.settings(session, campaign))

    async def claim(self, campaign: str, account: str | None) -> str | None:
        return await self._server.call(lambda session: _status.claim(session, campaign, account))

    async def acknowledge_repeated_ids(self, campaign: str) -> None:
        async def acknowledge(session: Session) -> None:
            number = await _status.number_of(session, campaign)
            await session.change(_sql_standing.ACKNOWLEDGE, campaign=number)

        await self._server.call(acknowledge)

    async def give_new_ids(self, campaign: str) -> None:
        async def give(session: Session) -> None:
            known = await _status.status(session, campaign)
            if known.new_ids:
                return
            if not await session.fetch(_sql.FIND_ANYBODY, name=campaign):
                raise _rules.nothing_to_renew(campaign)
            await _archive.give_new_ids(session, self._server, campaign, known.settings.id_bits)

        await self._server.call(give)

    async def campaigns(self, *states: CampaignState) -> list[str]:
        wanted = [state.value for state in states] or _status.ALL_STATES
        rows = await self._server.call(lambda session: session.fetch(_sql_standing.LIST_PLANNED, states=wanted))
        return [name for (name,) in rows]

    async def recipients(self, ref: BatchRef) -> list[Recipient]:
        return await self._server.call(lambda session: _status.recipients(session, ref))

    # ------------------------------------------------------------------------ the status

    async def status(self, campaign: str) -> CampaignStatus:
        return await self._server.call(lambda session: _status.status(session, campaign))

    async def change_state(self, campaign: str, state: CampaignState, why: str = "") -> CampaignStatus:
        return await self._server.call(lambda session: _status.change_state(session, campaign, state, why))

    async def shards(self, campaign: str) -> list[Shard]:
        return await self._server.call(lambda session: _status.shards(session, campaign))

    async def try_dispatch(self, campaign: str, shard: int, generation: int) -> bool:
        """If the server fails meanwhile, possibly no caller gets True: dispatch the next generation."""
        return await self._server.call(lambda session: _status.try_dispatch(session, campaign, shard, generation))

    async def acquire(self, campaign: str, shard: int, holder: str, seconds: float) -> Lease | None:
        return await self._server.call(lambda session: _status.acquire(session, campaign, shard, holder, seconds))

    async def renew(self, lease: Lease) -> bool:
        renewal = {"lease": lease.token, "seconds": lease.seconds}
        return await self._server.call(lambda session: session.change(_sql.RENEW_LEASE, **renewal)) == 1

    async def release(self, lease: Lease) -> None:
        await self._server.call(lambda session: session.change(_sql.END_LEASE, lease=lease.token))

    async def open_batches(self, campaign: str, shard: int) -> list[BatchRef]:
        return await self._server.call(lambda session: _status.open_batches(session, campaign, shard))

    async def batch_done(self, lease: Lease, ref: BatchRef, done: BatchDone) -> None:
        await self._server.call(lambda session: _status.batch_done(session, lease, ref, done))

    async def shard_done(self, lease: Lease) -> bool:
        return await self._server.call(lambda session: _status.shard_done(session, lease))

    async def reserve_rate(self, campaign: str, recipients: int) -> float:
        return await self._server.call(lambda session: _status.reserve_rate(session, campaign, recipients))

    def journals(self, lease: Lease) -> Journal:
        return LeasedPostgresJournal(self._server, lease, self._clock)

    # ------------------------------------------------------------------------ closing

    async def aclose(self) -> None:
        await self._server.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with CancelScope(shield=True):
            await self.aclose()


class LeasedPostgresJournal:
    """
    A campaign's journal for the holder of a lease; see `CampaignStore.journals`.

    Args:
        server: The server.
        lease: The lease.
        clock: The clock.
        time_zone: The gateway's zone in which tables of version 1 keep recipients' times.
    """

    def __init__(self, server: Server, lease: Lease, clock: Clock) -> None:
        self._server = server
        self._lease = lease
        self._clock = clock

    async def open(
        self,
        header: CampaignHeader,
        now: Callable[[], datetime],
        *,
        resend_rejected: Collection[Reason] = (),
        require_begun: bool = False,
    ) -> PostgresCampaignJournal:
        tenure = await self._server.call(
            lambda session: self._enter(session, header, now(), require_begun=require_begun)
        )
        return PostgresCampaignJournal(self._server, tenure, now, self._clock.monotonic, resend_rejected)

    async def header(self, campaign: str) -> CampaignHeader:
        return await self._server.call(lambda session: _archive.stored_header(session, self._server, campaign))

    async def _enter(self, session: Session, header: CampaignHeader, now: datetime, *, require_begun: bool) -> Tenure:
        lease, server = self._lease, self._server
        named = {"name": header.campaign}
        found, begun, _ = await session.together(
            (_sql.FIND_CAMPAIGN, named), (_sql.FIND_ANYBODY, named), (_sql.TOUCH_CAMPAIGN, named | {"now": now})
        )
        if lease.campaign != header.campaign:
            raise server.unusable(f"the lease is for campaign {lease.campaign!r}, not {header.campaign!r}")
        if not found:
            raise LeaseLost
        if require_begun and not begun:
            raise CampaignNotBegun
        number, *settings = found[0]
        stored = _archive.header_of(header.campaign, *settings)
        _check_unchanged(server, header, stored)
        return Tenure(number, stored, lease.token, lease.seconds, _OF_A_WORKER, own=False)


async def _enter(
    session: Session, server: Server, header: CampaignHeader, now: datetime, *, require_begun: bool
) -> int:
    if require_begun and not await session.fetch(_sql.FIND_ANYBODY, name=header.campaign):
        raise CampaignNotBegun
    named = {"name": header.campaign, "id_bits": header.id_bits, "fingerprint": header.fingerprint}
    if not await session.fetch(_sql.FIND_CAMPAIGN, name=header.campaign):
        await session.change(_sql.ADD_CAMPAIGN, now=now, **named)
    [(number, *settings)] = await session.fetch(_sql.FIND_CAMPAIGN, name=header.campaign)
    stored = _archive.header_of(header.campaign, *settings)
    _check_unchanged(server, header, stored)
    if header.new_ids and not stored.new_ids:
        await _archive.give_new_ids(session, server, header.campaign, header.new_ids)
    await session.change(_sql.REOPEN_CAMPAIGN, campaign=number, now=now)
    return int(number)


def _check_unchanged(server: Server, header: CampaignHeader, stored: CampaignHeader) -> None:
    changed = changed_settings(header, stored)
    if changed:
        raise server.unusable(changed)


def _require_above_zero(**arguments: float) -> None:
    for name, value in arguments.items():
        if not value > 0:
            raise ConfigurationError(f"{name} is {value!r}; it must be above 0")

"""Campaigns of many workers on PostgreSQL: states, shards, leases and rates."""

from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from typing import Any

import msgspec

from webcom_async._domain.errors import InputError, LeaseLost
from webcom_async._domain.messages import Recipient
from webcom_async._domain.results import SendResult
from webcom_async._storage import campaign_rules as _rules
from webcom_async._storage.campaign_store import (
    BatchDone,
    BatchRef,
    CampaignSettings,
    CampaignState,
    CampaignStatus,
    Lease,
    Shard,
    WorkerStatus,
)
from webcom_async._storage.plan import recipients_of
from webcom_async._storage.postgres import campaign_sql as _sql_standing
from webcom_async._storage.postgres import journal_sql as _sql
from webcom_async._storage.postgres.connection import Session
from webcom_async._storage.postgres.journal import pages_of
from webcom_async._storage.postgres.plan import settings_of
from webcom_async._storage.postgres.server import Server
from webcom_async._storage.rows import storable, storable_result

__all__ = [
    "ALL_STATES",
    "acquire",
    "batch_done",
    "change_state",
    "claim",
    "left_out",
    "number_of",
    "open_batches",
    "recipients",
    "reserve_rate",
    "settings",
    "shard_done",
    "shards",
    "status",
    "try_dispatch",
]

ALL_STATES = [state.value for state in CampaignState]
_PAGE = 1_000  # recipients
_result = msgspec.json.Decoder(SendResult).decode

# ---------------------------------------------------------------------------- the plan


async def settings(session: Session, campaign: str) -> CampaignSettings:
    rows = await session.fetch(_sql_standing.FIND_SETTINGS, name=campaign)
    if not rows:
        raise await _not_planned(session, campaign)
    return settings_of(rows[0][0])


async def claim(session: Session, campaign: str, account: str | None) -> str | None:
    rows = await session.fetch(_sql_standing.CLAIM, name=campaign, account=account)
    if not rows:
        raise await _not_planned(session, campaign)
    [(known,)] = rows
    return None if known is None else str(known)


async def number_of(session: Session, campaign: str) -> int:
    rows = await session.fetch(_sql_standing.NUMBER_OF, name=campaign)
    if not rows:
        raise await _not_planned(session, campaign)
    return int(rows[0][0])


async def recipients(session: Session, ref: BatchRef) -> list[Recipient]:
    rows = await session.fetch(_sql_standing.FIND_BATCH, name=ref.campaign, shard=ref.shard, batch=ref.batch)
    if not rows:
        await number_of(session, ref.campaign)
        raise _rules.no_batch(ref)
    return recipients_of(rows[0][0])


async def _not_planned(session: Session, campaign: str) -> InputError:
    names = ", ".join(repr(name) for (name,) in await session.fetch(_sql_standing.LIST_PLANNED, states=ALL_STATES))
    return InputError(f"campaign {campaign!r} was not planned here; {names or 'none'} was")


# ---------------------------------------------------------------------------- the status


async def status(session: Session, campaign: str) -> CampaignStatus:
    named = {"name": campaign}
    rows, counts, workers = await session.together(
        (_sql_standing.FIND_STANDING, named), (_sql_standing.COUNT_BATCHES, named), (_sql_standing.WORKERS, named)
    )
    if not rows:
        raise await _not_planned(session, campaign)
    [(_, content, state, why, count, planned, ended, acknowledged, new_ids, shard_count, shards_done)] = rows
    sums = [sum(column) for column in zip(*(row[2:] for row in counts), strict=True)] or [0] * 5
    return CampaignStatus(
        settings=settings_of(content),
        state=CampaignState(state),
        why=why,
        recipients=count,
        outcomes=dict(zip(_rules.OUTCOMES, map(int, sums[:4]), strict=True)),
        open=int(sums[4]),
        shards=shard_count,
        shards_done=shards_done,
        workers=_workers({name: int(done) for name, done, *_ in counts}, workers),
        planned=_utc(planned),
        ended=_utc_or_none(ended),
        acknowledged=acknowledged,
        new_ids=new_ids,
    )


def _workers(done: dict[str, int], held: list[tuple[Any, ...]]) -> list[WorkerStatus]:
    names = sorted({*done, *(name for name, _, _ in held)})
    return [_worker(name, done.get(name, 0), [row for row in held if row[0] == name]) for name in names]


def _worker(name: str, done: int, held: list[tuple[Any, ...]]) -> WorkerStatus:
    now = [(shard, until) for _, shard, until in held if until is not None]
    latest = max((until for _, until in now), default=None)
    return WorkerStatus(name=name, shards=[shard for shard, _ in now], done=done, until=_utc_or_none(latest))


async def change_state(session: Session, campaign: str, state: CampaignState, why: str) -> CampaignStatus:
    """Waits for transactions that are reserving under the old state."""
    async with session.transaction():
        found = await session.fetch(_sql.LOCK_CAMPAIGN, name=campaign)
        before = await status(session, campaign)
        _rules.check_change(campaign, before.state, state, before.open)
        if before.state is not state:
            number = found[0][0]
            words = session.storable(storable(why))
            await session.change(_sql_standing.CHANGE_STATE, campaign=number, state=state.value, why=words)
            if before.state is CampaignState.FINISHED:
                await session.change(_sql_standing.OPEN_SHARDS_AGAIN, campaign=number)
            await session.fetch(_sql_standing.LOCK_LEASES, campaign=number)
    return await status(session, campaign)


async def shards(session: Session, campaign: str) -> list[Shard]:
    await number_of(session, campaign)
    return [
        Shard(
            campaign=campaign,
            number=number,
            recipients=count,
            generation=generation,
            done=done,
            holder=holder,
            until=_utc_or_none(until),
            expired=expired,
        )
        for number, count, generation, done, holder, until, expired in await session.fetch(
            _sql_standing.LIST_SHARDS, name=campaign
        )
    ]


async def try_dispatch(session: Session, campaign: str, shard: int, generation: int) -> bool:
    named = {"name": campaign, "shard": shard}
    if await session.change(_sql_standing.HAND_OUT, generation=generation, **named):
        return True
    if not await session.fetch(_sql_standing.FIND_SHARD, **named):
        raise await _no_shard(session, campaign, shard)
    return False


async def _no_shard(session: Session, campaign: str, shard: int) -> InputError:
    await number_of(session, campaign)
    return _rules.no_shard(campaign, shard)


# ---------------------------------------------------------------------------- leases


async def acquire(session: Session, campaign: str, shard: int, holder: str, seconds: float) -> Lease | None:
    """Waits for a transaction that is reserving under the old lease."""
    async with session.transaction():
        rows = await session.fetch(_sql_standing.LOCK_SHARD, name=campaign, shard=shard)
        if not rows:
            raise await _no_shard(session, campaign, shard)
        number, free = rows[0]
        place = {"campaign": number, "shard": shard}
        if not free:
            return None
        held = await session.fetch(_sql_standing.FIND_LEASES, **place)
        for before, _ in held:
            if not await session.change(_sql_standing.REVOKE, lease=before, holder=holder):
                return None
        [(token,)] = await session.fetch(_sql.ADD_LEASE, holder=holder, seconds=seconds, **place)
        await session.change(_sql_standing.SHARD_HELD, holder=holder, **place)
    return Lease(campaign, shard, token, holder, seconds, held[-1][1] if held else "")


async def open_batches(session: Session, campaign: str, shard: int) -> list[BatchRef]:
    rows = await session.fetch(_sql_standing.OPEN_BATCHES, name=campaign, shard=shard)
    return [BatchRef(campaign, shard, batch) for (batch,) in rows]


async def batch_done(session: Session, lease: Lease, ref: BatchRef, done: BatchDone) -> None:
    counts = {outcome.value: done.outcomes.get(outcome, 0) for outcome in _rules.OUTCOMES}
    left_out = [msgspec.json.encode(storable_result(result)).decode() for result in done.left_out]
    kept = [session.storable_json(result) for result in left_out]
    given = {"lease": lease.token, "shard": ref.shard, "batch": ref.batch, "holder": lease.holder, "results": kept}
    held, changed, *_ = await session.together(
        (_sql_standing.SHARD_OF_LEASE, given),
        (_sql_standing.BATCH_DONE, given | counts | {"still_open": done.open}),
        (_sql_standing.DROP_LEFT_OUT, given),
        *([(_sql_standing.LEAVE_OUT, given)] if kept else []),
    )
    if not held:
        raise LeaseLost
    if not changed:
        raise _rules.no_batch(ref)


async def shard_done(session: Session, lease: Lease) -> bool:
    """Runs one at a time per campaign, so that the last caller finds the campaign finished."""
    async with session.transaction():
        if not await session.fetch(_sql.LOCK_CAMPAIGN, name=lease.campaign):
            raise LeaseLost
        number, shard = await _held(session, lease)
        await session.change(_sql_standing.SHARD_DONE, campaign=number, shard=shard)
        await session.change(_sql.END_LEASE, lease=lease.token)
        return await session.change(_sql_standing.FINISH, campaign=number) == 1


async def _held(session: Session, lease: Lease) -> tuple[int, int]:
    """Protect the lease from revocation in this transaction."""
    rows = await session.fetch(_sql_standing.SHARD_OF_LEASE, lease=lease.token)
    if not rows:
        raise LeaseLost
    return rows[0]


# ---------------------------------------------------------------------------- the rate and results


async def reserve_rate(session: Session, campaign: str, count: int) -> float:
    rows = await session.fetch(_sql_standing.TURN, name=campaign, recipients=count)
    if not rows:
        await number_of(session, campaign)
        return 0.0
    return float(rows[0][0])


async def left_out(server: Server, number: int) -> AsyncGenerator[SendResult]:
    async for _, content in pages_of(server, _sql_standing.PAGE_OF_LEFT_OUT, _PAGE, campaign=number):
        yield _result(content)


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC)


def _utc_or_none(moment: datetime | None) -> datetime | None:
    return None if moment is None else _utc(moment)

"""Write a campaign's plan to PostgreSQL in one transaction, or compare it with an earlier one."""

from typing import Any, NamedTuple

import msgspec

from webcom_async._domain.clock import Clock
from webcom_async._domain.errors import InputError, StoreUnavailable
from webcom_async._domain.sources import RecipientSource
from webcom_async._storage import campaign_rules as _rules
from webcom_async._storage.campaign_store import CampaignSettings
from webcom_async._storage.contracts import CampaignHeader
from webcom_async._storage.plan import PlannedBatch, Planning
from webcom_async._storage.postgres import campaign_sql as _sql_standing
from webcom_async._storage.postgres import journal_sql as _sql
from webcom_async._storage.postgres.connection import Session
from webcom_async._storage.reservation_rules import changed_settings

__all__ = ["SourceError", "plan", "settings_of"]


class SourceError(Exception):
    """The source of recipients failed. Its own error is `cause`, which may be psycopg's too."""

    def __init__(self, cause: Exception) -> None:
        super().__init__()
        self.cause = cause


settings_of = msgspec.json.Decoder(CampaignSettings).decode


class _Before(NamedTuple):
    """The number and digest of the recipients that a campaign was planned with."""

    recipients: int
    digest: str


async def plan(session: Session, settings: CampaignSettings, recipients: RecipientSource, clock: Clock) -> int:
    planning = Planning(settings, recipients)
    try:
        before = _planned(settings, await session.fetch(_sql_standing.FIND_PLAN, name=settings.campaign))
        if before is None:
            before = await _write(session, settings, planning, clock)
        if before is not None:
            await _compare(settings, before, planning)
    finally:
        await planning.aclose()
    return planning.recipients


def _planned(settings: CampaignSettings, rows: list[tuple[Any, ...]]) -> _Before | None:
    if not rows or rows[0][3] is None:
        return None
    _, _, _, planned, count, digest = rows[0]
    _rules.check_unchanged(settings_of(planned), settings)
    return _Before(count, digest)


async def _write(session: Session, settings: CampaignSettings, planning: Planning, clock: Clock) -> _Before | None:
    """Return the plan that another process has written meanwhile."""
    header = _rules.header_of(settings)
    named = {"name": settings.campaign, "id_bits": header.id_bits, "fingerprint": header.fingerprint}
    _rules.check_new(settings, clock.now())
    # A slow source must not count as an abandoned transaction.
    async with session.unhurried_transaction(_planned_elsewhere(settings.campaign)):
        await session.change(_sql.ADD_CAMPAIGN, now=clock.now(), **named)
        rows = await session.fetch(_sql_standing.LOCK_PLAN, name=settings.campaign)
        before = _planned(settings, rows)
        if before is not None:
            return before
        # The campaign may have been run without a plan before.
        [(number, id_bits, said, *_)] = rows
        stored = CampaignHeader(campaign=settings.campaign, id_bits=id_bits, fingerprint=said)
        changed = changed_settings(header, stored)
        if changed:
            raise InputError(changed)
        await _write_batches(session, number, settings, planning)
        return None


def _planned_elsewhere(campaign: str) -> StoreUnavailable:
    return StoreUnavailable(
        f"campaign {campaign!r}: another process is planning it now; end it, or wait for its end, then try again"
    )


async def _write_batches(session: Session, number: int, settings: CampaignSettings, planning: Planning) -> None:
    while page := await _page(planning):
        shards, batches, counts, contents = zip(*page, strict=True)
        texts = [content.decode() for content in contents]
        columns = {"batches": list(batches), "shards": list(shards), "counts": list(counts), "contents": texts}
        await session.change(_sql_standing.WRITE_BATCHES, campaign=number, **columns)
    planning.check_somebody()
    await session.change(_sql_standing.ADD_SHARDS, campaign=number)
    if settings.rate is not None:
        burst = _rules.burst_seconds(settings.rate)
        await session.change(_sql_standing.ADD_TURNS, campaign=number, rate=settings.rate, burst=burst)
    kept = {"settings": msgspec.json.encode(settings).decode(), "digest": planning.digest}
    await session.change(_sql_standing.PLAN_CAMPAIGN, campaign=number, recipients=planning.recipients, **kept)


async def _page(planning: Planning) -> list[PlannedBatch]:
    try:
        return await planning.page()
    except Exception as exc:
        raise SourceError(exc) from exc


async def _compare(settings: CampaignSettings, before: _Before, planning: Planning) -> None:
    while await _page(planning):
        pass
    planning.check_somebody()
    now = (planning.recipients, planning.digest)
    _rules.check_same_recipients(settings.campaign, (before.recipients, before.digest), now)

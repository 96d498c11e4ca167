"""Read and purge a journal on PostgreSQL between runs."""

from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from typing import Any

import msgspec

from webcom_async._domain.errors import InputError, JournalError, JournalInUse
from webcom_async._domain.reasons import Reason
from webcom_async._domain.results import Outcome, SendResult
from webcom_async._storage.contracts import CampaignHeader, StoredCampaign
from webcom_async._storage.postgres import journal_sql as _sql
from webcom_async._storage.postgres.connection import Session
from webcom_async._storage.postgres.journal import pages_of
from webcom_async._storage.postgres.server import Server
from webcom_async._storage.rows import counts, result_of, states

__all__ = [
    "count_results",
    "export",
    "give_new_ids",
    "header_of",
    "number_of",
    "purge",
    "results",
    "stored_campaigns",
    "stored_header",
]

_PAGE = 1_000  # recipients


class NoSuchCampaignError(InputError, JournalError):
    """The journal does not hold the campaign."""


_UNTRACKED = dict.fromkeys(("delivery", "said", "changed_at", "num_parts", "price"))


async def stored_campaigns(session: Session) -> list[StoredCampaign]:
    stored: list[StoredCampaign] = []
    for number, *header, created, opened in await session.fetch(_sql.LIST_CAMPAIGNS):
        sums = await count_results(session, number)
        stored.append(StoredCampaign(header_of(*header), created.astimezone(UTC), opened.astimezone(UTC), *sums))
    return stored


async def stored_header(session: Session, server: Server, campaign: str) -> CampaignHeader:
    number = await number_of(session, server, campaign)
    [row] = await session.fetch(_sql.FIND_HEADER, campaign=number)
    return header_of(*row)


def header_of(campaign: str, id_bits: int, fingerprint: str, new_ids: int) -> CampaignHeader:
    return CampaignHeader(campaign=campaign, id_bits=id_bits, fingerprint=fingerprint, new_ids=new_ids)


async def number_of(session: Session, server: Server, campaign: str) -> int:
    found = await session.fetch(_sql.FIND_CAMPAIGN, name=campaign)
    if not found:
        raise await _unknown(session, server, campaign)
    return int(found[0][0])


async def count_results(session: Session, number: int) -> tuple[dict[Outcome, int], dict[Reason, int]]:
    return counts(await session.fetch(_sql.COUNT, campaign=number))


async def results(server: Server, campaign: str, *outcomes: Outcome) -> AsyncGenerator[SendResult]:
    number = await server.call(lambda session: number_of(session, server, campaign))
    async for row in pages_of(server, _sql.PAGE_OF_RESULTS, _PAGE, campaign=number, states=states(outcomes)):
        yield result_of(row[1:])


async def export(server: Server, campaign: str | None) -> AsyncGenerator[dict[str, Any]]:
    if campaign is not None:
        await server.call(lambda session: number_of(session, server, campaign))
    for number, name, *_ in await server.call(lambda session: session.fetch(_sql.LIST_CAMPAIGNS)):
        if campaign is None or name == campaign:
            async for row in pages_of(server, _sql.PAGE_OF_EXPORT, _PAGE, campaign=number):
                yield _exported(name, *row[1:])


async def purge(session: Session, server: Server, campaign: str) -> int:
    async with session.transaction():
        number = await _lock_unused(session, server, campaign)
        for statement in _sql.PURGE:
            await session.change(statement, campaign=number)
        return await session.change(_sql.PURGE_RECIPIENTS, campaign=number)


async def give_new_ids(session: Session, server: Server, campaign: str, bits: int) -> None:
    """Raise `JournalError` if a run or a worker has the campaign: it would reserve recipients under their old ids."""
    async with session.transaction():
        number = await _lock_unused(session, server, campaign)
        await session.change(_sql.GIVE_NEW_IDS, campaign=number, new_ids=bits)


async def _lock_unused(session: Session, server: Server, campaign: str) -> int:
    found = await session.fetch(_sql.LOCK_CAMPAIGN, name=campaign)
    if not found:
        raise await _unknown(session, server, campaign)
    number = int(found[0][0])
    await session.change(_sql.END_EXPIRED_OF_CAMPAIGN, campaign=number)
    holders = await session.fetch(_sql.LIST_HOLDERS, campaign=number)
    if holders:
        names = ", ".join(sorted({holder for (holder,) in holders}))
        why = f"campaign {campaign!r} is in use, by {names}; wait for the end of that"
        raise JournalInUse(str(server.unusable(why)))
    return number


async def _unknown(session: Session, server: Server, campaign: str) -> JournalError:
    names = ", ".join(repr(row[1]) for row in await session.fetch(_sql.LIST_CAMPAIGNS))
    return NoSuchCampaignError(str(server.unusable(f"it holds no campaign {campaign!r}; it holds {names or 'none'}")))


def _exported(
    campaign: str,
    client_id: int,
    phone: str,
    content: str,
    *rest: Any,
) -> dict[str, Any]:
    names = ("number_sms", "state", "id_sms", "reason", "error", "attempts")
    validity_period, time_send, *known, reserved_at, settled_at = rest
    return {
        "campaign": campaign,
        "client_id_sms": str(client_id),
        "phone": phone,
        "message": msgspec.json.decode(content),
        "validity_period": _written(validity_period),
        "time_send": _written(time_send),
        **dict(zip(names, known, strict=True)),
        "reserved_at": _written(reserved_at),
        "settled_at": _written(settled_at),
        **_UNTRACKED,
    }


def _written(moment: datetime | None) -> str | None:
    if moment is None:
        return None
    return (moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)).isoformat()

"""
One run's journal of a campaign on PostgreSQL: reservations and settlements.

Runs do not block each other. A batch's new ids are inserted in their order, and a second run finds them taken. Other
campaigns' rows of an id are read after the commit: if two campaigns reserve it at once, at least one sees the other,
and backs out. A run whose lease was revoked can reserve nothing: each transaction locks the lease's row, and revoking
deletes it.
"""

from collections.abc import AsyncGenerator, Callable, Collection, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, NamedTuple, cast
from uuid import UUID

import msgspec

from webcom_async._domain.errors import IdCollision, JournalError, LeaseLost, StoreUnavailable, another
from webcom_async._domain.messages import Addressed, Message, OutboundRecipient
from webcom_async._domain.outcome_rules import Repeats, claims_among, doubted, repeated_ids, unclaimed
from webcom_async._domain.reasons import Reason
from webcom_async._domain.results import Outcome, SendResult, given_ids
from webcom_async._domain.types import ClientIdSms
from webcom_async._storage.campaign_rules import stopped
from webcom_async._storage.campaign_store import CampaignState
from webcom_async._storage.contracts import CampaignHeader, Reservation, digest
from webcom_async._storage.postgres import journal_sql as _sql
from webcom_async._storage.postgres.connection import Session, array
from webcom_async._storage.postgres.server import Server
from webcom_async._storage.reservation_rules import (
    DUPLICATES,
    KnownRecipient,
    Triage,
    better,
    renumbered,
    repeats_error,
)
from webcom_async._storage.rows import asked, columns, result_of, unsettled_of

__all__ = ["PostgresCampaignJournal", "Tenure", "pages_of", "recalled"]

_PAGE = 500  # recipients
_TRIES = 4  # if two campaigns reserve one id at the same moment
_PLACE_BITS = 20  # low bits of a row's number; the high bits are the reservation's number
_RENEWALS = 3  # per lease
_LAST_PATIENCE = 2.0  # seconds, for releasing the lease, which expires anyway
_LONGEST_ID = 19  # digits
_MESSAGES = 4_096  # remembered digests
_encode = msgspec.json.Encoder().encode


class Tenure(NamedTuple):
    """
    What a run reserves with.

    Attributes:
        campaign: The campaign's number.
        header: The campaign's header, as stored.
        token: The lease's token.
        seconds: Seconds that the lease holds after a renewal.
        states: The campaign's states in which batches may leave.
        own: Whether the run took the lease itself, and so renews and releases it.
    """

    campaign: int
    header: CampaignHeader
    token: int
    seconds: float
    states: tuple[str, ...]
    own: bool


class _People(NamedTuple):
    """Recipients as columns, in the order of `Triage.new`; messages as digests."""

    ids: list[Any]
    validity_periods: list[Any]
    times_send: list[Any]
    numbers_sms: list[Any]
    phones: list[Any]
    said: list[Any]

    def parameters(self) -> dict[str, object]:
        """A column of None only is None."""
        return {
            "ids": array(self.ids),
            "phones": array(self.phones),
            "said": array(self.said),
            "validity_periods": _sparse(self.validity_periods),
            "times_send": _sparse(self.times_send),
            "numbers_sms": _sparse(self.numbers_sms),
        }


Said = list[tuple[Message, str, list[OutboundRecipient]]]
"""Messages, their digests, and their recipients."""


class _RacedError(Exception):
    """Another run has reserved a free id meanwhile: nothing was written, and the batch is looked up again."""


class PostgresCampaignJournal:
    """
    A run's journal.

    Args:
        server: The server.
        tenure: What the run reserves with.
        now: The time, for human readers of the tables.
        monotonic: Seconds of a monotonic clock.
        resend_rejected: Reasons whose rejections are not final.

    Attributes:
        header: The campaign's header, as stored.
    """

    def __init__(
        self,
        server: Server,
        tenure: Tenure,
        now: Callable[[], datetime],
        monotonic: Callable[[], float],
        resend_rejected: Collection[Reason],
    ) -> None:
        self.header = tenure.header
        self._server = server
        self._tenure = tenure
        self._now = now
        self._monotonic = monotonic
        self._resend_rejected = frozenset(resend_rejected)
        self._renewed = monotonic()
        self._stored: set[str] = set()
        self._numbers = range(0)

    async def reserve(
        self, addressed: list[Addressed], *, new_ids: Mapping[ClientIdSms, ClientIdSms] = {}
    ) -> Reservation:
        """A recipient that is reserved under another valid lease is refused as a duplicate."""
        ids = [to.client_id_sms for _, phones in addressed for to in phones]
        if len(set(ids)) < len(ids):
            raise self._server.unusable("an id comes twice in one batch; nothing of it was reserved")
        if not ids:
            return Reservation(addressed, [], [])
        mine: list[int] = []
        reserved = await self._server.call(
            lambda session: (
                self._reserve_renumbered(session, addressed, mine, new_ids)
                if new_ids
                else self._reserve(session, addressed, ids, mine)
            )
        )
        await self._renew()
        return reserved

    async def settle(
        self, results: list[SendResult], reserved: Reservation, *, all_accepted: bool = False
    ) -> list[SendResult]:
        """Runs even if the caller is being cancelled. Under a revoked lease, only accepted results are stored."""
        if not results:
            return results
        again = [client_id for client_id in reserved.possibly_sent if _is_id(client_id)]
        error, known = await self._server.call(
            lambda session: self._settle(session, results, again, all_accepted=all_accepted), shielded=True
        )
        await self._renew()
        if error is not None:
            raise another(error, results=known)
        return known

    async def lookup(self, results: Sequence[SendResult]) -> list[SendResult]:
        return await self._server.call(lambda session: self._recall(session, results), shielded=True)

    async def unsettled(self) -> AsyncGenerator[tuple[Message, OutboundRecipient]]:
        pages = pages_of(self._server, _sql.PAGE_OF_UNSETTLED, _PAGE, campaign=self._tenure.campaign)
        async for _, *row in pages:
            yield unsettled_of(row, _utc)

    async def aclose(self) -> None:
        """Release the run's own lease; it expires by itself if the server is unavailable."""
        if not self._tenure.own:
            return
        token = self._tenure.token
        with suppress(StoreUnavailable):
            await self._server.call(
                lambda session: session.change(_sql.END_LEASE, lease=token), shielded=True, patience=_LAST_PATIENCE
            )

    # ------------------------------------------------------------------------ reservation

    async def _reserve(
        self, session: Session, addressed: list[Addressed], ids: list[ClientIdSms], mine: list[int]
    ) -> Reservation:
        """
        Use one round trip if all ids are new.

        *mine* has the numbers of this call's reservations: if the call is repeated, they do not count as possibly sent.
        """
        number = mine[0] if mine else await self._next_number(session, mine)
        contents = {id(message): _encode(message) for message, _ in addressed}
        digests = {key: digest(content) for key, content in contents.items()}
        new = {digests[key]: content.decode() for key, content in contents.items() if digests[key] not in self._stored}
        people = _people((phones, digests[id(message)]) for message, phones in addressed)
        *_, counts, others = await session.transactions(
            [
                (_sql.HOLD_LEASE, self._mine()),
                *([(_sql.ADD_MESSAGES, self._mine(digests=list(new), contents=list(new.values())))] if new else []),
                (_sql.RESERVE, self._reservation(number, people)),
            ],
            [(_sql.FIND_OTHERS, self._mine(ids=array(ids)))],
        )
        if not counts:
            raise await self._lost(session)
        self._remember(new)
        if [(len(ids),)] == counts and not others:
            return Reservation(addressed, [], [])
        said = [(message, digests[id(message)], phones) for message, phones in addressed]
        # The other campaign may not have seen this one, so this one backs out. If both back out, this one finds the
        # id free at its next look.
        races = _in_the_way([row for row in others if row[8] >> _PLACE_BITS > number], said)
        if races:
            await self._back_out(session, races, mine)
        return await self._reserve_closely(session, said, mine)

    async def _reserve_renumbered(
        self,
        session: Session,
        addressed: list[Addressed],
        mine: list[int],
        new_ids: Mapping[ClientIdSms, ClientIdSms],
    ) -> Reservation:
        contents = [_encode(message) for message, _ in addressed]
        keys = [digest(content) for content in contents]
        said = [(message, key, phones) for key, (message, phones) in zip(keys, addressed, strict=True)]
        texts = [content.decode() for content in contents]
        await session.change(_sql.ADD_MESSAGES, **self._mine(digests=keys, contents=texts))
        return await self._reserve_closely(session, said, mine, new_ids)

    async def _reserve_closely(
        self, session: Session, said: Said, mine: list[int], new_ids: Mapping[ClientIdSms, ClientIdSms] = {}
    ) -> Reservation:
        """Ids of the reservations *mine* count as new."""
        for _ in range(_TRIES):
            try:
                triage, now_said = await self._triage(session, said, mine, new_ids)
            except _RacedError:
                continue
            leaving = [to.client_id_sms for _, phones in triage.reserved.addressed for to in phones]
            races = await self._races(session, now_said, leaving)
            if not races:
                return triage.reserved
            await self._back_out(session, races, mine)
        raise self._server.unusable("another campaign keeps reserving the same ids at the same moment; run it again")

    async def _triage(
        self, session: Session, said: Said, mine: list[int], new_ids: Mapping[ClientIdSms, ClientIdSms]
    ) -> tuple[Triage, Said]:
        """Return *said* under the ids to send with, too."""
        async with session.transaction():
            await self._hold(session)
            said = await self._renumber(session, said, new_ids) if new_ids else said
            ids = [to.client_id_sms for _, _, phones in said for to in phones]
            rows = await session.fetch(_sql.LOCK_OWN, **self._mine(ids=array(ids)))
            await self._revoke(session, {row[-2] for row in rows if row[-1]})
            rows = await session.fetch(_sql.FIND_OWN, **self._mine(ids=array(ids)))
            fresh = {str(row[0]) for row in rows if row[8] >> _PLACE_BITS in mine}
            own = {str(row[0]): _row(row, held=row[-1]) for row in rows if str(row[0]) not in fresh}
            others: dict[str, list[KnownRecipient]] = {}
            for row in await session.fetch(_sql.LOCK_OTHERS, **self._mine(ids=array(ids))):
                others.setdefault(str(row[0]), []).append(_row(row))
            triage = Triage(own, others, self._resend_rejected)
            for message, message_digest, phones in said:
                triage.sort(message, message_digest, phones)
            await self._write_again(session, triage.again)
            await self._take_back(session, fresh - {str(row[0]) for row in triage.new}, mine)
            await self._write_new(session, [row for row in triage.new if row[0] not in fresh], mine)
            return triage, said

    async def _renumber(self, session: Session, said: Said, new_ids: Mapping[ClientIdSms, ClientIdSms]) -> Said:
        """Give recipients that were never sent to their new ids; the others' rows stay locked."""
        rows = await session.fetch(_sql.LOCK_OWN, **self._mine(ids=array(list(new_ids))))
        own = [result_of(row[:7]) for row in rows]
        kept = {result.client_id_sms for result in own if result.outcome is not Outcome.NOT_SENT}
        moved = [result.client_id_sms for result in own if result.client_id_sms not in kept]
        if moved:
            new = [new_ids[client_id] for client_id in moved]
            await session.change(_sql.RENUMBER, **self._mine(ids=array(moved), new_ids=array(new)))
        addressed = renumbered([(message, phones) for message, _, phones in said], new_ids, kept)
        return [(message, key, phones) for (message, phones), (_, key, _) in zip(addressed, said, strict=True)]

    async def _revoke(self, session: Session, leases: Collection[int]) -> None:
        if leases:
            await session.change(_sql.END_EXPIRED_LEASES, leases=list(leases))

    async def _write_again(self, session: Session, again: Sequence[Sequence[Any]]) -> None:
        if again:
            ids, *times = (list(column) for column in zip(*again, strict=True))
            names = ("validity_periods", "times_send", "numbers_sms")
            sparse = {name: _sparse(column) for name, column in zip(names, times, strict=True)}
            await session.change(_sql.RESERVE_AGAIN, **self._mine(ids=array(ids), now=self._now(), **sparse))

    async def _write_new(self, session: Session, new: Sequence[Sequence[Any]], mine: list[int]) -> None:
        if not new:
            return
        people = _People(*(list(column) for column in zip(*new, strict=True)))
        number = await self._next_number(session, mine)
        if [(len(new),)] != await session.fetch(_sql.RESERVE, **self._reservation(number, people)):
            raise _RacedError

    async def _take_back(self, session: Session, ids: Collection[str], mine: list[int]) -> None:
        """Delete the reservations of *ids*, which belong to another campaign's message."""
        if ids:
            await session.change(_sql.BACK_OUT_NEW, **self._mine(ids=array(list(ids)), reservations=mine))

    async def _races(self, session: Session, said: Said, ids: list[ClientIdSms]) -> set[str]:
        """Return those of *ids* that another campaign has reserved for another phone or message."""
        others = await session.fetch(_sql.FIND_OTHERS, **self._mine(ids=array(ids))) if ids else []
        return _in_the_way(others, said)

    async def _back_out(self, session: Session, ids: Collection[str], mine: list[int]) -> None:
        async with session.transaction():
            parameters = self._mine(ids=array(list(ids)), reservations=mine)
            await session.change(_sql.BACK_OUT_NEW, **parameters)
            await session.change(_sql.BACK_OUT_AGAIN, **parameters)

    async def _hold(self, session: Session) -> None:
        """Protect the lease from revocation until the transaction ends."""
        await session.fetch(_sql.HOLD_LEASE, **self._mine())
        [(leases, state, _)] = await session.fetch(_sql.FIND_STANDING_OF_LEASE, **self._mine()) or [(0, "", "")]
        if not leases or state not in self._tenure.states:
            raise await self._lost(session)

    async def _lost(self, session: Session) -> JournalError:
        """Return why nothing could be reserved."""
        rows = await session.fetch(_sql.FIND_STANDING_OF_LEASE, **self._mine())
        if rows and rows[0][0]:
            _, state, why = rows[0]
            return stopped(self.header.campaign, CampaignState(state), why)
        if self._tenure.own:
            return LeaseLost(
                f"campaign {self.header.campaign!r}: this run has not renewed its lease for "
                f"{self._tenure.seconds:g} s, and others may have taken over its recipients. It sends nothing more; "
                "run it again"
            )
        return LeaseLost()

    # ------------------------------------------------------------------------ settlement

    async def _settle(
        self, session: Session, results: list[SendResult], again: list[ClientIdSms], *, all_accepted: bool
    ) -> tuple[IdCollision | None, list[SendResult]]:
        stored = _storable(session, results)
        answered = given_ids(stored)
        if len(set(answered)) == len(answered) and not await self._was_repeated(session, again):
            parameters = self._given(stored, all_accepted=all_accepted)
            _, [(claims, settled)] = await session.together(
                # A statement that waits for a row does not see its lease revoked, so the lease is locked first.
                (_sql.HOLD_LEASE, self._mine()),
                (_sql.SETTLE_FRESH, {"claims": len(answered), **parameters}),
            )
            if claims == len(answered):
                return None, results if settled == len(results) else await self._recall(session, results)
        while True:
            found = await self._settle_closely(session, stored, sorted(set(answered)))
            if found is not None:
                return found[0], await self._recall(session, found[1])

    async def _was_repeated(self, session: Session, ids: list[ClientIdSms]) -> bool:
        return bool(ids and await session.fetch(_sql.FIND_REPEATED, **self._mine(ids=array(ids))))

    async def _settle_closely(
        self, session: Session, results: list[SendResult], answers: list[str]
    ) -> tuple[IdCollision | None, list[SendResult]] | None:
        """Return None if another run has claimed a repeated answer meanwhile."""
        async with session.transaction():
            await session.fetch(_sql.HOLD_LEASE, **self._mine())
            rows = await session.fetch(_sql.FIND_OWNERS, answers=answers)
            owners = {(id_sms, str(client_id)) for id_sms, client_id, _ in rows}
            repeats = repeated_ids(results, owners)
            owned = {id_sms for id_sms, _, repeated in rows if not repeated}
            new = {each.id_sms: each.client_id_sms for each in results if each.id_sms is not None}
            claim = {id_sms: None if id_sms in repeats else owner for id_sms, owner in new.items()}
            claim = {id_sms: owner for id_sms, owner in claim.items() if id_sms not in owned}
            claimed = await session.change(_sql.CLAIM_ANSWERS, answers=list(claim), owners=list(claim.values()))
            if claimed < len(claim):
                return None
            known = [unclaimed(doubted(each)) if each.id_sms in repeats else each for each in results]
            await self._record_repeats(session, results, repeats)
            await session.fetch(_sql.SETTLE, **self._given(known))
            error = await self._collision(session, results, repeats, owners) if repeats else None
            return error, known

    async def _record_repeats(self, session: Session, results: list[SendResult], repeats: Repeats) -> None:
        settled = [each for each in results if _is_id(each.client_id_sms)]
        learnt = [each for each in settled if each.id_sms is not None or each.outcome is Outcome.REJECTED]
        ids = [each.client_id_sms for each in learnt]
        await session.change(_sql.FORGET_REPEATS, **self._mine(ids=array(ids)))
        claims = claims_among(settled, repeats)
        if claims:
            given = {"ids": array(list(claims)), "answers": list(claims.values())}
            await session.change(_sql.ADD_REPEATS, **self._mine(**given))

    async def _collision(
        self, session: Session, results: list[SendResult], repeats: Repeats, owners: AbstractSet[tuple[str, str]]
    ) -> IdCollision:
        ids = sorted({client_id for those in repeats.values() for client_id in those})
        rows = await session.fetch(_sql.FIND_CAMPAIGNS_OF, ids=array(ids))
        campaigns = {name for (name,) in rows}
        name = self.header.campaign
        return repeats_error(repeats, owners, given=results, results=(), campaign=name, campaigns=campaigns)

    async def _recall(self, session: Session, results: Sequence[SendResult]) -> list[SendResult]:
        return await recalled(session, self._tenure.campaign, results)

    def _given(self, results: list[SendResult], *, all_accepted: bool = False) -> dict[str, object]:
        """Leave out results that never had a row."""
        sound = [
            each for each in results if all_accepted or (each.reason not in DUPLICATES and _is_id(each.client_id_sms))
        ]
        ids, phones, states, answers, reasons, errors, attempts = (
            zip(*map(columns, sound), strict=True) if sound else [()] * 7
        )
        return self._mine(
            now=self._now(),
            ids=array(ids),
            phones=_digits(phones),
            states=array(states),
            answers=_digits(answers),
            reasons=array(reasons),
            errors=list(errors) if any(errors) else array(['""'] * len(errors)),
            attempts=array(list(map(str, attempts))),
        )

    # ------------------------------------------------------------------------ parameters, numbers, the lease

    def _mine(self, **parameters: object) -> dict[str, object]:
        return {"campaign": self._tenure.campaign, "lease": self._tenure.token, **parameters}

    def _reservation(self, number: int, people: _People) -> dict[str, object]:
        states = list(self._tenure.states)
        return self._mine(reservation=number, states=states, now=self._now(), **people.parameters())

    async def _next_number(self, session: Session, mine: list[int]) -> int:
        if not self._numbers:
            [(first,)] = await session.fetch(_sql.NEXT_BLOCK)
            self._numbers = range(first, first + _sql.BLOCK)
        number, self._numbers = self._numbers[0], self._numbers[1:]
        mine.append(number)
        return number

    def _remember(self, digests: Iterable[str]) -> None:
        if len(self._stored) > _MESSAGES:
            self._stored.clear()
        self._stored.update(digests)

    async def _renew(self) -> None:
        if not self._tenure.own or self._monotonic() - self._renewed < self._tenure.seconds / _RENEWALS:
            return
        self._renewed = self._monotonic()
        renewal = {"lease": self._tenure.token, "seconds": self._tenure.seconds}
        await self._server.call(lambda session: session.change(_sql.RENEW_LEASE, **renewal), shielded=True)


def _storable(session: Session, results: list[SendResult]) -> list[SendResult]:
    """What the gateway says is stored in any database: its answer has a cost already."""
    if session.holds_all:
        return results
    return [
        msgspec.structs.replace(
            each,
            id_sms=None if each.id_sms is None else session.storable(each.id_sms),
            error=session.storable(each.error),
        )
        for each in results
    ]


async def recalled(session: Session, campaign: int, results: Sequence[SendResult]) -> list[SendResult]:
    """Keep the given result where none is stored."""
    numbers = [result.client_id_sms for result in results if _is_id(result.client_id_sms)]
    rows = await session.fetch(_sql.FIND_OWN, campaign=campaign, lease=0, ids=array(numbers))
    own = {str(row[0]): _row(row) for row in rows}
    return [better(result, own.get(result.client_id_sms)) for result in results]


async def pages_of(server: Server, statement: str, rows: int, **criteria: object) -> AsyncGenerator[tuple[Any, ...]]:
    """
    Yield rows in bounded memory; no transaction stays open meanwhile.

    *statement* is ordered by its first column, and continues after `last` with at most `rows` rows.
    """
    last = 0
    while page := await _page(server, statement, {"last": last, "rows": rows, **criteria}):
        for row in page:
            yield row
        last = page[-1][0]


async def _page(server: Server, statement: str, parameters: dict[str, object]) -> list[tuple[Any, ...]]:
    return await server.call(lambda session: session.fetch(statement, **parameters))


def _people(groups: Iterable[tuple[list[OutboundRecipient], str]]) -> _People:
    rows = [(*asked(to), to.phone, said) for phones, said in groups for to in phones]
    return _People(*(list(column) for column in zip(*rows, strict=True)))


def _utc(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.replace(tzinfo=UTC)


def _sparse(column: list[Any]) -> list[Any] | None:
    return None if set(map(type, column)) == {type(None)} else column


def _row(row: Sequence[Any], *, held: bool = False) -> KnownRecipient:
    said: UUID = row[7]
    return KnownRecipient(result_of(row[:7]), said.hex, held)


def _in_the_way(others: Iterable[Sequence[Any]], said: Said) -> set[str]:
    """Return the ids of *others*, rows of other campaigns, whose phone or message differs here."""
    mine = {to.client_id_sms: (to.phone, key) for _, key, phones in said for to in phones}
    ids = ((ClientIdSms(str(row[0])), row) for row in others)
    return {client_id for client_id, row in ids if client_id in mine and not _row(row).belongs_to(*mine[client_id])}


def _is_id(text: str) -> bool:
    """Recipients with bad ids have no row."""
    return text.isascii() and text.isdigit() and len(text) <= _LONGEST_ID and int(text) < 1 << 63


def _digits(column: Sequence[str | None]) -> object:
    """Unless all values are digits, psycopg quotes the column."""
    joined = "".join(filter(None, column))
    if None in column or "" in column or not (joined.isascii() and joined.isdigit()):
        return list(column)
    return array(cast("Sequence[str]", column))

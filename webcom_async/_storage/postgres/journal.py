"""
One run's books of a campaign on PostgreSQL: what may leave, and what became of it.

Nobody waits for another one: a batch's new ids are inserted, in their own order, and whoever comes second finds them
taken. What other campaigns know of an id is looked at after the commit: of two who write first and look then, at least
one sees the other, and backs out. Whose lease was revoked reserves nothing: the lease's row is held for as long as the
transaction lasts, and revoking deletes it.
"""

from collections.abc import AsyncGenerator, Callable, Collection, Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, NamedTuple, cast
from uuid import UUID

import msgspec

from webcom_async._domain.errors import JournalError, LeaseLost, StoreUnavailable
from webcom_async._domain.messages import Message
from webcom_async._domain.outcome_rules import collision, doubted
from webcom_async._domain.reasons import Reason
from webcom_async._domain.results import AllAccepted, SendResult, given_ids
from webcom_async._domain.types import ClientIdSms, Phone
from webcom_async._storage.campaign_rules import stopped
from webcom_async._storage.campaign_store import CampaignState
from webcom_async._storage.contracts import Reservation, digest
from webcom_async._storage.postgres import journal_sql as _sql
from webcom_async._storage.postgres.connection import Server, Session, array
from webcom_async._storage.reservation_rules import DUPLICATES, KnownRecipient, Triage, better, shared
from webcom_async._storage.rows import asked, columns, message_of, result_of
from webcom_async._wire.base import Addressed, WirePhone

__all__ = ["PostgresCampaignJournal", "Tenure", "pages_of", "recalled"]

_PAGE = 500  # recipients
_TRIES = 4  # of two campaigns that reserve one id at the same moment
_PLACE_BITS = 20  # of a row's number; the others are the reservation's
_RENEWALS = 3  # in the seconds of a lease
_LAST_PATIENCE = 2.0  # seconds, for what is done out of politeness
_LONGEST_ID = 19  # digits
_MESSAGES = 4_096  # whose digests are remembered
_encode = msgspec.json.Encoder().encode


class Tenure(NamedTuple):
    """
    What a run may reserve with.

    Attributes:
        campaign: The campaign's number.
        name: The campaign's name.
        token: The lease's.
        seconds: How long it holds after it was renewed.
        states: The campaign's states in which somebody may leave.
        own: Whether the run took the lease itself, and so renews it and gives it back.
    """

    campaign: int
    name: str
    token: int
    seconds: float
    states: tuple[str, ...]
    own: bool


class _People(NamedTuple):
    """Recipients as columns, in the order of `Triage.new`; what is said is a digest."""

    ids: list[Any]
    validity_periods: list[Any]
    times_send: list[Any]
    numbers_sms: list[Any]
    phones: list[Any]
    said: list[Any]

    def parameters(self) -> dict[str, object]:
        """Return them as the statements take them; a column of nothing but None is None."""
        return {
            "ids": array(self.ids),
            "phones": array(self.phones),
            "said": array(self.said),
            "validity_periods": _sparse(self.validity_periods),
            "times_send": _sparse(self.times_send),
            "numbers_sms": _sparse(self.numbers_sms),
        }


Said = list[tuple[Message, str, list[WirePhone]]]
"""Messages, their digests, and their recipients."""


class _RacedError(Exception):
    """Somebody else has just reserved what nobody had: nothing was written, and it is to be looked at anew."""


class PostgresCampaignJournal:
    """
    The books of a run.

    Args:
        server: The server.
        tenure: What the run may reserve with.
        now: The time, for people who read the tables.
        monotonic: Seconds that never go back.
        resend_rejected: Reasons for which a refusal is not final.
    """

    def __init__(
        self,
        server: Server,
        tenure: Tenure,
        now: Callable[[], datetime],
        monotonic: Callable[[], float],
        resend_rejected: Collection[Reason],
    ) -> None:
        self._server = server
        self._tenure = tenure
        self._now = now
        self._monotonic = monotonic
        self._resend_rejected = frozenset(resend_rejected)
        self._renewed = monotonic()
        self._stored: set[str] = set()
        self._numbers = range(0)

    async def reserve(self, addressed: list[Addressed]) -> Reservation:
        """
        Say what of a batch may leave now, and write down that it does; it is committed when this returns.

        Who is reserved under another lease that holds is refused as a duplicate.

        Args:
            addressed: Messages and their recipients; no id twice.

        Raises:
            LeaseLost: The lease was revoked. Nothing of the batch may be sent.
            CampaignStopped: The campaign does not run. Likewise.
            JournalError: It cannot be written. Likewise.
        """
        ids = [to.client_id_sms for _, phones in addressed for to in phones]
        if len(set(ids)) < len(ids):
            raise self._server.unusable("an id comes twice in one batch; nothing of it was reserved")
        if not ids:
            return Reservation(addressed, [], [])
        mine: list[int] = []
        reserved = await self._server.call(lambda session: self._reserve(session, addressed, ids, mine))
        await self._renew()
        return reserved

    async def settle(self, results: list[SendResult], reserved: Reservation) -> list[SendResult]:  # noqa: ARG002
        """
        Write down what became of recipients; it is committed when this returns, even if the caller is being cancelled.

        An accepted recipient stays accepted, and one of whom nothing was known does not become one that was never
        sent to. If the lease was revoked, nothing is written but that somebody was accepted.

        Returns:
            What is known now, in the same order: mostly what was given.

        Raises:
            IdCollision: Two ids were answered with one `id_sms`. Everything sound is written; those who share are
                unknown. The exception has the `results`.
            JournalError: It cannot be written.
        """
        if not results:
            return results
        twice, known = await self._server.call(lambda session: self._settle(session, results), shielded=True)
        await self._renew()
        if twice:
            raise collision(twice, known)
        return known

    async def lookup(self, results: Sequence[SendResult]) -> list[SendResult]:
        """
        Return what is known of recipients that were not reserved, *results* as far as nothing is; in the same order.

        Raises:
            JournalError: The server cannot be read.
        """
        return await self._server.call(lambda session: self._recall(session, results), shielded=True)

    async def unsettled(self) -> AsyncGenerator[tuple[Message, WirePhone]]:
        """
        Yield everyone of whom it is not known whether they were sent to, with what it takes to ask again.

        Lazily; those who are settled on the way do not come again.

        Raises:
            JournalError: The server cannot be read.
        """
        pages = pages_of(self._server, _sql.PAGE_OF_UNSETTLED, _PAGE, campaign=self._tenure.campaign)
        async for _, content, phone, client_id, *times in pages:
            yield message_of(content), WirePhone(Phone(phone), ClientIdSms(str(client_id)), *times)

    async def aclose(self) -> None:
        """Give the lease back, if it is the run's own; if the server is away, it ends by itself."""
        if not self._tenure.own:
            return
        token = self._tenure.token
        with suppress(StoreUnavailable):
            await self._server.call(
                lambda session: session.change(_sql.END_LEASE, lease=token), shielded=True, patience=_LAST_PATIENCE
            )

    # ------------------------------------------------------------------------ what may leave

    async def _reserve(
        self, session: Session, addressed: list[Addressed], ids: list[ClientIdSms], mine: list[int]
    ) -> Reservation:
        """
        Reserve a batch, as a whole if nothing is known of anybody.

        *mine* are the numbers of the reservations that this call has made so far: if the connection breaks, it is done
        anew, and whom it has reserved already is not in doubt.
        """
        number = mine[0] if mine else await self._next_number(session, mine)
        contents = {id(message): _encode(message) for message, _ in addressed}
        digests = {key: digest(content) for key, content in contents.items()}
        new = {digests[key]: content.decode() for key, content in contents.items() if digests[key] not in self._stored}
        people = _people((phones, digests[id(message)]) for message, phones in addressed)
        *_, counts, _, others = await session.together(
            ("BEGIN", {}),
            (_sql.HOLD_LEASE, self._mine()),
            *([(_sql.ADD_MESSAGES, self._mine(digests=list(new), contents=list(new.values())))] if new else []),
            (_sql.RESERVE, self._reservation(number, people)),
            ("COMMIT", {}),
            (_sql.FIND_OTHERS, self._mine(ids=array(ids))),
        )
        if not counts:
            raise await self._lost(session)
        self._remember(new)
        if [(len(ids),)] == counts and not others:
            return Reservation(addressed, [], [])
        said = [(message, digests[id(message)], phones) for message, phones in addressed]
        # The other campaign may not have seen this one, and this one has to go. If it has, it goes as well: then this
        # one finds the id free the next time it looks.
        races = _in_the_way([row for row in others if row[8] >> _PLACE_BITS > number], said)
        if races:
            await self._back_out(session, races, mine)
        return await self._reserve_closely(session, said, ids, mine)

    async def _reserve_closely(
        self, session: Session, said: Said, ids: list[ClientIdSms], mine: list[int]
    ) -> Reservation:
        """Reserve ids of which something is known; those of the reservations *mine* are new."""
        for _ in range(_TRIES):
            try:
                triage = await self._triage(session, said, ids, mine)
            except _RacedError:
                continue
            leaving = [to.client_id_sms for _, phones in triage.reserved.addressed for to in phones]
            races = await self._races(session, said, leaving)
            if not races:
                return triage.reserved
            await self._back_out(session, races, mine)
        raise self._server.unusable("another campaign keeps reserving the same ids at the same moment; run it again")

    async def _triage(self, session: Session, said: Said, ids: list[ClientIdSms], mine: list[int]) -> Triage:
        """Reserve whom the rules let leave."""
        async with session.transaction():
            await self._hold(session)
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
            return triage

    async def _revoke(self, session: Session, leases: Collection[int]) -> None:
        """Revoke those of *leases* that are in the way and have expired."""
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
        """Forget that *ids*, which belong to another campaign's message, were reserved."""
        if ids:
            await session.change(_sql.BACK_OUT_NEW, **self._mine(ids=array(list(ids)), reservations=mine))

    async def _races(self, session: Session, said: Said, ids: list[ClientIdSms]) -> set[str]:
        """Return those of *ids*, which are reserved, that another campaign has reserved for something else."""
        others = await session.fetch(_sql.FIND_OTHERS, **self._mine(ids=array(ids))) if ids else []
        return _in_the_way(others, said)

    async def _back_out(self, session: Session, ids: Collection[str], mine: list[int]) -> None:
        async with session.transaction():
            parameters = self._mine(ids=array(list(ids)), reservations=mine)
            await session.change(_sql.BACK_OUT_NEW, **parameters)
            await session.change(_sql.BACK_OUT_AGAIN, **parameters)

    async def _hold(self, session: Session) -> None:
        """Keep the lease from being revoked until the transaction ends."""
        await session.fetch(_sql.HOLD_LEASE, **self._mine())
        [(leases, state, _)] = await session.fetch(_sql.FIND_STANDING_OF_LEASE, **self._mine()) or [(0, "", "")]
        if not leases or state not in self._tenure.states:
            raise await self._lost(session)

    async def _lost(self, session: Session) -> JournalError:
        """Return why nothing could be reserved."""
        rows = await session.fetch(_sql.FIND_STANDING_OF_LEASE, **self._mine())
        if rows and rows[0][0]:
            _, state, why = rows[0]
            return stopped(self._tenure.name, CampaignState(state), why)
        if self._tenure.own:
            return LeaseLost(
                f"campaign {self._tenure.name!r}: nothing was heard of this run for {self._tenure.seconds:g} s, and "
                "others may have taken over what it had reserved. Nothing more is sent from here; run it again"
            )
        return LeaseLost()

    # ------------------------------------------------------------------------ what became of it

    async def _settle(
        self, session: Session, results: list[SendResult]
    ) -> tuple[dict[str, set[str]], list[SendResult]]:
        answered = given_ids(results)
        if len(set(answered)) == len(answered):
            parameters = self._given(results)
            _, _, [(claims, settled)], _ = await session.together(
                ("BEGIN", {}),
                # While a statement waits for a row, it does not see that its lease is revoked: so that cannot be.
                (_sql.HOLD_LEASE, self._mine()),
                (_sql.SETTLE_FRESH, {"claims": len(answered), **parameters}),
                ("COMMIT", {}),
            )
            if claims == len(answered):
                return {}, results if settled == len(results) else await self._recall(session, results)
        while True:
            found = await self._settle_closely(session, results, sorted(set(answered)))
            if found is not None:
                twice, known = found
                return twice, await self._recall(session, known)

    async def _settle_closely(
        self, session: Session, results: list[SendResult], answers: list[str]
    ) -> tuple[dict[str, set[str]], list[SendResult]] | None:
        """Settle with answers that were given before; None if somebody else was given one of them just now."""
        async with session.transaction():
            await session.fetch(_sql.HOLD_LEASE, **self._mine())
            owners = await session.fetch(_sql.FIND_OWNERS, answers=answers)
            twice = shared(results, owners)
            sound = {
                result.id_sms: result.client_id_sms
                for result in results
                if result.id_sms is not None and result.id_sms not in twice
            }
            new = {id_sms: owner for id_sms, owner in sound.items() if id_sms not in dict(owners)}
            claim = {"answers": list(new), "owners": list(new.values())}
            if new and await session.change(_sql.CLAIM_ANSWERS, **claim) < len(new):
                return None
            known = [doubted(result) if result.id_sms in twice else result for result in results]
            await session.fetch(_sql.SETTLE, **self._given(known))
            return twice, known

    async def _recall(self, session: Session, results: Sequence[SendResult]) -> list[SendResult]:
        return await recalled(session, self._tenure.campaign, results)

    def _given(self, results: list[SendResult]) -> dict[str, object]:
        """Return *results* as the statements take them, without those that never had a row of their own."""
        plain = isinstance(results, AllAccepted)
        sound = [each for each in results if plain or (each.reason not in DUPLICATES and _is_id(each.client_id_sms))]
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

    # ------------------------------------------------------------------------ odds and ends

    def _mine(self, **parameters: object) -> dict[str, object]:
        return {"campaign": self._tenure.campaign, "lease": self._tenure.token, **parameters}

    def _reservation(self, number: int, people: _People) -> dict[str, object]:
        states = list(self._tenure.states)
        return self._mine(reservation=number, states=states, now=self._now(), **people.parameters())

    async def _next_number(self, session: Session, mine: list[int]) -> int:
        """Return a number for a reservation, which is one of *mine* then."""
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
        """Renew the run's own lease, now and then."""
        if not self._tenure.own or self._monotonic() - self._renewed < self._tenure.seconds / _RENEWALS:
            return
        self._renewed = self._monotonic()
        token = self._tenure.token
        await self._server.call(lambda session: session.change(_sql.RENEW_LEASE, lease=token), shielded=True)


async def recalled(session: Session, campaign: int, results: Sequence[SendResult]) -> list[SendResult]:
    """Return what a campaign, given by its number, knows of recipients, *results* as far as it knows nothing."""
    numbers = [result.client_id_sms for result in results if _is_id(result.client_id_sms)]
    rows = await session.fetch(_sql.FIND_OWN, campaign=campaign, lease=0, ids=array(numbers))
    own = {str(row[0]): _row(row) for row in rows}
    return [better(result, own.get(result.client_id_sms)) for result in results]


async def pages_of(server: Server, statement: str, rows: int, **criteria: object) -> AsyncGenerator[tuple[Any, ...]]:
    """
    Yield the rows of *statement* in bounded memory; no transaction stays open in between.

    Args:
        server: The server.
        statement: Its first column is its order; its parameter `last` is where to go on, and `rows` how far.
        rows: In memory at once.
        criteria: Its other parameters.
    """
    last = 0
    while page := await _page(server, statement, {"last": last, "rows": rows, **criteria}):
        for row in page:
            yield row
        last = page[-1][0]


async def _page(server: Server, statement: str, parameters: dict[str, object]) -> list[tuple[Any, ...]]:
    return await server.call(lambda session: session.fetch(statement, **parameters))


def _people(groups: Iterable[tuple[list[WirePhone], str]]) -> _People:
    rows = [(*asked(to), to.phone, said) for phones, said in groups for to in phones]
    return _People(*(list(column) for column in zip(*rows, strict=True)))


def _sparse(column: list[Any]) -> list[Any] | None:
    return None if set(map(type, column)) == {type(None)} else column


def _row(row: Sequence[Any], *, held: bool = False) -> KnownRecipient:
    said: UUID = row[7]
    return KnownRecipient(result_of(row[:7]), said.hex, held)


def _in_the_way(others: Iterable[Sequence[Any]], said: Said) -> set[str]:
    """Return the ids of *others*, rows of other campaigns, that are not about the same phone and message here."""
    mine = {to.client_id_sms: (to.phone, key) for _, key, phones in said for to in phones}
    ids = ((ClientIdSms(str(row[0])), row) for row in others)
    return {client_id for client_id, row in ids if client_id in mine and not _row(row).belongs_to(*mine[client_id])}


def _is_id(text: str) -> bool:
    """Whether *text* can be an id in a row: bad ones that recipients bring are results of their own."""
    return text.isascii() and text.isdigit() and len(text) <= _LONGEST_ID and int(text) < 1 << 63


def _digits(column: Sequence[str | None]) -> object:
    """Return *column* as one parameter; what is no number is left to psycopg to quote."""
    joined = "".join(filter(None, column))
    if None in column or "" in column or not (joined.isascii() and joined.isdigit()):
        return list(column)
    return array(cast("Sequence[str]", column))

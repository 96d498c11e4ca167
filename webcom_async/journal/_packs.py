"""
Recipients by the batch: how a journal stores those who left together and were answered together.

A row per recipient, with indexes of random ids, takes ten times the time. A batch is a pack: two rows, one written
when it is reserved and one when it is settled, each holding columns of values. Whoever must be changed alone is
unpacked into a row of their own first; the numbers of recipients stay the same.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar

import msgspec

from webcom_async._wire import Addressed
from webcom_async.journal import _sql
from webcom_async.journal._file import JournalFile
from webcom_async.models import Outcome, SendResult

__all__ = [
    "LARGEST",
    "Answered",
    "Asked",
    "Entry",
    "Pack",
    "array",
    "asked",
    "content_of",
    "everyone",
    "load",
    "packs",
    "unpack",
]

T = TypeVar("T")

LARGEST = 1_000  # recipients of a pack: as many are in memory at once

_PAGE_ROWS = 1_000

_Times = tuple[str | None, str | None, int | None]


class Entry(NamedTuple):
    """A recipient, as `recipients` has them."""

    recipient_id: int
    campaign_id: int
    client_id_sms: int | str
    phone: str
    message_id: int
    validity_period: str | None
    time_send: str | None
    number_sms: int | None
    state: str
    id_sms: str | None
    reason: str
    error: str
    attempts: int
    reserved_at: int
    settled_at: int | None


class Asked(msgspec.Struct):
    """
    What a pack's first row holds. A column with one value for all has it once.

    Attributes:
        messages: Numbers of messages, and how many recipients in a row get each.
        ids: Each one's `client_id_sms`.
        phones: Each one's phone.
        times: Columns: `validity_period`, `time_send` and `number_sms`, in one.
    """

    messages: list[tuple[int, int]]
    ids: list[str]
    phones: list[str]
    times: list[_Times]


class Answered(msgspec.Struct):
    """What a pack's second row holds: columns of results."""

    states: list[str]
    id_sms: list[str | None]
    reasons: list[str]
    errors: list[str]
    attempts: list[int]

    @classmethod
    def of(cls, results: Sequence[SendResult]) -> "Answered":
        """Return the columns of *results*."""
        return cls(
            [outcome.value for outcome in _column([result.outcome for result in results])],
            _storable(_column([result.id_sms for result in results])),
            [reason.value for reason in _column([result.reason for result in results])],
            _storable(_column([result.error for result in results])),
            _column([result.attempts for result in results]),
        )

    def counts(self, size: int) -> list[int]:
        """Return how many of *size* recipients have each outcome."""
        states = _stretched(self.states, size)
        return [states.count(outcome.value) for outcome in Outcome]


class Pack(NamedTuple):
    """Recipients who left together."""

    first_id: int
    campaign_id: int
    reserved_at: int
    asked: Asked
    settled_at: int | None
    answered: Answered | None

    def entries(self, wanted: Collection[str] | None = None) -> list[Entry]:
        """Return its recipients, in order; only those with one of the *wanted* ids, if that is given."""
        ids, phones, answered, size = self.asked.ids, self.asked.phones, self.answered or _UNANSWERED, self.size
        places = range(size) if wanted is None else [place for place, known in enumerate(ids) if known in wanted]
        messages = [number for number, count in self.asked.messages for _ in range(count)]
        times = _stretched(self.asked.times, size)
        states, id_sms = _stretched(answered.states, size), _stretched(answered.id_sms, size)
        reasons, errors = _stretched(answered.reasons, size), _stretched(answered.errors, size)
        attempts = _stretched(answered.attempts, size)
        return [
            Entry(
                self.first_id + at,
                self.campaign_id,
                ids[at],
                phones[at],
                messages[at],
                *times[at],
                states[at],
                id_sms[at],
                reasons[at],
                errors[at],
                attempts[at],
                self.reserved_at,
                self.settled_at,
            )
            for at in places
        ]

    @property
    def size(self) -> int:
        """How many recipients it has."""
        return len(self.asked.ids)


_UNANSWERED = Answered([_sql.RESERVED], [None], ["none"], [""], [0])
_asked_decoder = msgspec.json.Decoder(Asked)
_answered_decoder = msgspec.json.Decoder(Answered)


def asked(addressed: Iterable[Addressed], numbers: Iterable[int]) -> Asked:
    """Return the columns of recipients who leave now, the messages of whom have *numbers*."""
    groups = list(addressed)
    tos = [to for _, phones in groups for to in phones]
    return Asked(
        [(number, len(phones)) for (_, phones), number in zip(groups, numbers, strict=True)],
        [to.client_id_sms for to in tos],
        [to.phone for to in tos],
        _column([(to.validity_period, to.time_send, to.number_sms) for to in tos]),
    )


def array(values: Iterable[object]) -> str:
    """Return *values* as one JSON array."""
    return msgspec.json.encode(list(values)).decode()


def load(file: JournalFile, first_id: int) -> Pack | None:
    """Return the pack that begins with *first_id*; None if it has been unpacked."""
    return next((_pack(file, row) for row in file.fetch(_sql.FIND_PACK, first_id)), None)


def packs(file: JournalFile, last: int = -1) -> Iterator[Pack]:
    """Yield all packs of all campaigns that begin after *last*, one at a time."""
    while rows := file.fetch(_sql.NEXT_PACK, last, None, False):
        pack = _pack(file, rows[0])
        yield pack
        last = pack.first_id


def unpack(file: JournalFile, pack: Pack) -> None:
    """Give each recipient of *pack* a row of their own."""
    file.change(_sql.UNPACK, array(pack.entries()))
    file.change(_sql.REMOVE_ANSWER, pack.first_id)
    file.change(_sql.REMOVE_PACK, pack.first_id)


def everyone(file: JournalFile, campaign: int | None, *, unsettled: bool = False) -> Iterator[Entry]:
    """
    Yield a campaign's recipients, or all campaigns', in the order of their first reservation.

    In bounded memory. No statement stays open in between, so that writing may go on meanwhile.

    Args:
        file: The journal's file.
        campaign: Its number; all of them for None.
        unsettled: Leave out most of those of whom it is known what became of them.
    """
    last = -1
    while True:
        found = file.fetch(_sql.NEXT_PACK, last, campaign, unsettled)
        end = found[0][0] if found else _sql.NO_END
        # Looked for anew after every page: somebody may have unpacked it meanwhile.
        if rows := file.fetch(_sql.PAGE_OF_ROWS, last, end, campaign, unsettled, _PAGE_ROWS):
            yield from map(Entry._make, rows)
            last = rows[-1][0]
        elif found:
            entries = _pack(file, found[0]).entries()
            yield from entries
            last = entries[-1].recipient_id
        else:
            return


def content_of(file: JournalFile) -> Callable[[int], str]:
    """Return what finds a message's JSON by its number, and remembers some: a campaign has few texts."""

    @lru_cache(maxsize=256)
    def content(number: int) -> str:
        [(found,)] = file.fetch(_sql.FIND_CONTENT, number)
        return str(found)

    return content


def _pack(file: JournalFile, row: tuple[Any, ...]) -> Pack:
    first_id, campaign, reserved_at, asked, settled_at, answered = row
    try:
        columns = answered and _answered_decoder.decode(answered)
        return Pack(first_id, campaign, reserved_at, _asked_decoder.decode(asked), settled_at, columns)
    except msgspec.MsgspecError as exc:
        raise file.damaged(exc) from None


def _column(values: list[T]) -> list[T]:
    """Return *values*, or the one that all of them are."""
    return values[:1] if values.count(values[0]) == len(values) else values


def _stretched(column: list[T], size: int) -> list[T]:
    """Undo `_column`."""
    return column if len(column) == size else column * size


def _storable(column: list[Any]) -> list[Any]:
    """Return *column* without what SQLite's JSON cannot carry: halves of characters, and NUL."""
    if "".join(filter(None, column)).isprintable():
        return column
    return [text and text.replace("\0", "\ufffd").encode(errors="replace").decode() for text in column]

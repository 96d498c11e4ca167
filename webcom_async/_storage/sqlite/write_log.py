"""
The journal's log: what a run has done, batch by batch, until somebody wants rows.

A recipient's row is found by two random numbers, and written twice, so that rows take ten times as long as all else.
During a run a batch is one entry when it is reserved and another when it is settled, each written whole. Rows are made
of them by `digest`, in the order of the entries, so that they become what they would have become at once.

Two rules keep that true. Only what cannot surprise is logged: recipients whose ids are in no row and no entry, and
their first results, whose `id_sms` are in none either. And nobody reads or writes a row before the log is digested:
`JournalFile` does it when it is opened, and a journal before it turns to the rows.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from functools import lru_cache
from itertools import chain, islice
from typing import NamedTuple, Protocol
from zlib import crc32

import msgspec

from webcom_async._domain.errors import JournalError
from webcom_async._domain.messages import Message
from webcom_async._domain.results import AllAccepted, SendResult, given_ids
from webcom_async._storage.contracts import Reservation
from webcom_async._storage.reservation_rules import DUPLICATES
from webcom_async._storage.rows import RESERVED, array
from webcom_async._storage.sqlite import journal_sql as _sql
from webcom_async._storage.sqlite.file_identity import FileMoved
from webcom_async._storage.sqlite.log_records import (
    Said,
    accepted_payload,
    reserved_payload,
    reserved_rows,
    results_payload,
    settled_rows,
)
from webcom_async._storage.sqlite.message_table import Statements, number_messages
from webcom_async._storage.sqlite.number_table import Numbers, as_numbers
from webcom_async._wire.base import Addressed, phones_of

__all__ = ["Log", "Logged", "digest"]

_ENTRIES = 64  # in a transaction
_NUMBERED_MESSAGES = 256
_CACHE_KIB = 2_000  # a log is written and not looked at

_encode = msgspec.json.Encoder().encode


class Logged(Statements, Protocol):
    """A file with a log."""

    def transaction(self) -> AbstractContextManager[None]:
        """Commit what is done in the block, or nothing of it."""
        ...

    def cache(self, kib: int | None = None) -> None:
        """Keep at most *kib* KiB of pages in memory; without it, as many as rows want."""
        ...

    def damaged(self, found: str) -> JournalError:
        """Return an error that says so."""
        ...


class _LogEntry(NamedTuple):
    """A batch that was reserved, or settled."""

    number: int
    campaign: int
    kind: str
    stamp: int
    crc: int
    payload: bytes

    def check(self) -> int:
        """Return the CRC-32 of all the rest."""
        return crc32(self.payload, crc32(f"{self.number} {self.campaign} {self.kind} {self.stamp}".encode()))


# ---------------------------------------------------------------------------- from entries to rows


def digest(file: Logged) -> None:
    """
    Turn every entry of the log into rows; the log is empty then.

    In bounded memory, and a few entries a time, which are gone when their rows are there: whatever ends it, the next
    one goes on from there.

    Raises:
        JournalError: An entry is damaged, and then, as a rule, none is digested; or the file cannot be written.
    """
    for _ in _entries(file):
        pass  # all are sound: a damaged file is left as it is
    entries = _entries(file)
    for first in entries:
        last = first.number
        with file.transaction():
            for entry in chain((first,), islice(entries, _ENTRIES - 1)):
                _make_rows(file, entry)
                last = entry.number
            file.change(_sql.FORGET_ENTRIES, last)


def _entries(file: Logged) -> Iterator[_LogEntry]:
    """Yield the entries, as far as they are sound; one at a time is in memory."""
    last: int | None = None
    while rows := file.fetch(_sql.NEXT_ENTRY, -1 if last is None else last):
        entry = _LogEntry(*rows[0])
        due = entry.number if last is None else last + 1
        if entry.number != due or not isinstance(entry.payload, bytes) or entry.crc != entry.check():
            raise file.damaged(f"entry {due} of its log")
        last = entry.number
        yield entry


def _make_rows(file: Logged, entry: _LogEntry) -> None:
    new = entry.kind == RESERVED
    rows: Sequence[object]
    try:
        if new:
            rows = reserved_rows(entry.payload, lambda contents: number_messages(file, contents))
        else:
            rows = settled_rows(entry.payload)
    except (msgspec.DecodeError, ValueError) as exc:
        raise file.damaged(f"entry {entry.number} of its log: {exc}") from None
    statement = _sql.RESERVE if new else _sql.SETTLE
    if file.change(statement, entry.campaign, entry.stamp, array(rows)) != len(rows):
        raise file.damaged(f"entry {entry.number} of its log does not fit the rows")


# ---------------------------------------------------------------------------- from batches to entries


class Log:
    """
    The log of one campaign's run, in a file whose log is empty.

    Args:
        file: The file.
        campaign: The campaign's number in it.
    """

    def __init__(self, file: Logged, campaign: int) -> None:
        self._file = file
        self._campaign = campaign
        self._ids = Numbers()
        self._answers = Numbers()
        self._next = 1  # never used again, so that no stale `Reservation` names another batch's entry
        self._open: dict[int, list[int]] = {}  # ids by entry
        self._empty = True
        self._uncertain = False  # whether the latest entry may be in the file although its call failed
        self._has_rows = bool(file.fetch(_sql.FIND_ANYBODY))
        if not self._has_rows:
            file.cache(_CACHE_KIB)
        self._number = lru_cache(_NUMBERED_MESSAGES)(self._numbered)

    def reserve(self, addressed: Sequence[Addressed], stamp: int) -> int | None:
        """
        Write down that everyone in a batch leaves, and return the entry's number.

        None, and nothing is written, if an id of theirs may be known: that is for the rows to say.
        """
        ids = [to.client_id_sms for _, phones in addressed for to in phones]
        if self._uncertain or not (ids and all(phones for _, phones in addressed)):
            return None
        numbers = as_numbers(ids)
        if numbers is None or self._in_rows(_sql.FIND_KNOWN_IDS, ids) or not self._ids.add(numbers):
            return None
        # A text that several get is stored once; one's own text is in the entry.
        said: list[Said] = [self._number(message) if phones[1:] else _encode(message) for message, phones in addressed]
        entry = self._append(RESERVED, reserved_payload(said, addressed, numbers), stamp)
        self._open[entry] = numbers
        return entry

    def settle(self, results: Sequence[SendResult], reserved: Reservation, stamp: int) -> bool:
        """
        Write down what became of a batch; False, and nothing is written, if that is for the rows to say.

        It is if the batch is not in the log, or settled there already, or if the results are of others, or have an
        `id_sms` that may be another's.
        """
        entry = reserved.entry or 0  # which is no entry's number
        client_ids = self._open.get(entry)
        if self._uncertain or client_ids is None:
            return False
        plain = isinstance(results, AllAccepted) and _are_everybody(results, reserved.addressed)
        if not (plain or _are_of(results, reserved.addressed)):
            return False
        answers = given_ids(results)
        numbers = as_numbers(answers)
        if numbers is None or self._in_rows(_sql.FIND_OWNERS, answers) or not self._answers.add(numbers):
            return False
        payload = accepted_payload(results, client_ids, numbers) if plain else results_payload(results)
        self._append("settled", payload, stamp)
        del self._open[entry]
        return True

    def holds(self, results: Sequence[SendResult]) -> bool:
        """Whether any of the ids of *results* may be in the log."""
        if self._empty:
            return False
        numbers = (as_numbers([result.client_id_sms]) for result in results)
        return self._ids.meet([number for some in numbers if some is not None for number in some])

    def digest(self) -> None:
        """Turn it into rows, which may be read and written then."""
        if not self._has_rows:
            self._has_rows = True  # even if it breaks off
            self._file.cache()
        if self._empty:
            return
        digest(self._file)
        self._empty = True
        self._uncertain = False
        self._open.clear()
        self._ids.clear()
        self._answers.clear()

    def _append(self, kind: str, payload: bytes, stamp: int) -> int:
        entry = _LogEntry(self._next, self._campaign, kind, stamp, 0, payload)
        self._empty = False
        try:
            self._file.change(_sql.ADD_ENTRY, *entry._replace(crc=entry.check()))
        except FileMoved:
            self._uncertain = True
            raise
        self._next += 1
        return entry.number

    def _in_rows(self, statement: str, keys: Sequence[str]) -> bool:
        return self._has_rows and bool(self._file.fetch(statement, array(keys)))

    def _numbered(self, message: Message) -> int:
        # By itself, before the entry: a number that was taken back would be wrong to remember.
        [number] = number_messages(self._file, [_encode(message)])
        return number


def _are_everybody(results: AllAccepted, addressed: Sequence[Addressed]) -> bool:
    """Whether *results* are of all in *addressed*, in their order, after as many attempts, and without a word."""
    everyone = phones_of(addressed)
    return (
        [result.client_id_sms for result in results] == [to.client_id_sms for to in everyone]
        and [result.phone for result in results] == [to.phone for to in everyone]
        and len({result.attempts for result in results}) == 1
        and {result.error for result in results} == {""}
    )


def _are_of(results: Sequence[SendResult], addressed: Sequence[Addressed]) -> bool:
    """Whether *results* are of some or all in *addressed*, one each."""
    if not isinstance(results, AllAccepted) and any(result.reason in DUPLICATES for result in results):
        return False
    given = {result.client_id_sms: result.phone for result in results}
    everyone = {to.client_id_sms: to.phone for _, phones in addressed for to in phones}
    return len(given) == len(results) and given.items() <= everyone.items()

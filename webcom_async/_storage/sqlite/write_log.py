"""
The journal's write log: batches are logged during a run, and become rows when rows are needed.

A recipient's row is found by two random numbers and written twice, so writing rows takes ten times as long as all the
rest. During a run, a batch is instead one entry when it is reserved and another when it is settled, each written whole.
`digest` turns the entries into rows in order, with the same result as writing rows at once. Workload I pays for it.

Two rules ensure that. First, an entry is logged only if it cannot conflict: its ids are in no row and no other entry,
and neither are the `id_sms` of its results. Second, no row is read or written before the log is digested: `JournalFile`
digests when it is opened, and a journal before it accesses rows.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, tzinfo
from functools import lru_cache
from itertools import chain, islice
from typing import NamedTuple, Protocol
from zlib import crc32

import msgspec

from webcom_async._domain.errors import JournalError
from webcom_async._domain.messages import Addressed, Message, phones_of
from webcom_async._domain.results import SendResult, given_ids
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

__all__ = ["Log", "Logged", "digest"]

_ENTRIES = 64  # in a transaction
_NUMBERED_MESSAGES = 256
_CACHE_KIB = 2_000  # the log is written, not read

_encode = msgspec.json.Encoder().encode


class Logged(Statements, Protocol):
    """A file with a log."""

    def transaction(self) -> AbstractContextManager[None]: ...

    def cache(self, kib: int | None = None) -> None:
        """By default, keep as many pages as rows need."""
        ...

    def damaged(self, found: str) -> JournalError: ...


class _LogEntry(NamedTuple):
    """A batch that was reserved, or settled."""

    number: int
    campaign: int
    kind: str
    stamp: int
    crc: int
    payload: bytes

    def check(self) -> int:
        return crc32(self.payload, crc32(f"{self.number} {self.campaign} {self.kind} {self.stamp}".encode()))


# ---------------------------------------------------------------------------- from entries to rows


def digest(file: Logged, zone: tzinfo) -> None:
    """
    Turn all entries of the log into rows, and empty it, in bounded memory.

    Each transaction writes the rows of some entries and deletes these, so the next run continues an interrupted one. If
    an entry is damaged, usually none is digested. Versions before 5 have logged times in *zone*.
    """
    for _ in _entries(file):
        pass  # check all first: a damaged file is not changed
    entries = _entries(file)
    for first in entries:
        last = first.number
        with file.transaction():
            for entry in chain((first,), islice(entries, _ENTRIES - 1)):
                _make_rows(file, entry, zone)
                last = entry.number
            file.change(_sql.FORGET_ENTRIES, last)


def _entries(file: Logged) -> Iterator[_LogEntry]:
    """Raise at the first damaged entry."""
    last: int | None = None
    while rows := file.fetch(_sql.NEXT_ENTRY, -1 if last is None else last):
        entry = _LogEntry(*rows[0])
        due = entry.number if last is None else last + 1
        if entry.number != due or not isinstance(entry.payload, bytes) or entry.crc != entry.check():
            raise file.damaged(f"entry {due} of its log")
        last = entry.number
        yield entry


def _make_rows(file: Logged, entry: _LogEntry, zone: tzinfo) -> None:
    new = entry.kind == RESERVED
    rows: Sequence[object]
    try:
        if new:
            rows = reserved_rows(entry.payload, lambda contents: number_messages(file, contents), zone)
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
    The log of one campaign's run; the file's log must be empty.

    Args:
        file: The file.
        campaign: The campaign's number in the file.
    """

    def __init__(self, file: Logged, campaign: int) -> None:
        self._file = file
        self._campaign = campaign
        self._ids = Numbers()
        self._answers = Numbers()
        self._next = 1  # never reused, so that a stale `Reservation` never names another batch's entry
        self._open: dict[int, list[int]] = {}  # ids by entry
        self._empty = True
        self._uncertain = False  # whether a failed call may have written the latest entry
        self._has_rows = bool(file.fetch(_sql.FIND_ANYBODY))
        if not self._has_rows:
            file.cache(_CACHE_KIB)
        self._number = lru_cache(_NUMBERED_MESSAGES)(self._numbered)

    def reserve(self, addressed: Sequence[Addressed], stamp: int) -> int | None:
        """Return the entry's number; None, and log nothing, if an id may be known already: then the rows decide."""
        ids = [to.client_id_sms for _, phones in addressed for to in phones]
        if self._uncertain or not (ids and all(phones for _, phones in addressed)):
            return None
        numbers = as_numbers(ids)
        if numbers is None or self._in_rows(_sql.FIND_KNOWN_IDS, ids) or not self._ids.add(numbers):
            return None
        # A text for several recipients is stored once; a text for one is in the entry.
        said: list[Said] = [self._number(message) if phones[1:] else _encode(message) for message, phones in addressed]
        entry = self._append(RESERVED, reserved_payload(said, addressed, numbers), stamp)
        self._open[entry] = numbers
        return entry

    def settle(
        self, results: Sequence[SendResult], reserved: Reservation, stamp: int, *, all_accepted: bool = False
    ) -> bool:
        """
        Return False and log nothing if the rows must decide.

        They must if the batch is not open in the log, or other recipients or a known `id_sms` are in *results*.
        """
        entry = reserved.entry or 0  # 0 is not an entry's number
        client_ids = self._open.get(entry)
        if self._uncertain or client_ids is None:
            return False
        plain = all_accepted and _are_everybody(results, reserved.addressed)
        if not (plain or _are_of(results, reserved.addressed, all_accepted=all_accepted)):
            return False
        answers = given_ids(results)
        numbers = as_numbers(answers)
        if numbers is None or self._in_rows(_sql.FIND_OWNERS, answers) or not self._answers.add(numbers):
            return False
        payload = accepted_payload(results, client_ids, numbers) if plain else results_payload(results)
        self._append("settled", payload, stamp)
        del self._open[entry]
        return True

    def holds(self, ids: Iterable[str]) -> bool:
        """Return whether one of *ids* may be in the log."""
        if self._empty:
            return False
        numbers = (as_numbers([each]) for each in ids)
        return self._ids.meet([number for some in numbers if some is not None for number in some])

    def digest(self) -> None:
        """Rows may then be read and written."""
        if not self._has_rows:
            self._has_rows = True  # even if digesting fails half-way
            self._file.cache()
        if self._empty:
            return
        digest(self._file, UTC)  # its own entries hold moments
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
        # Committed before the entry: the cache must not keep a number that is rolled back.
        [number] = number_messages(self._file, [_encode(message)])
        return number


def _are_everybody(results: Sequence[SendResult], addressed: Sequence[Addressed]) -> bool:
    """Return whether *results* are those of *addressed* in order, with equal attempts and no errors."""
    everyone = phones_of(addressed)
    return (
        [result.client_id_sms for result in results] == [to.client_id_sms for to in everyone]
        and [result.phone for result in results] == [to.phone for to in everyone]
        and len({result.attempts for result in results}) == 1
        and {result.error for result in results} == {""}
    )


def _are_of(results: Sequence[SendResult], addressed: Sequence[Addressed], *, all_accepted: bool) -> bool:
    """Return whether *results* belong to recipients of *addressed*, one each."""
    if not all_accepted and any(result.reason in DUPLICATES for result in results):
        return False
    given = {result.client_id_sms: result.phone for result in results}
    everyone = {to.client_id_sms: to.phone for _, phones in addressed for to in phones}
    return len(given) == len(results) and given.items() <= everyone.items()

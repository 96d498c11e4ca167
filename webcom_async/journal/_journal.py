"""
One campaign's journal: what may leave, and what became of it.

Rows and results, and the rules between them; the SQL is in `_sql`, the file in `_file`.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from datetime import datetime
from functools import lru_cache
from hashlib import blake2b
from itertools import islice
from types import TracebackType
from typing import NamedTuple, Self

import msgspec

from webcom_async._batching import not_sent
from webcom_async._books import Reserved
from webcom_async._client_ids import ClientIdSms
from webcom_async._phones import Phone
from webcom_async._policy import collision, doubted
from webcom_async._reasons import Reason
from webcom_async._wire import Addressed, WirePhone
from webcom_async.journal import _sql
from webcom_async.journal._file import JournalFile, StrPath
from webcom_async.journal._index import Index
from webcom_async.journal._owners import Owners, answers_of
from webcom_async.journal._packs import (
    LARGEST,
    Answered,
    Entry,
    Pack,
    array,
    asked,
    content_of,
    everyone,
    load,
    packs,
    unpack,
)
from webcom_async.models import Message, Outcome, SendResult

__all__ = ["CampaignHeader", "Journal", "Reserved", "counted", "fingerprint"]

_DIGEST_BYTES = 16
_DUPLICATES = frozenset({Reason.DUPLICATE, Reason.ID_REUSED})  # of items that never owned the row under their id
_DUPLICATE_WORDS = frozenset(reason.value for reason in _DUPLICATES)
_UNDER_WAY = 64  # packs whose settlement is expected; in_flight is less
_MANY = 16  # known ids of a batch, of which it pays to look at some packs before the index
_NEIGHBOURS = 3
_CUT_SHORT = "the run ended before an answer was recorded"


class CampaignHeader(msgspec.Struct, frozen=True, kw_only=True):
    """
    What may not change between two runs of a campaign.

    Attributes:
        campaign: The campaign's name.
        id_bits: The width of its derived ids.
        fingerprint: Of the call's own message and sender; see `fingerprint`. Texts that recipients bring are compared
            one by one.
    """

    campaign: str
    id_bits: int
    fingerprint: str


def fingerprint(message: Message | None, sender: str | None) -> str:
    """Return a digest of what a call says for everyone: its message as it stands on the wire, and its sender."""
    return _digest(msgspec.json.encode({"message": message, "sender": sender}))


class Journal:
    """
    The memory of one campaign, in a file that may hold several.

    It is made, or opened and checked, when this returns, and the header is on the disk.

    Args:
        path: The file. It is made if it is not there; its directory is not.
        header: Which campaign, and what may not have changed since its last run.
        now: The time, for people who read the file.
        resend_rejected: Reasons for which a refusal is not final: who was rejected for one of them may leave again.

    Raises:
        JournalError: The file cannot be used, is in use, is no journal, is damaged or comes from a later release, or
            the campaign was run with other settings; the message says which, and what to do.
    """

    def __init__(
        self,
        path: StrPath,
        header: CampaignHeader,
        *,
        now: Callable[[], datetime],
        resend_rejected: Iterable[Reason] = (),
    ) -> None:
        self._now = now
        self._resend_rejected = frozenset(resend_rejected)
        self._file = JournalFile(path, create=True)
        with self._file.closing_on_error():
            self._campaign = _enter(self._file, header, self._stamp())
            self._file.flush()
            self._file.relax()
            self._ids = Index(self._file, 0)
            self._owners = Owners(self._file)
            self._leaving: dict[str, _Leaving] = {}
            self._said: tuple[Message, int] | None = None  # by the last batch with one message, and its number
            [(self._last,)] = self._file.fetch(_sql.FIND_LAST)
            self._alone = len(self._file.fetch(_sql.LIST_CAMPAIGNS)) == 1
            self._near = 0  # the pack in which somebody was found last
            self._look_back()

    def reserve(self, addressed: Sequence[Addressed]) -> Reserved:
        """
        Say what of a batch may leave now, and write down that it does; it is written when this returns.

        Args:
            addressed: Messages and their recipients; no id twice.

        Raises:
            JournalError: It cannot be written. Nothing of the batch may be sent.
        """
        self._ids.tidy()
        leaving: list[_Leaving] = []
        with self._file.transaction():
            numbers = self._numbers([message for message, _ in addressed])
            own, others = self._known([phone.client_id_sms for _, phones in addressed for phone in phones])
            if not (own or others):
                leaving = self._pack(addressed, numbers)
                reserved = Reserved(list(addressed), [], [], set())
            else:
                triage = _Triage(own, others, self._resend_rejected)
                for (message, phones), number in zip(addressed, numbers, strict=True):
                    triage.sort(message, number, phones)
                self._unpack(triage.again_ids)
                leaving = self._pack(triage.new, triage.numbers)
                self._write(_sql.RESERVE_AGAIN, triage.again)
                reserved = triage.reserved
        self._await(leaving)
        if len(addressed) == 1:
            self._said = (addressed[0][0], numbers[0])
        return reserved

    def settle(self, results: Sequence[SendResult]) -> list[SendResult]:
        """
        Write down what became of recipients that were reserved; it is written when this returns.

        An accepted recipient stays accepted, and one of whom nothing was known does not become one that was never
        sent to. Results of recipients that were never reserved, such as duplicates, are left alone.

        Returns:
            What is known now, in the same order: mostly what was given.

        Raises:
            IdCollision: Two ids were answered with one `id_sms`. Everything sound is written; those who share are
                unknown. The exception has the `results`.
            JournalError: It cannot be written.
        """
        answers = answers_of(results)
        self._owners.prepare(answers)
        with self._file.transaction():
            shared = self._owners.shared(answers, results)
            sound = list(results)
            if shared:
                sound = [doubted(result) if result.id_sms in shared else result for result in results]
                answers = answers_of(sound)
            settled = self._settle_packs(sound)
            known = sound
            rows = sum(len(each.ids) for each, _ in settled) < len(sound)
            if rows:
                known = self._settle_rows(sound, {client_id for each, _ in settled for client_id in each.ids})
        for leaving, answered in settled:
            del self._leaving[leaving.ids[0]]
            self._owners.add(answers if answered is sound else answers_of(answered), leaving.first_id)
        if rows:
            self._owners.add(answers_of(known), None)
        if shared:
            raise collision(shared, known)
        return known

    def recall(self, results: Sequence[SendResult]) -> list[SendResult]:
        """
        Return what is known of recipients that were not reserved, *results* as far as nothing is; in the same order.

        Raises:
            JournalError: The file cannot be read.
        """
        own, _ = self._known([result.client_id_sms for result in results])
        return [_better(result, own.get(result.client_id_sms)) for result in results]

    def results(self, *outcomes: Outcome) -> Iterator[SendResult]:
        """
        Yield what is known of this campaign's recipients, in the order of their first reservation.

        Lazy, in bounded memory, and undisturbed by calls of the other methods on the way. Who was reserved and never
        settled is unknown.

        Args:
            outcomes: Only these; all, if none is given.

        Raises:
            JournalError: The file cannot be read.
        """
        states = {state for outcome in outcomes or Outcome for state in _states(outcome)}
        for entry in everyone(self._file, self._campaign):
            if entry.state in states:
                yield _result(entry)

    def unsettled(self) -> Iterator[tuple[Message, WirePhone]]:
        """
        Yield everyone of whom it is not known whether they were sent to, with what it takes to ask again.

        Lazy, as `results` is: settle them on the way.

        Raises:
            JournalError: The file cannot be read.
        """
        content = content_of(self._file)
        states = _states(Outcome.UNKNOWN)
        for entry in everyone(self._file, self._campaign, unsettled=True):
            if entry.state in states:
                times = (entry.validity_period, entry.time_send, entry.number_sms)
                to = WirePhone(Phone(entry.phone), ClientIdSms(str(entry.client_id_sms)), *times)
                yield _message(content(entry.message_id)), to

    def counts(self) -> dict[Outcome, int]:
        """
        Return this campaign's recipients per outcome; all outcomes are there.

        Raises:
            JournalError: The file cannot be read.
        """
        return counted(self._file, self._campaign)

    def close(self) -> None:
        """Close the file, and let others open it."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _stamp(self) -> int:
        return int(self._now().timestamp() * 1_000)

    def _write(self, statement: str, rows: Sequence[object]) -> int:
        """Run *statement* for a batch of *rows* and return how many it changed."""
        return self._file.change(statement, self._campaign, self._stamp(), array(rows)) if rows else 0

    def _look_back(self) -> None:
        """Take note of everyone who is in the file."""
        for _, client_id, _ in self._file.pages(_sql.PAGE_OF_KEYS):
            self._ids.note([client_id])
        for pack in packs(self._file):
            self._ids.add(pack.asked.ids, pack.first_id)
            self._ids.tidy()
            if pack.answered is not None:
                self._owners.pass_over(pack.answered.id_sms)
        self._ids.tidy(everything=True)

    def _numbers(self, messages: list[Message]) -> list[int]:
        """Return the numbers of *messages*, and store those that are new."""
        if self._said is not None and len(messages) == 1 and messages[0] is self._said[0]:
            return [self._said[1]]
        return _number_messages(self._file, messages)

    def _known(self, ids: Sequence[str]) -> tuple[dict[str, "_Row"], dict[str, "_Row"]]:
        """Return what this campaign, and what others, know of *ids*. Who was not sent to has not used the id up."""
        own: dict[str, _Row] = {}
        others: dict[str, _Row] = {}
        seen = self._ids.seen(ids)
        if not seen:
            return own, others
        for *result, campaign, message in self._file.fetch(_sql.FIND_RECIPIENTS, array(seen)):
            row = _Row(_result_of(*result), message)
            if campaign == self._campaign:
                own[str(result[0])] = row
            elif row.result.outcome is not Outcome.NOT_SENT:
                others[str(result[0])] = row
        for pack in self._packs_of(seen):
            for entry in pack.entries(set(seen)):
                row = _Row(_result(entry), entry.message_id)
                if entry.campaign_id == self._campaign:
                    own[str(entry.client_id_sms)] = row
                elif row.result.outcome is not Outcome.NOT_SENT:
                    others[str(entry.client_id_sms)] = row
        return own, others

    def _packs_of(self, ids: Sequence[str]) -> Iterator[Pack]:
        """Yield the packs in which somebody may have one of *ids*, in any campaign."""
        rest = set(ids)
        if self._alone and len(rest) > _MANY:
            # A campaign that goes on meets its packs in their order, and an id stands in one of them only.
            for pack in islice(packs(self._file, self._near - 1), _NEIGHBOURS):
                if not rest.isdisjoint(pack.asked.ids):
                    self._near = pack.first_id
                    rest.difference_update(pack.asked.ids)
                    yield pack
                if not rest:
                    return
        for place in self._ids.places(rest):
            found = load(self._file, place)
            if found is not None:
                self._near = place
                yield found

    def _pack(self, addressed: Sequence[Addressed], numbers: Sequence[int]) -> list["_Leaving"]:
        """Write recipients who are new into packs."""
        packed: list[_Leaving] = []
        for part, part_numbers in _parts(addressed, numbers):
            said = asked(part, part_numbers)
            first = self._last + 1
            self._last += len(said.ids)
            columns = (first, self._last, self._campaign, self._stamp(), msgspec.json.encode(said).decode())
            self._file.change(_sql.ADD_PACK, *columns)
            # Before the commit: an id that is indexed in vain costs a look, and one that is not might be sent twice.
            self._ids.add(said.ids, first)
            packed.append(_Leaving(first, said.ids, said.phones))
        ids = [client_id for each in packed for client_id in each.ids]
        if len(set(ids)) < len(ids):
            raise self._file.unusable("one client_id_sms came twice in a batch")
        return packed

    def _await(self, leaving: list["_Leaving"]) -> None:
        """Remember who is under way; what is written down of the oldest is found in the file as well."""
        for each in leaving:
            self._leaving[each.ids[0]] = each
        while len(self._leaving) > _UNDER_WAY:
            del self._leaving[next(iter(self._leaving))]

    def _unpack(self, ids: Collection[str]) -> None:
        """Give those of this campaign who have one of *ids* rows of their own."""
        if not ids:
            return
        for pack in self._packs_of(list(ids)):
            if pack.campaign_id == self._campaign and not set(ids).isdisjoint(pack.asked.ids):
                unpack(self._file, pack)
                self._leaving.pop(pack.asked.ids[0], None)

    def _settle_packs(self, results: list[SendResult]) -> list[tuple["_Leaving", list[SendResult]]]:
        """Write down what became of those who left together, and are settled together for the first time."""
        settled: list[tuple[_Leaving, list[SendResult]]] = []
        for leaving, mine in self._together(results):
            answered = Answered.of(mine)
            if not _DUPLICATE_WORDS.isdisjoint(answered.reasons):
                continue
            counts = answered.counts(len(mine))
            words = msgspec.json.encode(answered).decode()
            self._file.change(_sql.ADD_ANSWER, leaving.first_id, self._stamp(), *counts, words)
            settled.append((leaving, mine))
        return settled

    def _together(self, results: list[SendResult]) -> Iterator[tuple["_Leaving", list[SendResult]]]:
        """Yield the packs under way all of whose recipients are among *results*, with theirs in the pack's order."""
        ids = [result.client_id_sms for result in results]
        whole = self._leaving.get(ids[0]) if ids else None
        if whole is not None and whole.ids == ids and whole.phones == [result.phone for result in results]:
            yield whole, results
            return
        given: dict[str, SendResult] = dict(zip(ids, results, strict=True))
        if len(given) < len(ids):
            return
        for first in self._leaving.keys() & given.keys():
            leaving = self._leaving[first]
            if given.keys() >= set(leaving.ids):
                mine = [given[client_id] for client_id in leaving.ids]
                if leaving.phones == [result.phone for result in mine]:
                    yield leaving, mine

    def _settle_rows(self, results: Sequence[SendResult], done: Collection[str]) -> list[SendResult]:
        """Write down what became of those who are not in *done*; return *results*, with what the file knows better."""
        rest = [each for each in results if each.client_id_sms not in done]
        columns = [_columns(each) for each in rest if each.reason not in _DUPLICATES]
        self._unpack({each.client_id_sms for each in rest if each.reason not in _DUPLICATES})
        changed = self._write(_sql.SETTLE, columns)
        return list(results) if changed == len(rest) else self.recall(results)


def _parts(addressed: Sequence[Addressed], numbers: Sequence[int]) -> Iterator[tuple[list[Addressed], list[int]]]:
    """Cut recipients into what fits a pack."""
    size = sum(len(phones) for _, phones in addressed)
    if size <= LARGEST:
        if size:
            yield list(addressed), list(numbers)
        return
    for (message, phones), number in zip(addressed, numbers, strict=True):
        for start in range(0, len(phones), LARGEST):
            yield [(message, phones[start : start + LARGEST])], [number]


def counted(file: JournalFile, campaign: int) -> dict[Outcome, int]:
    """Return recipients per outcome."""
    states: dict[str, int] = dict(file.fetch(_sql.COUNT, campaign))
    [packed] = file.fetch(_sql.COUNT_PACKED, campaign)
    for state, count in zip((_sql.RESERVED, *(outcome.value for outcome in Outcome)), packed, strict=True):
        states[state] = states.get(state, 0) + count
    return {outcome: sum(states.get(state, 0) for state in _states(outcome)) for outcome in Outcome}


# ---------------------------------------------------------------------------- the header


def _enter(file: JournalFile, header: CampaignHeader, stamp: int) -> int:
    """Write the header, or compare it with the one that is there; return the campaign's number."""
    with file.transaction():
        if not file.fetch(_sql.FIND_CAMPAIGN, header.campaign):
            file.change(_sql.ADD_CAMPAIGN, header.campaign, header.id_bits, header.fingerprint, stamp, stamp)
        [(number, id_bits, before)] = file.fetch(_sql.FIND_CAMPAIGN, header.campaign)
        changes = _changes(header, id_bits, before)
        if changes:
            raise file.unusable(
                f"campaign {header.campaign!r} was started with {changes}; "
                "go on with what it was started with, or give the new campaign another name"
            )
        file.change(_sql.REOPEN_CAMPAIGN, stamp, number)
        return int(number)


def _changes(header: CampaignHeader, id_bits: int, before: str) -> str:
    changes: list[str] = []
    if id_bits != header.id_bits:
        changes.append(f"id_bits={id_bits}, not {header.id_bits}")
    if before != header.fingerprint:
        changes.append("another message or sender")
    return " and with ".join(changes)


# ---------------------------------------------------------------------------- what may leave


class _Leaving(NamedTuple):
    """A pack that is under way."""

    first_id: int
    ids: list[str]
    phones: list[str]


class _Row(NamedTuple):
    """What a campaign knows of an id."""

    result: SendResult
    message: int

    def belongs_to(self, phone: str, message: int) -> bool:
        """Whether it is about *phone* and *message*, which the gateway would not look at again."""
        return (self.result.phone, self.message) == (phone, message)


class _Triage:
    """
    Who of a batch may be sent to.

    Args:
        own: What this campaign knows of the batch's ids.
        others: What other campaigns know of them.
        resend_rejected: Reasons for which a refusal is not final.

    Attributes:
        reserved: What to tell the caller.
        new: Those who are sent to for the first time.
        numbers: The numbers of their messages.
        again: Rows to write for those who are asked for again.
        again_ids: Their ids.
    """

    def __init__(self, own: dict[str, _Row], others: dict[str, _Row], resend_rejected: frozenset[Reason]) -> None:
        self.reserved = Reserved([], [], [], set())
        self.new: list[Addressed] = []
        self.numbers: list[int] = []
        self.again: list[tuple[object, ...]] = []
        self.again_ids: set[str] = set()
        self._own = own
        self._others = others
        self._resend_rejected = resend_rejected

    def sort(self, message: Message, number: int, phones: list[WirePhone]) -> None:
        """Give each of *phones*, who all get *message*, its place."""
        leaving = [phone for phone in phones if self._may_leave(phone, number)]
        if leaving:
            self.reserved.addressed.append((message, leaving))
        new = [phone for phone in leaving if phone.client_id_sms not in self._own]
        if new:
            self.new.append((message, new))
            self.numbers.append(number)

    def _may_leave(self, to: WirePhone, number: int) -> bool:
        own, other = self._own.get(to.client_id_sms), self._others.get(to.client_id_sms)
        if any(row is not None and not row.belongs_to(to.phone, number) for row in (own, other)):
            words = f"client_id_sms {to.client_id_sms} belongs to another phone or message in the journal"
            self.reserved.refused.append(not_sent(to, Reason.ID_REUSED, words))
            return False
        if own is not None and self._is_final(own.result):
            self.reserved.settled.append(own.result)
            return False

        if own is not None:
            self.again.append((to.client_id_sms, to.validity_period, to.time_send, to.number_sms))
            self.again_ids.add(to.client_id_sms)
        if any(row is not None and row.result.outcome is Outcome.UNKNOWN for row in (own, other)):
            self.reserved.doubtful.add(to.client_id_sms)
        return True

    def _is_final(self, result: SendResult) -> bool:
        if result.outcome is Outcome.REJECTED:
            return result.reason not in self._resend_rejected
        return result.outcome is Outcome.ACCEPTED


def _number_messages(file: JournalFile, messages: list[Message]) -> list[int]:
    contents = [msgspec.json.encode(message) for message in messages]
    digests = [_digest(content) for content in contents]
    # A dict, because a message may come twice in a batch.
    file.change(_sql.ADD_MESSAGES, array(dict(zip(digests, map(bytes.decode, contents), strict=True)).items()))
    numbers: dict[str, int] = dict(file.fetch(_sql.FIND_MESSAGES, array(digests)))
    return [numbers[digest] for digest in digests]


def _digest(content: bytes) -> str:
    return blake2b(content, digest_size=_DIGEST_BYTES).hexdigest()


# A campaign has few texts and many recipients.
@lru_cache(maxsize=256)
def _message(content: str) -> Message:
    return msgspec.json.decode(content, type=Message)


# ---------------------------------------------------------------------------- what became of it


def _result(entry: Entry) -> SendResult:
    return _result_of(
        entry.client_id_sms, entry.phone, entry.state, entry.id_sms, entry.reason, entry.error, entry.attempts
    )


def _result_of(  # noqa: PLR0917 - the columns of a row
    client_id: int | str, phone: str, state: str, id_sms: str | None, reason: str, error: str, attempts: int
) -> SendResult:
    if state == _sql.RESERVED:
        state, reason, error = Outcome.UNKNOWN.value, Reason.CANCELLED.value, _CUT_SHORT
    return SendResult(
        ClientIdSms(str(client_id)), Phone(phone), Outcome(state), id_sms, Reason(reason), error, attempts
    )


def _columns(result: SendResult) -> tuple[object, ...]:
    return (
        result.client_id_sms,
        result.phone,
        result.outcome.value,
        None if result.id_sms is None else _storable(result.id_sms),
        result.reason.value,
        _storable(result.error),
        result.attempts,
    )


def _storable(text: str) -> str:
    """Return *text* without what SQLite's JSON cannot carry: halves of characters, and NUL."""
    return text if text.isprintable() else text.replace("\0", "\ufffd").encode(errors="replace").decode()


def _states(outcome: Outcome) -> list[str]:
    return [outcome.value, _sql.RESERVED] if outcome is Outcome.UNKNOWN else [outcome.value]


def _better(result: SendResult, row: _Row | None) -> SendResult:
    if row is None or result.reason in _DUPLICATES or row.result.phone != result.phone:
        return result
    return row.result

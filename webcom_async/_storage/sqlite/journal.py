"""
One campaign's journal: what may leave, and what became of it.

The rules between rows and results; rows as values are in `_storage.rows`, the SQL in `journal_sql`, the file in
`database`.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

import msgspec

from webcom_async._domain.messages import Message
from webcom_async._domain.outcome_rules import collision, doubted
from webcom_async._domain.paths import StrPath
from webcom_async._domain.reasons import Reason
from webcom_async._domain.results import Outcome, SendResult, given_ids
from webcom_async._domain.types import ClientIdSms, Phone
from webcom_async._storage.contracts import CampaignHeader, Reservation
from webcom_async._storage.reservation_rules import DUPLICATES, KnownRecipient, Triage, better, changed_settings, shared
from webcom_async._storage.rows import array, columns, counts, message_of, milliseconds, result_of, states
from webcom_async._storage.sqlite import journal_sql as _sql
from webcom_async._storage.sqlite.database import Closing, JournalFile
from webcom_async._storage.sqlite.message_table import number_messages
from webcom_async._storage.sqlite.write_log import Log
from webcom_async._wire.base import Addressed, WirePhone

__all__ = ["CampaignFile", "count_results"]


class CampaignFile(Closing):
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
            self._log = Log(self._file, self._campaign)

    def reserve(self, addressed: list[Addressed]) -> Reservation:
        """
        Say what of a batch may leave now, and write down that it does; it is written when this returns.

        Args:
            addressed: Messages and their recipients; no id twice.

        Raises:
            JournalError: It cannot be written. Nothing of the batch may be sent.
        """
        entry = self._log.reserve(addressed, self._stamp())
        if entry is not None:
            return Reservation(addressed, [], [], set(), entry)
        with self._rows.transaction():
            numbers = number_messages(self._file, [msgspec.json.encode(message) for message, _ in addressed])
            own, others = self._known(phone.client_id_sms for _, phones in addressed for phone in phones)
            triage = Triage(own, others, self._resend_rejected)
            for (message, phones), number in zip(addressed, numbers, strict=True):
                triage.sort(message, number, phones)
            self._write(_sql.RESERVE, triage.new)
            self._write(_sql.RESERVE_AGAIN, triage.again)
        return triage.reserved

    def settle(self, results: list[SendResult], reserved: Reservation | None = None) -> list[SendResult]:
        """
        Write down what became of recipients that were reserved; it is written when this returns.

        An accepted recipient stays accepted, and one of whom nothing was known does not become one that was never
        sent to. Results of recipients that were never reserved, such as duplicates, are left alone.

        Args:
            results: What became of them.
            reserved: What `reserve` returned for their batch. Without it, the same is done, and it takes longer.

        Returns:
            What is known now, in the same order: mostly what was given.

        Raises:
            IdCollision: Two ids were answered with one `id_sms`. Everything sound is written; those who share are
                unknown. The exception has the `results`.
            JournalError: It cannot be written.
        """
        if reserved is not None and self._log.settle(results, reserved, self._stamp()):
            return results
        with self._rows.transaction():
            answers = array(set(given_ids(results)))
            twice = shared(results, self._file.fetch(_sql.FIND_OWNERS, answers))
            known = self._record([doubted(result) if result.id_sms in twice else result for result in results])
        if twice:
            raise collision(twice, known)
        return known

    def lookup(self, results: Sequence[SendResult]) -> list[SendResult]:
        """
        Return what is known of recipients that were not reserved, *results* as far as nothing is; in the same order.

        Raises:
            JournalError: The file cannot be read.
        """
        if self._log.holds(results):
            self._log.digest()
        own, _ = self._known(result.client_id_sms for result in results)
        return [better(result, own.get(result.client_id_sms)) for result in results]

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
        for row in self._pages(_sql.PAGE_OF_RESULTS, array(states(outcomes))):
            yield result_of(row[1:])

    def unsettled(self) -> Iterator[tuple[Message, WirePhone]]:
        """
        Yield everyone of whom it is not known whether they were sent to, with what it takes to ask again.

        Lazy, as `results` is: settle them on the way.

        Raises:
            JournalError: The file cannot be read.
        """
        for _, content, phone, client_id, *times in self._pages(_sql.PAGE_OF_UNSETTLED):
            yield message_of(content), WirePhone(Phone(phone), ClientIdSms(str(client_id)), *times)

    def counts(self) -> dict[Outcome, int]:
        """
        Return this campaign's recipients per outcome; all outcomes are there.

        Raises:
            JournalError: The file cannot be read.
        """
        return count_results(self._rows, self._campaign)[0]

    def close(self) -> None:
        """Close the file, and let others open it."""
        self._file.close()

    @property
    def _rows(self) -> JournalFile:
        """The file, for who reads or writes rows: what is in the log is among them then."""
        self._log.digest()
        return self._file

    def _stamp(self) -> int:
        return milliseconds(self._now())

    def _pages(self, statement: str, *criteria: object) -> Iterator[Sequence[Any]]:
        """Yield the rows of *statement*, a page of this campaign's; what is logged on the way is on later pages."""
        for row in self._rows.pages(statement, self._campaign, *criteria):
            yield row
            self._log.digest()

    def _write(self, statement: str, rows: Sequence[object]) -> int:
        """Run *statement* for a batch of *rows* and return how many it changed."""
        return self._file.change(statement, self._campaign, self._stamp(), array(rows)) if rows else 0

    def _known(self, ids: Iterable[ClientIdSms]) -> tuple[dict[str, KnownRecipient], dict[str, list[KnownRecipient]]]:
        """Return what this campaign, and what others, know of *ids*. Who was not sent to has not used the id up."""
        own: dict[str, KnownRecipient] = {}
        others: dict[str, list[KnownRecipient]] = {}
        for *result, campaign, message in self._file.fetch(_sql.FIND_RECIPIENTS, array(ids)):
            row = KnownRecipient(result_of(result), message)
            if campaign == self._campaign:
                own[str(result[0])] = row
            elif row.result.outcome is not Outcome.NOT_SENT:
                others.setdefault(str(result[0]), []).append(row)
        return own, others

    def _record(self, results: list[SendResult]) -> list[SendResult]:
        """Write *results* and return them, with what the file knows better."""
        changed = self._write(_sql.SETTLE, [columns(result) for result in results if result.reason not in DUPLICATES])
        return results if changed == len(results) else self.lookup(results)


def count_results(file: JournalFile, campaign: int) -> tuple[dict[Outcome, int], dict[Reason, int]]:
    """Return recipients per outcome, and per reason of those who were not accepted, the most frequent first."""
    return counts(file.fetch(_sql.COUNT, campaign))


# ---------------------------------------------------------------------------- the header


def _enter(file: JournalFile, header: CampaignHeader, stamp: int) -> int:
    """Write the header, or compare it with the one that is there; return the campaign's number."""
    with file.transaction():
        if not file.fetch(_sql.FIND_CAMPAIGN, header.campaign):
            file.change(_sql.ADD_CAMPAIGN, header.campaign, header.id_bits, header.fingerprint, stamp, stamp)
        [(number, id_bits, before)] = file.fetch(_sql.FIND_CAMPAIGN, header.campaign)
        changed = changed_settings(header, id_bits, before)
        if changed:
            raise file.unusable(changed)
        file.change(_sql.REOPEN_CAMPAIGN, stamp, number)
        return int(number)

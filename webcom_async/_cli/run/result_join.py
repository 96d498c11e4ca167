"""
Results beside the rows that they belong to.

A row is remembered from the moment its recipient is handed out until its result comes: as many as are in flight.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Self, cast

import msgspec

from webcom_async._cli.ui.console import show_error
from webcom_async._cli.ui.translations import tr
from webcom_async._domain.client_ids import IdScheme
from webcom_async._domain.errors import InputError
from webcom_async._domain.messages import Recipient
from webcom_async._domain.reasons import Reason
from webcom_async._domain.results import Outcome, Report, SendResult
from webcom_async._domain.types import ClientIdSms, IdBits, Phone
from webcom_async._storage.contracts import CampaignHeader
from webcom_async._storage.sqlite.file_identity import BESIDE
from webcom_async.audience import Person
from webcom_async.files import ResultsFile, Row

__all__ = ["CampaignIds", "Joined", "check_apart"]

_NOTHING_KNOWN: Mapping[int, SendResult] = {}
_KEPT = 500  # rows that were left out wait for so many to be written at once


def check_apart(results: Path | None, *read: Path | None, journal: Path | None) -> None:
    """Raise `InputError` if results would be written over what the command reads, or over its journal."""
    if results is None:
        return
    place = os.path.realpath(results)
    if place in {os.path.realpath(path) for path in read if path is not None}:
        raise InputError(f"{results}: exists already, and this command reads it; give --results another path")
    if journal is not None and place in {f"{os.path.realpath(journal)}{ending}" for ending in ("", *BESIDE)}:
        raise InputError(f"{results} is the journal's place, or beside it; give --results another path")


class CampaignIds:
    """
    The ids that a campaign's recipients have: derived ones, and new ones if it has such.

    Args:
        schemes: How they are derived; the latest comes first.
    """

    def __init__(self, *schemes: IdScheme) -> None:
        self._schemes = schemes

    @classmethod
    def of(cls, header: CampaignHeader) -> Self:
        first = IdScheme(header.campaign, cast("IdBits", header.id_bits))
        if not header.new_ids:
            return cls(first)
        return cls(IdScheme(header.campaign, cast("IdBits", header.new_ids), new=True), first)

    def all_of(self, recipient: Recipient) -> list[ClientIdSms]:
        """Return the ids that *recipient*, whose phone is normalised, may have; the latest comes first."""
        if recipient.client_id_sms is not None:
            return [ClientIdSms(str(recipient.client_id_sms))]
        return [scheme.derive(Phone(str(recipient.phone)), recipient.key) for scheme in self._schemes]


class Joined:
    """
    The people of a campaign on their way out, and their results on the way back.

    Args:
        people: Yields everyone, and who of them is left out; called for every round.
        ids: The campaign's ids.
        file: Where results go; None for nowhere.
        known: By line, the stored results of rows that are left out now and were sent to before.
    """

    def __init__(
        self,
        people: Callable[[], Iterable[Person]],
        ids: CampaignIds,
        file: ResultsFile | None,
        known: Mapping[int, SendResult] = _NOTHING_KNOWN,
    ) -> None:
        self._people = people
        self._ids = ids
        self._file = file
        self._rows: dict[ClientIdSms, tuple[Row, list[ClientIdSms]]] = {}
        self._left_out: list[tuple[SendResult, Row]] = []
        self._known = known
        self._outcomes: Counter[Outcome] = Counter()
        self._reasons: Counter[Reason] = Counter()
        self._told = False  # that the file was moved
        self._came = 0  # results, for the file
        self._failed = False

    def __iter__(self) -> Iterator[Recipient]:
        for person in self._people():
            if person.recipient is None:
                self._leave_out(person)
            else:
                if self._file is not None:
                    ids = self._ids.all_of(person.recipient)
                    self._rows.update(dict.fromkeys(ids, (person.row, ids)))
                yield person.recipient

    @property
    def missing(self) -> int:
        """How many results are not in the file, because it could not be written."""
        return 0 if self._file is None else self._came - self._file.rows

    def write(self, results: list[SendResult]) -> None:
        """Write first the rows that were left out on the way."""
        if self._file is not None:
            self._write_left_out()
            if results:
                self._put([(result, self._row_of(result)) for result in results])
            self._look(self._file)

    def fail(self, exc: InputError) -> None:
        """Write nothing more, and say so: a file with a gap would look whole."""
        self._failed = True
        show_error(tr("{error}; the campaign does not depend on that", error=exc))

    def report(self, report: Report) -> Report:
        outcomes = Counter(report.outcomes) + self._outcomes
        reasons = Counter(report.reasons) + self._reasons
        return msgspec.structs.replace(
            report,
            outcomes={outcome: outcomes[outcome] for outcome in Outcome},
            reasons=dict(reasons.most_common()),
        )

    def _look(self, file: ResultsFile) -> None:
        """Say once if the file was moved or removed: the campaign goes on, and rows may be lost."""
        if not (self._told or self._failed or file.in_place):
            self._told = True
            show_error(
                tr(
                    "{file} was moved or removed while it was written: its rows go where it was moved, and are lost if "
                    "it was removed; with a journal, `webcom-async export` writes them all again",
                    file=file.path,
                )
            )

    def _row_of(self, result: SendResult) -> Row | None:
        found = self._rows.get(result.client_id_sms)
        if found is None:
            return None
        row, ids = found
        for each in ids:
            self._rows.pop(each, None)
        return row

    def _leave_out(self, person: Person) -> None:
        if person.skipped is not None:
            result = self._known.get(person.row.line, person.skipped)
            self._outcomes[result.outcome] += 1
            if result.outcome is not Outcome.ACCEPTED:
                self._reasons[result.reason] += 1
            if self._file is not None:
                self._left_out.append((result, person.row))
                if len(self._left_out) >= _KEPT:
                    self._write_left_out()

    def _write_left_out(self) -> None:
        if self._left_out:
            self._put([*self._left_out])
            self._left_out.clear()

    def _put(self, rows: Sequence[tuple[SendResult, Row | None]]) -> None:
        self._came += len(rows)
        if self._file is not None and not self._failed:
            try:
                self._file.write(rows)
            except InputError as exc:
                self.fail(exc)

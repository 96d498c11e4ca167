"""
Whether a file gives recipients the ids that a campaign was begun with.

Other ids are other SMS: after a column of keys or ids is lost or added, `send` would bill again, and `export` would
deny what was sent.
"""

from collections.abc import Collection, Iterable, Iterator
from itertools import islice
from typing import NamedTuple

from webcom_async._cli.run.result_join import CampaignIds
from webcom_async._domain.errors import InputError
from webcom_async._domain.messages import Recipient
from webcom_async._domain.results import Outcome, SendResult
from webcom_async._domain.types import ClientIdSms
from webcom_async._domain.untrusted_text import printable
from webcom_async.audience import Audience, Unused
from webcom_async.journal import StoredResults

__all__ = ["NOTHING_SENT", "NOTHING_WRITTEN", "IdComparison", "check_same_ids"]

NOTHING_SENT = "Under other ids, recipients would be billed again; nothing was sent"
NOTHING_WRITTEN = "Under other ids, recipients that were sent to would seem not to be; nothing was written"

_SAMPLE = 2_000  # rows: those of a file come in its order, and a column is lost in all of them
_PAGE = 500


class _RowIds(NamedTuple):
    line: int
    phone: str
    ids: list[ClientIdSms]


def check_same_ids(audience: Audience, stored: StoredResults, consequence: str) -> None:
    """Raise `InputError`, which ends with *consequence*, if the file gives other ids than its campaign has."""
    comparison = IdComparison(audience, stored.header.campaign, CampaignIds.of(stored.header))
    for ids in comparison.pages():
        comparison.leave_out(stored.of(ids))
    if comparison.phones:
        comparison.check(stored.to(comparison.phones), consequence)


class IdComparison:
    """
    The ids of a file's first rows, and what its campaign has under other ids.

    A phone may be in a campaign several times, under keys or given ids. It has another id by mistake if it has none of
    the file's in the campaign, none of the campaign's in the file, and exactly one of them is derived without a key.
    """

    def __init__(self, audience: Audience, campaign: str, ids: CampaignIds) -> None:
        self._audience = audience
        self._campaign = campaign
        self._ids = ids
        self._new = list(islice(self._rows(), _SAMPLE))

    @property
    def phones(self) -> set[str]:
        """The phones of rows whose ids the campaign does not have."""
        return {row.phone for row in self._new}

    def pages(self) -> Iterator[list[ClientIdSms]]:
        rows = iter(self._new)
        while page := list(islice(rows, _PAGE)):
            yield [each for row in page for each in row.ids]

    def leave_out(self, known: Collection[ClientIdSms]) -> None:
        """Leave out rows with *known* ids, which the campaign has."""
        self._new = [row for row in self._new if not any(each in known for each in row.ids)]

    def check(self, results: Iterable[SendResult], consequence: str) -> None:
        """*results* are what the campaign has of `phones`."""
        theirs: dict[str, set[ClientIdSms]] = {}
        for result in results:
            if result.outcome is not Outcome.NOT_SENT:
                theirs.setdefault(result.phone, set()).add(result.client_id_sms)
        suspects = [row for row in self._new if self._differs(row, theirs.get(row.phone, set()))]
        if suspects:
            in_file = self._phones_of({each for ids in theirs.values() for each in ids})
            for row in suspects:
                if row.phone not in in_file:
                    raise self._error(row, min(theirs[row.phone]), consequence)

    def _rows(self) -> Iterator[_RowIds]:
        for row in self._audience.table.rows():
            try:
                recipient = self._audience.recipient(row)
            except InputError:  # nothing is sent to such a row
                continue
            yield _RowIds(row.line, str(recipient.phone), self._ids.all_of(recipient))

    def _differs(self, row: _RowIds, theirs: set[ClientIdSms]) -> bool:
        plain = self._ids.all_of(Recipient(row.phone))
        return bool(theirs) and (row.ids == plain) != (not theirs.isdisjoint(plain))

    def _phones_of(self, ids: Collection[ClientIdSms]) -> set[str]:
        return {row.phone for row in self._rows() if any(each in ids for each in row.ids)}

    def _error(self, row: _RowIds, other: ClientIdSms, consequence: str) -> InputError:
        column = self._audience.unused.get(Unused.IDS)
        if column is None:
            advice = "give the file and options that it was begun with: its columns of keys and ids, and --key-column"
        else:
            advice = f"it was begun under the ids in column {printable(column)!r}: give --use-ids"
        return InputError(
            f"{self._audience.table.path}, line {row.line}: campaign {self._campaign!r} has this phone under the id "
            f"{other}, and not under {row.ids[0]}, which this row gives it; {advice}. {consequence}"
        )

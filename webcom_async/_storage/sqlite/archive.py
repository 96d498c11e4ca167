"""
Read and purge a journal's file between runs.

Each reader reads a copy, also of the journal of a running campaign; see `JournalCopy`. Only `purge` opens the file
itself. A copy of a file of a version before 5 is migrated, so that every call takes the *zone* of its times; see
`JournalFile`.
"""

import os
from collections.abc import Generator, Iterable, Iterator
from datetime import tzinfo
from decimal import Decimal
from typing import Any

import msgspec

from webcom_async._domain.errors import JournalError
from webcom_async._domain.given import StrPath
from webcom_async._domain.reasons import Reason
from webcom_async._domain.results import Outcome, SendResult
from webcom_async._domain.types import ClientIdSms, Phone
from webcom_async._storage.contracts import CampaignHeader, StoredCampaign
from webcom_async._storage.rows import RESERVED, array, moment, result_of
from webcom_async._storage.sqlite import journal_sql as _sql
from webcom_async._storage.sqlite.database import Closing, JournalCopy, JournalFile
from webcom_async._storage.sqlite.delivery_sql import FIND_PRICES, PURGE_DELIVERIES
from webcom_async._storage.sqlite.journal import count_results

__all__ = [
    "NoSuchCampaign",
    "StoredCampaign",
    "StoredResults",
    "campaigns",
    "export",
    "has_begun",
    "highest_price",
    "number_of",
    "purge",
    "stopped_phones",
    "stored_campaign",
    "stored_header",
]


class NoSuchCampaign(JournalError):
    """The file holds no campaign of this name."""


_TIMES = ("reserved_at", "settled_at", "changed_at")
_ALL_STATES = array([*(outcome.value for outcome in Outcome), RESERVED])


def campaigns(path: StrPath, *, zone: tzinfo | None = None) -> list[StoredCampaign]:
    """
    Return the campaigns in a file, by their first runs. Blocks for about 15 s per million recipients.

    Raises:
        JournalError: The file cannot be used.
    """
    with JournalCopy(path, zone=zone) as file:
        return [_stored(file, row[0]) for row in file.fetch(_sql.LIST_CAMPAIGNS)]


def stored_campaign(path: StrPath, campaign: str, *, zone: tzinfo | None = None) -> StoredCampaign:
    """
    Return one campaign of a file. Blocks for about 15 s per million recipients.

    Raises:
        JournalError: The file cannot be used, or does not hold the campaign.
    """
    with JournalCopy(path, zone=zone) as file:
        return _stored(file, number_of(file, campaign))


def stored_header(path: StrPath, campaign: str, *, zone: tzinfo | None = None) -> CampaignHeader:
    """
    Return the header of one campaign of a file.

    Raises:
        JournalError: The file cannot be used, or does not hold the campaign.
    """
    with JournalCopy(path, zone=zone, rows=False) as file:
        return _header(file, number_of(file, campaign))


def has_begun(path: StrPath, campaign: str, *, zone: tzinfo | None = None) -> bool:
    """
    Return whether a file holds recipients of a campaign. Blocks for about 15 s per million recipients.

    Raises:
        JournalError: The file exists and cannot be used.
    """
    if not _is_there(path):
        return False
    with JournalCopy(path, zone=zone, rows=False) as file:
        return bool(file.fetch(_sql.FIND_BEGUN, campaign))


def highest_price(path: StrPath, *, zone: tzinfo | None = None) -> Decimal | None:
    """
    Return the highest price of a part in a file. Blocks for about a second per million recipients.

    Its delivery reports have the prices; None if there is no price or file.

    Raises:
        JournalError: The file exists and cannot be used.
    """
    if not _is_there(path):
        return None
    with JournalCopy(path, zone=zone, rows=False) as file:
        return max((Decimal(price).normalize() for (price,) in file.fetch(FIND_PRICES)), default=None)


def stopped_phones(path: StrPath, *, but: str = "", zone: tzinfo | None = None) -> list[Phone]:
    """
    Return the phones on the gateway's stop list. Blocks for about 15 s per million recipients.

    They were rejected as such, in another campaign than *but*; none if the file is missing.

    Raises:
        JournalError: The file exists and cannot be used.
    """
    if not _is_there(path):
        return []
    with JournalCopy(path, zone=zone) as file:
        return [Phone(phone) for (phone,) in file.fetch(_sql.FIND_STOPPED, but)]


class StoredResults(Closing):
    """
    The results of a campaign in a file; close it, or use `with`. Opening it blocks for about 15 s per million.

    Args:
        path: The file.
        campaign: The campaign's name.
        zone: See above.

    Attributes:
        header: The campaign's header.

    Raises:
        JournalError: The file cannot be read, or does not hold the campaign. Raised by every method.
    """

    def __init__(self, path: StrPath, campaign: str, *, zone: tzinfo | None = None) -> None:
        self._file = JournalCopy(path, zone=zone)
        with self._file.closing_on_error():
            self._number = number_of(self._file, campaign)
            self.header: CampaignHeader = _header(self._file, self._number)

    def of(self, ids: Iterable[ClientIdSms]) -> dict[ClientIdSms, SendResult]:
        """Return the stored results of *ids*; a few hundred at a time."""
        rows = self._file.fetch(_sql.FIND_RECIPIENTS, array(ids))
        found = [result_of(columns) for *columns, campaign, _ in rows if campaign == self._number]
        return {result.client_id_sms: result for result in found}

    def to(self, phones: Iterable[str]) -> list[SendResult]:
        """Return the stored results of *phones*, a few thousand at a time. Blocks for about 0.2 s per million."""
        return [result_of(row) for row in self._file.fetch(_sql.FIND_RESULTS_TO, self._number, array(phones))]

    def __iter__(self) -> Iterator[SendResult]:
        """Yield all results lazily, in the order in which the recipients were first reserved."""
        for row in self._file.pages(_sql.PAGE_OF_RESULTS, self._number, _ALL_STATES):
            yield result_of(row[1:])

    def close(self) -> None:
        self._file.close()


def export(path: StrPath, campaign: str | None = None, *, zone: tzinfo | None = None) -> Generator[dict[str, Any]]:
    """
    Yield all stored fields of a campaign's recipients, or of all; lazily. Blocks for about 15 s per million at first.

    `delivery`, `said`, `changed_at`, `num_parts` and `price` are None for SMS that were never tracked.

    Raises:
        JournalError: The file cannot be used, or does not hold the campaign; raised at the first item.
    """
    with JournalCopy(path, zone=zone) as file:
        number = None if campaign is None else number_of(file, campaign)
        for row in file.pages(_sql.PAGE_OF_EXPORT, number):
            yield _exported(dict(row))


def purge(path: StrPath, campaign: str, *, zone: tzinfo | None = None) -> int:
    """
    Remove a campaign, and return the number of its recipients. Blocks for about 15 s per million.

    Its texts go, too, and no data stays readable in free pages. Afterwards, only the gateway's own memory of ids keeps
    a later run from sending again.

    Raises:
        JournalInUse: Another campaign or process has the file open for writing.
        JournalError: The file cannot be used, does not hold the campaign, or the disk has no room for the temporary
            copy.
    """
    with JournalFile(path, zone=zone) as file:
        number = number_of(file, campaign)
        with file.transaction():
            file.change(PURGE_DELIVERIES, number)
            removed = file.change(_sql.PURGE_RECIPIENTS, number)
            file.change(_sql.PURGE_CAMPAIGN, number)
            file.change(_sql.PURGE_MESSAGES)
        file.shred()
        return removed


def _is_there(path: StrPath) -> bool:
    """Return whether the path exists, as whatever: opening it gives the right error."""
    return os.path.lexists(path)


def _stored(file: JournalFile, number: int) -> StoredCampaign:
    [(created, opened)] = file.fetch(_sql.FIND_TIMES, number)
    return StoredCampaign(_header(file, number), moment(created), moment(opened), *count_results(file, number))


def _header(file: JournalFile, number: int) -> CampaignHeader:
    [(name, id_bits, fingerprint, new_ids)] = file.fetch(_sql.FIND_HEADER, number)
    return CampaignHeader(campaign=name, id_bits=id_bits, fingerprint=fingerprint, new_ids=new_ids)


def number_of(file: JournalFile, campaign: str) -> int:
    found = file.fetch(_sql.FIND_CAMPAIGN, campaign)
    if not found:
        names = ", ".join(repr(row[1]) for row in file.fetch(_sql.LIST_CAMPAIGNS))
        raise NoSuchCampaign(str(file.unusable(f"it holds no campaign {campaign!r}; it holds {names or 'none'}")))
    return int(found[0][0])


def _exported(row: dict[str, Any]) -> dict[str, Any]:
    del row["recipient_id"]
    if row["reason"] == Reason.REPEATED_ID_SMS.value:
        row["id_sms"] = None  # it may be another recipient's
    times = {field: row[field] and moment(row[field]).isoformat() for field in _TIMES}
    return row | times | {"client_id_sms": str(row["client_id_sms"]), "message": msgspec.json.decode(row["message"])}

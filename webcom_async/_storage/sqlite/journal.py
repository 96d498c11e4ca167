"""
One campaign's journal in a SQLite file: reservations and settlements.

This module has the rules between rows and results; `_storage.rows` converts rows, `journal_sql` has the SQL, and
`database` the file.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime, tzinfo
from typing import Any, NamedTuple

import msgspec

from webcom_async._domain.errors import IdCollision
from webcom_async._domain.given import StrPath
from webcom_async._domain.messages import Addressed, Message, OutboundRecipient
from webcom_async._domain.outcome_rules import Repeats, doubted, repeated_ids, unclaimed
from webcom_async._domain.reasons import Reason
from webcom_async._domain.results import Outcome, SendResult, given_ids
from webcom_async._domain.types import ClientIdSms
from webcom_async._storage.contracts import CampaignHeader, Reservation
from webcom_async._storage.reservation_rules import (
    DUPLICATES,
    KnownRecipient,
    Triage,
    better,
    changed_settings,
    renumbered,
    repeats_error,
    with_new_ids,
)
from webcom_async._storage.rows import (
    array,
    columns,
    counts,
    milliseconds,
    result_of,
    states,
    told_moment,
    unsettled_of,
)
from webcom_async._storage.sqlite import journal_sql as _sql
from webcom_async._storage.sqlite.database import Closing, JournalFile
from webcom_async._storage.sqlite.message_table import number_messages
from webcom_async._storage.sqlite.write_log import Log

__all__ = ["CampaignFile", "count_results"]


class _Repeated(NamedTuple):
    """
    What a batch's answers repeat.

    Attributes:
        ids: Each repeated `id_sms`, and the ids that were answered with it.
        owners: Every stored `id_sms` of the batch, and an id that was answered with it.
        campaigns: The numbers of the campaigns in which a repeated one is stored.
    """

    ids: Repeats
    owners: AbstractSet[tuple[str, str]]
    campaigns: AbstractSet[int]


class CampaignFile(Closing):
    """
    The journal of one campaign, in a file that may hold several.

    The constructor opens or creates the file and checks it; the header is then on disk.

    Args:
        path: The file. It is created if missing; its directory is not.
        header: The campaign, and the settings that must equal those of its last run.
        now: The time, for human readers of the file.
        resend_rejected: Reasons whose rejections are not final: such recipients may be sent to again.
        zone: See `JournalFile`.

    Attributes:
        header: The campaign's header, as stored.

    Raises:
        JournalError: The file cannot be used, is in use, is not a journal, is damaged or comes from a later release, or
            the campaign was run with other settings; the message says which, and what to do. From methods: the file
            cannot be read or written.
    """

    def __init__(
        self,
        path: StrPath,
        header: CampaignHeader,
        *,
        now: Callable[[], datetime],
        resend_rejected: Iterable[Reason] = (),
        zone: tzinfo | None = None,
    ) -> None:
        self._now = now
        self._resend_rejected = frozenset(resend_rejected)
        self._file = JournalFile(path, create=True, zone=zone)
        self.header: CampaignHeader
        with self._file.closing_on_error():
            self._campaign, self.header = _enter(self._file, header, self._stamp())
            self._file.flush()
            self._file.relax()
            self._log = Log(self._file, self._campaign)

    def give_new_ids(self, bits: int) -> None:
        """Let recipients that were never sent to have new ids of this width from now on."""
        self._file.change(_sql.GIVE_NEW_IDS, self._campaign, bits)
        self.header = msgspec.structs.replace(self.header, new_ids=bits)

    def renumber(self, addressed: list[Addressed], new_ids: Mapping[ClientIdSms, ClientIdSms]) -> list[Addressed]:
        """Return a batch under the ids to send it with; see `CampaignJournal.reserve`."""
        if self._log.holds(new_ids):
            self._log.digest()
        found = self._file.fetch(_sql.FIND_RECIPIENTS, array(new_ids))
        own = [result_of(result) for *result, campaign, _ in found if campaign == self._campaign]
        kept = {result.client_id_sms for result in own if result.outcome is not Outcome.NOT_SENT}
        pairs = [(each.client_id_sms, new_ids[each.client_id_sms]) for each in own if each.client_id_sms not in kept]
        if pairs:
            self._rows.change(_sql.RENUMBER, self._campaign, array(pairs))
        return renumbered(addressed, new_ids, kept)

    def reserve(self, addressed: list[Addressed], *, new_ids: Mapping[ClientIdSms, ClientIdSms] = {}) -> Reservation:
        """
        Reserve a batch, with no id twice, and write that before this returns. If this raises, nothing of the batch may
        be sent.

        Args:
            addressed: Messages and their recipients.
            new_ids: See `CampaignJournal.reserve`.
        """
        addressed = self.renumber(addressed, new_ids) if new_ids else addressed
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

    def settle(
        self,
        results: list[SendResult],
        reserved: Reservation | None = None,
        *,
        all_accepted: bool = False,
        others: Sequence[tuple[str, str, str]] = (),
    ) -> list[SendResult]:
        """
        Store results of reserved recipients, and write them before this returns; faster with the batch's reservation.

        An accepted recipient stays accepted, and an unknown one never becomes not sent. Results of recipients that were
        never reserved, such as duplicates, are ignored.

        Args:
            results: One per recipient.
            reserved: What `reserve` returned for their batch.
            all_accepted: Whether all are known to be accepted, each with an `id_sms` of its own. Left out, the same is
                stored, and it takes longer.
            others: Each `id_sms` of the batch that a recipient in another file has, its id and its campaign.

        Returns:
            The stored results in the same order: mostly the given ones.

        Raises:
            IdCollision: Two ids got one `id_sms`. The other results are stored; those that share it are unknown. The
                exception has the `results`.
        """
        if (
            reserved is not None
            and not others
            and self._log.settle(results, reserved, self._stamp(), all_accepted=all_accepted)
        ):
            return results
        with self._rows.transaction():
            found = self._repeated(results, others)
            known = self._record([doubted(each) if each.id_sms in found.ids else each for each in results])
        if not found.ids:
            return known
        # New ids may follow: then a reservation that a power loss undoes would be a second SMS.
        self._file.flush()
        raise self._collision(found, results, list(map(unclaimed, known)), others)

    def lookup(self, results: Sequence[SendResult]) -> list[SendResult]:
        """Return the stored results of recipients that were not reserved; the given result where none is stored."""
        if self._log.holds(result.client_id_sms for result in results):
            self._log.digest()
        own, _ = self._known(result.client_id_sms for result in results)
        return [better(result, own.get(result.client_id_sms)) for result in results]

    def results(self, *outcomes: Outcome) -> Iterator[SendResult]:
        """
        Yield the results of this campaign's recipients, of all *outcomes* or of those given, by first reservation.

        Lazily, in bounded memory; other methods may be called meanwhile. A recipient that was reserved and never
        settled is unknown.
        """
        for row in self._pages(_sql.PAGE_OF_RESULTS, array(states(outcomes))):
            yield result_of(row[1:])

    def unsettled(self) -> Iterator[tuple[Message, OutboundRecipient]]:
        """
        Yield the possibly sent recipients, with all that sending again needs.

        Lazily, so that they can be settled during the iteration.
        """
        for row in self._pages(_sql.PAGE_OF_UNSETTLED):
            yield unsettled_of(row[1:], told_moment)

    def counts(self) -> dict[Outcome, int]:
        """Return this campaign's recipients per outcome, with every outcome as a key."""
        return count_results(self._rows, self._campaign)[0]

    def close(self) -> None:
        self._file.close()

    @property
    def _rows(self) -> JournalFile:
        """The file, with the log turned into rows first."""
        self._log.digest()
        return self._file

    def _stamp(self) -> int:
        return milliseconds(self._now())

    def _pages(self, statement: str, *criteria: object) -> Iterator[Sequence[Any]]:
        """Rows logged meanwhile are on later pages."""
        for row in self._rows.pages(statement, self._campaign, *criteria):
            yield row
            self._log.digest()

    def _write(self, statement: str, rows: Sequence[object]) -> int:
        return self._file.change(statement, self._campaign, self._stamp(), array(rows)) if rows else 0

    def _known(self, ids: Iterable[ClientIdSms]) -> tuple[dict[str, KnownRecipient], dict[str, list[KnownRecipient]]]:
        """Return this campaign's and other campaigns' rows of *ids*; one that was not sent to has not used its id."""
        own: dict[str, KnownRecipient] = {}
        others: dict[str, list[KnownRecipient]] = {}
        for *result, campaign, message in self._file.fetch(_sql.FIND_RECIPIENTS, array(ids)):
            row = KnownRecipient(result_of(result), message)
            if campaign == self._campaign:
                own[str(result[0])] = row
            elif row.result.outcome is not Outcome.NOT_SENT:
                others.setdefault(str(result[0]), []).append(row)
        return own, others

    def _repeated(self, results: list[SendResult], others: Sequence[tuple[str, str, str]]) -> "_Repeated":
        rows = self._file.fetch(_sql.FIND_OWNERS, array(set(given_ids(results))))
        owners = {(id_sms, str(client_id)) for id_sms, client_id, _ in [*rows, *others]}
        repeats = repeated_ids(results, owners)
        campaigns = {campaign for id_sms, _, campaign in rows if id_sms in repeats}
        return _Repeated(repeats, owners, campaigns)

    def _collision(
        self,
        found: "_Repeated",
        results: list[SendResult],
        known: list[SendResult],
        others: Sequence[tuple[str, str, str]],
    ) -> IdCollision:
        names: dict[int, str] = dict(self._file.fetch(_sql.LIST_CAMPAIGNS))
        elsewhere = {name for id_sms, _, name in others if id_sms in found.ids}
        return repeats_error(
            found.ids,
            found.owners,
            given=results,
            results=known,
            campaign=names[self._campaign],
            campaigns={names[number] for number in found.campaigns} | elsewhere,
        )

    def _record(self, results: list[SendResult]) -> list[SendResult]:
        changed = self._write(_sql.SETTLE, [columns(result) for result in results if result.reason not in DUPLICATES])
        return results if changed == len(results) else self.lookup(results)


def count_results(file: JournalFile, campaign: int) -> tuple[dict[Outcome, int], dict[Reason, int]]:
    return counts(file.fetch(_sql.COUNT, campaign))


# ---------------------------------------------------------------------------- the header


def _enter(file: JournalFile, header: CampaignHeader, stamp: int) -> tuple[int, CampaignHeader]:
    """Write the header, or compare it with the stored one; return the campaign's number and its header."""
    with file.transaction():
        if not file.fetch(_sql.FIND_CAMPAIGN, header.campaign):
            file.change(_sql.ADD_CAMPAIGN, header.campaign, header.id_bits, header.fingerprint, stamp, stamp)
        [(number, id_bits, said, new_ids)] = file.fetch(_sql.FIND_CAMPAIGN, header.campaign)
        stored = CampaignHeader(campaign=header.campaign, id_bits=id_bits, fingerprint=said, new_ids=new_ids)
        changed = changed_settings(header, stored)
        if changed:
            raise file.unusable(changed)
        now = with_new_ids(header, stored)
        file.change(_sql.REOPEN_CAMPAIGN, stamp, number)
        if now != stored:
            file.change(_sql.GIVE_NEW_IDS, number, now.new_ids)
        return int(number), now

"""
A folder of campaigns: one file with all plans and statuses, and a journal for each campaign.

No event loop: calls are made one at a time, from any thread. Other processes may have `campaigns.db` open to read it
and to change a campaign's state. The sending process locks a journal while it has it open.

A reservation checks the lease and the campaign's state and writes the journal while it holds the write lock of
`campaigns.db`. So after a change of lease or state, nothing is reserved under the old one.
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta, tzinfo
from functools import partial
from itertools import chain, count
from pathlib import Path
from typing import NamedTuple

import msgspec

from webcom_async._batching.batcher import not_sent
from webcom_async._domain.clock import Clock
from webcom_async._domain.errors import IdCollision, InputError, JournalError, LeaseLost, StoreUnavailable
from webcom_async._domain.given import is_url
from webcom_async._domain.messages import Addressed, OutboundRecipient, Recipient
from webcom_async._domain.reasons import Reason
from webcom_async._domain.results import Outcome, SendResult
from webcom_async._domain.types import ClientIdSms
from webcom_async._storage import campaign_rules as _rules
from webcom_async._storage.campaign_store import (
    BatchDone,
    BatchRef,
    CampaignSettings,
    CampaignState,
    CampaignStatus,
    Lease,
    Shard,
    WorkerStatus,
)
from webcom_async._storage.contracts import CampaignHeader, CampaignNotBegun, Reservation
from webcom_async._storage.plan import PlannedBatch, recipients_of
from webcom_async._storage.reservation_rules import KnownRecipient, better
from webcom_async._storage.rows import array, milliseconds, moment, storable, storable_result
from webcom_async._storage.sqlite import campaign_sql as _sql
from webcom_async._storage.sqlite.archive import NoSuchCampaign, StoredResults, has_begun, stored_header
from webcom_async._storage.sqlite.database import Closing, StoredFile
from webcom_async._storage.sqlite.journal import CampaignFile

__all__ = ["CAMPAIGNS", "CampaignFolder", "SharedCampaignFile"]

CAMPAIGNS = "campaigns.db"
_READABLE = 40  # characters of a campaign's name that its journal's name repeats
_REUSED = 10  # times the seconds that a copy of a journal took
_results = msgspec.json.Decoder(list[SendResult]).decode
_settings = msgspec.json.Decoder(CampaignSettings).decode


class PlanFile(StoredFile):
    """An open file of plans, which other processes may have open too."""

    kind = "file of campaigns"
    application_id = _sql.APPLICATION_ID
    migrations = _sql.MIGRATIONS
    locking = "NORMAL"
    beside = ("-wal", "-shm")
    patience = 10.0
    cache_kib = 8_000

    def busy(self, why: str) -> StoreUnavailable:
        """Writers are brief: the call may be repeated."""
        return StoreUnavailable(str(self.unusable(why)))


class _CampaignRow(NamedTuple):
    """A campaign's row."""

    number: int
    settings: CampaignSettings
    digest: str
    recipients: int
    state: CampaignState
    why: str
    planned_at: int
    ended_at: int | None
    acknowledged: int
    new_ids: int

    @property
    def header(self) -> CampaignHeader:
        return _rules.header_of(self.settings, new_ids=bool(self.new_ids))


class LeaseRow(NamedTuple):
    """The campaign of a valid lease, and its state."""

    number: int
    state: CampaignState
    why: str


class _Copy(NamedTuple):
    """A copy of a journal, and until when it is used, in seconds of the clock."""

    stored: StoredResults
    until: float


class SharedCampaignFile:
    """
    A campaign's open journal, shared by the workers of this process.

    Args:
        path: The file.
        header: The header that it is opened with.
        now: The time, for human readers of the file.
        resend_rejected: Reasons whose rejections are not final.
        zone: See `JournalFile`.

    Attributes:
        journal: The journal.
        resend_rejected: The reasons that it was opened with.
        ids_in_flight: The lease token of each id that is reserved and not settled.
        users: The number of users that have it open.
        kept: Whether it stays open without users.
    """

    def __init__(
        self,
        path: Path,
        header: CampaignHeader,
        now: Callable[[], datetime],
        resend_rejected: Collection[Reason],
        zone: tzinfo | None,
    ) -> None:
        self.journal: CampaignFile = CampaignFile(path, header, now=now, resend_rejected=resend_rejected, zone=zone)
        self.resend_rejected: frozenset[Reason] = frozenset(resend_rejected)
        self.ids_in_flight: dict[ClientIdSms, int] = {}
        self.users = 0
        self.kept = False

    @property
    def header(self) -> CampaignHeader:
        """The campaign's header, as stored."""
        return self.journal.header

    def free(self, results: Iterable[SendResult], lease: Lease) -> None:
        """Take the recipients of *results* out of those in flight."""
        for each in results:
            if self.ids_in_flight.get(each.client_id_sms) == lease.token:
                del self.ids_in_flight[each.client_id_sms]

    def others(self, addressed: list[Addressed], lease: Lease) -> set[int]:
        """Return the tokens of other leases that hold a recipient."""
        ids_in_flight = self.ids_in_flight
        ids = (to.client_id_sms for _, phones in addressed for to in phones)
        return {ids_in_flight[client_id] for client_id in ids if client_id in ids_in_flight} - {lease.token}

    def without(self, addressed: list[Addressed], others: Collection[int]) -> tuple[list[Addressed], list[SendResult]]:
        """Return *addressed* without the recipients that *others* hold, and these as results."""
        left: list[Addressed] = []
        duplicates: list[SendResult] = []
        for message, phones in addressed:
            free: list[OutboundRecipient] = []
            for to in phones:
                if self.ids_in_flight.get(to.client_id_sms) in others:
                    duplicates.append(not_sent(to, Reason.DUPLICATE, "another worker is sending under the same id now"))
                else:
                    free.append(to)
            if free:
                left.append((message, free))
        return left, duplicates


class CampaignFolder(Closing):
    """
    An open folder.

    Args:
        folder: The folder. It is created if missing; its parent is not.
        clock: The clock.
        zone: See `JournalFile`.

    Raises:
        JournalError: The folder cannot be used; the message says why, and what to do. Raised by every method.
    """

    def __init__(self, folder: Path, clock: Clock, zone: tzinfo | None = None) -> None:
        self._folder = folder
        self._clock = clock
        self._zone = zone
        if is_url(folder):
            raise JournalError("a folder has a path, and this is a URL; a server is reached by a PostgresStore")
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as exc:
            raise JournalError(f"folder {folder}: it cannot be made: {exc}") from exc
        self._file = PlanFile(folder / CAMPAIGNS, create=True)
        self._journals: dict[str, SharedCampaignFile] = {}
        self._copies: dict[str, _Copy] = {}
        self._drafts = count(1)

    # ------------------------------------------------------------------------ the plan

    def begin_draft(self, settings: CampaignSettings) -> int:
        campaign = self._find(settings.campaign)
        if campaign is None:
            _rules.check_new(settings, self._clock.now())
        else:
            _rules.check_unchanged(campaign.settings, settings)
        self._file.change(_sql.MAKE_DRAFT)
        return next(self._drafts)

    def add_to_draft(self, draft: int, page: Sequence[PlannedBatch]) -> None:
        for batch in page:
            self._file.change(_sql.ADD_DRAFT, draft, *batch[:3], batch.content.decode())

    def drop_draft(self, draft: int) -> None:
        self._file.change(_sql.CLEAR_DRAFT, draft)

    def plan(self, settings: CampaignSettings, draft: int, recipients: int, digest: str) -> None:
        """Turn a draft into a campaign, or compare it with the stored one."""
        with self._file.transaction():
            before = self._find(settings.campaign)
            if before is not None:
                _rules.check_unchanged(before.settings, settings)
                known = (before.recipients, before.digest)
                _rules.check_same_recipients(settings.campaign, known, (recipients, digest))
                return
            content = msgspec.json.encode(settings).decode()
            self._file.change(_sql.ADD_CAMPAIGN, settings.campaign, content, digest, recipients, self._now())
            [(number, *_)] = self._file.fetch(_sql.FIND_CAMPAIGN, settings.campaign)
            for statement in (_sql.COPY_SHARDS, _sql.COPY_BATCHES, _sql.COPY_CONTENTS):
                self._file.change(statement, number, draft)

    def settings(self, campaign: str) -> CampaignSettings:
        return self._campaign(campaign).settings

    def claim(self, campaign: str, account: str | None) -> str | None:
        with self._file.transaction():
            number = self._campaign(campaign).number
            [(known,)] = self._file.fetch(_sql.FIND_ACCOUNT, number)
            if account is not None and known is not None:
                return str(known)
            self._file.change(_sql.CLAIM_ACCOUNT, number, account)
            return account

    def acknowledge_repeated_ids(self, name: str) -> None:
        self._file.change(_sql.ACKNOWLEDGE, self._campaign(name).number)

    def give_new_ids(self, name: str) -> None:
        with self._file.transaction():
            campaign = self._campaign(name)
            if campaign.new_ids:
                return
            if not any(self.status(name).outcomes.values()):
                raise _rules.nothing_to_renew(name)
            holders = self._file.fetch(_sql.FIND_HOLDER_NOW, campaign.number, self._now())
            if holders:
                raise JournalError(
                    f"campaign {name!r} is in use, by {holders[0][0]}; wait for the end of that, or of its lease"
                )
            # An expired lease must not reserve recipients under their old ids.
            self._file.change(_sql.REVOKE_ALL, campaign.number)
            self._file.change(_sql.GIVE_NEW_IDS, campaign.number)

    def campaigns(self, *states: CampaignState) -> list[str]:
        wanted = array(state.value for state in states or CampaignState)
        return [name for (name,) in self._file.fetch(_sql.LIST_CAMPAIGNS, wanted)]

    def recipients(self, ref: BatchRef) -> list[Recipient]:
        rows = self._file.fetch(_sql.FIND_CONTENT, self._campaign(ref.campaign).number, ref.shard, ref.batch)
        if not rows:
            raise _rules.no_batch(ref)
        return recipients_of(rows[0][0])

    # ------------------------------------------------------------------------ the status

    def status(self, name: str) -> CampaignStatus:
        campaign = self._campaign(name)
        [(shards, done, *sums, still_open)] = self._file.fetch(_sql.FIND_SUMS, campaign.number)
        return CampaignStatus(
            settings=campaign.settings,
            state=campaign.state,
            why=campaign.why,
            recipients=campaign.recipients,
            outcomes=dict(zip(_rules.OUTCOMES, sums, strict=True)),
            open=still_open,
            shards=shards,
            shards_done=done,
            workers=self._workers(campaign.number),
            planned=moment(campaign.planned_at),
            ended=None if campaign.ended_at is None else moment(campaign.ended_at),
            acknowledged=bool(campaign.acknowledged),
            new_ids=bool(campaign.new_ids),
        )

    def change_state(self, name: str, state: CampaignState, why: str) -> CampaignStatus:
        with self._file.transaction():
            campaign = self._campaign(name)
            [(*_, still_open)] = self._file.fetch(_sql.FIND_SUMS, campaign.number)
            _rules.check_change(name, campaign.state, state, still_open)
            if campaign.state is not state:
                ended = self._now() if state in _rules.ENDED else None
                self._file.change(_sql.CHANGE_STATE, campaign.number, state.value, storable(why), ended)
                if campaign.state is CampaignState.FINISHED:
                    self._file.change(_sql.REOPEN_SHARDS, campaign.number)
            status = self.status(name)
        self._let_go(self._campaign(name))
        return status

    def shards(self, name: str) -> list[Shard]:
        now = self._now()
        return [
            Shard(
                campaign=name,
                number=number,
                recipients=recipients,
                generation=generation,
                done=bool(done),
                holder=holder,
                until=None if until is None else moment(until),
                expired=until is not None and until <= now,
            )
            for number, recipients, generation, done, holder, until in self._file.fetch(
                _sql.FIND_SHARDS, self._campaign(name).number
            )
        ]

    def try_dispatch(self, name: str, shard: int, generation: int) -> bool:
        number = self._campaign(name).number
        self._shard(number, name, shard)
        return self._file.change(_sql.HAND_OUT, number, shard, generation) == 1

    # ------------------------------------------------------------------------ leases

    def acquire(self, name: str, shard: int, holder: str, seconds: float) -> Lease | None:
        """Opens the journal for the first lease; without a journal nothing is sent."""
        campaign = self._campaign(name)
        if not self._is_free(campaign, shard, holder):
            self._let_go(campaign)
            return None
        self._journal(campaign.header).kept = True
        with self._file.transaction():
            if not self._is_free(self._campaign(name), shard, holder):
                return None
            _, last, until = self._shard(campaign.number, name, shard)
            self._file.change(_sql.NEXT_TOKEN)
            [(token,)] = self._file.fetch(_sql.FIND_TOKEN)
            self._file.change(_sql.TAKE, campaign.number, shard, token, holder, self._until(seconds))
        return Lease(name, shard, token, holder, seconds, "" if until is None or last is None else last)

    def renew(self, lease: Lease) -> bool:
        campaign = self._find(lease.campaign)
        until = self._until(lease.seconds)
        return (
            campaign is not None
            and self._file.change(_sql.RENEW, campaign.number, lease.shard, lease.token, until) == 1
        )

    def release(self, lease: Lease) -> None:
        campaign = self._campaign(lease.campaign)
        self._file.change(_sql.GIVE_BACK, campaign.number, lease.shard, lease.token)
        self._let_go(campaign)

    # ------------------------------------------------------------------------ done batches

    def open_batches(self, name: str, shard: int) -> list[BatchRef]:
        rows = self._file.fetch(_sql.FIND_OPEN, self._campaign(name).number, shard)
        return [BatchRef(name, shard, number) for (number,) in rows]

    def batch_done(self, lease: Lease, ref: BatchRef, done: BatchDone) -> None:
        with self._file.transaction():
            number = self._hold(lease).number
            rows = self._file.fetch(_sql.FIND_BATCH, number, ref.shard, ref.batch)
            if not rows:
                raise _rules.no_batch(ref)
            [(recipients, done_by, *before)] = rows
            after = [*(done.outcomes.get(outcome, 0) for outcome in _rules.OUTCOMES), done.open]
            left_out = array(map(storable_result, done.left_out)) if done.left_out else None
            self._file.change(_sql.BATCH_DONE, number, ref.shard, ref.batch, lease.holder, *after, left_out)
            changes = [new - old for new, old in zip(after, before, strict=True)]
            self._file.change(_sql.CHANGE_SHARD, number, ref.shard, *changes)
            if done_by is not None:
                self._file.change(_sql.ADD_TO_WORKER, number, done_by, -recipients)
            self._file.change(_sql.ADD_TO_WORKER, number, lease.holder, recipients)

    def shard_done(self, lease: Lease) -> bool:
        with self._file.transaction():
            number = self._hold(lease).number
            self._file.change(_sql.SHARD_DONE, number, lease.shard)
            finished = self._file.change(_sql.FINISH, number, self._now()) == 1
        self._let_go(self._campaign(lease.campaign))
        return finished

    def reserve_rate(self, name: str, recipients: int) -> float:
        with self._file.transaction():
            campaign = self._campaign(name)
            rate = campaign.settings.rate
            if rate is None:
                return 0.0
            now = self._clock.now().timestamp()
            [(asked, claimed)] = self._file.fetch(_sql.FIND_CLAIM, campaign.number)
            # If the clock is set back, reserved time moves back with it.
            even: float = claimed + min(0.0, now - asked)
            claimed = max(even, now) + recipients / rate
            self._file.change(_sql.CLAIM, campaign.number, now, claimed)
        return max(0.0, claimed - now - _rules.burst_seconds(rate))

    # ------------------------------------------------------------------------ the journal

    def journal_path(self, name: str) -> Path:
        readable = re.sub(r"[^\w.-]+", "_", name)[:_READABLE].strip("_.")
        return self._folder / f"{self._campaign(name).number}-{readable}.journal"

    def open_journal(
        self,
        header: CampaignHeader,
        now: Callable[[], datetime],
        resend_rejected: Collection[Reason],
        *,
        require_begun: bool,
    ) -> SharedCampaignFile:
        """The journal is shared with its other users; release it with `close_journal`."""
        header = msgspec.structs.replace(header, new_ids=self._campaign(header.campaign).header.new_ids)
        shared = self._journals.get(header.campaign)
        if require_begun and not self._has_begun(header.campaign):
            raise CampaignNotBegun
        if shared is None:
            shared = self._journal(header, now, resend_rejected)
        elif (_kept(shared.header), shared.resend_rejected) != (_kept(header), frozenset(resend_rejected)):
            raise JournalError(
                f"journal of campaign {header.campaign!r}: it is open with another message, sender, id_bits or "
                "resend_rejected; go on with what the campaign was planned with"
            )
        if header.new_ids and not shared.header.new_ids:
            shared.journal.give_new_ids(header.new_ids)
        shared.users += 1
        return shared

    def close_journal(self, shared: SharedCampaignFile) -> None:
        """Close a journal, unless it has other users or is kept."""
        shared.users -= 1
        if not shared.users and not shared.kept:
            self._drop(shared.header.campaign)

    def stored_header(self, name: str) -> CampaignHeader:
        shared = self._journals.get(name)
        return shared.header if shared is not None else stored_header(self.journal_path(name), name, zone=self._zone)

    def reserve(
        self,
        lease: Lease,
        shared: SharedCampaignFile,
        addressed: list[Addressed],
        new_ids: Mapping[ClientIdSms, ClientIdSms],
    ) -> Reservation:
        with self._file.transaction():
            hold = self._hold(lease)
            if hold.state is not CampaignState.RUNNING:
                raise _rules.stopped(lease.campaign, hold.state, hold.why)
            addressed = shared.journal.renumber(addressed, new_ids) if new_ids else addressed
            others = self._holding(hold.number, shared.others(addressed, lease))
            left, duplicates = shared.without(addressed, others) if others else (addressed, [])
            reserved = shared.journal.reserve(left)
            shared.ids_in_flight.update((to.client_id_sms, lease.token) for _, tos in reserved.addressed for to in tos)
        reserved.refused.extend(duplicates)
        return reserved

    def settle(
        self,
        lease: Lease,
        shared: SharedCampaignFile,
        results: list[SendResult],
        reserved: Reservation,
        *,
        all_accepted: bool = False,
    ) -> list[SendResult]:
        collided: IdCollision | None = None
        with self._file.transaction():
            number = self._campaign(lease.campaign).number
            answers = [(each.id_sms, each.client_id_sms) for each in results if each.id_sms is not None]
            ids = array(id_sms for id_sms, _ in answers)
            others = [(*row[:1], str(row[1]), row[2]) for row in self._file.fetch(_sql.FIND_OTHER_OWNERS, number, ids)]
            try:
                if self._find_hold(lease) is not None:
                    known = shared.journal.settle(results, reserved, all_accepted=all_accepted, others=others)
                else:
                    accepted = [each for each in results if each.outcome is Outcome.ACCEPTED]
                    shared.journal.settle(accepted, others=others)
                    known = shared.journal.lookup(results)
            except IdCollision as exc:
                collided, known = exc, list(exc.results)
            self._file.change(_sql.ADD_ANSWERS, number, array(answers))
        shared.free(results, lease)
        if collided is not None:
            raise collided
        return known

    def open_results(self, name: str, outcomes: Collection[Outcome]) -> tuple[Callable[[], None], Iterator[SendResult]]:
        """Return what to call afterwards, and the results: those of the open journal, or of a copy of another's."""
        campaign = self._campaign(name)
        wanted = frozenset(outcomes or Outcome)
        left_out = self._left_out(campaign.number, wanted)
        shared = self._journals.get(name)
        if shared is not None:
            shared.users += 1
            return partial(self.close_journal, shared), chain(shared.journal.results(*outcomes), left_out)
        stored = self._stored(name)
        if stored is None:
            return lambda: None, left_out
        return stored.close, chain((result for result in stored if result.outcome in wanted), left_out)

    def lookup(self, name: str, results: Sequence[SendResult]) -> list[SendResult]:
        self._campaign(name)
        shared = self._journals.get(name)
        if shared is not None:
            return shared.journal.lookup(results)
        stored = self._recent_copy(name)
        known = {} if stored is None else stored.of([result.client_id_sms for result in results])
        rows = {client_id: KnownRecipient(row, None) for client_id, row in known.items()}
        return [better(result, rows.get(result.client_id_sms)) for result in results]

    def close(self) -> None:
        try:
            for name in list(self._journals):
                self._drop(name)
            for name in list(self._copies):
                self._copies.pop(name).stored.close()
        finally:
            self._file.close()

    # ------------------------------------------------------------------------ look-ups

    def _now(self) -> int:
        return milliseconds(self._clock.now())

    def _until(self, seconds: float) -> int:
        return milliseconds(self._clock.now() + timedelta(seconds=seconds))

    def _find(self, name: str) -> _CampaignRow | None:
        rows = self._file.fetch(_sql.FIND_CAMPAIGN, name)
        if not rows:
            return None
        [(number, settings, digest, recipients, state, *rest)] = rows
        return _CampaignRow(number, _settings(settings), digest, recipients, CampaignState(state), *rest)

    def _campaign(self, name: str) -> _CampaignRow:
        found = self._find(name)
        if found is None:
            names = ", ".join(map(repr, self.campaigns()))
            raise InputError(f"campaign {name!r} was not planned in {self._folder}; it holds {names or 'none'}")
        return found

    def _shard(self, number: int, name: str, shard: int) -> tuple[bool, str | None, int | None]:
        rows = self._file.fetch(_sql.FIND_SHARD, number, shard)
        if not rows:
            raise _rules.no_shard(name, shard)
        [(done, holder, until)] = rows
        return bool(done), holder, until

    def _is_free(self, campaign: _CampaignRow, shard: int, holder: str) -> bool:
        done, last, until = self._shard(campaign.number, campaign.settings.campaign, shard)
        held = until is not None and until > self._now() and last != holder
        return campaign.state is CampaignState.RUNNING and not done and not held

    def _find_hold(self, lease: Lease) -> LeaseRow | None:
        rows = self._file.fetch(_sql.FIND_HOLD, lease.campaign, lease.shard, lease.token)
        return LeaseRow(rows[0][0], CampaignState(rows[0][1]), rows[0][2]) if rows else None

    def _hold(self, lease: Lease) -> LeaseRow:
        found = self._find_hold(lease)
        if found is None:
            raise LeaseLost
        return found

    def _holding(self, number: int, tokens: set[int]) -> set[int]:
        if not tokens:
            return tokens
        return {token for (token,) in self._file.fetch(_sql.FIND_HOLDING, number, self._now(), array(tokens))}

    def _workers(self, number: int) -> list[WorkerStatus]:
        done: dict[str, int] = dict(self._file.fetch(_sql.FIND_WORKERS, number))
        held: dict[str, list[tuple[int, int]]] = {}
        for holder, shard, until in self._file.fetch(_sql.FIND_HOLDERS, number):
            held.setdefault(holder, []).append((shard, until))
        return [
            WorkerStatus(
                name=name,
                shards=[shard for shard, _ in held.get(name, [])],
                done=done.get(name, 0),
                until=max((moment(until) for _, until in held.get(name, [])), default=None),
            )
            for name in sorted(done.keys() | held.keys())
        ]

    def _left_out(self, number: int, outcomes: Collection[Outcome]) -> Iterator[SendResult]:
        for _, content in self._file.pages(_sql.PAGE_OF_LEFT_OUT, number):
            yield from (result for result in _results(content) if result.outcome in outcomes)

    def _stored(self, name: str) -> StoredResults | None:
        """Return a copy of a journal; None if there is none, or it is being made."""
        path = self.journal_path(name)
        try:
            return StoredResults(path, name, zone=self._zone) if path.exists() else None
        except NoSuchCampaign:
            return None

    def _recent_copy(self, name: str) -> StoredResults | None:
        """Return the last copy for ten times as long as it took: a reader of all results asks page by page."""
        began = self._clock.monotonic()
        last = self._copies.pop(name, None)
        if last is not None and began < last.until:
            self._copies[name] = last
            return last.stored
        if last is not None:
            last.stored.close()
        stored = self._stored(name)
        if stored is not None:
            took = self._clock.monotonic() - began
            self._copies[name] = _Copy(stored, began + _REUSED * took)
        return stored

    def _journal(
        self,
        header: CampaignHeader,
        now: Callable[[], datetime] | None = None,
        resend_rejected: Collection[Reason] = (),
    ) -> SharedCampaignFile:
        shared = self._journals.get(header.campaign)
        if shared is None:
            path = self.journal_path(header.campaign)
            shared = SharedCampaignFile(path, header, now or self._clock.now, resend_rejected, self._zone)
            self._journals[header.campaign] = shared
        return shared

    def _has_begun(self, name: str) -> bool:
        shared = self._journals.get(name)
        if shared is None:
            return has_begun(self.journal_path(name), name, zone=self._zone)
        return any(shared.journal.counts().values())

    def _let_go(self, campaign: _CampaignRow) -> None:
        """Close the journal of an ended campaign, once it has no users."""
        shared = self._journals.get(campaign.settings.campaign)
        if shared is not None and campaign.state in _rules.ENDED:
            shared.kept = False
            if not shared.users:
                self._drop(campaign.settings.campaign)

    def _drop(self, name: str) -> None:
        self._journals.pop(name).journal.close()


def _kept(header: CampaignHeader) -> CampaignHeader:
    """Return what of *header* never changes."""
    return msgspec.structs.replace(header, new_ids=0)

"""
Stores for campaigns of many workers: plan, status, leases, and which writes a lease permits.

Every store passes the same tests: `world` has one per kind.
"""

from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta
from pathlib import Path

import anyio
import msgspec
import pytest

from tests.builders import NOW, Travel, message, phones, wire_phones
from webcom_async import (
    CampaignStopped,
    ClientIdSms,
    InputError,
    JournalError,
    LeaseLost,
    Message,
    Outcome,
    Phone,
    Reason,
    Recipient,
    SendResult,
)
from webcom_async.journal import Addressed, CampaignHeader, DurableCampaignJournal, OutboundRecipient, fingerprint
from webcom_async.scaleout import (
    BatchDone,
    BatchRef,
    CampaignSettings,
    CampaignState,
    CampaignStore,
    Lease,
    SqliteStore,
)

pytestmark = pytest.mark.anyio

SAID = message("A text that stands out")


class SqliteWorld:
    """
    Where stores in one folder are opened.

    Attributes:
        seconds: Length of a lease that is to run out.
        time: What its clock shows.
    """

    seconds = 60.0

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.time = Travel()

    def open(self) -> SqliteStore:
        """Return another handle on the same store, as another process has it."""
        return SqliteStore(self.folder, clock=self.time.clock())

    def pass_by(self, seconds: float) -> None:
        """Let so much time pass, as the store's host sees it."""
        self.time.seconds += seconds

    async def expire(self, store: CampaignStore, campaign: str = "spring") -> None:
        """Let every lease run out."""
        self.pass_by(2 * self.seconds)
        assert all(shard.expired for shard in await store.shards(campaign) if shard.until is not None)


class PostgresWorld:
    """
    Where stores in one schema of a server are opened: as `SqliteWorld`, but leases go by the server's time.

    Attributes:
        seconds: Length of a lease that is to run out.
        time: What the clock of the store's host shows.
    """

    seconds = 0.02

    def __init__(self, dsn: str, schema: str) -> None:
        self.where = {"dsn": dsn, "schema": schema}
        self.time = Travel()

    def open(self) -> CampaignStore:
        """Return another handle on the same store, as another host has it."""
        from webcom_async.postgres import PostgresStore  # noqa: PLC0415 - an extra

        return PostgresStore(**self.where, clock=self.time.clock())

    def pass_by(self, seconds: float) -> None:
        """Let so much time pass, as the store's host sees it."""
        self.time.seconds += seconds

    async def expire(self, store: CampaignStore, campaign: str = "spring") -> None:
        """Wait until every lease has run out, by the server's word."""
        with anyio.fail_after(10):
            while any(shard.until and not shard.expired for shard in await store.shards(campaign)):
                pass  # the question itself takes its time


World = SqliteWorld | PostgresWorld


@pytest.fixture(params=["sqlite", "postgres"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    """Return a place for stores, of each kind in turn."""
    if request.param == "sqlite":
        return SqliteWorld(tmp_path / "campaigns")
    return PostgresWorld(request.getfixturevalue("postgres"), request.getfixturevalue("schema"))


@pytest.fixture
async def store(world: World) -> AsyncIterator[CampaignStore]:
    """Return an open store."""
    async with world.open() as store:
        yield store


@pytest.fixture
async def other(world: World) -> AsyncIterator[CampaignStore]:
    """Return the same store, as another process has it."""
    async with world.open() as store:
        yield store


def spring(**changes: object) -> CampaignSettings:
    """Return the settings of a campaign of small batches and shards."""
    return CampaignSettings(**({"campaign": "spring", "message": SAID, "batch_size": 2, "shard_size": 4} | changes))


async def planned(store: CampaignStore, count: int = 6, **changes: object) -> CampaignStore:
    """Plan the campaign, for so many recipients, and return the store."""
    assert count == await store.plan(spring(**changes), phones(count))
    return store


async def taken(store: CampaignStore, shard: int = 1, holder: str = "one", seconds: float = 60.0) -> Lease:
    """Take a shard that is free."""
    lease = await store.acquire("spring", shard, holder, seconds)
    assert lease is not None
    return lease


def done(accepted: int = 0, *, unknown: int = 0, left_out: list[SendResult] | None = None) -> BatchDone:
    """Return the result of a batch, whose unknown recipients are open."""
    outcomes = {Outcome.ACCEPTED: accepted, Outcome.UNKNOWN: unknown, Outcome.NOT_SENT: len(left_out or [])}
    return BatchDone(outcomes=outcomes, open=unknown, left_out=left_out or [])


def header_of(settings: CampaignSettings) -> CampaignHeader:
    """Return the header under which a client opens the journal of a campaign with *settings*."""
    said = fingerprint(settings.message, settings.sender)
    return CampaignHeader(campaign=settings.campaign, id_bits=settings.id_bits, fingerprint=said)


async def opened(store: CampaignStore, lease: Lease) -> DurableCampaignJournal:
    """Open the journal as a client does."""
    return await store.journals(lease).open(header_of(await store.settings(lease.campaign)), lambda: NOW)


def batch(count: int = 2, first: int = 0) -> list[Addressed]:
    """Return recipients as they go on the wire."""
    return [(SAID, wire_phones(first + count)[first:])]


def answers(addressed: list[Addressed], outcome: Outcome = Outcome.ACCEPTED) -> list[SendResult]:
    """Return the same outcome for every recipient; an accepted one has its own `id_sms`."""
    return [answer(to, outcome) for _, tos in addressed for to in tos]


def answer(to: OutboundRecipient, outcome: Outcome) -> SendResult:
    id_sms = f"9{to.client_id_sms}" if outcome is Outcome.ACCEPTED else None
    reason = Reason.NONE if outcome is Outcome.ACCEPTED else Reason.TIMEOUT
    return SendResult(to.client_id_sms, to.phone, outcome, id_sms, reason, outcome.value, 1)


async def told(store: CampaignStore, *outcomes: Outcome) -> list[SendResult]:
    """Return the campaign's results."""
    return [result async for result in store.results("spring", *outcomes)]


# ---------------------------------------------------------------------------- the plan


async def test_a_plan_is_cut_into_batches_and_shards(store: CampaignStore):
    """Batches are numbered through the campaign, and a shard holds as many as fit."""
    await planned(store, 11)

    shards = await store.shards("spring")
    refs = [ref for shard in shards for ref in await store.open_batches("spring", shard.number)]
    kept = [recipient.phone for ref in refs for recipient in await store.recipients(ref)]

    assert [(1, 4), (2, 4), (3, 3)] == [(shard.number, shard.recipients) for shard in shards]
    assert [(1, 1), (1, 2), (2, 3), (2, 4), (3, 5), (3, 6)] == [(ref.shard, ref.batch) for ref in refs]
    assert list(phones(11)) == kept
    assert ["spring"] == await store.campaigns()
    assert spring() == await store.settings("spring")


async def test_recipients_are_kept_as_they_were_given(store: CampaignStore):
    """A plan keeps every field of every recipient, also of one that cannot be sent to."""
    given: list[object] = [
        79612242243,
        "not a phone",
        Recipient("79612242244", "17", "key", "text"),
        Recipient(79612242245, message=Message(sender="ACME", text="own"), validity_period=NOW, number_sms=3),
        Recipient("79612242246", client_id_sms=5, time_send=NOW),
    ]
    await store.plan(spring(shard_size=100, batch_size=100), given)

    kept = await store.recipients(BatchRef("spring", 1, 1))

    assert [each if isinstance(each, Recipient) else Recipient(each) for each in given] == kept


async def test_other_kinds_of_text_are_text(store: CampaignStore):
    """Phones and texts may be subclasses of str, such as numpy's."""

    class Text(str):
        __slots__ = ()

    await store.plan(spring(), [Text("79612242243"), Recipient(Text("79612242244"), text=Text("own"))])

    kept = await store.recipients(BatchRef("spring", 1, 1))
    assert [Recipient("79612242243"), Recipient("79612242244", text="own")] == kept


async def test_other_kinds_of_whole_numbers_are_phones_and_ids(store: CampaignStore):
    """Phones and ids may be whole numbers of another type, such as numpy's; a table is told to be no source."""

    class Whole:
        def __init__(self, value: int) -> None:
            self._value = value

        def __index__(self) -> int:
            return self._value

    class Frame(list[str]):
        shape = (1, 2)

    with pytest.raises(InputError, match="a table"):
        await store.plan(spring(), Frame(["phone", "name"]))
    whole = Recipient(Whole(79612242244), Whole(17))  # type: ignore[arg-type]
    await store.plan(spring(), [Whole(79612242243), whole])  # type: ignore[list-item]

    kept = await store.recipients(BatchRef("spring", 1, 1))
    assert [Recipient(79612242243), Recipient(79612242244, 17)] == kept


async def test_planning_again_changes_nothing(store: CampaignStore, other: CampaignStore):
    """The same settings and recipients are the same plan, whichever process and kind of source they come from."""
    await planned(store)
    lease = await taken(store)
    before = await store.status("spring")

    async def source() -> AsyncIterator[str]:
        for phone in phones(6):
            yield phone

    assert 6 == await other.plan(spring(), source())
    assert before == await store.status("spring")
    assert await store.renew(lease)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"rate": 5.0}, "rate=None, not 5.0"),
        ({"batch_size": 3, "shard_size": 9}, "batch_size=2, not 3 and with shard_size=4, not 9"),
        ({"message": message("Another")}, "another message"),
        ({"id_bits": 53}, "id_bits=63, not 53"),
        ({"validity_period": NOW + timedelta(days=1)}, "validity_period=None, not 2030-01-02"),
    ],
)
async def test_other_settings_are_another_campaign(store: CampaignStore, changes: dict[str, object], words: str):
    """Other settings under a planned name are an error that names the difference, and change nothing."""
    await planned(store)

    with pytest.raises(InputError, match=words) as caught:
        await store.plan(spring(**changes), phones(6))

    assert "stands out" not in str(caught.value)
    assert spring() == await store.settings("spring")


@pytest.mark.parametrize(
    ("count", "backwards", "words"), [(7, False, "6 recipients, not 7"), (6, True, "other recipients, or in another")]
)
async def test_other_recipients_are_another_campaign(store: CampaignStore, count: int, words: str, *, backwards: bool):
    """Other recipients under a planned name are an error, and change nothing."""
    await planned(store)
    people = list(phones(count))

    with pytest.raises(InputError, match=words):
        await store.plan(spring(), people[::-1] if backwards else people)

    assert 6 == (await store.status("spring")).recipients


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"campaign": ""}, "campaign is empty"),
        ({"campaign": " "}, "campaign is blank"),
        ({"campaign": "spring "}, "'spring ' begins or ends with white space"),
        ({"message": None, "sender": " "}, "sender is empty"),
        ({"campaign": "a\nb"}, "campaign is"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"batch_size": True}, "batch_size is True"),
        ({"shard_size": 1}, "shard_size is 1; a shard is made of batches"),
        ({"rate": 0}, "rate is 0"),
        ({"rate": float("nan")}, "rate is nan"),
        ({"rate": 1e-300}, "rate is 1e-300 .* at least 1 a day"),
        ({"id_bits": 7}, "id_bits is 7"),
        ({"sender": "ACME"}, "give message=, or text= and sender="),
        ({"message": None, "sender": "much too long"}, "sender 'much too long' has"),
        ({"validity_period": NOW.replace(tzinfo=None)}, "validity_period must be an aware"),
        ({"time_send": NOW}, "time_send .* is past"),
    ],
)
async def test_bad_settings_plan_nothing(store: CampaignStore, changes: dict[str, object], words: str):
    """A bad setting is an error that names it, before the source is pulled."""

    def source() -> Iterator[str]:
        raise AssertionError("the source was touched")
        yield

    with pytest.raises(InputError, match=words):
        await store.plan(spring(**changes), source())

    assert [] == await store.campaigns()


async def test_a_time_that_passes_after_planning_is_no_error(world: World, store: CampaignStore):
    """Planning again after the campaign's time raises nothing, and changes nothing."""
    until = NOW + timedelta(hours=1)
    await planned(store, validity_period=until)
    world.pass_by(7_200)

    await planned(store, validity_period=until)


@pytest.mark.parametrize(
    "odd", [None, b"79612242243", Recipient(1.5), Recipient("79612242243", key=5), Recipient("\ud800")], ids=repr
)
async def test_a_bad_item_plans_nothing(store: CampaignStore, odd: object):
    """A bad item is an error with its position and without its content, and leaves the name free."""
    with pytest.raises(InputError, match="item 4 of the source") as caught:
        await store.plan(spring(), [*phones(3), odd, *phones(3)])

    assert "7961" not in str(caught.value)
    assert [] == await store.campaigns()
    await planned(store)


async def test_a_source_that_is_left_early_is_closed(store: CampaignStore):
    """A source with a bad item is closed, because it may be a cursor of a database."""
    closed: list[bool] = []

    async def source() -> AsyncIterator[object]:
        try:
            yield None
            yield "79612242243"
            yield "79612242244"
        finally:
            closed.append(True)

    with pytest.raises(InputError, match="item 1 of the source"):
        await store.plan(spring(), source())

    assert [True] == closed


@pytest.mark.parametrize("source", ["79612242243", 5, Recipient("79612242243")], ids=repr)
async def test_a_source_is_something_to_iterate(store: CampaignStore, source: object):
    """A single phone is refused as a source, and not read as a list of digits."""
    with pytest.raises(InputError, match="recipients"):
        await store.plan(spring(), source)

    assert [] == await store.campaigns()


async def test_a_source_that_fails_plans_nothing(store: CampaignStore):
    """A source's error is raised, the source is closed, and the name stays free."""
    closed: list[bool] = []

    async def source() -> AsyncIterator[str]:
        try:
            for phone in phones(150):
                yield phone
            raise OSError("the database is gone")
        finally:
            closed.append(True)

    with pytest.raises(OSError, match="is gone"):
        await store.plan(spring(), source())

    assert ([True], []) == (closed, await store.campaigns())
    await planned(store)


async def test_planning_that_is_cancelled_plans_nothing(store: CampaignStore):
    """A cancelled plan leaves nothing behind, and closes its source."""
    begun = anyio.Event()
    closed: list[bool] = []

    async def source() -> AsyncIterator[str]:
        try:
            yield from_phones
            begun.set()
            await anyio.sleep_forever()
        finally:
            closed.append(True)

    from_phones = next(phones(1))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(store.plan, spring(), source())
        await begun.wait()
        tasks.cancel_scope.cancel()

    assert ([True], []) == (closed, await store.campaigns())


async def test_a_campaign_without_recipients_is_refused(store: CampaignStore):
    """A plan without recipients is refused, so that an empty file does not use up the campaign's name."""
    with pytest.raises(InputError, match="no recipients"):
        await store.plan(spring(), [])

    assert [] == await store.campaigns()
    await planned(store)


async def test_a_slow_source_delays_no_other_plan(store: CampaignStore, other: CampaignStore):
    """While one plan reads a slow source, this process and others make further plans."""

    async def source() -> AsyncIterator[str]:
        for number, phone in enumerate(phones(100)):
            if number == 90:
                await store.plan(spring(campaign="summer"), phones(3))
                await other.plan(spring(campaign="autumn"), phones(3))
            yield phone

    await store.plan(spring(), source())

    assert ["summer", "autumn", "spring"] == await other.campaigns()
    assert 100 == (await store.status("spring")).recipients


async def test_the_first_account_is_the_campaigns(store: CampaignStore, other: CampaignStore):
    """The first account that claims a campaign keeps it, until the claim is removed."""
    await store.plan(spring(), phones(3))

    assert ["a", "a", None, "b"] == [
        await store.claim("spring", "a"),
        await other.claim("spring", "b"),
        await store.claim("spring", None),
        await other.claim("spring", "b"),
    ]
    with pytest.raises(InputError, match="summer"):
        await store.claim("summer", "a")


async def test_campaigns_are_listed_by_their_states(store: CampaignStore):
    """Campaigns are listed by one state, by several, or all without one."""
    for name in ("spring", "summer", "autumn"):
        await store.plan(spring(campaign=name), phones(3))
    await store.change_state("summer", CampaignState.PAUSED)
    await store.change_state("autumn", CampaignState.CANCELLED)

    assert ["spring"] == await store.campaigns(CampaignState.RUNNING)
    assert ["summer", "autumn"] == await store.campaigns(CampaignState.CANCELLED, CampaignState.PAUSED)
    assert ["spring", "summer", "autumn"] == await store.campaigns()


async def test_of_two_who_plan_at_once_both_have_planned(store: CampaignStore, other: CampaignStore):
    """Two processes that plan the same campaign at once make one, and both get its number of recipients."""
    counts: list[int] = []

    async def plan(store: CampaignStore) -> None:
        counts.append(await store.plan(spring(), phones(50)))

    async with anyio.create_task_group() as tasks:
        for each in (store, other):
            tasks.start_soon(plan, each)

    assert [50, 50] == counts
    assert 13 == len(await store.shards("spring"))


async def test_batches_are_no_larger_than_a_second_of_the_rate(store: CampaignStore):
    """A batch is cut to a second of the rate, because a batch leaves whole."""
    await planned(store, 5, rate=1.5, batch_size=4)

    assert [2, 2, 1] == [len(await store.recipients(ref)) for ref in await store.open_batches("spring", 1)] + [
        len(await store.recipients(ref)) for ref in await store.open_batches("spring", 2)
    ]


@pytest.mark.parametrize(
    "ask",
    [
        lambda store: store.settings("winter"),
        lambda store: store.status("winter"),
        lambda store: store.shards("winter"),
        lambda store: store.acquire("winter", 1, "one", 60.0),
        lambda store: store.acquire("spring", 9, "one", 60.0),
        lambda store: store.try_dispatch("spring", 9, 1),
        lambda store: store.recipients(BatchRef("spring", 1, 9)),
        lambda store: store.change_state("winter", CampaignState.PAUSED),
        lambda store: store.reserve_rate("winter", 1),
        lambda store: anext(store.results("winter")),
    ],
)
async def test_what_was_not_planned_is_named(store: CampaignStore, ask: Callable[[CampaignStore], object]):
    """An unknown campaign, shard or batch is an error that names it."""
    await planned(store)

    with pytest.raises(InputError, match=r"campaign '(winter|spring)'"):
        await ask(store)  # type: ignore[misc]


# ---------------------------------------------------------------------------- the status


async def test_a_new_campaign_runs(store: CampaignStore):
    """A new campaign is running, with every count at zero."""
    status = await (await planned(store)).status("spring")

    assert (CampaignState.RUNNING, "", 6, 2, 0, 0) == (
        status.state,
        status.why,
        status.recipients,
        status.shards,
        status.shards_done,
        status.open,
    )
    assert dict.fromkeys(Outcome, 0) == status.outcomes
    assert ([], None) == (status.workers, status.ended)


async def test_done_batches_are_counted_once(store: CampaignStore):
    """A batch that is done twice counts once, with its latest result, for the campaign and for its worker."""
    await planned(store)
    first = await taken(store)
    one, two = await store.open_batches("spring", 1)
    await store.batch_done(first, one, done(1, unknown=1))
    await store.batch_done(first, two, done(2))
    await store.release(first)
    second = await taken(store, holder="two")

    assert [one] == await store.open_batches("spring", 1)
    before = await store.status("spring")
    await store.batch_done(second, one, done(2))
    after = await store.status("spring")

    assert (3, 1, 1) == (before.outcomes[Outcome.ACCEPTED], before.outcomes[Outcome.UNKNOWN], before.open)
    assert (4, 0, 0) == (after.outcomes[Outcome.ACCEPTED], after.outcomes[Outcome.UNKNOWN], after.open)
    assert [("one", [], 2), ("two", [1], 2)] == [(each.name, each.shards, each.done) for each in after.workers]
    assert [] == await store.open_batches("spring", 1)


async def test_the_last_shard_finishes_the_campaign(store: CampaignStore):
    """The last shard's worker learns that the campaign is finished, and no shard can be acquired any more."""
    await planned(store)

    told = [await store.shard_done(await taken(store, shard)) for shard in (1, 2)]
    status = await store.status("spring")

    assert [False, True] == told
    assert (CampaignState.FINISHED, 2) == (status.state, status.shards_done)
    assert status.ended is not None
    assert [] == [each.shards for each in status.workers if each.shards]
    assert await store.acquire("spring", 1, "two", 60.0) is None


async def test_a_finished_campaign_sends_again_to_open_recipients(store: CampaignStore):
    """Resuming a finished campaign opens the shards with open recipients, and no others."""
    await planned(store)
    for shard, became in ((1, done(1, unknown=1)), (2, done(2))):
        lease = await taken(store, shard)
        for ref in await store.open_batches("spring", shard):
            await store.batch_done(lease, ref, became)
        await store.shard_done(lease)

    status = await store.change_state("spring", CampaignState.RUNNING)

    assert (CampaignState.RUNNING, 1, None) == (status.state, status.shards_done, status.ended)
    assert [False, True] == [shard.done for shard in await store.shards("spring")]
    assert 2 == len(await store.open_batches("spring", 1))


async def test_a_finished_campaign_without_open_recipients_stays_so(store: CampaignStore):
    """A finished campaign without open recipients cannot be resumed, paused or cancelled."""
    await planned(store, 2)
    await store.shard_done(await taken(store))

    for state in CampaignState.RUNNING, CampaignState.PAUSED, CampaignState.HALTED, CampaignState.CANCELLED:
        with pytest.raises(InputError, match="is finished"):
            await store.change_state("spring", state)
    assert CampaignState.FINISHED is (await store.change_state("spring", CampaignState.FINISHED)).state


async def test_a_cancelled_campaign_stays_so(store: CampaignStore):
    """Cancelling is permanent, and cancelling again changes nothing."""
    await planned(store)
    cancelled = await store.change_state("spring", CampaignState.CANCELLED, "wrong text")

    for state in set(CampaignState) - {CampaignState.CANCELLED}:
        with pytest.raises(InputError, match="cancelled"):
            await store.change_state("spring", state)
    assert cancelled == await store.change_state("spring", CampaignState.CANCELLED, "again")
    assert "wrong text" == cancelled.why


async def test_no_caller_sets_a_campaign_to_finished(store: CampaignStore):
    """Only its last shard finishes a campaign."""
    await planned(store)

    with pytest.raises(InputError, match="last shard"):
        await store.change_state("spring", CampaignState.FINISHED)


async def test_pause_and_resume_are_seen_everywhere(store: CampaignStore, other: CampaignStore):
    """A campaign that does not run gives no lease, and says why; one that is resumed does."""
    await planned(store)
    await other.change_state("spring", CampaignState.PAUSED, "lunch")
    paused = await store.status("spring")
    refused = await store.acquire("spring", 1, "one", 60.0)
    await other.change_state("spring", CampaignState.RUNNING)

    assert (CampaignState.PAUSED, "lunch", None) == (paused.state, paused.why, refused)
    assert "" == (await store.status("spring")).why
    await taken(store)


async def test_a_generation_is_dispatched_once(store: CampaignStore, other: CampaignStore):
    """Of several schedulers that dispatch one generation of a shard, one starts it."""
    await planned(store)
    told: list[bool] = []

    async def try_dispatch(store: CampaignStore) -> None:
        told.append(await store.try_dispatch("spring", 1, 1))

    async with anyio.create_task_group() as tasks:
        for each in (store, other, store, other):
            tasks.start_soon(try_dispatch, each)

    assert [False, False, False, True] == sorted(told)
    assert [1, 0] == [shard.generation for shard in await store.shards("spring")]
    assert await store.try_dispatch("spring", 1, 2)
    assert not await store.try_dispatch("spring", 1, 1)


# ---------------------------------------------------------------------------- leases


async def test_a_shard_is_one_workers(store: CampaignStore, other: CampaignStore):
    """Of many workers that acquire a shard at once one gets it, and the status names it."""
    await planned(store)
    leases: list[Lease | None] = []

    async def acquire(name: str) -> None:
        leases.append(await store.acquire("spring", 1, name, 60.0))

    async with anyio.create_task_group() as tasks:
        for name in ("one", "two", "three", "four"):
            tasks.start_soon(acquire, name)
    [lease] = [lease for lease in leases if lease is not None]
    shard, _ = await other.shards("spring")

    assert (lease.holder, False) == (shard.holder, shard.expired)
    assert shard.until is not None
    assert [(lease.holder, [1], shard.until)] == [
        (each.name, each.shards, each.until) for each in (await other.status("spring")).workers
    ]


async def test_an_expired_lease_is_taken_over(world: World, store: CampaignStore):
    """A newer lease has a larger token, and the older one permits nothing."""
    await planned(store)
    old = await taken(store, seconds=world.seconds)
    await world.expire(store)
    new = await taken(store, holder="two")

    assert old.token < new.token
    assert (False, True) == (await store.renew(old), await store.renew(new))
    for call in (
        store.batch_done(old, BatchRef("spring", 1, 1), done(2)),
        store.shard_done(old),
    ):
        with pytest.raises(LeaseLost):
            await call
    await store.release(old)
    assert await store.renew(new)
    assert 0 == (await store.status("spring")).outcomes[Outcome.ACCEPTED]


async def test_an_expired_lease_that_was_not_taken_is_renewed(world: World, store: CampaignStore):
    """A worker that was asleep renews its expired lease, unless another worker took the shard."""
    await planned(store)
    lease = await taken(store, seconds=world.seconds)
    await world.expire(store)
    renewed = await store.renew(msgspec.structs.replace(lease, seconds=60.0))

    assert renewed
    assert not (await store.shards("spring"))[0].expired
    assert await store.acquire("spring", 1, "two", 60.0) is None


async def test_a_lease_is_renewed_for_the_seconds_that_it_names(world: World, store: CampaignStore):
    """A renewal counts the seconds of the given lease from now, longer or shorter than those it was acquired for."""
    await planned(store)
    lease = await taken(store, seconds=60.0)
    assert await store.renew(msgspec.structs.replace(lease, seconds=3_600.0))
    [longer, _] = await store.shards("spring")
    assert await store.renew(msgspec.structs.replace(lease, seconds=world.seconds))
    await world.expire(store)
    [shorter, _] = await store.shards("spring")

    assert longer.until is not None
    assert shorter.until is not None
    assert longer.until - shorter.until > timedelta(minutes=50)
    await taken(store, holder="two")


async def test_a_worker_takes_over_from_itself(store: CampaignStore):
    """A worker that restarts under its name does not wait for its own lease to run out."""
    await planned(store)
    old = await taken(store)
    new = await taken(store)

    assert old.token < new.token
    assert (False, True) == (await store.renew(old), await store.renew(new))


async def test_a_released_shard_is_free_at_once(store: CampaignStore):
    """Another worker acquires a released shard without waiting, and the old lease permits nothing."""
    await planned(store)
    lease = await taken(store)
    await store.release(lease)
    [shard, _] = await store.shards("spring")

    assert (None, False, "one") == (shard.until, shard.expired, shard.holder)
    assert not await store.renew(lease)
    await taken(store, holder="two")


async def test_shards_are_leased_one_by_one(store: CampaignStore):
    """A worker may hold several, and another one the rest."""
    await planned(store)
    leases = [await taken(store, 1), await taken(store, 2, "two")]

    assert [True, True] == [await store.renew(lease) for lease in leases]


# ---------------------------------------------------------------------------- the rate


async def test_without_a_rate_all_recipients_may_leave_at_once(store: CampaignStore):
    """Without a rate no recipient waits."""
    await planned(store)

    assert [0.0, 0.0] == [await store.reserve_rate("spring", 500) for _ in range(2)]


async def test_all_workers_share_the_rate(store: CampaignStore, other: CampaignStore):
    """After the first second's worth every recipient waits for those before it, in whichever worker."""
    await planned(store, rate=100.0)
    waits = [await each.reserve_rate("spring", 50) for each in (store, other) * 3]

    assert [0.0, 0.0, 0.5, 1.0, 1.5, 2.0] == pytest.approx(waits, abs=0.3)


async def test_the_slowest_rate_is_one_recipient_a_day(store: CampaignStore):
    """The first may leave at once, and the second tomorrow."""
    await planned(store, rate=1 / 86_400)

    assert [0.0, 86_400.0] == pytest.approx([await store.reserve_rate("spring", 1) for _ in range(2)], abs=0.5)


# ---------------------------------------------------------------------------- what a lease lets into the journal


async def test_a_holders_batch_leaves_and_is_settled(store: CampaignStore):
    """The journal does what every journal does."""
    await planned(store)
    journal = await opened(store, await taken(store))
    reserved = await journal.reserve(batch())
    known = await journal.settle(answers(batch()), reserved)
    again = await journal.reserve(batch(3))
    await journal.aclose()

    assert (batch(), []) == (reserved.addressed, reserved.settled)
    assert answers(batch()) == known == again.settled
    assert batch(1, first=2) == again.addressed


async def test_without_a_lease_nothing_leaves(world: World, store: CampaignStore):
    """A worker that lost or released its lease reserves no recipient."""
    await planned(store)
    lost = await taken(store, seconds=world.seconds)
    journal = await opened(store, lost)
    await world.expire(store)
    taker = await taken(store, holder="two")
    with pytest.raises(LeaseLost):
        await journal.reserve(batch())
    await store.release(taker)
    given_back = await opened(store, taker)
    with pytest.raises(LeaseLost):
        await given_back.reserve(batch())

    assert [] == await told(store)
    await journal.aclose()
    await given_back.aclose()


@pytest.mark.parametrize("state", [CampaignState.PAUSED, CampaignState.HALTED, CampaignState.CANCELLED])
async def test_a_campaign_that_does_not_run_lets_no_recipient_leave(
    store: CampaignStore, other: CampaignStore, state: CampaignState
):
    """Once a campaign is stopped by any process, no recipient is reserved, and answers are still written."""
    await planned(store)
    journal = await opened(store, await taken(store))
    reserved = await journal.reserve(batch())
    await other.change_state("spring", state, "by hand")

    with pytest.raises(CampaignStopped, match=f"{state.value}: by hand"):
        await journal.reserve(batch(2, first=2))
    await journal.settle(answers(batch()), reserved)
    await journal.aclose()

    assert answers(batch()) == await told(store)


async def test_recipients_of_a_lost_worker_are_possibly_sent(store: CampaignStore):
    """The next worker sends again under the same ids, and its reservation marks them as possibly sent."""
    await planned(store)
    first = await opened(store, await taken(store))
    await first.reserve(batch())
    second = await opened(store, await taken(store))
    reserved = await second.reserve(batch())
    await first.aclose()
    await second.aclose()

    assert batch() == reserved.addressed
    assert {to.client_id_sms for to in wire_phones(2)} == reserved.possibly_sent


@pytest.mark.parametrize("outcome", list(Outcome))
async def test_a_woken_worker_settles_accepted_recipients_only(store: CampaignStore, outcome: Outcome):
    """A worker that wakes without its lease settles accepted recipients only, as the next one sends already."""
    await planned(store)
    first = await opened(store, await taken(store))
    reserved = await first.reserve(batch())
    second = await opened(store, await taken(store))
    again = await second.reserve(batch())
    known = await first.settle(answers(batch(), outcome), reserved)
    after = await told(store)
    final = await second.settle(answers(batch()), again)
    await first.aclose()
    await second.aclose()

    expected = outcome if outcome is Outcome.ACCEPTED else Outcome.UNKNOWN
    assert [expected] * 2 == [result.outcome for result in after] == [result.outcome for result in known]
    assert answers(batch()) == final == await told(store)


async def test_a_recipient_reserved_by_another_worker_is_a_duplicate(store: CampaignStore):
    """A phone in two shards is in one request at a time; after that, its result is known."""
    await planned(store)
    one, two = await taken(store, 1), await taken(store, 2, "two")
    first, second = await opened(store, one), await opened(store, two)
    reserved = await first.reserve(batch())
    meanwhile = await second.reserve(batch(3))
    await first.settle(answers(batch()), reserved)
    afterwards = await second.reserve(batch())
    await first.aclose()
    await second.aclose()

    assert batch(1, first=2) == meanwhile.addressed
    assert [(Outcome.NOT_SENT, Reason.DUPLICATE)] * 2 == [(each.outcome, each.reason) for each in meanwhile.refused]
    assert answers(batch()) == afterwards.settled


async def test_a_recipient_reserved_by_a_lost_worker_is_not_a_duplicate(world: World, store: CampaignStore):
    """A lost worker's reservations keep no recipient from being sent again."""
    await planned(store)
    one, two = await taken(store, 1, seconds=world.seconds), await taken(store, 2, "two", seconds=world.seconds)
    first = await opened(store, one)
    await first.reserve(batch())
    await world.expire(store)
    await store.renew(msgspec.structs.replace(two, seconds=60.0))
    second = await opened(store, two)
    reserved = await second.reserve(batch())
    await first.aclose()
    await second.aclose()

    assert (batch(), []) == (reserved.addressed, reserved.refused)
    assert 2 == len(reserved.possibly_sent)


async def test_a_campaigns_journal_has_the_campaigns_settings(store: CampaignStore):
    """A client with another message or another way to derive ids is refused before anything leaves."""
    await planned(store)
    lease = await taken(store)
    journal = await opened(store, lease)

    for changes in ({"message": message("Another")}, {"id_bits": 53}):
        with pytest.raises(JournalError, match=r"planned with|started with"):
            await store.journals(lease).open(header_of(spring(**changes)), lambda: NOW)
    assert header_of(spring()) == await store.journals(lease).header("spring")
    await journal.aclose()


async def test_known_results_are_looked_up_by_id(store: CampaignStore, other: CampaignStore):
    """A lookup needs no lease, and returns the given result of a recipient that is not known."""
    await planned(store, 8)
    asked = [
        SendResult(to.client_id_sms, to.phone, Outcome.NOT_SENT, None, Reason.HALTED, "asked")
        for _, phones in batch(4)
        for to in phones
    ]
    assert asked == await store.lookup("spring", asked)
    lease = await taken(store)
    journal = await opened(store, lease)
    await journal.settle(answers(batch(2)), await journal.reserve(batch(2)))
    await journal.aclose()

    known = await store.lookup("spring", asked)
    assert [Outcome.ACCEPTED, Outcome.ACCEPTED, Outcome.NOT_SENT, Outcome.NOT_SENT] == [each.outcome for each in known]
    assert asked[2:] == known[2:]
    with pytest.raises(InputError, match="winter"):
        await other.lookup("winter", asked)


async def test_results_are_of_the_offered_and_of_the_left_out(store: CampaignStore):
    """Every offered recipient has a result, also one that never reached the journal, and results can be filtered."""
    await planned(store)
    lease = await taken(store)
    left_out = SendResult(
        ClientIdSms(""), Phone("not a phone\0"), Outcome.NOT_SENT, None, Reason.BAD_PHONE, "bad\ud800"
    )
    journal = await opened(store, lease)
    await journal.settle(answers(batch(1)), await journal.reserve(batch(2)))
    await journal.aclose()
    await store.batch_done(lease, BatchRef("spring", 1, 1), done(1, unknown=1))
    await store.batch_done(lease, BatchRef("spring", 1, 2), done(left_out=[left_out]))

    everybody = await told(store)

    assert [Outcome.ACCEPTED, Outcome.UNKNOWN, Outcome.NOT_SENT] == [result.outcome for result in everybody]
    assert [Reason.BAD_PHONE] == [result.reason for result in await told(store, Outcome.NOT_SENT)]
    assert answers(batch(1)) == await told(store, Outcome.ACCEPTED)


async def test_before_the_first_batch_there_are_no_results(store: CampaignStore):
    """A campaign that was only planned has no results."""
    await planned(store)

    assert [] == await told(store)


async def test_a_store_remembers(world: World):
    """A store that is opened again has plan, status and journal as the last process left them."""
    async with world.open() as store:
        await planned(store)
        lease = await taken(store)
        journal = await opened(store, lease)
        await journal.settle(answers(batch()), await journal.reserve(batch()))
        await journal.aclose()
        await store.batch_done(lease, BatchRef("spring", 1, 1), done(2))
        before = (await store.status("spring"), await store.shards("spring"), await told(store))
    async with world.open() as store:
        after = (await store.status("spring"), await store.shards("spring"), await told(store))
        assert before == after
        assert await store.renew(lease)

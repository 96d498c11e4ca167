"""Campaigns in a folder: promises that only SQLite has to keep."""

import os
import sqlite3
import stat
from collections.abc import AsyncIterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import anyio
import pytest

from tests.builders import NOW, Travel, message, phones, wire_phones
from webcom_async import InputError, JournalError, JournalInUse, UsageError
from webcom_async.journal import CampaignHeader, SqliteJournal, campaigns, fingerprint
from webcom_async.scaleout import CampaignSettings, CampaignState, SqliteStore

pytestmark = pytest.mark.anyio

SAID = message()
SPRING = CampaignSettings(campaign="Весна / 2030", message=SAID, rate=10.0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a path for campaigns."""
    return tmp_path / "campaigns"


@pytest.fixture
async def store(folder: Path) -> AsyncIterator[SqliteStore]:
    """Return a store with a campaign."""
    async with SqliteStore(folder) as store:
        await store.plan(SPRING, phones(3))
        yield store


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX systems")
async def test_a_folder_is_its_owners(store: SqliteStore, folder: Path):
    """Only the owner may read its files, because phones and texts are in them."""
    await store.acquire(SPRING.campaign, 1, "one", 60.0)

    assert 0o700 == stat.S_IMODE(folder.stat().st_mode)
    assert {0o600} == {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()}


async def test_looking_makes_nothing(folder: Path):
    """A wrong path is an error, and no empty store is made there."""
    async with SqliteStore(folder) as store:
        assert [] == await store.campaigns()
        with pytest.raises(InputError, match="no campaign was planned in"):
            await store.status("spring")

    assert not folder.exists()


async def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path):
    """The error names a folder whose parent does not exist."""
    async with SqliteStore(tmp_path / "no" / "campaigns") as store:
        with pytest.raises(JournalError, match="campaigns: it cannot be made"):
            await store.plan(SPRING, phones(3))


async def test_a_foreign_database_is_left_alone(folder: Path):
    """Another program's database is refused and not changed."""
    folder.mkdir()
    with closing(sqlite3.connect(folder / "campaigns.db")) as db:
        db.execute("CREATE TABLE theirs (x)")
    async with SqliteStore(folder) as store:
        with pytest.raises(JournalError, match="database of another program"):
            await store.campaigns()


async def test_a_closed_store_says_so(store: SqliteStore):
    """Closing twice is fine; using a closed store is an error that says so."""
    await store.aclose()
    await store.aclose()

    with pytest.raises(UsageError, match="store is closed"):
        await store.campaigns()


async def test_a_campaigns_journal_is_a_journal(store: SqliteStore):
    """A campaign's journal is a file named after the campaign: readable at any time, free once no worker sends."""
    path = await store.journal_path(SPRING.campaign)
    journal = SqliteJournal(path)
    lease = await store.acquire(SPRING.campaign, 1, "one", 60.0)
    assert lease is not None
    assert [SPRING.campaign] == [each.header.campaign for each in await journal.stored_campaigns()]
    with pytest.raises(JournalInUse):
        await journal.purge(SPRING.campaign)
    await store.shard_done(lease)

    assert "1-Весна_2030.journal" == path.name
    assert 0 == await journal.purge(SPRING.campaign)


async def test_a_cancelled_campaign_closes_its_journal(store: SqliteStore):
    """A cancelled campaign's journal is closed when its last user closes it, and not before."""
    path = await store.journal_path(SPRING.campaign)
    lease = await store.acquire(SPRING.campaign, 1, "one", 60.0)
    assert lease is not None
    header = CampaignHeader(campaign=SPRING.campaign, id_bits=63, fingerprint=fingerprint(SAID, None))
    journal = await store.journals(lease).open(header, lambda: NOW)
    reserved = await journal.reserve([(SAID, wire_phones(1))])
    await store.change_state(SPRING.campaign, CampaignState.CANCELLED)
    await journal.settle([], reserved)
    await journal.aclose()

    assert 1 == len(await anyio.to_thread.run_sync(campaigns, path))


async def test_a_campaign_that_another_process_cancels_closes_its_journal(store: SqliteStore, folder: Path):
    """The next call about a lease notices that another process cancelled the campaign, and closes the journal."""
    path = await store.journal_path(SPRING.campaign)
    lease = await store.acquire(SPRING.campaign, 1, "one", 60.0)
    assert lease is not None
    async with SqliteStore(folder) as other:
        await other.change_state(SPRING.campaign, CampaignState.CANCELLED)
    await store.release(lease)

    assert 1 == len(await anyio.to_thread.run_sync(campaigns, path))


async def test_a_clock_that_is_set_back_does_not_stop_the_sending(folder: Path):
    """After a clock is set back, a reserved turn is not an hour away."""
    travel = Travel()
    async with SqliteStore(folder, clock=travel.clock()) as store:
        await store.plan(SPRING, phones(3))
        before = [await store.reserve_rate(SPRING.campaign, 10) for _ in range(3)]
        travel.seconds -= 3_600
        after = await store.reserve_rate(SPRING.campaign, 10)

    assert [0.0, 1.0, 2.0, 3.0] == pytest.approx([*before, after])


async def test_half_a_plan_is_never_seen(folder: Path):
    """While a long plan is written, another reader sees all of it or nothing."""
    seen: set[int] = set()
    async with SqliteStore(folder) as store, SqliteStore(folder) as other:
        await store.plan(SPRING, phones(3))
        async with anyio.create_task_group() as tasks:

            async def look() -> None:
                while True:
                    if "summer" in await other.campaigns():
                        seen.add(sum(shard.recipients for shard in await other.shards("summer")))

            tasks.start_soon(look)
            await store.plan(CampaignSettings(campaign="summer", message=SAID), phones(30_000))
            await other.campaigns()
            tasks.cancel_scope.cancel()

    assert seen <= {30_000}


async def test_a_lease_lasts_to_the_millisecond(folder: Path):
    """A lease can be taken over when it expires, and not a millisecond before."""
    travel = Travel()
    async with SqliteStore(folder, clock=travel.clock()) as store:
        await store.plan(SPRING, phones(3))
        await store.acquire(SPRING.campaign, 1, "one", 60.0)
        travel.seconds = 59.999
        early = await store.acquire(SPRING.campaign, 1, "two", 60.0)
        [shard] = await store.shards(SPRING.campaign)
        travel.seconds = 60.0
        [expired] = await store.shards(SPRING.campaign)
        late = await store.acquire(SPRING.campaign, 1, "two", 60.0)

    assert (None, NOW + timedelta(seconds=60), False, True) == (early, shard.until, shard.expired, expired.expired)
    assert late is not None

"""Times of recipients: one moment, whichever client stores, resumes or sends it, in whatever zone."""

import json
import shutil
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import anyio
import pytest

from tests.builders import LATER, TOMORROW, message, phones, still_clock
from tests.conftest import Connect
from webcom_async import Outcome, Recipient, WebcomClient
from webcom_async.emulator import Fault, Gateway, GatewayTransport
from webcom_async.journal import export
from webcom_async.scaleout import CampaignSettings, SqliteStore, Worker

pytestmark = pytest.mark.anyio

STORED = Path(__file__).parent / "campaigns" / "version-4.db"  # by a client in Vladivostok
MOSCOW, VLADIVOSTOK = "Europe/Moscow", "Asia/Vladivostok"
TEXT, SENDER = "Sale!", "ACME"
LOST = Fault(processed=False, close=True)
ONCE = {"attempts": 1, "batch_size": 1, "in_flight": 1}
PEOPLE = [
    Recipient("79612242243"),
    Recipient("79612242244", validity_period=TOMORROW),
    Recipient("79612242245", time_send=LATER),
]
MOMENTS = {"79612242244": (TOMORROW, None), "79612242245": (None, LATER)}


async def interrupted(client: WebcomClient, gateway: Gateway, journal: object, campaign: str = "spring") -> None:
    """Run a campaign in which the first recipient is accepted, and the two with a time get no answer."""
    gateway.faults.script(Fault(), LOST, LOST)
    async with client.stream(PEOPLE, text=TEXT, sender=SENDER, campaign=campaign, journal=journal) as results:
        assert [Outcome.ACCEPTED, Outcome.UNKNOWN, Outcome.UNKNOWN] == [each.outcome async for each in results]


async def store(path: Path) -> None:
    """Write what the stored file holds: a campaign in rows, and one in the log."""
    gateway = Gateway()
    for campaign in ("spring", "summer"):
        async with WebcomClient(
            token=gateway.token, transport=GatewayTransport(gateway), clock=still_clock(), time_zone=VLADIVOSTOK, **ONCE
        ) as client:
            await interrupted(client, gateway, path, campaign)


def sent(gateway: Gateway, zone: str, requests: slice = slice(None)) -> dict[str, tuple[datetime | None, ...]]:
    """Return `validity_period` and `time_send` of each phone in some requests, read as a gateway in *zone* does."""
    bodies = [json.loads(each.body) for each in list(gateway.received)[requests]]
    people = [to for body in bodies for said in body["message"] for to in said["phones"]]
    return {to["phone"]: (_read(to.get("validity_period"), zone), _read(to.get("time_send"), zone)) for to in people}


def _read(text: str | None, zone: str) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


@pytest.fixture(params=["sqlite", "postgres"])
async def journal(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[object]:
    """Return an empty journal, of each kind in turn."""
    if request.param == "sqlite":
        yield tmp_path / "spring.journal"
        return
    from webcom_async.postgres import PostgresStore  # noqa: PLC0415 - an extra

    async with PostgresStore(request.getfixturevalue("postgres"), schema=request.getfixturevalue("schema")) as opened:
        yield opened


async def test_a_client_in_another_zone_sends_the_same_moments(
    connect: Connect, webcom_gateway: Gateway, journal: object
):
    """A journal stores moments: a client in another zone that reconciles writes them as that zone's clock time."""
    async with connect(webcom_gateway, time_zone=MOSCOW, **ONCE) as client:
        await interrupted(client, webcom_gateway, journal)
    async with (
        connect(webcom_gateway, time_zone=VLADIVOSTOK, **ONCE) as client,
        client.reconcile(journal, campaign="spring") as results,
    ):
        assert [Outcome.ACCEPTED] * 2 == [each.outcome async for each in results]

    assert {"79612242243": (None, None)} | MOMENTS == sent(webcom_gateway, MOSCOW, slice(3))
    assert MOMENTS == sent(webcom_gateway, VLADIVOSTOK, slice(3, None))


async def test_a_moment_that_a_zone_cannot_write_leaves_its_recipient_unknown(
    connect: Connect, webcom_gateway: Gateway, tmp_path: Path
):
    """A moment past the calendar's end in the zone is not sent, and its recipient stays unknown."""
    journal, last = tmp_path / "spring.journal", datetime(9999, 12, 31, 23, 59, tzinfo=ZoneInfo(MOSCOW))
    webcom_gateway.faults.script(LOST)
    async with connect(webcom_gateway, time_zone=MOSCOW, **ONCE) as client:
        await client.send_all(
            phones(1), text=TEXT, sender=SENDER, campaign="spring", journal=journal, validity_period=last
        )
    async with (
        connect(webcom_gateway, time_zone=VLADIVOSTOK) as client,
        client.reconcile(journal, campaign="spring") as results,
    ):
        assert [Outcome.UNKNOWN] == [each.outcome async for each in results]

    assert 1 == webcom_gateway.requests


async def test_workers_in_two_zones_send_the_moments_of_one_plan(
    connect: Connect, webcom_gateway: Gateway, tmp_path: Path
):
    """A plan holds moments: whichever worker takes a shard, its recipients get the times that were planned."""
    settings = CampaignSettings(campaign="spring", message=message(TEXT), batch_size=1, shard_size=1)
    async with SqliteStore(tmp_path / "campaigns") as store:
        await store.plan(settings, PEOPLE[1:])
        for shard, zone in ((1, MOSCOW), (2, VLADIVOSTOK)):
            async with connect(webcom_gateway, time_zone=zone) as client:
                await Worker(client, store, zone, clock=still_clock()).run_shard("spring", shard)

    first, second = MOMENTS
    assert {first: MOMENTS[first]} == sent(webcom_gateway, MOSCOW, slice(1))
    assert {second: MOMENTS[second]} == sent(webcom_gateway, VLADIVOSTOK, slice(1, None))


@pytest.mark.parametrize("campaign", ["spring", "summer"])
async def test_a_campaign_of_an_older_file_goes_on(
    connect: Connect, webcom_gateway: Gateway, tmp_path: Path, campaign: str
):
    """Times of an older file, in rows or in the log, are read in the client's zone, and none is refused."""
    path = tmp_path / "older.journal"
    shutil.copy(STORED, path)

    async with connect(webcom_gateway, time_zone=VLADIVOSTOK, **ONCE) as client:
        await client.send_all(phones(2), text=TEXT, sender=SENDER)  # uses up the `id_sms` that the file knows
        async with client.reconcile(path, campaign=campaign) as results:
            assert [Outcome.ACCEPTED] * 2 == [each.outcome async for each in results]
        async with client.stream(PEOPLE, text=TEXT, sender=SENDER, campaign=campaign, journal=path) as results:
            assert [Outcome.ACCEPTED] * 3 == [each.outcome async for each in results]

    assert MOMENTS == sent(webcom_gateway, VLADIVOSTOK, slice(2, None))


@pytest.mark.parametrize(("zone", "hour"), [(ZoneInfo(VLADIVOSTOK), 7), (None, 14)])
def test_an_older_files_times_are_read_in_a_zone(tmp_path: Path, zone: ZoneInfo | None, hour: int):
    """An older file names no zone: each reader gives one, or it is Moscow's, and leaves the file as it is."""
    path = tmp_path / "older.journal"
    shutil.copy(STORED, path)
    moment = TOMORROW.replace(hour=hour).isoformat()

    assert [None, moment, None] == [row["validity_period"] for row in export(path, "spring", zone=zone)]
    utc = TOMORROW.replace(hour=17).isoformat()
    assert [None, utc, None] == [row["validity_period"] for row in export(path, "summer", zone=ZoneInfo("UTC"))]


if __name__ == "__main__":
    anyio.run(store, Path(sys.argv[1]))

"""Storage: what is kept, and how it is written down."""

import socket
import sqlite3
import tracemalloc
from collections.abc import Callable
from contextlib import closing
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builders import message, phones
from webcom_async import (
    ClientIdSms,
    Clock,
    DeliveryReport,
    DeliveryState,
    Outcome,
    Phone,
    Reason,
    SendResult,
    StoreUnavailable,
)
from webcom_async._storage.campaign_rules import header_of
from webcom_async._storage.contracts import CampaignHeader
from webcom_async._storage.memory import Answers, MemoryCampaignJournal
from webcom_async._storage.reservation_rules import changed_settings, repeats_error, with_new_ids
from webcom_async._storage.sqlite.campaign_folder import PlanFile
from webcom_async._storage.sqlite.reports import report_columns, report_of
from webcom_async.events import Observers
from webcom_async.journal import Reservation
from webcom_async.scaleout import CampaignSettings, SqliteStore

if TYPE_CHECKING:
    from webcom_async._storage.postgres.connection import Session
    from webcom_async.postgres import PostgresStore

pytestmark = pytest.mark.anyio


async def test_recipients_without_an_id_sms_are_not_remembered():
    """Rejected recipients are not kept in memory, so a list of closed numbers takes none."""
    journal = MemoryCampaignJournal()
    refused = [
        SendResult(ClientIdSms(str(number)), Phone("79612242243"), Outcome.REJECTED, None, Reason.STOP_LIST)
        for number in range(500)
    ]
    await journal.settle(refused, Reservation([], [], []))
    tracemalloc.start()
    for _ in range(200):
        await journal.settle(list(refused), Reservation([], [], []))
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert grown < 100_000


@given(st.lists(st.lists(st.integers(1, 30).map(str), max_size=5), max_size=8))
def test_answers_are_remembered_as_a_dict_remembers_them(batches: list[list[str]]):
    """The first answer under an `id_sms` counts, and every later batch with that `id_sms` finds it."""
    answers, plain = Answers(), dict[str, SendResult]()
    for number, ids in enumerate(batches):
        assert {id_sms: plain[id_sms] for id_sms in ids if id_sms in plain} == answers.among(ids)
        results = [SendResult(ClientIdSms(str(number)), Phone("79612242243"), Outcome.ACCEPTED, each) for each in ids]
        answers.add(ids, results)
        for id_sms, result in zip(ids, results, strict=True):
            plain.setdefault(id_sms, result)
    assert len(plain) == len(answers)


# ---------------------------------------------------------------------------- reports


@given(
    st.builds(
        DeliveryReport,
        st.integers(1, 10**18).map(str),
        st.sampled_from(DeliveryState),
        st.text(max_size=20),
        st.none() | st.datetimes(timezones=st.just(UTC)).map(lambda moment: moment.replace(microsecond=0)),
        st.none() | st.integers(0, 10**18),
        st.none() | st.decimals(0, 10**15, places=7),
    )
)
def test_whatever_is_stored_can_be_read_again(report: DeliveryReport):
    """Any moment, text, count and price that SQLite can hold comes back as it was."""
    columns = msgspec.json.decode(msgspec.json.encode(report_columns(report)))

    assert msgspec.structs.replace(report, said=columns[2]) == report_of(columns)


# ---------------------------------------------------------------------------- campaigns in a folder


async def test_a_file_that_is_locked_for_too_long_can_be_retried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A locked file is an error that a worker waits out, and not the campaign's fault."""
    monkeypatch.setattr(PlanFile, "patience", 0.0)
    async with SqliteStore(tmp_path) as impatient:
        await impatient.plan(CampaignSettings(campaign="spring", message=message()), phones(3))
        with closing(sqlite3.connect(tmp_path / "campaigns.db", isolation_level=None)) as db:
            db.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreUnavailable, match="it is in use"):
                await impatient.acquire("spring", 1, "one", 60.0)
        assert await impatient.acquire("spring", 1, "one", 60.0) is not None


# ---------------------------------------------------------------------------- PostgreSQL


@pytest.fixture
def opened(postgres: str, schema: str) -> Callable[[], "PostgresStore"]:
    """Return what opens another handle on the same store, as another host has it."""
    from webcom_async.postgres import PostgresStore  # noqa: PLC0415 - an extra

    return lambda: PostgresStore(postgres, schema=schema)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_tables_that_another_host_makes_just_then_are_no_other_programs(
    opened: Callable[[], "PostgresStore"], postgres: str, schema: str
):
    """Tables that another host makes between a host's check and its lock are used as they are."""
    import psycopg  # noqa: PLC0415 - an extra

    from webcom_async._storage.postgres.connection import Link, Session  # noqa: PLC0415 - an extra
    from webcom_async._storage.postgres.migrations import prepare  # noqa: PLC0415 - an extra
    from webcom_async._storage.postgres.server import Server  # noqa: PLC0415 - an extra

    class Overtaken(Session):
        """A session in which something else happens after its first statement."""

        async def fetch(self, text: str, **parameters: object) -> list[tuple[Any, ...]]:
            rows = await super().fetch(text, **parameters)
            if meanwhile:
                await meanwhile.pop()()
            return rows

    server = Server(
        postgres, schema=schema, prepare=prepare, patience=1, connections=1, clock=Clock(), observers=Observers()
    )
    async with opened() as other, await psycopg.AsyncConnection.connect(postgres, autocommit=True) as connection:
        meanwhile = [other.stored_campaigns]
        await connection.execute(f"SET search_path = {schema}")
        await prepare(Overtaken(Link(connection), schema), server)
        assert [] == await other.stored_campaigns()


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_no_plan_is_waited_for_without_end(opened: Callable[[], "PostgresStore"]):
    """By default a wait for a plan ends after 30 seconds, and a silent host's connection is closed as soon."""

    async def bounds(session: "Session") -> list[tuple[Any, ...]]:
        async with session.unhurried_transaction(StoreUnavailable()):
            names = "'lock_timeout', 'tcp_keepalives_idle', 'tcp_keepalives_interval', 'tcp_keepalives_count'"
            return await session.fetch(f"SELECT setting FROM pg_settings WHERE name IN ({names}) ORDER BY name")

    async with opened() as store:
        assert [("30000",), ("3",), ("15",), ("5",)] == await store._server.call(bounds)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_connection_notices_a_host_that_is_gone(postgres: str):
    """The client's kernel ends a connection without answers in half a minute, unless the DSN says otherwise."""
    from webcom_async._storage.postgres.connection import Address  # noqa: PLC0415 - an extra

    tcp = [socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT, socket.TCP_USER_TIMEOUT]
    mark = "&" if "?" in postgres else "?"
    found: list[list[int]] = []
    for dsn in (postgres, f"{postgres}{mark}keepalives_idle=77&tcp_user_timeout=0"):
        link = await Address(dsn).connect()
        with socket.fromfd(link.connection.pgconn.socket, socket.AF_INET, socket.SOCK_STREAM) as twin:
            found.append([twin.getsockopt(socket.IPPROTO_TCP, name) for name in tcp])
        link.close()

    assert [[15, 5, 3, 30_000], [77, 5, 3, 0]] == found


def header(id_bits: int = 63, new_ids: int = 0, fingerprint: str = "said") -> CampaignHeader:
    """Return the settings of a run of a campaign."""
    return CampaignHeader(campaign="spring", id_bits=id_bits, fingerprint=fingerprint, new_ids=new_ids)


@pytest.mark.parametrize(
    ("run", "stored"),
    [
        (header(), header()),
        (header(), header(new_ids=53)),
        (header(id_bits=53), header(new_ids=53)),
        (header(id_bits=53, new_ids=53), header()),
        (header(new_ids=53), header(new_ids=53)),
    ],
)
def test_a_run_goes_on_with_the_width_of_its_ids(run: CampaignHeader, stored: CampaignHeader):
    """A run may ask for new ids once, and need not ask again."""
    assert "" == changed_settings(run, stored)


@pytest.mark.parametrize(
    ("run", "stored", "words"),
    [
        (header(id_bits=31), header(), "started with id_bits=63, not 31; "),
        (header(fingerprint="other"), header(), "started with another message or sender; "),
        (header(new_ids=53), header(new_ids=31), "started with new ids of id_bits=31, not 53; "),
        (
            header(31, 31, "other"),
            header(new_ids=53),
            "started with another message or sender and with new ids of id_b",
        ),
    ],
)
def test_a_run_with_other_settings_says_which(run: CampaignHeader, stored: CampaignHeader, words: str):
    """The words name each setting that differs, as it was and as it is."""
    assert words in changed_settings(run, stored)


@pytest.mark.parametrize(("stored", "run", "kept"), [(0, 0, 0), (0, 53, 53), (53, 0, 53)])
def test_new_ids_stay_once_a_run_has_asked_for_them(stored: int, run: int, kept: int):
    """The first run that asks for new ids decides about their width."""
    assert header(new_ids=kept) == with_new_ids(header(new_ids=run), header(new_ids=stored))


def test_a_campaign_of_workers_has_new_ids_only_if_asked():
    """New ids are as wide as derived ones, and there are none unless a run asks for them."""
    settings = CampaignSettings(campaign="spring", id_bits=53)

    assert [0, 0, 53] == [
        header_of(settings).new_ids,
        header_of(settings, new_ids=False).new_ids,
        header_of(settings, new_ids=True).new_ids,
    ]


@pytest.mark.parametrize(
    ("owners", "known"),
    [
        ({("7", "a"), ("7", "b")}, True),
        ({("7", "a")}, False),
        ({("7", "b")}, False),
        ({("7", "b"), ("7", "c")}, False),
        (set[tuple[str, str]](), False),
    ],
)
def test_a_repeat_is_known_if_its_recipient_and_another_are_stored(owners: set[tuple[str, str]], known: bool):
    """An alarm is old only if the journal has this answer, and another recipient with the same `id_sms`."""
    given = [SendResult(ClientIdSms("a"), Phone("79612242243"), Outcome.ACCEPTED, "7")]
    error = repeats_error(
        {"7": {"a", "b"}}, owners, given=given, results=given, campaign="spring", campaigns={"spring"}
    )

    assert (known, given, ["spring"]) == (error.known, error.results, list(error.campaigns))


def test_statements_are_ascii():
    """A statement, comments included, is in ASCII, because not every database's encoding has other characters."""
    pytest.importorskip("psycopg", reason="PostgreSQL's driver is an extra")
    from webcom_async._storage.postgres import campaign_sql, journal_sql, server  # noqa: PLC0415 - an extra

    texts = [
        text
        for module in (campaign_sql, journal_sql, server)
        for value in vars(module).values()
        for text in _texts(value)
    ]
    assert len(texts) > 50
    assert [] == [text for text in texts if not text.isascii()]


def _texts(value: object) -> list[str]:
    if isinstance(value, tuple):
        return [text for each in value for text in _texts(each)]
    return [value] if isinstance(value, str) else []

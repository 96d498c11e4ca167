"""Names, keys, paths and addresses that are empty, blank, or have white space around them, in every Python call."""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.builders import NOW, phones, recipients, wire_phones
from tests.conftest import Connect
from webcom_async import (
    ConfigurationError,
    Credentials,
    InputError,
    JournalError,
    Message,
    Outcome,
    Reason,
    Recipient,
    WebcomClient,
)
from webcom_async.audience import ColumnNames, StopList
from webcom_async.doctor import Capabilities
from webcom_async.emulator import Gateway, GatewayTransport
from webcom_async.files import ResultsFile, open_table
from webcom_async.journal import CampaignFile, CampaignHeader, fingerprint
from webcom_async.scaleout import SqliteStore, Worker
from webcom_async.webhooks import ReportFile, WebhookApp

pytestmark = pytest.mark.anyio

CODE = {"text": "Code 1234", "sender": "ACME"}
SALE = {"text": "Sale!", "sender": "ACME"}


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in an empty folder, where a file made by mistake is seen."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ({"campaign": ""}, "campaign is empty: give it a value, or leave it out"),
        ({"campaign": " \t"}, "campaign is blank"),
        ({"campaign": 5}, "campaign is 5"),
        ({"campaign": "codes", "key": ""}, "key is empty"),
        ({"campaign": "codes", "key": "\n"}, "key is blank"),
        ({"key": ""}, "give campaign= too"),
        ({"client_id_sms": ""}, "must be decimal digits"),
        ({"client_id_sms": 7, "key": ""}, "not both"),
        ({"campaign": "codes\n"}, "'codes\\\\n' begins or ends with white space.*'codes'"),
        ({"sender": " "}, "sender is empty"),
    ],
)
async def test_a_send_with_an_empty_name_or_key_sends_nothing(
    connect: Connect, webcom_gateway: Gateway, call: dict[str, Any], words: str
):
    """An empty key would give every code to one phone the same id, so that only the first would arrive."""
    async with connect(webcom_gateway) as client:
        with pytest.raises(InputError, match=words):
            await client.send("79612242243", **(CODE | call))

    assert (0, []) == (webcom_gateway.requests, list(webcom_gateway.ledger.sent))


@pytest.mark.parametrize("campaign", ["", " ", "spring ", "\tspring", "spring\r\n"])
async def test_a_campaign_begins_under_no_name_that_could_be_a_slip(
    connect: Connect, webcom_gateway: Gateway, tmp_path: Path, campaign: str
):
    """White space around a name makes another campaign, which would bill every recipient a second time."""
    async with connect(webcom_gateway) as client:
        with pytest.raises(InputError, match="campaign"):
            client.stream(phones(3), campaign=campaign, **SALE)
        with pytest.raises(InputError, match="campaign"):
            await client.send_all(phones(3), campaign=campaign, journal="spring.journal", **SALE)

    assert (0, []) == (webcom_gateway.requests, list(tmp_path.iterdir()))


async def test_a_campaign_of_an_earlier_release_goes_on_under_its_name(
    connect: Connect, webcom_gateway: Gateway, tmp_path: Path
):
    """A name with a line end in a journal belongs to that campaign, which is read and finished under it."""
    journal, name = tmp_path / "spring.journal", "spring\n"
    said = Message(**SALE)
    async with connect(webcom_gateway) as client:
        header = CampaignHeader(campaign=name, id_bits=63, fingerprint=fingerprint(said, "ACME"))
        with CampaignFile(journal, header, now=lambda: NOW) as file:
            file.reserve([(said, wire_phones(1))])
        async with client.reconcile(journal, campaign=name) as results:
            assert [Outcome.ACCEPTED] == [result.outcome async for result in results]
        report = await client.send_all(recipients(2), campaign=name, journal=journal, **SALE)

    assert (2, 1) == (report.accepted, report.from_journal)
    assert [*phones(2)] == [sms.phone for sms in webcom_gateway.ledger.sent]


async def test_a_blank_key_is_a_result_and_costs_the_others_nothing(connect: Connect, webcom_gateway: Gateway):
    """A blank key is unusable, even in a batch that would be addressed as a whole; an empty key is no key."""
    people = [Recipient("79612242243", key=" "), Recipient("79612242244", key="1"), Recipient("79612242245", key="")]
    async with connect(webcom_gateway) as client:
        async with client.stream(people, campaign="spring", **SALE) as results:
            told = {result.phone: (result.outcome, result.reason) async for result in results}

    assert (Outcome.NOT_SENT, Reason.BAD_RECIPIENT) == told["79612242243"]
    assert ["79612242244", "79612242245"] == [sms.phone for sms in webcom_gateway.ledger.sent]


async def test_a_blank_viber_sender_sends_nothing(connect: Connect, webcom_gateway: Gateway):
    """The second channel of a cascade would go out without a sender."""
    async with connect(webcom_gateway) as client:
        with pytest.raises(InputError, match="sender_viber is empty"):
            await client.send("79612242243", message=Message(sender_viber=" ", **CODE))

    assert 0 == webcom_gateway.requests


@pytest.mark.parametrize("blank", ["", " "])
async def test_a_blank_path_is_no_place_for_a_journal(
    connect: Connect, webcom_gateway: Gateway, tmp_path: Path, blank: str
):
    """Nothing is sent, and no file of that name is made."""
    async with connect(webcom_gateway) as client:
        with pytest.raises(JournalError, match="path of the journal is"):
            await client.send_all(phones(3), campaign="spring", journal=blank, **SALE)
        with pytest.raises(JournalError, match="path of the journal is"):
            async with client.reconcile(blank, campaign="spring"):
                pass
        with pytest.raises(JournalError, match="path of the journal is"):
            async with client.track(blank, campaign="spring"):
                pass
        with pytest.raises(JournalError, match="path of the"):
            await ReportFile(blank).latest()
        for call in (client.reconcile, client.track):
            with pytest.raises(InputError, match="campaign is"):
                call("spring.journal", campaign=blank)

    assert (0, []) == (webcom_gateway.requests, list(tmp_path.iterdir()))


@pytest.mark.parametrize("blank", ["", " "])
@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda blank: WebcomClient(token=blank), id="token"),
        pytest.param(lambda blank: WebcomClient(login=blank, password="p"), id="login"),
        pytest.param(lambda blank: WebcomClient(login="me", password=blank), id="password"),
        pytest.param(lambda blank: WebcomClient(token="t", base_url=blank), id="base_url"),
        pytest.param(lambda blank: WebcomClient(token="t", path=blank), id="path"),
        pytest.param(lambda blank: WebcomClient(token="t", time_zone=blank), id="time_zone"),
        pytest.param(lambda blank: WebcomClient(token="t", transport=blank), id="transport"),
        pytest.param(Credentials.from_file, id="credentials"),
        pytest.param(Capabilities.from_file, id="capabilities"),
        pytest.param(SqliteStore, id="store"),
        pytest.param(open_table, id="recipients"),
        pytest.param(StopList.from_file, id="stop list"),
        pytest.param(ResultsFile, id="results"),
        pytest.param(lambda blank: ColumnNames(key=blank), id="column"),
        pytest.param(lambda blank: WebhookApp(ReportFile("reports.db"), secret=blank), id="secret"),
        pytest.param(lambda blank: WebhookApp(ReportFile("r.db"), secret=16 * "s", allowed=[blank]), id="allowed"),
    ],
)
def test_a_blank_value_is_refused_where_it_is_given(tmp_path: Path, make: Callable[[str], object], blank: str):
    """A blank value is not taken for one that was left out, and nothing is made."""
    with pytest.raises((ConfigurationError, InputError)) as refused:
        make(blank)
    assert "No such file" not in str(refused.value)

    assert [] == list(tmp_path.iterdir())


async def test_a_worker_without_a_name_is_refused(connect: Connect, webcom_gateway: Gateway, tmp_path: Path):
    """Two workers with one blank name would take over each other's leases."""
    async with connect(webcom_gateway) as client, SqliteStore(tmp_path / "campaigns") as store:
        with pytest.raises(InputError, match="a worker's name is ' '"):
            Worker(client, store, " ")


@pytest.mark.parametrize("blank", ["", " "])
def test_an_engine_without_a_name_is_refused(tmp_path: Path, blank: str):
    """Left out, the name is random; empty, it is a variable that was not set."""
    pytest.importorskip("dbos", reason="the engine is an extra")
    dbos = importlib.import_module("webcom_async.scaleout.dbos")

    with pytest.raises(InputError, match="the worker's name is"):
        dbos.DbosEngine(SqliteStore(tmp_path), system_database_url=f"sqlite:///{tmp_path}/engine.db", name=blank)


@pytest.mark.parametrize("blank", ["", " "])
def test_an_empty_dsn_is_no_database(blank: str):
    """Libpq would use its defaults, another database than the workers read; `postgresql://` chooses them on purpose."""
    pytest.importorskip("psycopg", reason="PostgreSQL is an extra")
    postgres = importlib.import_module("webcom_async.postgres")

    with pytest.raises(ConfigurationError, match="dsn is"):
        postgres.PostgresStore(blank)
    postgres.PostgresStore("postgresql://")


@pytest.mark.parametrize("blank", ["", " "])
def test_an_empty_address_in_the_environment_is_not_the_real_gateway(blank: str):
    """A variable for an emulator's address that is empty stops the client; an address in code takes precedence."""
    environ = {"WEBCOM_TOKEN": "t", "WEBCOM_BASE_URL": blank}

    with pytest.raises(ConfigurationError, match="WEBCOM_BASE_URL is"):
        WebcomClient.from_env(environ)
    assert "http://127.0.0.1" == WebcomClient.from_env(environ, base_url="http://127.0.0.1").options.base_url


@pytest.mark.parametrize("name", ["\ufeffspring", "spring\u200b", "\u2060spring ", "\u200b"])
async def test_a_name_with_an_invisible_mark_begins_nothing(webcom_gateway: Gateway, name: str):
    """A byte order mark, as Notepad puts before a name in a file, would make another campaign."""
    client = WebcomClient(token=webcom_gateway.token, transport=GatewayTransport(webcom_gateway))

    with pytest.raises(InputError, match=r"white space|blank"):
        client.stream(["79612242243"], text="Sale!", sender="ACME", campaign=name)


@pytest.mark.parametrize("key", ["login\n", " login"])
async def test_a_key_with_white_space_around_it_sends_nothing(connect: Connect, webcom_gateway: Gateway, key: str):
    """It would be another key than the one without, so that the same code would be a second SMS."""
    async with connect(webcom_gateway) as client:
        with pytest.raises(InputError, match="begins or ends with white space"):
            await client.send("79612242243", "Code 1234", sender="ACME", campaign="codes", key=key)

    assert 0 == webcom_gateway.requests


@pytest.mark.parametrize("token", ["secret\n", "sec\rret"])
async def test_a_credential_with_a_line_break_is_refused_by_name(token: str):
    """The gateway would answer that the login is wrong, without the cause."""
    with pytest.raises(ConfigurationError, match="token holds a line break"):
        Credentials(token=token)

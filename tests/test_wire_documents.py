"""
Client and emulator, each tested against the documents in `tests/wire`.

The documents follow the vendor's pages, and `wire/index.json` says what each means. Each side is tested alone against
both, so that a change on one side fails even if the other side changes with it.
"""

import json
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.builders import numbered_gateway, phones, still_clock
from tests.conftest import Connect
from webcom_async import Balance, DeliveryReport, Message, Outcome, Reason, Recipient, WebcomError
from webcom_async.emulator import (
    Account,
    Behaviour,
    DeliveryScenarios,
    Gateway,
    GatewayAnswer,
    Inquiries,
    Received,
    ReceivedMessage,
    Scenario,
    Sms,
    Step,
    Webhooks,
)
from webcom_async.webhooks import acknowledge, parse

pytestmark = pytest.mark.anyio

FOLDER = Path(__file__).with_name("wire")
INDEX: dict[str, dict[str, Any]] = json.loads((FOLDER / "index.json").read_text("utf-8"))
SENDS, SEND_ANSWERS = INDEX["requests to send"], INDEX["answers to them"]
QUESTIONS, STATUS_ANSWERS = INDEX["questions about statuses"], INDEX["answers about statuses"]
BALANCE_QUESTIONS, BALANCE_ANSWERS = INDEX["questions about the balance"], INDEX["answers about the balance"]
WEBHOOKS = INDEX["webhooks"]

MOSCOW = timezone(timedelta(hours=3))
BEFORE = datetime(2001, 12, 1, tzinfo=UTC)  # the times of the documents have yet to come
AFTER = datetime(2021, 5, 1, tzinfo=UTC)


def of(side: str, documents: dict[str, Any]) -> list[str]:
    """Return the names of *documents* that concern this side."""
    return [name for name, meaning in documents.items() if meaning.get("only", side) == side]


def document(name: str | None) -> bytes:
    """Return a document as its file has it; nothing for a request without a body."""
    return b"" if name is None else (FOLDER / f"{name}.json").read_bytes()


def pairs(body: bytes) -> Any:
    """Return *body* with its objects as lists of pairs, so that a comparison includes their order."""
    return json.loads(body, object_pairs_hook=list, parse_float=Decimal)


def gateway(meaning: dict[str, Any], now: datetime = AFTER) -> Gateway:
    """Return the gateway that the index describes."""
    described = meaning["gateway"]
    account = msgspec.convert(described["account"], Account)
    behaviour = msgspec.convert(described["behaviour"], Behaviour)
    return numbered_gateway(account, behaviour=behaviour, now=lambda: now)


class Recorded(Gateway):
    """A gateway that answers every request with one document."""

    def __init__(self, name: str, status: int) -> None:
        super().__init__()
        self._answer = GatewayAnswer(status, {"content-type": "text/json"}, document(name))

    def process(self, request: Received) -> GatewayAnswer:
        """Answer with the document."""
        return self._answer


def test_every_document_is_in_the_index_and_says_what_it_is():
    """Every document is in the index, so that a test reads it."""
    listed = {name: meaning["about"] for part in INDEX.values() for name, meaning in part.items()}
    echoes = {f"{name}-acknowledged" for name in WEBHOOKS}
    refused = {meaning["to"] for meaning in SEND_ANSWERS.values()} - set(SENDS) - {None}

    assert {"send-not-documented"} == refused
    assert {*listed, *echoes, *refused, "index"} == {path.stem for path in FOLDER.iterdir()}
    assert all(listed.values())


# ---------------------------------------------------------------------------- requests to send


def recipient(said: Message, given: dict[str, Any]) -> Recipient:
    """Return a recipient as a caller of the client writes it."""
    times = {key: datetime.fromisoformat(given[key]) for key in ("validity_period", "time_send") if key in given}
    return Recipient(message=said, **(given | times))


@pytest.mark.parametrize("name", of("client", SENDS))
async def test_the_client_writes_the_request(connect: Connect, name: str):
    """A caller's message becomes the document, key by key in its order."""
    meaning = SENDS[name]
    emulated = Recorded("answer-accepted", 200)
    messages = [dict(message) for message in meaning["messages"]]
    to = [(message.pop("recipients"), msgspec.convert(message, Message)) for message in messages]
    options = {"token": None, "clock": still_clock(now=lambda: BEFORE)} | meaning["credentials"]
    async with connect(emulated, **options) as client:
        await client.send_all([recipient(said, given) for recipients, said in to for given in recipients])

    assert pairs(document(name)) == pairs(emulated.received[0].body)


def meant(message: ReceivedMessage) -> dict[str, Any]:
    """Return what the emulator has read, as the index writes it: with moments, and without missing fields."""
    read = {key: value for key, value in msgspec.structs.asdict(message).items() if value not in ("", None)}
    return read | {"phones": [msgspec.structs.asdict(phone) for phone in message.phones]}


def expected(message: dict[str, Any]) -> dict[str, Any]:
    """Return the same for a message of the index."""
    said = {key: value for key, value in message.items() if key != "recipients" and value != ""}
    nothing = {"phone": "", "client_id_sms": None, "validity_period": "", "time_send": None, "number_sms": None}
    return said | {"phones": [nothing | moscow_times(given) for given in message["recipients"]]}


def moscow_times(given: dict[str, Any]) -> dict[str, Any]:
    """Return a recipient of the index with its moments as the wire has them."""
    shapes = {"validity_period": "%Y-%m-%d %H:%M:%S", "time_send": "%Y-%m-%d %H:%M"}
    return given | {
        key: datetime.fromisoformat(given[key]).astimezone(MOSCOW).strftime(shape)
        for key, shape in shapes.items()
        if key in given
    }


@pytest.mark.parametrize("name", SENDS)
def test_the_emulator_reads_the_request(name: str):
    """The emulator reads every message and recipient of the document, with every field."""
    request = Received("POST", "/json", {}, document(name))

    assert [expected(message) for message in SENDS[name]["messages"]] == [meant(said) for said in request.messages]


@pytest.mark.parametrize("name", SENDS)
def test_the_emulator_checks_the_credentials_of_the_request(name: str):
    """The emulator serves an account with the document's credentials, and no other."""
    credentials = SENDS[name]["credentials"]
    others = {key: f"another {value}" for key, value in credentials.items()}
    request = Received("POST", "/json", {}, document(name))

    assert b"information" in Gateway(Account(**credentials)).process(request).body
    assert {"error": "Incorrect login or password"} == json.loads(Gateway(Account(**others)).process(request).body)


# ---------------------------------------------------------------------------- answers to them


@pytest.mark.parametrize("name", of("client", SEND_ANSWERS))
async def test_the_client_reads_the_answer(connect: Connect, name: str):
    """The client reads one result per recipient, with its id, or its reason and the gateway's words, or an error."""
    meaning = SEND_ANSWERS[name]
    count = len(meaning["results"])
    to = [Recipient(phone, 101 + number) for number, phone in enumerate(list(phones(3)) * count)][:count]
    results, raised = [], None
    async with connect(Recorded(name, meaning["status"]), attempts=1) as client:
        try:
            async with client.stream(to, text="message text 1", sender="sender 1") as stream:
                async for result in stream:
                    results.append(result)
        except WebcomError as exc:
            raised = type(exc).__name__
    nothing = {"id_sms": None, "reason": "none", "error": ""}

    assert meaning.get("raises") == raised
    assert [nothing | one for one in meaning["results"]] == [
        {"outcome": it.outcome.value, "id_sms": it.id_sms, "reason": it.reason.value, "error": it.error}
        for it in sorted(results, key=lambda it: int(it.client_id_sms))
    ]


@pytest.mark.parametrize("name", of("emulator", SEND_ANSWERS))
def test_the_emulator_writes_the_answer(name: str):
    """A gateway in the state that the index describes answers the request with the document."""
    meaning = SEND_ANSWERS[name]
    emulated = gateway(meaning)
    request = Received("POST", "/json", {}, document(meaning["to"]))
    *_, answer = [emulated.process(request) for _ in range(meaning.get("times", 1))]

    assert (meaning["status"], pairs(document(name))) == (answer.status, pairs(answer.body))


def test_the_documents_have_every_outcome_and_every_sentence():
    """The documents have all twenty sentences of the page in two languages, and every outcome."""
    results = [result for meaning in SEND_ANSWERS.values() for result in meaning["results"]]
    sentences = {(result["reason"], result["error"]) for result in results if "error" in result}
    siblings = {Reason.HELD_FOR_FUNDS.value, Reason.ALREADY_SENT.value}

    assert {outcome.value for outcome in Outcome} == {result["outcome"] for result in results}
    assert 2 * 20 == len({sentence for reason, sentence in sentences if reason not in siblings})


# ---------------------------------------------------------------------------- statuses


class Known(DeliveryScenarios):
    """Scenarios by id, as the index lists them."""

    def __init__(self, ledger: list[dict[str, Any]]) -> None:
        super().__init__()
        self._states = {entry["id_sms"]: entry["state"] for entry in ledger}

    def of(self, sms: Sms) -> Scenario:
        """Return the state of *sms*, from the moment on in which it was accepted; `send` has none."""
        state = self._states[sms.id_sms]
        return Scenario() if state == "send" else Scenario((Step(0.0, state),))


def with_ledger(emulated: Gateway, ledger: list[dict[str, Any]]) -> Gateway:
    """Let *emulated* have sent what *ledger* lists."""
    emulated.scenarios = Known(ledger)
    emulated.ledger.sent += [
        Sms(
            entry["id_sms"],
            emulated.accounts[0].login,
            "101",
            "sms",
            "ACME",
            "Sale!",
            "79612242243",
            "",
            sent_at=BEFORE if entry["changed_at"] is None else datetime.fromisoformat(entry["changed_at"]),
        )
        for entry in ledger
    ]
    return emulated


def report(meaning: dict[str, Any]) -> DeliveryReport:
    """Return a report of the index as the client returns it."""
    return msgspec.convert(meaning, DeliveryReport)


def plain(told: DeliveryReport) -> DeliveryReport:
    """Return *told* without the type of its id on the wire."""
    return msgspec.structs.replace(told, numeric_id=False)


@pytest.mark.parametrize("name", of("client", QUESTIONS))
async def test_the_client_writes_the_question(connect: Connect, name: str):
    """The client writes an array of objects, or for one id the bare object where the gateway does not read arrays."""
    meaning = QUESTIONS[name]
    behaviour = Behaviour(inquiries=Inquiries(array=meaning["array"]))
    emulated = Gateway(Account(**meaning["credentials"]), behaviour=behaviour)
    async with connect(emulated) as client:
        _ = [told async for told in client.statuses(meaning["ids"])]

    assert pairs(document(name)) in [pairs(request.body) for request in emulated.received]


@pytest.mark.parametrize("name", of("client", STATUS_ANSWERS))
async def test_the_client_reads_the_statuses(connect: Connect, name: str):
    """The client reads a report per id, with state, moment, parts and price, or an error with the reason."""
    meaning = STATUS_ANSWERS[name]
    reports, raised = [], None
    async with connect(Recorded(name, meaning["status"]), attempts=1) as client:
        try:
            reports = [plain(told) async for told in client.statuses(QUESTIONS[meaning["to"]]["ids"])]
        except WebcomError as exc:
            raised = type(exc).__name__

    assert meaning.get("raises") == raised
    assert [report(one) for one in meaning.get("reports", ())] == sorted(reports, key=lambda told: told.id_sms)


@pytest.mark.parametrize("name", of("emulator", STATUS_ANSWERS))
def test_the_emulator_reads_the_question_and_writes_the_statuses(name: str):
    """A gateway with the ledger of the index answers the question with the document."""
    meaning = STATUS_ANSWERS[name]
    emulated = with_ledger(gateway(meaning), meaning["ledger"])
    answer = emulated.process(Received("POST", "/json/state.php", {}, document(meaning["to"])))

    assert (meaning["status"], pairs(document(name))) == (answer.status, pairs(answer.body))


@pytest.mark.parametrize("name", [name for name, asked in QUESTIONS.items() if len(asked["ids"]) == 1])
def test_a_question_with_detail_differs_from_one_without(name: str):
    """The emulator answers with parts and price only if the document asks for them."""
    ledger = [{"id_sms": "82216", "state": "deliver", "changed_at": "2021-04-26T12:15:03Z"}]
    emulated = with_ledger(Gateway(Account(token="token"), now=lambda: AFTER), ledger)
    [entry] = json.loads(emulated.process(Received("POST", "/json/state.php", {}, document(name))).body)

    assert (QUESTIONS[name]["detail"] == 1) is ("price" in entry)


# ---------------------------------------------------------------------------- the balance


@pytest.mark.parametrize("name", BALANCE_QUESTIONS)
async def test_the_client_asks_for_the_balance(connect: Connect, name: str):
    """The question about the balance holds the credentials and nothing else."""
    emulated = Recorded("balances-limited", 200)
    async with connect(emulated, **({"token": None} | BALANCE_QUESTIONS[name]["credentials"])) as client:
        await client.balance()

    assert pairs(document(name)) == pairs(emulated.received[0].body)


@pytest.mark.parametrize("name", BALANCE_ANSWERS)
async def test_the_client_reads_the_balance(connect: Connect, name: str):
    """The client reads the sum to its last digit, and each direction."""
    meaning = {key: BALANCE_ANSWERS[name][key] for key in ("money", "currency", "directions")}
    async with connect(Recorded(name, 200)) as client:
        assert msgspec.convert(meaning, Balance) == await client.balance()


@pytest.mark.parametrize("name", of("emulator", BALANCE_ANSWERS))
@pytest.mark.parametrize("question", BALANCE_QUESTIONS)
def test_the_emulator_writes_the_balance(question: str, name: str):
    """The emulator reads either kind of credentials, and answers with the document."""
    emulated = gateway(BALANCE_ANSWERS[name])
    emulated.accounts[0].login, emulated.accounts[0].password = "login", "password"
    answer = emulated.process(Received("POST", "/json/balance.php", {}, document(question)))

    assert (200, pairs(document(name))) == (answer.status, pairs(answer.body))


# ---------------------------------------------------------------------------- webhooks


@pytest.mark.parametrize("name", WEBHOOKS)
def test_the_client_reads_the_webhook_and_writes_the_acknowledgement(name: str):
    """Each report is read, and its id goes back in the type that it came in."""
    reports = parse(document(name))

    assert [report(one) for one in WEBHOOKS[name]["reports"]] == reports
    assert pairs(document(f"{name}-acknowledged")) == pairs(acknowledge(reports))


@pytest.mark.parametrize("name", of("emulator", WEBHOOKS))
def test_the_emulator_writes_the_webhook_and_reads_the_acknowledgement(name: str):
    """The reports of the index make the document, and the document's acknowledgement settles them."""
    ledger = WEBHOOKS[name]["reports"]
    webhooks = Webhooks(lambda: AFTER, Known(ledger))
    webhooks.enabled, webhooks.numeric_ids = True, WEBHOOKS[name]["numeric_ids"]
    for sms in with_ledger(Gateway(), ledger).ledger.sent:
        webhooks.sent(sms)
    [call] = webhooks.calls()
    webhooks.answered(call, document(f"{name}-acknowledged"))

    assert pairs(document(name)) == pairs(call.body)
    assert (0, 0) == (len(webhooks), webhooks.abandoned)

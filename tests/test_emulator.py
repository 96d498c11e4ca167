"""The emulated gateway without a wire: a request goes in, an answer comes out, and the ledger keeps the SMS."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builders import message, numbered_gateway, phones, send_request, wire_phones
from tests.conftest import Connect
from tests.vendor_sentences import SENTENCES
from webcom_async import Message, Outcome, Reason, SendResult, WebcomClient
from webcom_async.emulator import Account, Behaviour, Fault, Gateway, Language, Received

TOKEN = {"token": "emulator-token"}
PHONE = "79612242243"


def said(*to: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Return one `message` to *to*, or to one recipient without an id."""
    return {"type_send_1": "sms", "sender": "ACME", "text": "Sale!", "phones": list(to) or [{"phone": PHONE}]} | changes


def to(count: int, first_id: int = 101) -> list[dict[str, Any]]:
    """Return *count* recipients with ids."""
    return [{"phone": phone, "client_id_sms": str(first_id + number)} for number, phone in enumerate(phones(count))]


def post(gateway: Gateway, *messages: dict[str, Any], path: str = "/json", **credentials: Any) -> tuple[int, Any]:
    """Return status and document of an answer to *messages*."""
    body = json.dumps((credentials or TOKEN) | {"message": list(messages)}).encode()
    answer = gateway.process(Received("POST", path, {}, body))
    return answer.status, json.loads(answer.body) if answer.body[:1] == b"{" else answer.body


def entries(gateway: Gateway, *messages: dict[str, Any], **credentials: Any) -> list[dict[str, Any]]:
    """Return the entries of an answer to *messages*."""
    return post(gateway, *messages, **credentials)[1]["information"]


def ids(gateway: Gateway, *recipients: dict[str, Any], **credentials: Any) -> list[str | None]:
    """Return the `id_sms` of each recipient; None if it was refused."""
    return [entry.get("id_sms") for entry in entries(gateway, said(*recipients), **credentials)]


# ---------------------------------------------------------------------------- the documented way


def test_the_vendors_example_is_accepted():
    """Three recipients in two messages get three entries in order, and the ledger has what was sent."""
    gateway = Gateway(Account(login="login", password="password"))
    one, two, three = wire_phones(3)
    addressed = [(message(), [one, two]), (message("message text 2", " sender 2"), [three])]
    body = send_request(addressed, login="login", password="password").body
    answer = gateway.process(Received("POST", "/json", {}, body))

    assert (200, "text/json; charset=utf-8") == (answer.status, answer.headers["content-type"])
    assert [{"state": "send", "id_sms": sms.id_sms} for sms in gateway.ledger.sent] == json.loads(answer.body)[
        "information"
    ]
    assert [
        ("79612242243", "101", "sender 1", "message text 1", "sms", "login"),
        ("79612242244", "102", "sender 1", "message text 1", "sms", "login"),
        ("79612242245", "103", " sender 2", "message text 2", "sms", "login"),
    ] == [(it.phone, it.client_id_sms, it.sender, it.text, it.channel, it.account) for it in gateway.ledger.sent]


def test_the_ledger_keeps_what_a_recipient_asked_for():
    """The ledger has channel and validity period as they were received."""
    gateway = Gateway()
    post(gateway, said({"phone": PHONE, "validity_period": "2030-01-01 15:00:00"}, type_send_1="viber"))

    [sms] = gateway.ledger.to(PHONE)
    assert ("viber", "2030-01-01 15:00:00", "") == (sms.channel, sms.validity_period, sms.client_id_sms)


@pytest.mark.parametrize("path", ["/json", "/json/"])
def test_messages_are_posted_to_the_documented_path(path: str):
    """With and without the slash at the end."""
    assert 200 == post(Gateway(), said(), path=path)[0]


@pytest.mark.parametrize("path", ["/", "/JSON", "/json/send.php", "/json//", "/xml/", ""])
def test_any_other_path_is_not_found(path: str):
    """Another path is answered as a web server does, with a page, not with JSON."""
    gateway = Gateway()

    assert (404, b"<h1>Not Found</h1>") == post(gateway, said(), path=path)
    assert 0 == len(gateway.ledger)


def test_the_ledger_can_be_asked_for():
    """A client in another process reads the counts that a test reads from the object."""
    gateway = Gateway()
    post(gateway, said(*to(2)))
    post(gateway, said(*to(2)), said({"phone": PHONE}))
    gateway.arrive(Received("GET", "/emulator/ledger", {}, b""))

    assert (200, {"sent": 3, "billed_twice": 1, "repeats": 2, "requests": 1}) == post(gateway, path="/emulator/ledger")


# ---------------------------------------------------------------------------- accounts


@pytest.mark.parametrize(
    "credentials",
    [
        {"token": "emulator-token"},
        {"login": "emulator-login", "password": "emulator-password"},
        {"token": "emulator-token", "login": "emulator-login", "password": "emulator-password"},
    ],
)
def test_an_account_is_known_by_token_or_pair(credentials: dict[str, str]):
    """A token or a pair is enough, and both together, as in the vendor's example, are accepted."""
    assert [str] == [type(id_sms) for id_sms in ids(Gateway(), {"phone": PHONE}, **credentials)]


@pytest.mark.parametrize(
    "credentials",
    [
        {"token": "wrong"},
        {"token": ""},
        {"login": "emulator-login"},
        {"login": "emulator-login", "password": ""},
        {"login": "emulator-login", "password": "other-password"},
        {"password": "emulator-password"},
        {"other": "field"},
    ],
)
def test_anyone_else_is_refused_before_anything_is_sent(credentials: dict[str, str]):
    """Wrong, empty, half or missing credentials, and a pair from two accounts, are refused."""
    gateway = Gateway(Account(), Account(token="other", login="other-login", password="other-password"))

    assert (200, {"error": "Incorrect login or password"}) == post(gateway, said(), **credentials)
    assert 0 == len(gateway.ledger)


def test_every_account_keeps_its_own_ids():
    """An id is remembered per account: the same number from another account is another message."""
    gateway = Gateway(Account(), Account(token="second", login="two"))
    [first], [second] = ids(gateway, *to(1)), ids(gateway, *to(1), token="second")

    assert first != second
    assert ([first], [second]) == (ids(gateway, *to(1)), ids(gateway, *to(1), token="second"))
    assert [("emulator-login", "101"), ("two", "101")] == [(it.account, it.client_id_sms) for it in gateway.ledger.sent]


def test_the_first_accounts_token_is_the_gateways():
    """A test needs one word to connect."""
    assert "mine" == Gateway(Account(token="mine"), Account()).token


def test_a_balance_runs_out_in_the_middle_of_a_request():
    """Each message costs one; recipients after the balance is spent are refused, and topping up helps."""
    gateway = Gateway(Account(balance=2))
    refused = entries(gateway, said(*to(3)))

    assert [None, None, "Out of SMS"] == [entry.get("error") for entry in refused]
    assert (0, 2) == (gateway.accounts[0].balance, len(gateway.ledger))
    gateway.accounts[0].balance = 1
    assert [entry["id_sms"] for entry in refused[:2]] == ids(gateway, *to(3))[:2]
    assert (0, 3) == (gateway.accounts[0].balance, len(gateway.ledger))


# ---------------------------------------------------------------------------- refusals

REQUEST_REFUSALS: dict[Reason, tuple[Account, bytes]] = {
    Reason.BAD_DOCUMENT: (Account(), b"{"),
    Reason.ACCOUNT_LOCKED: (Account(locked=True), b'{"token":"emulator-token"}'),
    Reason.BAD_LOGIN: (Account(), b'{"token":"wrong"}'),
    Reason.NO_POST_DATA: (Account(), b""),
}
RECIPIENT_REFUSALS: dict[Reason, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    # reason: what is special about the account, the behaviour and the message
    Reason.PROVIDER_OUT_OF_SMS: ({}, {"out_of_service": True}, {}),
    Reason.OUT_OF_SMS: ({"balance": 0}, {}, {}),
    Reason.ACCOUNT_BLOCKED: ({"blocked": True}, {}, {}),
    Reason.NO_PHONE: ({}, {}, {"phones": [{"client_id_sms": "101"}]}),
    Reason.STOP_LIST: ({"stop_list": {PHONE}}, {}, {}),
    Reason.DESTINATION_CLOSED_FOR_YOU: ({"closed": ("44", "796")}, {}, {}),
    Reason.DESTINATION_CLOSED: ({}, {"closed": ("44", "796")}, {}),
    Reason.TEXT_REJECTED: ({}, {"rejected_words": ("casino",)}, {"text": "a casino near you"}),
    Reason.NO_SENDER: ({}, {}, {"sender": ""}),
    Reason.SENDER_TOO_LONG: ({}, {}, {"sender": "Twelve chars"}),
    Reason.PHONE_TOO_LONG: ({}, {}, {"phones": [{"phone": "1" * 15}]}),
    Reason.NO_TEXT: ({}, {}, {"text": ""}),
    Reason.NO_LINK: ({}, {}, {"type": "wappush"}),
    Reason.NO_CONTACT: ({}, {}, {"type": "vcard"}),
    Reason.UNKNOWN_SENDER: ({"senders": {"OTHER"}}, {}, {}),
    Reason.SENDER_NOT_MODERATED: ({"unmoderated": {"ACME"}}, {}, {}),
}
TONGUES = [(language, dot) for language in Language for dot in (False, True)]


def sentence(reason: Reason, language: Language, *, dot: bool) -> str:
    """Return the gateway's sentence for *reason*."""
    [(english, russian)] = [sentences for documented, *sentences in SENTENCES if documented is reason]
    return (english if language is Language.ENGLISH else russian) + "." * dot


def test_every_documented_sentence_can_be_met():
    """The emulator can answer with all sentences of the manual: four for requests and sixteen for recipients."""
    assert (4, 16) == (len(REQUEST_REFUSALS), len(RECIPIENT_REFUSALS))
    assert {reason for reason, *_ in SENTENCES} == {*REQUEST_REFUSALS, *RECIPIENT_REFUSALS}


@pytest.mark.parametrize(("language", "dot"), TONGUES)
@pytest.mark.parametrize("reason", REQUEST_REFUSALS)
def test_a_request_is_refused_in_the_manuals_words(reason: Reason, language: Language, dot: bool):
    """The sentence is in English or Russian, with or without the final dot, and nothing is sent."""
    account, body = REQUEST_REFUSALS[reason]
    gateway = Gateway(account, behaviour=Behaviour(language=language, final_dot=dot, error_status=400))
    answer = gateway.process(Received("POST", "/json", {}, body))
    document = json.loads(answer.body)

    assert (400, {"error": sentence(reason, language, dot=dot)}) == (answer.status, document)
    assert 0 == len(gateway.ledger)


@pytest.mark.parametrize(("language", "dot"), TONGUES)
@pytest.mark.parametrize("reason", RECIPIENT_REFUSALS)
def test_a_recipient_is_refused_in_the_manuals_words(reason: Reason, language: Language, dot: bool):
    """The entry has the error alone; nothing is sent and nothing is charged."""
    account, behaviour, changes = RECIPIENT_REFUSALS[reason]
    gateway = Gateway(
        Account(**account), behaviour=Behaviour(language=language, final_dot=dot, refusal_status=400, **behaviour)
    )
    status, document = post(gateway, said(**changes))

    assert (400, {"information": [{"error": sentence(reason, language, dot=dot)}]}) == (status, document)
    assert (0, account.get("balance")) == (len(gateway.ledger), gateway.accounts[0].balance)


@pytest.mark.parametrize(
    ("account", "behaviour", "changes"),
    [
        ({"balance": 1}, {}, {}),
        (
            {"stop_list": {"79612242244"}, "closed": ("7962", "44")},
            {"closed": ("1",), "rejected_words": ("casino",)},
            {},
        ),
        ({"senders": {"ACME"}, "unmoderated": {"OTHER"}}, {}, {}),
        ({}, {}, {"sender": "Eleven char"}),
        ({}, {}, {"sender": "123456789012345"}),
        ({}, {}, {"phones": [{"phone": "1" * 14}]}),
        ({}, {}, {"phones": [{"phone": int(PHONE)}]}),
        ({}, {}, {"type": "wappush", "url": "https://acme.example"}),
        ({}, {}, {"type": "vcard", "name": "ACME"}),
    ],
)
def test_what_just_fits_is_sent(account: dict[str, Any], behaviour: dict[str, Any], changes: dict[str, Any]):
    """A request at a limit is sent; only one beyond it is refused."""
    gateway = numbered_gateway(Account(**account), behaviour=Behaviour(**behaviour))

    assert [{"state": "send", "id_sms": "1000001"}] == entries(gateway, said(**changes))
    assert 1 == len(gateway.ledger)


def test_a_refused_recipient_does_not_stop_the_others():
    """Entries are in the order of recipients, across messages."""
    gateway = Gateway(Account(stop_list={"79612242244"}))
    answered = entries(gateway, said(*to(3)), said(sender=""), said(*to(1, first_id=201)))

    assert [None, "Phone number is on the stop list", None, "No sender", None] == [it.get("error") for it in answered]
    assert ["101", "103", "201"] == [sms.client_id_sms for sms in gateway.ledger.sent]


@pytest.mark.parametrize(
    "body", [b"null", b"[]", b"\xff", b"[" * 100_000, b'{"message":{}}', b'{"message":[5]}', b"a=b"]
)
def test_what_is_no_document_is_refused_as_one(body: bytes):
    """A body that is not the documented JSON is answered in the manual's words."""
    answer = Gateway().process(Received("POST", "/json", {}, body))

    assert {"error": "Incorrect JSON document format"} == json.loads(answer.body)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["message", "phones", "phone", "client_id_sms", "sender", "text"]), inner)
    ),
    max_leaves=10,
)


@given(st.binary(max_size=40) | json_values.map(lambda value: json.dumps(TOKEN | {"message": value}).encode()))
def test_the_emulator_answers_everything(body: bytes):
    """Any body gets a document with entries or an error, and the emulator itself never fails."""
    answer = Gateway().process(Received("POST", "/json", {}, body))

    assert 200 == answer.status
    assert {"information"} == set(json.loads(answer.body)) or json.loads(answer.body)["error"]


@pytest.mark.parametrize("client_id", ['"' + "9" * 5000 + '"', "9" * 400, '"0"', '"-1"', '"order-7"', '"٧"', "0"])
def test_the_emulator_remembers_any_id(client_id: str):
    """Ids that our client refuses to send are answered and remembered too, because another client may send them."""
    gateway = Gateway(behaviour=Behaviour(echo_client_ids=True))
    body = (
        '{"token":"emulator-token","message":[{"sender":"A","text":"B","phones":[{"phone":"1","client_id_sms":%s}]}]}'
    )
    answers = [gateway.process(Received("POST", "/json", {}, (body % client_id).encode())) for _ in range(2)]

    assert answers[0].body == answers[1].body
    assert (1, 1) == (len(gateway.ledger), gateway.ledger.repeats)


# ---------------------------------------------------------------------------- ids are remembered


def test_a_used_id_is_answered_with_the_first_id_sms():
    """A repeated id sends nothing, costs nothing, and is answered as at first."""
    gateway = Gateway(Account(balance=10))
    first, again = ids(gateway, *to(3)), ids(gateway, *to(3))

    assert first == again
    assert (3, 3, 7) == (len(gateway.ledger), gateway.ledger.repeats, gateway.accounts[0].balance)
    assert {} == gateway.ledger.billed_twice()


def test_a_used_id_swallows_another_message():
    """The id alone decides: another phone, text or sender under it is not sent."""
    gateway = Gateway()
    [first] = ids(gateway, *to(1))
    [again] = entries(gateway, said({"phone": "79990000000", "client_id_sms": "101"}, text="Other", sender="OTHER"))

    assert first == again["id_sms"]
    assert [] == gateway.ledger.to("79990000000")


def test_ids_are_numbers():
    """An id may be text or a number, with or without leading zeros, because the field is an Int."""
    gateway = numbered_gateway()
    forms = [{"phone": PHONE, "client_id_sms": form} for form in ("7", 7, "007")]

    assert ["1000001"] * 3 == ids(gateway, *forms)
    assert 1 == len(gateway.ledger)


@pytest.mark.parametrize("absent", [{}, {"client_id_sms": None}, {"client_id_sms": ""}])
def test_without_an_id_everything_is_sent_again(absent: dict[str, Any]):
    """A message without an id is sent each time, and the ledger shows who was billed twice."""
    gateway = Gateway()
    for _ in range(3):
        post(gateway, said({"phone": PHONE} | absent), said(*to(1)))

    assert (4, {PHONE: 4}) == (len(gateway.ledger), gateway.ledger.billed_twice())
    assert gateway.ledger.sent == gateway.ledger.to(PHONE)


def test_a_used_id_is_answered_even_when_the_account_is_out_of_sms():
    """A used id is answered before the balance is checked, because the first SMS was paid for."""
    gateway = Gateway(Account(balance=1))
    first = ids(gateway, *to(2))

    assert None is first[1]
    assert first == ids(gateway, *to(2))


# ---------------------------------------------------------------------------- what the vendor leaves open


@pytest.mark.parametrize("field", ["error_status", "refusal_status"])
def test_the_status_of_a_refusal_is_an_option(field: str):
    """Refused requests and refused recipients each have a configurable status; accepted ones have 200."""
    gateway = Gateway(Account(stop_list={PHONE}), behaviour=Behaviour(**{field: 422}))
    statuses = {
        "error_status": post(gateway, said(), token="wrong")[0],
        "refusal_status": post(gateway, said(*to(2)))[0],
        "accepted": post(gateway, said({"phone": "79612242244"}))[0],
    }

    assert {"error_status": 200, "refusal_status": 200, "accepted": 200} | {field: 422} == statuses


@pytest.mark.parametrize(("numeric", "id_sms"), [(False, "1000001"), (True, 1000001)])
def test_ids_are_quoted_or_numbers(numeric: bool, id_sms: object):
    """`id_sms` is quoted or a number, in repeated answers too; the ledger keeps text."""
    gateway = numbered_gateway(behaviour=Behaviour(numeric_ids=numeric))

    assert [id_sms] == ids(gateway, *to(1)) == ids(gateway, *to(1))
    assert {"101": "1000001"} == gateway.ledger.ids()


@pytest.mark.parametrize("given_id", ["101", 101])
def test_entries_can_name_their_recipient(given_id: object):
    """With `echo_client_ids`, every entry carries the id as it was given, for refused and repeated ids too."""
    gateway = Gateway(Account(stop_list={"79612242244"}), behaviour=Behaviour(echo_client_ids=True))
    recipients = [{"phone": PHONE, "client_id_sms": given_id}, {"phone": "79612242244", "client_id_sms": "102"}]

    for _ in range(2):
        assert [given_id, "102"] == [entry["client_id_sms"] for entry in entries(gateway, said(*recipients))]
    assert "client_id_sms" not in entries(Gateway(), said(*recipients))[0]


def test_entries_can_come_in_reverse():
    """The order of answers is not documented; in reverse, it is reversed over all messages."""
    gateway = numbered_gateway(behaviour=Behaviour(reverse=True))

    assert ["1000003", "1000002", "1000001"] == [
        entry["id_sms"] for entry in entries(gateway, said(*to(2)), said(*to(1, first_id=201)))
    ]


@pytest.mark.parametrize(("bits", "sent"), [(64, 2), (63, 2), (53, 2), (32, 1), (31, 1)])
def test_ids_can_be_cut_to_fewer_bits(bits: int, sent: int):
    """A gateway that keeps fewer bits takes two ids for one, and the second recipient gets no SMS."""
    gateway = Gateway(behaviour=Behaviour(id_bits=bits))
    answered = ids(gateway, {"phone": "1", "client_id_sms": "5"}, {"phone": "2", "client_id_sms": str(2**40 + 5)})

    assert (sent, sent) == (len(set(answered)), len(gateway.ledger))


@pytest.mark.parametrize(
    ("uses_up", "after"),
    [(False, {"state": "send", "id_sms": "1000001"}), (True, {"error": "Данное сообщение уже было отправлено"})],
)
def test_a_refused_id_may_be_used_up(uses_up: bool, after: dict[str, str]):
    """The manual does not say whether a refusal uses its id up; by default it does not."""
    gateway = numbered_gateway(Account(balance=0), behaviour=Behaviour(refused_uses_up_id=uses_up))
    refused = entries(gateway, said(*to(1)))
    gateway.accounts[0].balance = 1

    assert [{"error": "Out of SMS"}] == refused
    assert [after] == entries(gateway, said(*to(1)))


def test_the_path_without_a_slash_can_redirect():
    """A web server may redirect a directory's path to the one with a slash, which answers."""
    gateway = Gateway(behaviour=Behaviour(redirect=True))
    answer = gateway.process(Received("POST", "/json", {}, b"{}"))

    assert (301, {"location": "/json/"}, b"") == (answer.status, answer.headers, answer.body)
    assert 200 == post(gateway, said(), path="/json/")[0]
    assert 1 == len(gateway.ledger)


@pytest.mark.parametrize(("count", "status", "sent"), [(3, 200, 3), (4, 413, 0)])
def test_a_request_can_be_too_large(count: int, status: int, sent: int):
    """`max_recipients` counts over all messages; a request with one more is refused with a page, and sends nothing."""
    gateway = Gateway(behaviour=Behaviour(max_recipients=3))
    recipients = to(count)

    assert status == post(gateway, said(*recipients[:2]), said(*recipients[2:]))[0]
    assert sent == len(gateway.ledger)


def test_more_requests_than_a_second_takes_are_sent_away():
    """`requests_per_second` holds for any stretch of a second; a refused request sends nothing and does not count."""
    seconds = iter([0.0, 0.5, 0.9, 0.99, 1.0, 1.1, 1.5])
    gateway = Gateway(behaviour=Behaviour(requests_per_second=2), now=lambda: datetime(2026, 1, 1, tzinfo=UTC) + moment)
    statuses: list[int] = []
    for second in seconds:
        moment = timedelta(seconds=second)
        statuses.append(post(gateway, said())[0])

    assert [200, 200, 429, 429, 200, 429, 200] == statuses
    assert 4 == len(gateway.ledger)


@pytest.mark.anyio
async def test_more_requests_at_once_than_the_gateway_serves_are_sent_away(connect: Connect):
    """With `requests_at_once`, a request beyond that is answered 503 at once; it sends nothing, and does not count."""
    gateway, served = Gateway(behaviour=Behaviour(requests_at_once=2)), anyio.Event()
    gateway.faults.script(*[Fault(until=served)] * 2)
    results: list[SendResult] = []

    async def send(client: WebcomClient, number: int) -> None:
        results.append(await client.send(PHONE, "Code", sender="ACME", client_id_sms=101 + number))

    async with connect(gateway, attempts=1) as client, anyio.create_task_group() as tasks:
        for number in range(4):
            tasks.start_soon(send, client, number)
        await anyio.wait_all_tasks_blocked()
        refused = [result.outcome for result in results]
        served.set()
        await anyio.wait_all_tasks_blocked()
        await send(client, 4)

    assert [Outcome.UNKNOWN] * 2 == refused
    assert 3 == len(gateway.ledger)


def test_options_default_to_the_manual():
    """The defaults are the documented ones: English, no dot, 200, text ids, order of recipients."""
    gateway = numbered_gateway(Account(stop_list={"79612242244"}))

    assert (
        200,
        {
            "information": [
                {"state": "send", "id_sms": "1000001"},
                {"error": "Phone number is on the stop list"},
                {"state": "send", "id_sms": "1000002"},
            ]
        },
    ) == post(gateway, said(*to(3)))


@pytest.mark.anyio
async def test_a_wap_push_of_ours_has_its_link(connect: Connect):
    """The emulator reads the message that the client writes for the manual's XML example."""
    gateway = Gateway()
    async with connect(gateway) as client:
        result = await client.send(PHONE, message=Message(sender="ACME", text="Sale!", url="https://acme.example"))

    assert Outcome.ACCEPTED is result.outcome


# ---------------------------------------------------------------------------- what arrives, and faults


def test_every_arrival_is_noted():
    """The latest thousand requests are kept for tests, and all of them are counted."""
    gateway = Gateway()
    for number in range(1_005):
        gateway.arrive(Received("POST", f"/{number}", {}, b""))

    assert (1_005, 1_000) == (gateway.requests, len(gateway.received))
    assert ("/5", "/1004") == (gateway.received[0].path, gateway.received[-1].path)


def test_scripted_faults_come_in_order_and_once():
    """Each request meets one scripted fault; `Fault()` lets one pass, and after the script no fault is left."""
    faults = Gateway().faults
    faults.script(Fault(close=True), Fault())
    faults.script(Fault(status=503))

    assert [Fault(close=True), Fault(), Fault(status=503), Fault(), Fault()] == [faults.draw() for _ in range(5)]


@pytest.mark.parametrize(("probability", "least", "most"), [(0.0, 0, 0), (0.3, 200, 400), (1.0, 1_000, 1_000)])
def test_faults_by_chance_are_as_frequent_as_asked(probability: float, least: int, most: int):
    """Of a thousand requests about the given share meet the fault, and the seed makes them the same each time."""
    struck = [_struck(7, probability) for _ in range(2)]

    assert least <= sum(struck[0]) <= most
    assert struck[0] == struck[1]
    assert (struck[0] != _struck(8, probability)) is (0.0 < probability < 1.0)


def _struck(seed: int, probability: float) -> list[bool]:
    faults = Gateway(seed=seed).faults
    faults.sometimes(probability, Fault(close=True))
    return [faults.draw().close for _ in range(1_000)]


def test_scripted_faults_come_before_chance():
    """Scripted faults take precedence over faults by chance; of several chances the first that strikes counts."""
    faults = Gateway().faults
    faults.sometimes(0.0, Fault(status=500))
    faults.sometimes(1.0, Fault(status=502))
    faults.sometimes(1.0, Fault(status=504))
    faults.script(Fault(close=True))

    assert [Fault(close=True), Fault(status=502)] == [faults.draw(), faults.draw()]


def test_an_emulator_that_starts_again_gives_no_number_twice():
    """Each emulator numbers its SMS from a value of its own, so that a journal takes none for an earlier one's."""
    people = [{"phone": phone} for phone in phones(100)]
    numbers = [ids(Gateway(), *people) for _ in range(3)]

    assert 300 == len({number for some in numbers for number in some})


def test_an_emulator_numbers_from_a_given_id():
    """A test that expects numbers gives the first one."""
    assert ["77", "78"] == ids(Gateway(first_id_sms=77), {"phone": PHONE}, {"phone": PHONE})

"""The gateway's JSON, both ways."""

import json
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builders import LATER, NOW, accepted, message, wire_phones
from tests.unit.builders import FORMAT, request_of
from webcom_async import (
    Channel,
    ClientIdSms,
    Credentials,
    DeliveryReport,
    DeliveryState,
    Knowledge,
    Message,
    MessageType,
    Options,
    Outcome,
    Phone,
    Reason,
    Reply,
    ReplyError,
    Request,
    SendResult,
    VcardAddress,
    VcardPhone,
    WebhookRefused,
)
from webcom_async._wire.base import CONTENT_TYPE, RefusedRequest
from webcom_async._wire.json_api.delivery import (
    BalanceCall,
    StatusCall,
    decode_balance,
    decode_reports,
    decode_statuses,
    encode_acknowledgement,
)
from webcom_async._wire.json_api.send import (
    JsonFormat,
    all_taken,
    decode_entries,
    decode_send,
    wire_minute,
    wire_second,
)
from webcom_async.emulator import Received
from webcom_async.journal import OutboundRecipient

# The example of the vendor's page, key by key, for an account with login and password.
VENDOR_EXAMPLE = """
{
    "login": "login",
    "password": "password",
    "message": [
        {
            "type_send_1":"sms",
            "sender":"sender 1",
            "text":"message text 1",
            "phones":[
                {"phone":"79612242243", "client_id_sms":"101", "validity_period":"2001-12-31 15:34:54"},
                {"phone":"79612242244", "client_id_sms":"102", "validity_period":"2001-12-31 15:34:54"}
            ]
        },
        {
            "type_send_1":"sms",
            "sender":" sender 2",
            "text":"message text 2",
            "phones":[
                {"phone":"79612242245", "client_id_sms":"103", "validity_period":"2001-12-31 15:34:54"}
            ]
        }
    ]
}
"""
MOSCOW = ZoneInfo("Europe/Moscow")
THEN = datetime(2001, 12, 31, 15, 34, 54, tzinfo=UTC)
texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip)


def pairs(document: str | bytes) -> Any:
    """Return *document* with its objects as lists of pairs, so that a comparison includes their order."""
    return json.loads(document, object_pairs_hook=list)


def answer(*entries: object, **others: object) -> bytes:
    """Return an answer with *entries* and *others*."""
    return json.dumps({"information": list(entries)} | others).encode()


def sent(id_sms: object = "1001", **others: object) -> dict[str, object]:
    """Return an entry that accepts."""
    return {"state": "send", "id_sms": id_sms} | others


def only(*entries: object) -> SendResult:
    """Return the result of an answer for one recipient."""
    [result] = decode_send(answer(*entries), wire_phones(1), 1).results
    return result


# ---------------------------------------------------------------------------- requests


def test_the_body_is_the_vendors_example():
    """Two messages to three recipients: the page's keys in the page's order, every value in quotes."""
    phones = [msgspec.structs.replace(phone, validity_period=THEN) for phone in wire_phones(3)]
    messages = FORMAT.encode([(message(), phones[:2]), (message("message text 2", " sender 2"), phones[2:])])
    body = request_of(messages, login="login", password="password").body

    assert pairs(VENDOR_EXAMPLE) == pairs(body)


def test_a_token_goes_alone():
    """With a token the body has neither login nor password, not even an empty one."""
    body = request_of(FORMAT.encode([(message(), wire_phones(1))]), token="token").body

    assert ["token", "message"] == [key for key, _ in pairs(body)]
    assert "token" == json.loads(body)["token"]


def test_what_is_left_out_is_absent():
    """A message and a recipient with nothing extra have the documented keys only: no null, no empty string."""
    assert (
        '[{"type_send_1":"sms","sender":"sender 1","text":"message text 1",'
        '"phones":[{"phone":"79612242243","client_id_sms":"101"}]}]'
    ) == FORMAT.encode([(message(), wire_phones(1))]).decode()


def test_every_field_goes_under_the_vendors_name():
    """The fields of the XML page go between text and recipients, under their own names."""
    card = {"phone": VcardPhone(cell="79612242243"), "address": VcardAddress(city="Moscow")}
    full = Message(type_send_2=Channel.SMS, type=MessageType.VCARD, sender="ACME", text="Sale!", name="ACME", **card)
    phone = OutboundRecipient(Phone("79612242243"), ClientIdSms("101"), time_send=NOW, number_sms=7)

    assert (
        '[{"type_send_1":"sms","sender":"ACME","text":"Sale!","type_send_2":"sms","type":"vcard","name":"ACME",'
        '"phone":{"cell":"79612242243"},"address":{"city":"Moscow"},'
        '"phones":[{"phone":"79612242243","client_id_sms":"101","time_send":"2030-01-01 12:00","number_sms":7}]}]'
    ) == FORMAT.encode([(full, [phone])]).decode()


@pytest.mark.parametrize(
    "text", ["Скидка!", '"quoted" \\ /', "two\nlines\ttab", "🎁", "two\u2028lines", "\x7f", "<b>&amp;"]
)
def test_a_text_arrives_as_it_was_written(text: str):
    """The gateway reads every character of a text as it was written."""
    body = b'{"message":' + FORMAT.encode([(message(text), wire_phones(1))]) + b"}"

    assert text == json.loads(body.decode("utf-8"))["message"][0]["text"]
    assert text == Received("POST", "/json", {}, body).messages[0].text


def test_the_content_type_is_the_vendors():
    """The content type is `text/json`, as the vendor's pages have it, and not `application/json`."""
    assert "text/json; charset=utf-8" == CONTENT_TYPE


def test_a_request_hides_its_credentials():
    """A request's repr, also in rich, shows method, host, path and sizes, and neither query, header values nor body."""
    request = request_of(b"[]", login="me", password="hunter2")
    query = Request("GET", "https://lk.mysmpp.ru:8443/get?token=hunter2", {"cookie": "hunter2"}, b"")

    assert b'{"login":"me","password":"hunter2","message":[]}' == request.body
    assert "<Request: POST 127.0.0.1/json, 1 headers, 48 bytes>" == repr(request)
    assert "<Request: GET lk.mysmpp.ru:8443/get, 1 headers, 0 bytes>" == repr(query)
    assert "hunter2" not in f"{request.__rich_repr__()}{query.__rich_repr__()}"


def test_a_reply_hides_what_it_may_repeat():
    """A reply's repr, also in rich, shows sizes only, as a server may repeat the request."""
    reply = Reply(200, {"location": "/?token=hunter2"}, b"hunter2")

    assert "<Reply: 200, 1 headers, 7 bytes>" == repr(reply)
    assert [("status", 200), ("headers", 1), ("bytes", 7)] == reply.__rich_repr__()


@pytest.mark.parametrize(
    ("moment", "zone", "second", "minute"),
    [
        (datetime(2030, 1, 1, 12, 30, 54, tzinfo=UTC), MOSCOW, "2030-01-01 15:30:54", "2030-01-01 15:30"),
        (datetime(2030, 7, 1, 12, 30, 54, tzinfo=UTC), MOSCOW, "2030-07-01 15:30:54", "2030-07-01 15:30"),
        (datetime(2030, 1, 1, 15, 30, 54, tzinfo=MOSCOW), MOSCOW, "2030-01-01 15:30:54", "2030-01-01 15:30"),
        (datetime(2029, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC), MOSCOW, "2030-01-01 02:59:59", "2030-01-01 02:59"),
        (datetime(2030, 7, 1, 12, 30, tzinfo=ZoneInfo("Europe/Berlin")), MOSCOW, "2030-07-01 13:30:00", None),
        (datetime(2030, 1, 1, 12, 30, tzinfo=ZoneInfo("Europe/Berlin")), MOSCOW, "2030-01-01 14:30:00", None),
        (datetime(2030, 1, 1, tzinfo=timezone(timedelta(hours=-9, minutes=-30))), UTC, "2030-01-01 09:30:00", None),
        (datetime(2030, 1, 1, tzinfo=UTC), ZoneInfo("Asia/Vladivostok"), "2030-01-01 10:00:00", "2030-01-01 10:00"),
    ],
)
def test_times_are_written_in_the_gateways_zone(moment: datetime, zone: Any, second: str, minute: str | None):
    """A moment in any zone is written in the gateway's, to the second or to the minute."""
    assert second == wire_second(moment, zone)
    assert (minute or second[:16]) == wire_minute(moment, zone)


phone_strategy = st.builds(
    OutboundRecipient,
    st.from_regex(r"[1-9][0-9]{7,14}", fullmatch=True),
    st.integers(1, 2**63 - 1).map(str),
    st.none() | st.just(LATER),
    st.none() | st.just(datetime(2030, 1, 1, 15, 0, 59, tzinfo=UTC)),
    st.none() | st.integers(-(2**63), 2**63 - 1),
)
message_strategy = st.builds(
    Message,
    sender=st.just("ACME"),
    text=texts,
    type=st.none() | st.sampled_from(MessageType),
    text_viber=st.none() | texts,
    phone=st.none() | st.builds(VcardPhone, cell=st.none() | texts),
)


@given(st.lists(st.tuples(message_strategy, st.lists(phone_strategy, min_size=1, max_size=4)), min_size=1, max_size=4))
def test_sizes_predict_the_bytes(addressed: list[tuple[Message, list[OutboundRecipient]]]):
    """Sizes of messages and recipients add up to the array's, with its brackets and without the last commas."""
    sizes = sum(FORMAT.size_of(said) + sum(map(FORMAT.size_of_recipient, to)) for said, to in addressed)

    # Two brackets, less the array's last comma, less the last comma of each `phones`.
    assert sizes + 2 - 1 - len(addressed) == len(FORMAT.encode(addressed))


times = st.none() | st.integers(0, 2**32).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))


@given(message_strategy, st.lists(st.tuples(texts, st.integers(1, 3)), min_size=1, max_size=4), times, times)
def test_the_quick_way_to_write_alike_recipients_is_the_plain_one(
    template: Message, said: list[tuple[str, int]], validity_period: datetime | None, time_send: datetime | None
):
    """The fast path writes recipients that share message and moments in the same bytes as the plain one."""
    times = {"validity_period": validity_period, "time_send": time_send}
    groups = [
        (
            msgspec.structs.replace(template, text=text),
            [msgspec.structs.replace(to, **times) for to in wire_phones(count)],
        )
        for text, count in said
    ]
    json_format = JsonFormat(MOSCOW)

    assert json_format.encode(groups) == json_format.encode_alike(groups, template, validity_period, time_send)


@given(st.lists(st.tuples(message_strategy, st.lists(phone_strategy, max_size=4)), max_size=4))
def test_the_gateway_reads_what_the_client_writes(addressed: list[tuple[Message, list[OutboundRecipient]]]):
    """The gateway decodes the same messages and recipients that the client encoded."""
    body = request_of(FORMAT.encode(addressed)).body
    read = [
        (said.text, said.sender, [(p.phone, p.client_id_sms) for p in said.phones])
        for said in Received("POST", "/json", {}, body).messages
    ]

    assert [
        (said.text, said.sender, [(p.phone, p.client_id_sms) for p in phones]) for said, phones in addressed
    ] == read


# ---------------------------------------------------------------------------- answers


def test_answers_are_paired_by_position():
    """Entries that name no recipient are paired by position."""
    results = decode_send(accepted(1001, 1002, 1003), wire_phones(3), 2).results

    assert [
        ("101", "79612242243", Outcome.ACCEPTED, "1001"),
        ("102", "79612242244", Outcome.ACCEPTED, "1002"),
        ("103", "79612242245", Outcome.ACCEPTED, "1003"),
    ] == [(result.client_id_sms, result.phone, result.outcome, result.id_sms) for result in results]
    assert {(Reason.NONE, "", 2)} == {(result.reason, result.error, result.attempts) for result in results}


@pytest.mark.parametrize("id_sms", ["1001", 1001, "9223372036854775807", 2**63 - 1, 2**64, "a1-b2"])
def test_an_id_may_be_text_or_number(id_sms: str | int):
    """An id is kept as text, digit by digit, whether it comes as text or number."""
    assert str(id_sms) == only(sent(id_sms)).id_sms


@pytest.mark.parametrize("state", ["send", "Send", "SEND"])
@pytest.mark.parametrize("error", [{}, {"error": ""}, {"error": None}])
def test_an_accepted_entry_may_have_an_empty_error(state: str, error: dict[str, object]):
    """An accepted entry may have an empty error or none, as the manual documents neither."""
    result = only({"state": state, "id_sms": "1001"} | error)

    assert (Outcome.ACCEPTED, "1001", Reason.NONE, "") == (result.outcome, result.id_sms, result.reason, result.error)


@pytest.mark.parametrize(
    "others", [{}, {"state": ""}, {"state": "error"}, {"state": "send"}, {"id_sms": "0"}, {"id_sms": 0}]
)
def test_an_entry_with_an_error_and_no_id_is_refused(others: dict[str, object]):
    """An entry with an error and without an id is a refusal, with our reason and the gateway's words."""
    result = only({"error": "Phone number is on the stop list"} | others)

    assert (Outcome.REJECTED, None) == (result.outcome, result.id_sms)
    assert (Reason.STOP_LIST, "Phone number is on the stop list") == (result.reason, result.error)


@pytest.mark.parametrize(
    ("error", "id_sms", "outcome", "reason"),
    [
        ("Внутренняя ошибка", None, Outcome.REJECTED, Reason.OTHER),
        ("No sender", None, Outcome.REJECTED, Reason.NO_SENDER),
        ("Out of SMS", None, Outcome.NOT_SENT, Reason.OUT_OF_SMS),
        ("У нас закончились SMS.", None, Outcome.NOT_SENT, Reason.PROVIDER_OUT_OF_SMS),
        ("Account blocked", None, Outcome.NOT_SENT, Reason.ACCOUNT_BLOCKED),
        ("Incorrect login or password", None, Outcome.NOT_SENT, Reason.BAD_LOGIN),
        ("Недостаточно средств для отправки SMS", "1001", Outcome.ACCEPTED, Reason.HELD_FOR_FUNDS),
        ("Недостаточно средств для отправки SMS", None, Outcome.UNKNOWN, Reason.HELD_FOR_FUNDS),
        ("Данное сообщение уже было отправлено.", "1001", Outcome.ACCEPTED, Reason.ALREADY_SENT),
        ("Данное сообщение уже было отправлено.", None, Outcome.UNKNOWN, Reason.ALREADY_SENT),
        ("Out of SMS", "1001", Outcome.UNKNOWN, Reason.OUT_OF_SMS),
        ("Внутренняя ошибка", "1001", Outcome.UNKNOWN, Reason.OTHER),
    ],
)
def test_an_outcome_claims_no_more_than_the_entry_says(
    error: str, id_sms: str | None, outcome: Outcome, reason: Reason
):
    """Words about the account mean not sent, words about an SMS are no refusal, and a contradiction is unknown."""
    result = only({"error": error, "id_sms": id_sms})

    assert (outcome, reason, id_sms, error) == (result.outcome, result.reason, result.id_sms, result.error)


def test_an_accepted_entry_keeps_the_gateways_remark():
    """An entry with state and id is accepted, and the gateway's remark beside them is passed on."""
    result = only(sent(error="Недостаточно средств для отправки SMS."))

    assert (Outcome.ACCEPTED, Reason.HELD_FOR_FUNDS) == (result.outcome, result.reason)
    assert "Недостаточно средств для отправки SMS." == result.error


@pytest.mark.parametrize(
    "entry",
    [
        {},
        {"state": "send"},
        {"state": "send", "id_sms": None},
        {"state": "send", "id_sms": ""},
        {"state": "send", "id_sms": "0"},
        {"state": "send", "id_sms": 0},
        {"id_sms": "1001"},
        {"state": "", "id_sms": "1001"},
        {"state": "deliver", "id_sms": "1001"},
        {"state": "send", "id_sms": "not sent"},
        {"error": ""},
    ],
)
def test_an_entry_that_says_neither_yes_nor_no_settles_no_recipient(entry: dict[str, object]):
    """An entry with half of `send` and id, or neither, leaves the whole batch possibly sent, good entries too."""
    with pytest.raises(ReplyError, match="neither accepted nor refused"):
        decode_send(answer(sent("1001"), entry), wire_phones(2), 1)


@pytest.mark.parametrize("count", [0, 1, 2, 4, 100])
def test_a_differing_count_settles_no_recipient(count: int):
    """Fewer or more entries than recipients are an error of the whole batch."""
    with pytest.raises(ReplyError, match=f"{count} answers for 3 recipients"):
        decode_send(accepted(*range(1001, 1001 + count)), wire_phones(3), 1)


@pytest.mark.parametrize("form", [str, int])
def test_entries_that_name_their_recipient_are_paired_by_name(form: type):
    """Entries with `client_id_sms` are paired by it, in any order, whether ids are text or numbers."""
    entries = [sent(900 + number, client_id_sms=form(number)) for number in (103, 101, 102)]
    results = decode_send(answer(*entries), wire_phones(3), 1).results

    assert [("101", "1001"), ("102", "1002"), ("103", "1003")] == [
        (result.client_id_sms, result.id_sms) for result in results
    ]


@pytest.mark.parametrize(
    "names",
    [("102", "103"), ("101", "101"), ("101", None), (None, "101"), ("", ""), ("0101", "0102")],
    ids=["foreign", "twice", "first only", "last only", "empty", "zeros"],
)
def test_names_that_do_not_fit_the_recipients_settle_no_recipient(names: tuple[str | None, str | None]):
    """With a foreign, repeated, missing or malformed name no entry is paired, not even by position."""
    entries = [sent(1001 + number, client_id_sms=name) for number, name in enumerate(names)]

    with pytest.raises(ReplyError):
        decode_send(answer(*entries), wire_phones(2), 1)


@pytest.mark.parametrize("error", ["Out of SMS", "Неправильный логин или пароль.", "anything", " "])
@pytest.mark.parametrize("others", [{}, {"information": None}, {"code": 5}])
def test_an_error_for_everything_refuses_the_request(error: str, others: dict[str, object]):
    """One error instead of entries refuses the request, and is kept word for word."""
    with pytest.raises(RefusedRequest) as refused:
        decode_send(json.dumps({"error": error} | others).encode(), wire_phones(2), 1)

    assert error == refused.value.error == str(refused.value)


@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("around", [b"%s", b" \r\n%s\n"])
def test_a_byte_order_mark_does_not_matter(bom: bytes, around: bytes):
    """A BOM and blanks around the JSON, as PHP files produce them, are ignored."""
    [result] = decode_send(bom + around % accepted(1001), wire_phones(1), 1).results

    assert "1001" == result.id_sms


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"\xef\xbb\xbf",
        b"null",
        b"true",
        b"5",
        b'"send"',
        b"[]",
        b"[{}]",
        b"{}",
        b'{"error":null}',
        b'{"error":""}',
        b'{"error":5}',
        b'{"error":{"text":"Out of SMS"}}',
        b'{"information":null}',
        b'{"information":{}}',
        b'{"information":{"state":"send","id_sms":"1001"}}',
        b'{"information":"send"}',
        b'{"information":[null]}',
        b'{"information":["send"]}',
        b'{"information":[[]]}',
        b'{"information":[{"state":"send","id_sms":1.5}]}',
        b'{"information":[{"state":"send","id_sms":true}]}',
        b'{"information":[{"state":"send","id_sms":["1001"]}]}',
        b'{"information":[{"state":1,"id_sms":"1001"}]}',
        b'{"information":[{"state":"send","id_sms":' + b"9" * 5000 + b"}]}",
        b'{"information":[{"state":"send","id_sms":1e999}]}',
        b'{"information":[{"state":"send","id_sms":"1001"}]',
        b'{"information":[{"state":"send","id_sms":"1001"}]}}',
        b'{"information":[{"state":"send","id_sms":"1001"}]} {"information":[]}',
        b'Warning: Undefined index\n{"information":[{"state":"send","id_sms":"1001"}]}',
        b"<html><body>502 Bad Gateway</body></html>",
        b'{"error":"\xff\xfe"}',
        b'{"error":"\\ud800"}',
        '{"error":"Нет"}'.encode("cp1251"),
        '{"information":[]}'.encode("utf-16"),
        b'{"x":' + b"[" * 100_000,
        b"\x00" * 100,
    ],
    ids=lambda body: repr(body[:60]),
)
def test_an_answer_that_cannot_be_read_is_a_reply_error(body: bytes):
    """HTML, nothing, null, a list, broken UTF-8, absurd nesting and numbers are one kind of error: possibly sent."""
    with pytest.raises(ReplyError) as unreadable:
        decode_send(body, wire_phones(1), 1)

    assert Knowledge.POSSIBLY_SENT is unreadable.value.knowledge


DOCUMENTED = [
    answer(sent("1001"), sent(1002), {"error": "Out of SMS"}),
    answer(*(sent(1000 + number, client_id_sms=str(number)) for number in (103, 101, 102))),
    json.dumps({"error": "Данное направление закрыто."}, ensure_ascii=False).encode(),
    b'\xef\xbb\xbf{"information": []}',
]


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """Return a documented answer with bytes changed, lost, doubled or inserted."""
    body = bytearray(draw(st.sampled_from(DOCUMENTED)))
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(body)))
        end = draw(st.integers(start, min(len(body), start + 20)))
        piece = draw(
            st.sampled_from([b"", bytes(body[start:end]) * 2, b"null", b'"', b"}", b"\xff", b"0"])
            | st.binary(max_size=3)
        )
        body[start:end] = piece
    return bytes(body)


@given(st.one_of(damaged(), st.binary(), st.text().map(str.encode)), st.integers(0, 4))
def test_every_answer_settles_all_recipients_once_or_none(body: bytes, count: int):
    """Every answer becomes exactly one result per recipient, in order, or an error that settles none."""
    recipients = wire_phones(count)
    try:
        results = decode_send(body, recipients, 1).results
    except (RefusedRequest, ReplyError) as exc:
        words = str(exc)
        assert words
    else:
        assert [phone.client_id_sms for phone in recipients] == [result.client_id_sms for result in results]
        assert all(result.id_sms for result in results if result.outcome is Outcome.ACCEPTED)


plain_yes = st.lists(st.integers(1, 9), max_size=4).map(lambda ids: accepted(*ids))


@given(st.one_of(damaged(), plain_yes), st.integers(1, 4))
def test_the_quick_way_to_read_a_plain_yes_is_the_plain_one(body: bytes, count: int):
    """An answer that is read as a whole has the results that it has entry by entry."""
    taken = all_taken(body, wire_phones(count), 2)

    if taken is not None:
        assert taken.all_accepted
        assert taken.results == decode_entries(body, wire_phones(count), 2).results


entry_values = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["send", "101", 102])
)
odd_entries = st.dictionaries(st.sampled_from(["state", "id_sms", "error", "client_id_sms", "phone"]), entry_values)


@given(st.lists(odd_entries, min_size=1, max_size=4), st.integers(1, 4))
def test_every_odd_entry_settles_all_recipients_once_or_none(entries: list[dict[str, object]], count: int):
    """Valid JSON with any values in its fields becomes one result per recipient, or an error that settles none."""
    try:
        results = decode_send(answer(*entries), wire_phones(count), 1).results
    except ReplyError:
        return

    assert len(entries) == len(results) == count
    for result in results:
        if result.outcome is Outcome.ACCEPTED:
            assert result.id_sms not in (None, "", "0")
        else:
            assert result.error


# ---------------------------------------------------------------------------- delivery


MOSCOW = ZoneInfo("Europe/Moscow")


TOKEN = Credentials(token="secret-token")


VENDORS_ANSWER = (
    b'[{"id_sms": 82216, "time_change_state": "2021-04-26 15:15:03", "state": "deliver", "num_parts": 1,'
    b' "price": 10.6000000}]'
)


VENDORS_PUSH = (
    b'[{"id_sms": "3234", "time": "2011-01-01 12:57:46", "state": "deliver"}, {"id_sms":3235,"time":"","state":"send"}]'
)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


ENTRIES = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "id_sms": st.integers(1, 2**63) | st.text(max_size=80) | JSON,
            "state": st.sampled_from([state.value for state in DeliveryState]) | JSON,
            "time": st.sampled_from(["", "2021-04-26 15:15:03", "0000-00-00 00:00:00", "9999-12-31 23:59:59"]) | JSON,
            "time_change_state": JSON,
            "num_parts": st.integers() | st.text() | JSON,
            "price": st.floats() | st.text() | JSON,
            "error": JSON,
        },
    ),
    max_size=6,
)


def statuses(body: bytes, *asked: str) -> list[DeliveryReport]:
    """Return what *body* says of the ids that were asked for."""
    return list(decode_statuses(body, asked, MOSCOW).values())


def pushed(body: bytes, max_reports: int = 100) -> list[DeliveryReport]:
    """Return the reports of a webhook's body."""
    return decode_reports(body, MOSCOW, max_reports)


def test_a_question_is_the_vendors_array_or_a_bare_object():
    """Ids go out as numbers, each with credentials and `detail`; a single one also without the array."""
    one = {"token": "secret-token", "id_sms": 82216, "detail": 1}
    odd = one | {"id_sms": "0x7"}

    assert [one, odd] == json.loads(StatusCall(["82216", "0x7"], MOSCOW, True).request(TOKEN, Options()).body)
    assert one == json.loads(StatusCall(["82216"], MOSCOW, False).request(TOKEN, Options()).body)
    assert {"token": "secret-token"} == json.loads(BalanceCall().request(TOKEN, Options()).body)


def test_a_question_shows_no_credentials():
    """A question's repr, as tracebacks print it, shows a size and no credentials."""
    assert "secret" not in repr(StatusCall(["1"], MOSCOW, True).request(TOKEN, Options()))


def test_the_vendors_answer_is_understood():
    """A report has state, time in the gateway's zone, parts, and the exact price of one part."""
    [report] = statuses(VENDORS_ANSWER, "82216")

    assert DeliveryState.DELIVER is report.state
    assert datetime(2021, 4, 26, 12, 15, 3, tzinfo=UTC) == report.changed_at
    assert (1, Decimal("10.6000000"), Decimal("10.6000000")) == (report.num_parts, report.price, report.cost)
    assert report.final


@pytest.mark.parametrize(
    ("state", "final"),
    [
        ("send", False),
        ("not_deliver", True),
        ("expired", True),
        ("deliver", True),
        ("read", True),
        ("partly_deliver", True),
        (" Deliver ", True),
        ("link", False),
        ("Сообщение с таким ID не принималось", False),
    ],
)
def test_an_undocumented_state_is_never_final(state: str, final: bool):
    """A state that is not in the manual is kept as it came, and is never terminal."""
    body = json.dumps([{"id_sms": "1", "time_change_state": "", "state": state}]).encode()
    [report] = statuses(body, "1")

    assert final is report.final
    assert (state.strip(), None) == (report.said, report.changed_at)
    assert final or report.state in (DeliveryState.SEND, DeliveryState.UNKNOWN)


@pytest.mark.parametrize(
    "body",
    [
        b'[{"id_sms":"7","state":"deliver"}]',
        b'[{"id_sms":7,"state":"deliver"}]',
        b'{"id_sms":7,"state":"deliver"}',
        b'\xef\xbb\xbf{"id_sms":7,"state":"deliver"}',
        b'[{"state":"deliver"}]',
        b'{"state":"deliver"}',
        b'[null,{"id_sms":7,"state":"deliver"}]',
        b'[{"id_sms":7,"state":["?"]},{"id_sms":7,"state":"deliver"}]',
        b'[{"id_sms":7,"state":"deliver","time_change_state":"0000-00-00 00:00:00","price":"","num_parts":null}]',
    ],
)
def test_an_answer_may_be_written_in_many_ways(body: bytes):
    """A report is the same with its id as text, number or left out, bare or in an array, and beside odd entries."""
    [report] = statuses(body, "7")

    assert ("7", DeliveryState.DELIVER, None, None) == (report.id_sms, report.state, report.price, report.changed_at)


@pytest.mark.parametrize("time", ["1735689600", "1.5", "true", "null", '"1735689600"', '"1712010112345"', "[1]", "{}"])
@pytest.mark.parametrize("state", ["7", "1.5", "true", '"7"', "null", "[1]"])
def test_an_answer_with_odd_fields_is_kept_as_far_as_it_is_known(time: str, state: str):
    """A state of another type is unknown, in the gateway's words, and a time of another type is no time."""
    body = f'[{{"id_sms":7,"state":{state},"time_change_state":{time},"num_parts":2,"price":"1.5"}},{{"id_sms":8}}]'
    reports = statuses(body.encode(), "7", "8")

    assert ["7", "8"] == [report.id_sms for report in reports]
    assert (DeliveryState.UNKNOWN, None, Decimal("3.0")) == (reports[0].state, reports[0].changed_at, reports[0].cost)
    assert ("" if state == "null" else state.strip('"')) == reports[0].said


def test_what_an_odd_entry_says_is_kept():
    """Beside a field of another type, a sound time and an error are kept, and so are bytes that are not UTF-8."""
    odd = b'{"id_sms":7,"num_parts":1,"time":5,"time_change_state":"2024-04-02 10:00:00","error":"odd"}'
    broken = b'{"id_sms":8,"state":["\xff"]}'
    first, second = statuses(b"[" + odd + b"," + broken + b"]", "7", "8")

    assert first.changed_at is not None
    assert ("odd", '["\ufffd"]') == (first.said, second.said)


@pytest.mark.parametrize("price", ["10.6", '"10.6"', '"10,6"', '" 10.60 "'])
def test_a_price_is_a_number_or_a_text(price: str):
    """A price may have a point or a comma, quoted or not."""
    [report] = statuses(f'[{{"id_sms":7,"state":"deliver","num_parts":"2","price":{price}}}]'.encode(), "7")

    assert Decimal("21.2") == report.cost


def test_a_sentence_instead_of_a_state_is_kept_and_bounded():
    """The gateway's words about an unknown id are kept, up to 500 characters."""
    [report] = statuses(json.dumps({"id_sms": 7, "error": "x" * 10_000}).encode(), "7")

    assert (DeliveryState.UNKNOWN, "x" * 500) == (report.state, report.said)


def test_only_requested_ids_are_reported():
    """An answer about other ids, or about fewer, is an error."""
    body = b'[{"id_sms":7,"state":"deliver"},{"id_sms":8,"state":"deliver"},{"state":"deliver"}]'

    assert ["8"] == [report.id_sms for report in statuses(body, "8", "9")]


@pytest.mark.parametrize("body", [b'{"error":"POST data is missing"}', b'[{"error":"POST data is missing"}]'])
def test_an_error_refuses_the_request(body: bytes):
    """An error without an id, alone or in an array, refuses the whole request."""
    with pytest.raises(RefusedRequest, match="POST data"):
        statuses(body, "7")


@pytest.mark.parametrize("body", [b"", b"null", b"{}", b"<html>", b'"x"', b"[" * 100_000, b"7", b'{"id_sms":'])
def test_an_undocumented_answer_is_an_error(body: bytes):
    """Anything but the documented JSON is an error."""
    with pytest.raises(ReplyError):
        statuses(body, "7")


def test_the_vendors_push_is_understood_and_echoed():
    """Every id is acknowledged in the type that it came in."""
    reports = pushed(VENDORS_PUSH)

    assert [DeliveryState.DELIVER, DeliveryState.SEND] == [report.state for report in reports]
    assert [datetime(2011, 1, 1, 9, 57, 46, tzinfo=UTC), None] == [report.changed_at for report in reports]
    assert b'[{"id_sms":"3234"},{"id_sms":3235}]' == encode_acknowledgement(reports)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[",
        b"7",
        b"null",
        VENDORS_PUSH[:-1],
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b'[{"id_sms":1,"state":"deliver","x":[1]}]',
        b'[{"id_sms":1,"state":"\xff"}]',
        b'[{"id_sms":1,"x":{"}":1}}]',
    ],
)
def test_anything_but_a_list_of_reports_is_refused(body: bytes):
    """Cut, deep and foreign bodies are refused as a whole, without quoting them."""
    with pytest.raises(WebhookRefused) as refused:
        pushed(body)

    assert (413 if body.count(b"{") > 100 else 400) == refused.value.status
    assert None is refused.value.__cause__


def test_too_many_reports_are_refused():
    """Reports are counted before they are decoded, and braces in a text do not count."""
    assert 3 == len(pushed(b'[{"id_sms":1,"state":"{{{"},{"id_sms":2},{"id_sms":3}]', 3))
    with pytest.raises(WebhookRefused) as refused:
        pushed(b'[{"id_sms":1},{"id_sms":2},{"id_sms":3},{"id_sms":4}]', 3)
    assert 413 == refused.value.status


def test_an_entry_without_a_usable_id_costs_the_others_nothing():
    """An entry without a usable id is not acknowledged, so that the gateway offers it again."""
    body = b'[{"id_sms":1},{"id_sms":1.5},{"id_sms":""},{},"x",{"id_sms":-7},{"id_sms":"2"},{"id_sms":[]}]'.replace(
        b"[]", b"null"
    )

    assert b'[{"id_sms":1},{"id_sms":"2"}]' == encode_acknowledgement(pushed(body))


@given(ENTRIES)
def test_whatever_stands_in_a_field_is_read_or_left_out(entries: list[dict[str, object]]):
    """A webhook with odd fields becomes reports with sound ids, or is refused, and ids are echoed as they came."""
    body = json.dumps(entries).encode()
    try:
        reports = pushed(body)
    except WebhookRefused:
        return
    given_ids = [entry.get("id_sms") for entry in entries]

    for report, echoed in zip(reports, json.loads(encode_acknowledgement(reports)), strict=True):
        assert echoed["id_sms"] in [one.strip() if isinstance(one, str) else one for one in given_ids]
        assert type(echoed["id_sms"]) in (int, str)
        assert report.state.final or report.state in (DeliveryState.SEND, DeliveryState.UNKNOWN)


@given(st.binary(max_size=60) | st.builds(lambda value: json.dumps(value).encode(), JSON))
def test_any_bytes_are_reports_or_refused(body: bytes):
    """Any body becomes reports, or raises one of the two documented errors."""
    for decode, refusal in ((pushed, WebhookRefused), (lambda it: statuses(it, "7"), (ReplyError, RefusedRequest))):
        with suppress(refusal):  # type: ignore[arg-type]
            decode(body)


VENDORS_BALANCE = {
    "money": "19023.9",
    "currency": "RUR",
    "information": [
        {"type_sms": "sms", "area": "Tele2", "num_sms": "72029"},
        {"type_sms": "sms", "area": "Россия", "num_sms": "Безлимит"},
        {"type_sms": "sms", "area": "Russia", "sms": 17},
        {"type_sms": "sms", "area": "Mars", "sms": "ask us"},
    ],
}


def test_the_vendors_balance_is_understood():
    """A balance has exact money, counts under either key, and no limit for unlimited directions."""
    balance = decode_balance(json.dumps(VENDORS_BALANCE).encode())

    assert (Decimal("19023.9"), "RUR") == (balance.money, balance.currency)
    assert [(72029, False), (None, True), (17, False), (None, False)] == [
        (direction.num_sms, direction.unlimited) for direction in balance.directions
    ]
    assert ["72029", "Безлимит", "17", "ask us"] == [direction.said for direction in balance.directions]


@pytest.mark.parametrize(
    ("money", "sum_"), [("0", "0"), ("-17.5", "-17.5"), ('"1 234,50"', "1234.50"), ("19023.90", "19023.90")]
)
def test_money_is_a_number_or_a_text(money: str, sum_: str):
    """Money may have a point or a comma, be negative, and keeps all of its digits."""
    assert sum_ == str(decode_balance(f'{{"money":{money},"currency":"RUR"}}'.encode()).money)


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"money":"NaN"}', b'{"money":1e400}', b'{"money":null}'])
def test_a_balance_without_a_sum_is_an_error(body: bytes):
    """A missing sum, or one that is not a number, is an error."""
    with pytest.raises(ReplyError):
        decode_balance(body)


def test_a_refused_balance_is_the_gateways_refusal():
    """A refused balance raises an error with the gateway's words."""
    with pytest.raises(RefusedRequest, match="locked"):
        decode_balance(b'{"error":"Your account is locked"}')


def test_a_later_entry_takes_no_final_state_back():
    """Of two entries for one SMS, the one with the furthest state counts."""
    answer = b'[{"id_sms":1,"state":"deliver","num_parts":1,"price":2},{"id_sms":1,"state":"send"}]'
    [report] = decode_statuses(answer, ["1"], UTC).values()

    assert (DeliveryState.DELIVER, 1) == (report.state, report.num_parts)


def test_a_string_that_is_never_closed_is_looked_for_once():
    """A body of escaped quotes is refused at once, in linear time."""
    body = b"{" * 2_001 + b'"' + b'\\"' * 100_000
    begin = time.perf_counter()
    with pytest.raises(WebhookRefused):
        decode_reports(body, UTC, 2_000)

    assert time.perf_counter() - begin < 5

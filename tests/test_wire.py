"""The gateway's JSON, both ways."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builders import FORMAT, LATER, NOW, accepted, message, request_of, wire_phones
from webcom_async import (
    Channel,
    ClientIdSms,
    Knowledge,
    Message,
    MessageType,
    Outcome,
    Phone,
    Reason,
    Reply,
    ReplyError,
    Request,
    SendResult,
    VcardAddress,
    VcardPhone,
)
from webcom_async._wire.base import CONTENT_TYPE, RefusedRequest
from webcom_async._wire.json_api.send import (
    JsonFormat,
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
        {"error": ""},
    ],
)
def test_an_entry_that_says_neither_yes_nor_no_settles_no_recipient(entry: dict[str, object]):
    """An entry with half of `send` and id, or neither, leaves the whole batch possibly sent, good entries too."""
    with pytest.raises(ReplyError, match="neither accepted nor refused"):
        decode_send(answer(sent(1001), entry), wire_phones(2), 1)


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

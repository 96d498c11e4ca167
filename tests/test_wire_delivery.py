"""The gateway's JSON about delivery and balance: it is understood, and no content breaks the client."""

import json
import time
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webcom_async import Credentials, DeliveryReport, DeliveryState, Options, ReplyError, WebhookRefused
from webcom_async._wire.base import RefusedRequest
from webcom_async._wire.json_api.delivery import (
    BalanceCall,
    StatusCall,
    decode_balance,
    decode_reports,
    decode_statuses,
    encode_acknowledgement,
)

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


# ---------------------------------------------------------------------------- questions


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


# ---------------------------------------------------------------------------- statuses


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


# ---------------------------------------------------------------------------- the webhook


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


# ---------------------------------------------------------------------------- the balance

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

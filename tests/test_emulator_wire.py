"""The emulator's own wire: it reads the documented JSON or refuses it, and writes exact answers."""

import json
from contextlib import suppress
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builders import NOW
from webcom_async.emulator import (
    Account,
    Behaviour,
    Gateway,
    Inquiries,
    Received,
    ReceivedMessage,
    ReceivedRecipient,
    Sms,
)

RECIPIENT = {"phone": "79612242243", "client_id_sms": "101"}


def received(document: object) -> Received:
    """Return a request to send with this document."""
    return Received("POST", "/json", {}, document if isinstance(document, bytes) else json.dumps(document).encode())


def told(gateway: Gateway, path: str, body: bytes) -> bytes:
    """Return the answer to a call."""
    return gateway.process(Received("POST", path, {}, body)).body


def test_a_request_shows_its_messages_and_recipients():
    """A test reads senders, texts, phones and ids without a parser of its own; missing ones are empty."""
    message = {"type_send_1": "viber", "sender": "ACME", "text": "Sale!", "button_viber": "Buy", "phones": [RECIPIENT]}
    request = received({"token": "t", "message": [message, {"phones": [{"phone": 7}]}]})
    first, second = ReceivedRecipient("79612242243", "101"), ReceivedRecipient(7)

    assert [
        ReceivedMessage("viber", "ACME", "Sale!", [first], button_viber="Buy"),
        ReceivedMessage(phones=[second]),
    ] == request.messages
    assert [first, second] == request.recipients


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"<html>",
        b'{"message":[]}x',
        b'\xef\xbb\xbf{"message":[]}',
        b'{"message":[],"more":NaN}',
        b'{"message":[],"more":"\\ud800"}',
        b'{"message":[],"more":"\xff"}',
        b'{"message":[],"more":"\n"}',
        b'{"message":[{"phones":[{"phone":%s}]}]}' % (b"7" * 5_000),
        b'{"message":[{"phones":[{"phone":true}]}]}',
        b'{"message":[{"phones":[{"phone":7.0}]}]}',
        b'{"message":[{"phones":[{"phone":null}]}]}',
        b'{"message":[{"text":null}]}',
        b'{"message":' + b"[" * 100_000,
    ],
)
def test_what_is_no_request_is_refused_and_shows_nothing(body: bytes):
    """The gateway answers with its sentence, and a test that reads the request gets a `ValueError`."""
    with pytest.raises(ValueError, match=r"\w"):
        _ = received(body).messages

    assert {"error": "Incorrect JSON document format" if body else "POST data is missing"} == json.loads(
        told(Gateway(), "/json", body)
    )


def test_half_a_character_is_refused_and_a_whole_pair_is_read():
    """An escaped surrogate pair is one character, and no text may hold half of it."""
    body = b'{"message":[{"text":"\\ud83c\\udf81","phones":[]}]}'

    assert "🎁" == received(body).messages[0].text
    with pytest.raises(ValueError, match="surrogates"):
        _ = received(body.replace(b"\\udf81", b"")).messages


fields = st.sampled_from(["message", "phones", "phone", "client_id_sms", "text", "type", "token", "id_sms", "detail"])
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(fields, inner),
    max_leaves=10,
)


@given(st.binary(max_size=40) | values.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_answered_with_a_document(body: bytes):
    """Any body on any path gets a document, and reading one that is not a request raises `ValueError`."""
    gateway = Gateway(Account(token="t"))
    for path in ("/json", "/json/state.php", "/json/balance.php"):
        assert isinstance(json.loads(told(gateway, path, body)), (dict, list))
    with suppress(ValueError):
        _ = received(body).recipients


@given(st.binary(max_size=40) | values.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_may_answer_a_webhook(body: bytes):
    """Whatever a receiver answers, a report that it does not echo is offered again."""
    gateway = Gateway(now=lambda: NOW)
    gateway.webhooks.enabled = True
    gateway.webhooks.early = 1.0
    gateway.webhooks.sent(Sms("1000001", "login", "1", "sms", "ACME", "Sale!", "79612242243", "", sent_at=NOW))
    [call] = gateway.webhooks.calls()
    gateway.webhooks.answered(call, body)

    assert 1 == len(gateway.webhooks)


@pytest.mark.parametrize(
    ("echo", "left"),
    [
        (b'[{"id_sms":1000001}]', 0),
        (b'[{"id_sms":"1000001"}]', 0),
        (b'[{"id_sms":1000002}]', 1),
        (b'{"id_sms":1000001}', 1),
        (b"[1000001]", 1),
        (None, 1),
    ],
)
def test_a_report_is_acknowledged_by_its_id_in_an_array(echo: bytes | None, left: int):
    """The id may be a number or in quotes; any other answer counts as not received."""
    gateway = Gateway(now=lambda: NOW)
    gateway.webhooks.enabled = True
    gateway.webhooks.early = 1.0
    gateway.webhooks.sent(Sms("1000001", "login", "1", "sms", "ACME", "Sale!", "79612242243", "", sent_at=NOW))
    [call] = gateway.webhooks.calls()
    gateway.webhooks.answered(call, echo)

    assert left == len(gateway.webhooks)


@pytest.mark.parametrize(
    ("price", "written"),
    [("10.6", b"10.6000000"), ("0", b"0.0000000"), ("1E+3", b"1000.0000000"), ("0.00000004", b"0.0000000")],
)
def test_a_price_has_seven_digits_after_its_point(price: str, written: bytes):
    """The digits are those of the manual's example, without a float's error."""
    gateway = Gateway(Account(token="t", price=Decimal(price)), now=lambda: NOW, first_id_sms=1_000_001)
    gateway.process(received({"token": "t", "message": [{"sender": "ACME", "text": "Sale!", "phones": [RECIPIENT]}]}))
    answer = told(gateway, "/json/state.php", b'[{"token":"t","id_sms":1000001,"detail":1}]')

    assert (
        b'[{"id_sms":1000001,"time_change_state":"","state":"send","num_parts":1,"price":' + written + b"}]" == answer
    )


@pytest.mark.parametrize(("text_money", "written"), [(True, b'"19023.90"'), (False, b"19023.90")])
def test_money_keeps_its_digits(text_money: bool, written: bytes):
    """Money in quotes or as a number keeps its digits."""
    account = Account(token="t", money=Decimal("19023.90"), price=Decimal(0))
    gateway = Gateway(account, behaviour=Behaviour(inquiries=Inquiries(text_money=text_money)))

    assert (
        b'{"money":%s,"currency":"RUR","information":[{"type_sms":"sms","area":"Russia","num_sms":"Unlim"}]}' % written
    ) == told(gateway, "/json/balance.php", b'{"token":"t"}')

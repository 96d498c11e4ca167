"""`max_parts`: a text that takes more SMS than that is refused before anything is sent."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.builders import phones
from tests.conftest import Connect
from webcom_async import (
    Channel,
    ConfigurationError,
    InputError,
    Message,
    MessageType,
    Options,
    Outcome,
    Reason,
    Recipient,
    WebcomClient,
)
from webcom_async.emulator import Fault, Gateway

pytestmark = pytest.mark.anyio

CYRILLIC, LATIN = "Ж", "x"
TEN = [CYRILLIC * 670, LATIN * 1_530, "😀" * 330]  # 67 and 153 units a part; no part ends inside an emoji
ELEVEN = [CYRILLIC * 671, LATIN * 1_531, "😀" * 331]
LONG = ELEVEN[0]


async def call(client: WebcomClient, door: str, **arguments: Any) -> None:
    """Send one message through *door*."""
    if door == "send":
        await client.send("79612242243", **arguments)
    elif door == "send_all":
        await client.send_all(phones(1), **arguments)
    else:
        async with client.stream(phones(1), **arguments) as results:
            assert [Outcome.ACCEPTED] == [result.outcome async for result in results]


DOORS = pytest.mark.parametrize("door", ["send", "stream", "send_all"])


@DOORS
@pytest.mark.parametrize("text", ELEVEN, ids=["Cyrillic", "Latin", "emoji"])
async def test_a_text_of_more_than_ten_sms_is_refused(connect: Connect, webcom_gateway: Gateway, door: str, text: str):
    """The error says how many SMS the text takes and how to send it, and nothing is sent."""
    async with connect(webcom_gateway) as client:
        with pytest.raises(InputError, match=r"takes 11 SMS, and max_parts is 10: .* max_parts=11") as refused:
            await call(client, door, text=text, sender="ACME")

    assert Reason.TOO_MANY_PARTS is refused.value.reason
    assert text not in str(refused.value)
    assert not webcom_gateway.ledger.sent


@DOORS
@pytest.mark.parametrize("text", TEN, ids=["Cyrillic", "Latin", "emoji"])
async def test_a_text_of_ten_sms_is_sent(connect: Connect, webcom_gateway: Gateway, door: str, text: str):
    """Ten SMS are the most by default."""
    async with connect(webcom_gateway) as client:
        await call(client, door, text=text, sender="ACME")

    assert [10] == [sms.parts for sms in webcom_gateway.ledger.sent]


@DOORS
async def test_the_limit_is_the_clients_or_the_calls(connect: Connect, webcom_gateway: Gateway, door: str):
    """None waives it, and a call's own limit comes before the client's."""
    async with connect(webcom_gateway, max_parts=1) as client:
        with pytest.raises(InputError, match="takes 2 SMS, and max_parts is 1"):
            await call(client, door, text=LATIN * 161, sender="ACME")
        await call(client, door, text=LATIN * 161, sender="ACME", max_parts=2)
        await call(client, door, text=LONG, sender="ACME", max_parts=None)
    async with connect(webcom_gateway, max_parts=None) as client:
        await call(client, door, text=LONG, sender="ACME")
        with pytest.raises(InputError, match="max_parts is 3"):
            await call(client, door, text=LONG, sender="ACME", max_parts=3)

    assert [2, 11, 11] == [sms.parts for sms in webcom_gateway.ledger.sent]


@pytest.mark.parametrize("wrong", [0, -1, True, 1.5, "10"])
async def test_a_limit_is_a_whole_number(connect: Connect, webcom_gateway: Gateway, wrong: Any):
    """Anything else is told before anything is sent."""
    with pytest.raises(ConfigurationError, match=r"max_parts is .*; it must be a whole number of at least 1"):
        Options(max_parts=wrong)
    async with connect(webcom_gateway) as client:
        with pytest.raises(InputError, match=r"max_parts is .*; it must be a whole number of at least 1, or None"):
            await client.send("79612242243", "Sale!", sender="ACME", max_parts=wrong)

    assert not webcom_gateway.ledger.sent


async def asynchronous(people: list[Recipient]) -> AsyncIterator[Recipient]:
    for recipient in people:
        yield recipient


@pytest.mark.parametrize("wrap", [iter, asynchronous], ids=["sync", "async"])
@pytest.mark.parametrize("with_journal", [True, False], ids=["journal", "no journal"])
@pytest.mark.parametrize(
    "own",
    [{"text": LONG}, {"message": Message(sender="ACME", text=LONG)}, {"text": LONG, "key": "7"}],
    ids=["text", "message", "text and key"],
)
async def test_a_recipients_own_long_text_is_a_result(
    connect: Connect, webcom_gateway: Gateway, tmp_path: Path, own: Any, with_journal: bool, wrap: Any
):
    """The recipient is not sent to, with its reason, and the others are; with the limit waived it is sent to."""
    people = [
        Recipient("79612242243", text="Sale!"),
        Recipient("79612242244", **own),
        Recipient("79612242245", text="x"),
    ]
    said: Any = {"campaign": "spring", "sender": "ACME"} | ({"journal": tmp_path / "journal"} if with_journal else {})
    async with connect(webcom_gateway) as client:
        async with client.stream(wrap(people), **said) as results:
            told = {result.phone: (result.outcome, result.reason) async for result in results}
        again = await client.send_all(wrap(people), max_parts=None, **said)

    assert (Outcome.NOT_SENT, Reason.TOO_MANY_PARTS) == told.pop("79612242244")
    assert {(Outcome.ACCEPTED, Reason.NONE)} == set(told.values())
    assert (3, 2 if with_journal else 0) == (again.accepted, again.from_journal)
    assert ["79612242243", "79612242245", "79612242244"] == [sms.phone for sms in webcom_gateway.ledger.sent]


async def test_a_long_text_that_was_possibly_sent_stays_unknown(
    connect: Connect, webcom_gateway: Gateway, tmp_path: Path
):
    """A limit that comes later claims nothing about an SMS that may have left."""
    people = [Recipient("79612242243", text=LONG)]
    said: Any = {"campaign": "spring", "sender": "ACME", "journal": tmp_path / "journal"}
    webcom_gateway.faults.script(Fault(processed=True, close=True))
    async with connect(webcom_gateway, attempts=1) as client:
        first = await client.send_all(people, max_parts=None, **said)
        async with client.stream(people, **said) as results:
            [second] = [result async for result in results]
        third = await client.send_all(people, max_parts=None, **said)

    assert (1, 1) == (first.unknown, third.accepted)
    assert (Outcome.UNKNOWN, Reason.TOO_MANY_PARTS) == (second.outcome, second.reason)
    assert 1 == len(webcom_gateway.ledger.sent)


@pytest.mark.parametrize(
    ("changes", "refused"),
    [
        ({"type_send_1": Channel.VIBER}, False),
        ({"type_send_1": Channel.VIBER, "type_send_2": Channel.SMS, "text_viber": "Sale!"}, True),
        ({"type_send_2": Channel.VIBER, "text_viber": "Sale!"}, True),
        ({"type": MessageType.FLASH}, True),
        ({"text": "Sale!", "text_viber": LONG, "type_send_2": Channel.VIBER}, False),
    ],
    ids=["Viber", "Viber, then SMS", "SMS, then Viber", "flash", "long in Viber only"],
)
async def test_what_an_sms_carries_is_counted(connect: Connect, webcom_gateway: Gateway, changes: Any, refused: bool):
    """A text for Viber alone is not billed by parts; the SMS of a cascade is."""
    said = Message(**({"sender": "ACME", "text": LONG} | changes))
    async with connect(webcom_gateway) as client:
        report = await client.send_all([Recipient("79612242243", message=said)])
        if refused:
            with pytest.raises(InputError, match="takes 11 SMS"):
                await client.send("79612242243", message=said)

    assert refused == bool(report.reasons.get(Reason.TOO_MANY_PARTS))
    assert refused != bool(webcom_gateway.ledger.sent)

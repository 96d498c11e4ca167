"""The emulated gateway after a send: states that move with a scripted clock, balances, and webhooks."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from tests.builders import NOW, message, numbered_gateway, send_request, wire_phones
from webcom_async import RequestTrace
from webcom_async.emulator import (
    Account,
    Behaviour,
    Gateway,
    GatewayTransport,
    Inquiries,
    Received,
    Scenario,
    Step,
    push,
)

pytestmark = pytest.mark.anyio

TOKEN = {"token": "emulator-token"}
PHONE = "79612242243"


class Time:
    """A clock that moves only when a test moves it."""

    def __init__(self) -> None:
        self.moment = NOW

    def __call__(self) -> datetime:
        return self.moment

    def pass_(self, seconds: float) -> None:
        """Advance the clock."""
        self.moment += timedelta(seconds=seconds)


def gateway(**options: Any) -> tuple[Gateway, Time]:
    """Return a gateway and its clock."""
    time = Time()
    return numbered_gateway(now=time, **options), time


def ask(gateway: Gateway, page: str, document: object) -> tuple[int, Any]:
    """Return status and document of an answer."""
    answer = gateway.process(Received("POST", f"/json/{page}", {}, json.dumps(document).encode()))
    return answer.status, json.loads(answer.body)


def send(gateway: Gateway, *texts: str) -> list[str]:
    """Send *texts* and return their ids."""
    messages = [{"sender": "ACME", "text": text, "phones": [{"phone": PHONE}]} for text in texts]
    return [
        entry.get("id_sms", entry.get("error"))
        for entry in ask(gateway, "", TOKEN | {"message": messages})[1]["information"]
    ]


def status(gateway: Gateway, id_sms: object, **fields: object) -> Any:
    """Return the gateway's answer about one SMS."""
    return ask(gateway, "state.php", [TOKEN | {"id_sms": id_sms, "detail": 1} | fields])[1]


def test_a_state_moves_with_the_clock():
    """An SMS is `send` without a time until its scenario changes it; parts and price come with `detail`."""
    emulated, time = gateway()
    [id_sms] = send(emulated, "x" * 161)
    before = status(emulated, id_sms, detail=0)
    time.pass_(5)

    assert [{"id_sms": int(id_sms), "time_change_state": "", "state": "send"}] == before
    assert [
        {
            "id_sms": int(id_sms),
            "time_change_state": "2030-01-01 15:00:05",
            "state": "deliver",
            "num_parts": 2,
            "price": 10.6,
        }
    ] == status(emulated, id_sms)


def test_fates_are_scripted_or_drawn():
    """A phone has the scenario it was given; of the others, a share meets one by chance, and always the same."""
    emulated, time = gateway(seed=3)
    emulated.scenarios.to[PHONE] = Scenario((Step(1, "deliver"), Step(2, "read")))
    [one] = send(emulated, "x")
    del emulated.scenarios.to[PHONE]
    emulated.scenarios.sometimes(0.3, Scenario((Step(1, "expired"),)))
    ids = send(emulated, *"x" * 200)
    time.pass_(9)
    states = [status(emulated, id_sms)[0]["state"] for id_sms in ids]

    assert 30 < states.count("expired") < 90
    assert states == [status(emulated, id_sms)[0]["state"] for id_sms in ids]
    emulated.scenarios.to[PHONE] = Scenario((Step(1, "deliver"), Step(2, "read")))
    assert "read" == status(emulated, one)[0]["state"]


@pytest.mark.parametrize(
    ("inquiries", "array", "expected"),
    [
        (Inquiries(), True, 2),
        (Inquiries(several="first"), True, 1),
        (Inquiries(several="refused"), True, "Incorrect JSON document format"),
        (Inquiries(array=False), True, "Incorrect JSON document format"),
        (Inquiries(array=False), False, 1),
        (Inquiries(bare=False), False, "Incorrect JSON document format"),
    ],
)
def test_what_is_open_about_questions_is_an_option(inquiries: Inquiries, array: bool, expected: int | str):
    """Several ids at once, the array and the bare object are each understood or not, by option."""
    emulated, _ = gateway(behaviour=Behaviour(inquiries=inquiries))
    questions = [TOKEN | {"id_sms": id_sms} for id_sms in send(emulated, "x", "y")]
    _, answer = ask(emulated, "state.php", questions if array else questions[0])

    assert expected == (answer["error"] if isinstance(answer, dict) else len(answer))


def test_an_unknown_id_gets_a_sentence_or_silence():
    """An id that the account does not have, even if another account has it, gets no state."""
    other = Account(token="other", login="other")
    emulated, _ = gateway()
    emulated.accounts.append(other)
    [id_sms] = send(emulated, "x")

    assert "не принималось" in status(emulated, 7)[0]["state"]
    assert "не принималось" in status(emulated, id_sms, token="other")[0]["state"]
    silent, _ = gateway(behaviour=Behaviour(inquiries=Inquiries(unknown=None)))
    assert [] == status(silent, 7)


def test_the_balance_is_spent_per_part():
    """A text of two parts costs twice the price; a balance too low for all parts sends no SMS."""
    emulated, _ = gateway()
    emulated.accounts[0].money = Decimal("35.00")
    first = ask(emulated, "balance.php", TOKEN)[1]
    answers = send(emulated, "x" * 161, "Привет" * 12, "one")

    assert {
        "money": "35.00",
        "currency": "RUR",
        "information": [{"type_sms": "sms", "area": "Russia", "num_sms": "3"}],
    } == first
    assert answers[1:] == ["Out of SMS", "1000002"]
    assert "3.20" == ask(emulated, "balance.php", TOKEN)[1]["money"]


def test_without_a_limit_the_balance_says_so():
    """The answer has the word and the key of the edition that is set."""
    emulated, _ = gateway(behaviour=Behaviour(inquiries=Inquiries(num_sms="sms", unlimited="Безлимит")))

    assert "Безлимит" == ask(emulated, "balance.php", TOKEN)[1]["information"][0]["sms"]


@pytest.mark.parametrize("page", ["state.php", "balance.php"])
def test_a_question_is_refused_in_the_manuals_words(page: str):
    """Wrong credentials, a locked account, no body and no JSON have different sentences."""
    emulated, _ = gateway()

    assert "Incorrect login or password" == ask(emulated, page, {"token": "x", "id_sms": 1})[1]["error"]
    emulated.accounts[0].locked = True
    assert "Your account is locked" == ask(emulated, page, TOKEN | {"id_sms": 1})[1]["error"]
    for body, words in ((b"", "POST data"), (b"{", "Incorrect JSON")):
        assert words in emulated.process(Received("POST", f"/json/{page}", {}, body)).body.decode()


# ---------------------------------------------------------------------------- webhooks


class Ear:
    """A receiver of webhooks that keeps the reports it gets, and echoes them if *echo* is set."""

    def __init__(self, *, echo: bool = True) -> None:
        self.heard: list[Any] = []
        self.echo = echo

    async def __call__(self, body: bytes) -> bytes | None:
        entries = json.loads(body)
        self.heard += entries
        return json.dumps([{"id_sms": entry["id_sms"]} for entry in entries]).encode() if self.echo else None


def pushing(**settings: Any) -> tuple[Gateway, Time]:
    """Return a gateway that offers webhooks."""
    emulated, time = gateway(seed=5)
    for name, value in ({"enabled": True} | settings).items():
        setattr(emulated.webhooks, name, value)
    return emulated, time


async def test_a_report_is_offered_when_it_is_due_and_once():
    """A report that is acknowledged is not offered again."""
    emulated, time = pushing()
    ear = Ear()
    [id_sms] = send(emulated, "x")
    assert 0 == await push(emulated.webhooks, ear)
    time.pass_(5)
    assert NOW + timedelta(seconds=5) == emulated.webhooks.next_due()
    assert [1, 0] == [await push(emulated.webhooks, ear) for _ in range(2)]

    assert [{"id_sms": int(id_sms), "time": "2030-01-01 15:00:05", "state": "deliver"}] == ear.heard


async def test_a_report_that_is_not_echoed_is_offered_five_times():
    """After the fifth time the gateway gives the report up."""
    emulated, time = pushing()
    ear = Ear(echo=False)
    send(emulated, "x")
    for _ in range(9):
        time.pass_(100)
        await push(emulated.webhooks, ear)

    assert (5, 1, 0) == (len(ear.heard), emulated.webhooks.abandoned, len(emulated.webhooks))


async def test_reports_are_lost_repeated_early_and_out_of_order():
    """Each kind of trouble strikes the share of reports that was set."""
    emulated, time = pushing(lost=0.2, repeated=0.3, early=0.1, jitter=60.0)
    ear = Ear()
    ids = send(emulated, *"x" * 1_000)
    await push(emulated.webhooks, ear)
    early = len(ear.heard)
    while emulated.webhooks.next_due():
        time.pass_(30)
        await push(emulated.webhooks, ear)
    heard = [str(entry["id_sms"]) for entry in ear.heard]

    assert 50 < early < 120
    assert 740 < len(set(heard)) < 860
    assert 1.3 < len(heard) / len(set(heard)) < 1.6
    assert sorted(heard) != heard
    assert set(heard) < set(ids)


async def test_an_early_report_is_heard_before_the_sends_answer():
    """A report that is due when a request has been processed goes out before the answer does."""
    emulated, _ = pushing(early=1.0)
    ear = emulated.push = Ear()
    request = send_request([(message(), wire_phones(1))], token=emulated.token)
    await GatewayTransport(emulated).send(request, RequestTrace(), timeout=30.0, max_bytes=65_536)

    assert [1_000_001] == [entry["id_sms"] for entry in ear.heard]
    assert datetime(2030, 1, 1, 12, tzinfo=UTC) == emulated.ledger.sent[0].sent_at

"""Results and reports as web frameworks and `json` take them, and what their reprs keep private."""

import json
import pickle
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from tests.builders import NOW, message
from webcom_async import (
    Balance,
    ClientIdSms,
    Delivery,
    DeliveryReport,
    DeliveryState,
    Direction,
    Message,
    Outcome,
    Phone,
    Reason,
    Recipient,
    Report,
    SendResult,
    TrackReport,
    VcardAddress,
    VcardPhone,
)
from webcom_async.audience import Finding, Person, Sample
from webcom_async.emulator import Account, Gateway, Received, Sms
from webcom_async.errors import Sentence
from webcom_async.files import Row
from webcom_async.journal import OutboundRecipient, Reservation
from webcom_async.scaleout import CampaignSettings
from webcom_async.segments import suggestions

PHONE = Phone("79612242243")
SECRET_TEXT = "Your code: 4711"
ACCEPTED = SendResult(ClientIdSms("101"), PHONE, Outcome.ACCEPTED, "7001", attempts=1)
REFUSED = SendResult(
    ClientIdSms("102"), PHONE, Outcome.REJECTED, None, Reason.STOP_LIST, f"Phone number {PHONE} is on the stop list", 1
)
AS_JSON = {
    "client_id_sms": "101",
    "phone": PHONE,
    "outcome": "accepted",
    "id_sms": "7001",
    "reason": "none",
    "error": "",
    "attempts": 1,
}
REPORT = Report(
    campaign="spring",
    outcomes={Outcome.ACCEPTED: 1, Outcome.REJECTED: 0, Outcome.UNKNOWN: 0, Outcome.NOT_SENT: 0},
    reasons={},
    requests=1,
    retries=0,
    seconds=0.5,
    complete=True,
)
DELIVERED = Delivery(
    ClientIdSms("101"),
    PHONE,
    DeliveryReport("7001", DeliveryState.DELIVER, changed_at=datetime(2030, 1, 1, tzinfo=UTC), price=Decimal("2.40")),
)
BALANCE = Balance(Decimal("10.60"), "RUR", (Direction("sms", "MTS", 4, unlimited=False, said="4"),))
TRACKED = TrackReport(campaign="spring", states=dict.fromkeys(DeliveryState, 0))
RECORDS = [ACCEPTED, REFUSED, REPORT, DELIVERED, BALANCE, TRACKED]


def test_a_result_is_plain_data():
    """`as_dict`, `dict` and `json` give the same fields, with plain words for outcome and reason."""
    assert AS_JSON == ACCEPTED.as_dict() == dict(ACCEPTED) == {**ACCEPTED}
    assert AS_JSON == json.loads(json.dumps(ACCEPTED.as_dict()))
    assert [AS_JSON] == json.loads(json.dumps([ACCEPTED], default=dict))
    with pytest.raises(KeyError):
        _ = ACCEPTED["price"]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_every_result_and_report_is_plain_data(record: Any):
    """Moments are ISO 8601, money is text, and the keys of counts are words; the record comes back from a pickle."""
    written = json.loads(json.dumps(record.as_dict()))

    assert record == msgspec.convert(written, type(record))
    assert record == pickle.loads(pickle.dumps(record))


@pytest.mark.parametrize("annotation", ["record", "Any", "none"])
@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_fastapi_returns_it(record: Any, annotation: str):
    """An endpoint returns a record as it is, with and without a return annotation, alone and in a list."""
    fastapi = pytest.importorskip("fastapi")
    testclient = pytest.importorskip("fastapi.testclient")
    app = fastapi.FastAPI()

    def one() -> Any:
        return record

    def several() -> Any:
        return [record]

    if annotation == "record":
        one.__annotations__["return"] = type(record)
        several.__annotations__["return"] = list[type(record)]  # type: ignore[misc]
    if annotation == "none":
        one.__annotations__.clear()
        several.__annotations__.clear()
    app.get("/one")(one)
    app.get("/several")(several)
    user = testclient.TestClient(app)

    assert record == msgspec.convert(user.get("/one").json(), type(record), strict=False)
    assert [user.get("/one").json()] == user.get("/several").json()
    assert user.get("/openapi.json").status_code == 200


def test_fastapi_documents_the_fields():
    """The schema of an annotated endpoint names the fields and the words of an outcome."""
    fastapi = pytest.importorskip("fastapi")
    app = fastapi.FastAPI()

    @app.get("/one", response_model=SendResult)
    def one() -> SendResult:
        return ACCEPTED

    written = json.dumps(app.openapi())

    assert all(f'"{field}"' in written for field in AS_JSON)
    assert '"not_sent"' in written


def test_pydantic_models_hold_it():
    """A model's field is the record itself, reads it from JSON, and refuses anything else."""
    pydantic = pytest.importorskip("pydantic")
    model = pydantic.create_model("Model", result=(SendResult, ...))
    held = model(result=ACCEPTED)

    assert ACCEPTED is held.result
    assert {"result": AS_JSON} == json.loads(held.model_dump_json())
    assert ACCEPTED == model.model_validate_json(held.model_dump_json()).result
    with pytest.raises(pydantic.ValidationError):
        model(result={"phone": PHONE})


def test_litestar_returns_it():
    """Litestar returns a record as any struct of msgspec."""
    litestar = pytest.importorskip("litestar")
    testing = pytest.importorskip("litestar.testing")

    async def one() -> SendResult:
        return ACCEPTED

    app = litestar.Litestar([litestar.get("/one")(one)], logging_config=None)
    with testing.TestClient(app) as user:
        assert AS_JSON == user.get("/one").json()


RECIPIENT = Recipient(PHONE, 101, text=SECRET_TEXT, message=message(text=SECRET_TEXT))
ROW = Row(2, [PHONE, SECRET_TEXT])
CARD = Message(
    sender="ACME",
    text=SECRET_TEXT,
    text_viber=SECRET_TEXT,
    url="http://example.com/4711",
    name="Ivan 4711",
    phone=VcardPhone(cell="+7 961 224-22-43"),
    address=VcardAddress(city="Moscow 4711"),
)


@pytest.mark.parametrize(
    "value",
    [
        *RECORDS,
        RECIPIENT,
        Recipient(79612242243),
        CARD,
        OutboundRecipient(PHONE, ClientIdSms("101")),
        Reservation([(CARD, [OutboundRecipient(PHONE, ClientIdSms("101"))])], [ACCEPTED], [REFUSED]),
        CampaignSettings(campaign="spring", message=CARD),
        ROW,
        Person(ROW, RECIPIENT, REFUSED),
        Sample(2, PHONE, SECRET_TEXT),
        Finding(2, Sentence("{phone} is on the stop list", phone=PHONE)),
        suggestions("Ваш код — 4711" * 20)[0],
        Sms("1", "login", "101", "sms", "ACME", SECRET_TEXT, PHONE, "", 1, NOW),
        Account(token="s3cr3t-t0k3n", password="p4ssw0rd", stop_list={PHONE}),
        Received(
            "POST", "/json", {"cookie": "s3cr3t-t0k3n"}, f'{{"token": "s3cr3t-t0k3n", "phone": {PHONE}}}'.encode()
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_repr_masks_phones_and_leaves_texts_out(value: Any):
    """Neither a repr, an f-string nor rich's traceback shows a phone, a text or a secret; the value keeps them."""
    rich_repr = getattr(value, "__rich_repr__", list)
    for told in (repr(value), str(value), f"{value}", f"{[value]}", repr(list(rich_repr()))):
        assert not any(each in told for each in ("2242", "4711", "s3cr3t", "p4ssw0rd", "224-22-43"))


def test_a_repr_tells_results_apart():
    """A repr keeps the ends of a phone, ids, outcome and reason, and the length of a text."""
    assert (
        "SendResult(client_id_sms='101', phone='7961…43', outcome=<Outcome.ACCEPTED: 'accepted'>, id_sms='7001', "
        "reason=<Reason.NONE: 'none'>, error='', attempts=1)"
    ) == repr(ACCEPTED)
    assert "text=<15 characters>" in repr(RECIPIENT)


def test_the_emulators_messages_show_as_privately(webcom_gateway: Gateway):
    """What the emulator has received shows no phone, text or token."""
    body = msgspec.json.encode(
        {
            "token": webcom_gateway.token,
            "message": [{"sender": "ACME", "text": SECRET_TEXT, "phones": [{"phone": PHONE}]}],
        }
    )
    received = Received("POST", "/json", {}, body)

    assert PHONE == received.recipients[0].phone
    assert "2242" not in f"{received.messages} {received.recipients}"
    assert "4711" not in f"{received.messages}"

"""The words of the library: messages, recipients, results and reports."""

import json
import pickle
from enum import StrEnum

import msgspec
import pytest

from tests.builders import message
from webcom_async import (
    Channel,
    ClientIdSms,
    DeliveryState,
    InputError,
    Message,
    MessageType,
    Outcome,
    Phone,
    Progress,
    Reason,
    Recipient,
    Report,
    SendResult,
    Split,
)
from webcom_async.audience import Unused
from webcom_async.doctor import Order, Repeat
from webcom_async.emulator import Language
from webcom_async.scaleout import CampaignState, DispatchState, ShardOutcome
from webcom_async.segments import Encoding, Remedy

WORDS: list[type[StrEnum]] = [
    *(Channel, DeliveryState, MessageType, Outcome, Reason, Split),
    *(CampaignState, DispatchState, Encoding, Language, Order, Remedy, Repeat, ShardOutcome, Unused),
]


def report(**changes: object) -> Report:
    """Return a report of a thousand recipients in two seconds."""
    settings: dict[str, object] = {
        "campaign": "spring",
        "outcomes": {Outcome.ACCEPTED: 994, Outcome.REJECTED: 3, Outcome.UNKNOWN: 2, Outcome.NOT_SENT: 1},
        "reasons": {Reason.STOP_LIST: 3, Reason.TIMEOUT: 2, Reason.BAD_PHONE: 1},
        "requests": 5,
        "retries": 2,
        "seconds": 2.0,
        "complete": True,
    }
    return Report(**(settings | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "sender",
    ["A", "ACME", "sender 1", " sender 2", "12345678901", "Eleven char", "123456789012345", "'?><,.-_=+/", "Ромашка"],
)
def test_a_sender_of_11_characters_or_15_digits_is_taken_as_it_is(sender: str):
    """Blanks stay: the vendor's own example has a sender that starts with one."""
    assert sender == message(sender=sender).sender


@pytest.mark.parametrize(
    ("sender", "limit"),
    [("Twelve chars", "12 characters"), ("123456789012a", "13 characters"), ("1234567890123456", "16 characters")],
)
def test_a_longer_sender_is_refused_for_sms(sender: str, limit: str):
    """The gateway refuses a longer sender for every recipient, so nothing is sent."""
    with pytest.raises(InputError, match=limit) as refused:
        message(sender=sender)

    assert Reason.BAD_SENDER is refused.value.reason


def test_a_viber_sender_is_not_limited():
    """The limit is that of SMS; Viber names are longer."""
    long = "A public name in Viber"

    assert long == Message(type_send_1=Channel.VIBER, sender=long, text="Sale!").sender


@pytest.mark.parametrize("empty", ["", " ", "\n\t", "\u00a0"])
@pytest.mark.parametrize(("field", "reason"), [("sender", Reason.BAD_SENDER), ("text", Reason.BAD_TEXT)])
def test_an_empty_field_is_refused(field: str, reason: Reason, empty: str):
    """Strings that are empty or show nothing never go on the wire."""
    with pytest.raises(InputError, match=f"{field} is empty") as refused:
        message(**{field: empty})

    assert reason is refused.value.reason


@pytest.mark.parametrize("value", [None, 5, b"text", ["text"]])
@pytest.mark.parametrize(("field", "reason"), [("sender", Reason.BAD_SENDER), ("text", Reason.BAD_TEXT)])
def test_a_text_that_is_not_a_str_is_refused(field: str, reason: Reason, value: object):
    """A number in the place of a text is refused here, not by the gateway."""
    with pytest.raises(InputError, match=f"{field} must be a str, not {type(value).__name__}") as refused:
        message(**{field: value})  # type: ignore[arg-type]

    assert reason is refused.value.reason


@pytest.mark.parametrize(("field", "reason"), [("sender", Reason.BAD_SENDER), ("text", Reason.BAD_TEXT)])
def test_half_a_character_is_refused(field: str, reason: Reason):
    """UTF-8 cannot carry a lone surrogate, so it is refused before anything is encoded."""
    with pytest.raises(InputError, match=f"{field} holds half of a character") as refused:
        message(**{field: "Sale \ud83d"})

    assert reason is refused.value.reason


def test_a_changed_copy_is_checked_too():
    """`replace` is a constructor like any other."""
    with pytest.raises(InputError, match="text is empty"):
        msgspec.structs.replace(message(), text="")


@pytest.mark.parametrize(
    ("value", "field"), [(message(), "text"), (Recipient("79612242243"), "phone"), (report(), "requests")]
)
def test_values_cannot_change(value: msgspec.Struct, field: str):
    """Messages and recipients of a batch are frozen."""
    with pytest.raises(AttributeError):
        setattr(value, field, "other")


def test_a_plain_result_claims_nothing():
    """A plain result has no gateway id, no reason, no words and no attempt."""
    result = SendResult(ClientIdSms("101"), Phone("79612242243"), Outcome.ACCEPTED)

    assert (None, Reason.NONE, "", 0) == (result.id_sms, result.reason, result.error, result.attempts)


def test_a_report_adds_up():
    """The short forms are the outcomes' counts, and the rate is recipients per second."""
    counts = report()

    assert (994, 3, 2, 1) == (counts.accepted, counts.rejected, counts.unknown, counts.not_sent)
    assert 1000 == counts.recipients
    assert 500.0 == counts.recipients_per_second


def test_a_rate_before_the_first_second_is_zero():
    """Before the first second, the rate is zero and no division fails."""
    assert 0.0 == report(seconds=0.0).recipients_per_second


def test_a_report_reads_as_one_line():
    """Printed, it names every outcome and every reason."""
    assert (
        "1,000 recipients: 994 accepted, 3 rejected, 2 unknown, 1 not_sent (3 stop_list, 2 timeout, 1 bad_phone); "
        "5 requests, 2 retries, 2.00 s, 500 recipients/s"
    ) == str(report())


def test_a_report_says_that_it_is_incomplete():
    """A report of a campaign that was left or halted says so; one without failures has no empty brackets."""
    shown = str(report(complete=False, reasons={}))

    assert shown.startswith("1,000 recipients (incomplete): 994 accepted")
    assert "()" not in shown


def test_progress_is_a_report_in_the_making():
    """Progress has everything that a report has, and counts recipients taken and in flight."""
    progress = Progress(**msgspec.structs.asdict(report(complete=False)), taken=1500, in_flight=1, limit=4, rate=None)

    assert isinstance(progress, Report)
    assert (1000, 1500, 1) == (progress.recipients, progress.taken, progress.in_flight)


@pytest.mark.parametrize("words", WORDS, ids=lambda words: words.__name__)
def test_a_word_is_a_plain_string_too(words: type[StrEnum]):
    """A member equals its value, is written as it by `str`, f-strings and `json`, and survives a pickle."""
    for member in words:
        assert member.value == member
        assert [member.value] * 2 == [str(member), f"{member}"]
        assert json.dumps({member: member}) == json.dumps({member.value: member.value})
        assert words(member.value) is member is pickle.loads(pickle.dumps(member))


def test_an_encoding_keeps_its_units():
    """The units of an encoding are beside its name."""
    assert ("GSM-7", 160, 153) == (Encoding.GSM_7.label, Encoding.GSM_7.single, Encoding.GSM_7.part)
    assert ("UCS-2", 70, 67) == (Encoding.UCS_2.label, Encoding.UCS_2.single, Encoding.UCS_2.part)

"""Batches: from a source's items to the recipients of one request."""

import json
from collections import deque
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builders import NOW, message, phones, recipients, wire_phones
from webcom_async import (
    Channel,
    ClientIdSms,
    IdScheme,
    InputError,
    Message,
    MessageType,
    Outcome,
    Reason,
    Recipient,
    SendResult,
)
from webcom_async._batching.addressing import CallDefaults, address, call_defaults
from webcom_async._batching.batcher import Batch, RecipientBatcher, SingleRecipientBatcher
from webcom_async._batching.vectorized import copies_with_texts, with_texts
from webcom_async._wire.json_api.send import JsonFormat

MOSCOW = ZoneInfo("Europe/Moscow")
BERLIN = ZoneInfo("Europe/Berlin")
FORMAT = JsonFormat(MOSCOW)
SOON = NOW + timedelta(hours=1)
IDS = IdScheme("spring")
CallOptions = dict[str, object]


def defaults(zone: tzinfo = MOSCOW, **said: object) -> CallDefaults:
    """Return a call's defaults: the vendor's first message, unless *said* has another."""
    said = said or {"message": message()}
    names = ("text", "sender", "message", "validity_period", "time_send")
    return call_defaults(*(said.get(name) for name in names), send_format=JsonFormat(zone))  # type: ignore[arg-type]


def batcher(size: int = 500, max_bytes: int = 524_288, **said: object) -> RecipientBatcher:
    """Return a batcher for a call."""
    return RecipientBatcher(defaults(**said), IDS, FORMAT, size=size, max_bytes=max_bytes)


def all_batches(items: Iterable[object], size: int = 500, max_bytes: int = 524_288, **said: object) -> list[Batch]:
    """Return every batch that *items* are cut into; each is answered before the next is cut."""
    waiting, cutting = deque(items), batcher(size, max_bytes, **said)
    batches = []
    while waiting:
        batches.append(cutting.cut(waiting, frozenset(), NOW))
    return batches


def only_unusable(item: object, **said: object) -> SendResult:
    """Return the result of an item between two good ones, which are batched."""
    [batch] = all_batches([*recipients(1), item, Recipient("79612242299", 999)], **said)
    assert ["101", "999"] == batch.client_ids
    assert FORMAT.encode(batch.addressed)
    [result] = batch.unusable
    return result


# ---------------------------------------------------------------------------- cutting


def test_batches_are_cut_by_count():
    """Full batches come first, then the rest, numbered from one; no recipient is lost or swapped."""
    batches = all_batches(recipients(7), size=3)

    assert [(1, ["101", "102", "103"]), (2, ["104", "105", "106"]), (3, ["107"])] == [
        (batch.number, batch.client_ids) for batch in batches
    ]


@pytest.mark.parametrize(("spare", "counts"), [(0, [3, 3]), (-1, [2, 2, 2]), (10_000, [6])])
def test_batches_are_cut_by_bytes(spare: int, counts: list[int]):
    """A batch of exactly `max_bytes` is allowed, and one byte less makes it a recipient shorter."""
    [three] = all_batches(recipients(3))
    limit = len(FORMAT.encode(three.addressed)) + spare

    assert counts == [len(batch.phones) for batch in all_batches(recipients(6), max_bytes=limit)]


def test_a_recipient_too_large_for_any_batch_goes_alone():
    """With a limit below one recipient's size, each recipient is sent alone."""
    assert [1, 1, 1] == [len(batch.phones) for batch in all_batches(recipients(3), max_bytes=1)]


def test_neighbours_with_one_message_share_it():
    """Equal messages in a row are written once, whichever recipients have them; another between starts a new one."""
    said = [message(), message(), message("other"), message()]
    items = [Recipient(phone, message=own) for phone, own in zip(phones(4), said, strict=True)]
    [batch] = all_batches(items)

    assert [("message text 1", 2), ("other", 1), ("message text 1", 1)] == [
        (own.text, len(to)) for own, to in batch.addressed
    ]
    assert batch.phones == [phone for _, to in batch.addressed for phone in to]


def test_phones_and_numbers_are_recipients():
    """A bare `str` or `int` is a recipient whose id is derived from campaign and phone."""
    [batch] = all_batches(["+7 961 224-22-43", 79612242244, Recipient("79612242245")])

    assert list(phones(3)) == [phone.phone for phone in batch.phones]
    assert [IDS.derive(phone.phone) for phone in batch.phones] == batch.client_ids


def test_a_key_tells_messages_to_one_phone_apart():
    """One phone with two keys is two recipients; with one key, the second is a duplicate."""
    items = [Recipient("79612242243", key=key) for key in ("a", "b", "a")]
    [batch] = all_batches(items)

    assert 2 == len(set(batch.client_ids)) == len(batch.phones)
    assert [(Outcome.NOT_SENT, Reason.DUPLICATE)] == [(result.outcome, result.reason) for result in batch.unusable]


class Text(str):
    """Another kind of str, as numpy and markupsafe have them."""

    __slots__ = ()


def test_other_kinds_of_text_are_taken_for_text():
    """Phone, id, text and sender may be of any subclass of str, and are sent as plain text."""
    said = Message(sender=Text("ACME"), text=Text("Sale!"))
    [batch] = all_batches([Recipient(Text("79612242243"), Text("101"), message=said)])

    assert b'"sender":"ACME","text":"Sale!","phones":[{"phone":"79612242243","client_id_sms":"101"}]' in FORMAT.encode(
        batch.addressed
    )


class Odd(Recipient):
    """A recipient whose own methods fail."""

    def __getattribute__(self, name: str) -> object:
        if name.startswith("__"):
            return super().__getattribute__(name)
        raise LookupError(name)


class OddText(str):
    """A text whose own methods fail."""

    __slots__ = ()
    __hash__ = None  # type: ignore[assignment]

    def strip(self, *_: object) -> str:
        """Fail."""
        raise LookupError

    def translate(self, *_: object) -> str:
        """Fail."""
        raise LookupError


class Nothing:
    """An object that is not None, and claims to be it."""

    def __eq__(self, other: object) -> bool:
        return other is None

    def __hash__(self) -> int:
        return hash(None)


class OddMoment(datetime):
    """A time that cannot be compared."""

    def __le__(self, other: object) -> bool:
        raise LookupError


ODD = [
    Odd("79612242250"),
    OddText("79612242250"),
    Recipient(OddText("79612242250")),
    Recipient("79612242250", OddText("x")),
    Recipient("79612242250", validity_period=OddMoment(2031, 1, 1, tzinfo=UTC)),
    Recipient("79612242250", key=0),  # type: ignore[arg-type]
    Recipient("79612242250", key=["order", 7]),  # type: ignore[arg-type]
    Recipient("79612242250", text=["a list"]),  # type: ignore[arg-type]
    *(
        Recipient("79612242250", **{field: Nothing()})  # type: ignore[arg-type]
        for field in ("text", "client_id_sms", "validity_period", "number_sms", "key")
    ),
    Recipient("79612242250", number_sms=True),
]


@pytest.mark.parametrize("odd", ODD)
def test_whatever_an_item_does_among_recipients_the_others_go_on(odd: object):
    """An item whose own methods raise is one result, also in a batch that would be addressed as a whole."""
    batches = all_batches([Recipient("79612242243"), odd, Recipient("79612242244")])

    assert 2 == sum(len(batch.client_ids) for batch in batches)
    assert 1 == sum(len(batch.unusable) for batch in batches)


@pytest.mark.parametrize("odd", ODD)
def test_whatever_an_item_does_the_others_go_on(odd: object):
    """An item whose own methods raise is one result, and the other items keep theirs."""
    assert Outcome.NOT_SENT is only_unusable(odd).outcome


@pytest.mark.parametrize("again", ["8 961 224 22 43", Recipient("79612242243", text="another text")])
def test_the_id_does_not_depend_on_writing_or_text(again: object):
    """One phone in another spelling, or with another text, is the same recipient of a campaign."""
    [batch] = all_batches(["79612242243", again])

    assert 1 == len(batch.phones)
    assert [(batch.client_ids[0], "79612242243")] == [(it.client_id_sms, it.phone) for it in batch.unusable]


def test_an_id_is_in_one_request_at_a_time():
    """An id in flight elsewhere is a duplicate, and is sent once it has been answered."""
    cutting = batcher()
    busy = cutting.cut(deque(recipients(2)), {ClientIdSms("101")}, NOW)
    free = cutting.cut(deque(recipients(2)), set(), NOW)

    assert (["102"], ["101", "102"]) == (busy.client_ids, free.client_ids)
    [duplicate] = busy.unusable
    assert ("101", Outcome.NOT_SENT, Reason.DUPLICATE) == (
        duplicate.client_id_sms,
        duplicate.outcome,
        duplicate.reason,
    )


def test_an_id_may_come_again_in_the_next_batch():
    """Without a journal, a later batch sends an id again, and the gateway's memory answers."""
    batches = all_batches([Recipient("79612242243", 101)] * 3, size=1)

    assert [["101"], ["101"], ["101"]] == [batch.client_ids for batch in batches]


def test_unusable_recipients_count_towards_the_size():
    """A source of rubbish becomes batches of the usual size, not one endless batch."""
    batches = all_batches(["rubbish"] * 5, size=2)

    assert [2, 2, 1] == [len(batch.unusable) for batch in batches]
    assert {0} == {len(batch.phones) for batch in batches}


@pytest.mark.parametrize(
    ("item", "reason", "phone"),
    [
        ("no phone", Reason.BAD_PHONE, "no phone"),
        (True, Reason.BAD_PHONE, "True"),
        (Recipient(None), Reason.BAD_PHONE, "None"),  # type: ignore[arg-type]
        (None, Reason.BAD_RECIPIENT, "None"),
        (b"79612242243", Reason.BAD_RECIPIENT, "b'79612242243'"),
        (("79612242243", "Hello"), Reason.BAD_RECIPIENT, "('79612242243', 'Hello')"),
        (Recipient("79612242243", "007"), Reason.BAD_CLIENT_ID, "79612242243"),
        (Recipient("79612242243", 0), Reason.BAD_CLIENT_ID, "79612242243"),
        (Recipient("79612242243", ""), Reason.BAD_CLIENT_ID, "79612242243"),
        (Recipient("79612242243", True), Reason.BAD_CLIENT_ID, "79612242243"),
        (Recipient("79612242243", text=""), Reason.BAD_TEXT, "79612242243"),
        (Recipient("79612242243", text="\ud800"), Reason.BAD_TEXT, "79612242243"),
        (Recipient("79612242243", text=5), Reason.BAD_TEXT, "79612242243"),  # type: ignore[arg-type]
        (Recipient("79612242243", time_send=datetime(2031, 1, 1)), Reason.BAD_TIME, "79612242243"),  # noqa: DTZ001
        (Recipient("79612242243", validity_period="2031-01-01"), Reason.BAD_TIME, "79612242243"),  # type: ignore[arg-type]
        (Recipient("79612242243", validity_period=datetime.max.replace(tzinfo=UTC)), Reason.BAD_TIME, "79612242243"),
    ],
)
def test_a_bad_recipient_becomes_a_result_and_the_others_go_on(item: object, reason: Reason, phone: str):
    """It is not sent, and its result has the reason, the phone as given and a sentence that says what is wrong."""
    result = only_unusable(item)

    assert (Outcome.NOT_SENT, reason, phone) == (result.outcome, result.reason, result.phone)
    assert (None, 0) == (result.id_sms, result.attempts)
    assert result.error


@pytest.mark.parametrize(
    "item",
    [
        10**5000,
        Recipient(10**5000),
        Recipient("79612242244", 10**5000),
        Recipient("79612242244", message="Hello"),  # type: ignore[arg-type]
    ],
    ids=["huge item", "huge phone", "huge id", "text as message"],
)
def test_no_recipient_breaks_a_batch(item: object):
    """A recipient that cannot be sent to as given is not sent to, and does not end the campaign."""
    assert Outcome.NOT_SENT is only_unusable(item).outcome


def test_a_bad_phone_keeps_its_id():
    """A caller who gave an id finds the unusable recipient by it."""
    assert "555" == only_unusable(Recipient("no phone", 555)).client_id_sms


@pytest.mark.parametrize(
    ("said", "own", "reason"),
    [
        ({"sender": "ACME"}, Recipient("79612242243"), Reason.NO_TEXT),
        ({"validity_period": SOON}, Recipient("79612242243"), Reason.NO_TEXT),
        ({"validity_period": SOON}, Recipient("79612242243", text="Hello"), Reason.NO_SENDER),
    ],
)
def test_a_recipient_without_a_message_is_unusable(said: CallOptions, own: Recipient, reason: Reason):
    """A recipient without a text, or without a sender for it, is unusable."""
    [batch] = all_batches([own], **said)

    assert [reason] == [result.reason for result in batch.unusable]
    assert [] == batch.phones


texts = st.sampled_from(["a", "b", "Скидка!", '"\\\n', "long " * 20])
good = st.builds(
    Recipient,
    st.integers(79612242243, 79612242253).map(str),
    st.none() | st.integers(1, 15),
    st.sampled_from(["", "k"]),
    st.none() | texts,
    validity_period=st.none() | st.just(SOON),
    number_sms=st.none() | st.integers(0, 10**6),
)
bad = st.sampled_from(["rubbish", None, Recipient("", 5), Recipient("79612242243", "007")])


@given(
    st.lists(good | bad | st.integers(79612242243, 79612242253), max_size=30), st.integers(1, 7), st.integers(1, 700)
)
def test_every_item_comes_out_once_in_order_and_within_the_limits(items: list[object], size: int, max_bytes: int):
    """Each item comes out exactly once, in order, and no batch exceeds size or bytes unless it holds one recipient."""
    waiting, cutting, taken = deque(items), batcher(size, max_bytes), 0
    while waiting:
        batch = cutting.cut(waiting, frozenset(), NOW)
        mine, taken = items[taken : len(items) - len(waiting)], len(items) - len(waiting)

        assert 1 <= len(mine) == len(batch.phones) + len(batch.unusable) <= size
        assert len(batch.phones) == len(set(batch.client_ids))
        assert len(batch.phones) <= 1 or len(FORMAT.encode(batch.addressed)) <= max_bytes
        # The results show what went in: usable recipients keep the order of the source.
        written = [str(item.phone if isinstance(item, Recipient) else item) for item in mine]
        for kept in (batch.phones, batch.unusable):
            left = iter(written)
            assert all(entry.phone in left for entry in kept)

    assert len(items) == taken


@given(st.lists(good, max_size=30, unique_by=lambda one: (one.phone, one.key)), st.integers(1, 7), st.integers(1, 2000))
def test_good_recipients_all_leave_in_the_order_of_the_source(items: list[Recipient], size: int, max_bytes: int):
    """The batches, joined, are the source: no recipient is lost, doubled or overtaken."""
    items = [Recipient(one.phone, 1000 + number, text=one.text) for number, one in enumerate(items)]
    batches = all_batches(items, size, max_bytes)

    assert [str(one.client_id_sms) for one in items] == [id_ for batch in batches for id_ in batch.client_ids]
    assert [one.text or "message text 1" for one in items] == [
        said.text for batch in batches for said, to in batch.addressed for _ in to
    ]
    assert list(range(1, len(batches) + 1)) == [batch.number for batch in batches]


# ---------------------------------------------------------------------------- what a call says


@pytest.mark.parametrize(
    ("own", "said"),
    [
        (Recipient("79612242243"), ("sender 1", "message text 1")),
        (Recipient("79612242243", text="Hello"), ("sender 1", "Hello")),
        (Recipient("79612242243", message=message("Hello", "OTHER")), ("OTHER", "Hello")),
        (Recipient("79612242243", text="unused", message=message("Hello", "OTHER")), ("OTHER", "Hello")),
    ],
)
def test_a_recipient_may_bring_its_own_words(own: Recipient, said: tuple[str, str]):
    """A recipient's own text keeps the call's sender; its own message is taken whole."""
    told, _ = address(own, defaults(), IDS.derive)

    assert said == (told.sender, told.text)


def test_an_own_text_keeps_the_rest_of_the_message():
    """Only the text is replaced; the channel's fields stay."""
    call = Message(sender="ACME", text="Sale!", text_viber="Big sale!")
    told, _ = address(Recipient("79612242243", text="Hello"), defaults(message=call), IDS.derive)

    assert ("Hello", "Big sale!") == (told.text, told.text_viber)


def test_a_sender_alone_serves_recipients_with_texts():
    """A call may give the sender only, when every recipient brings a text."""
    told, _ = address(Recipient("79612242243", text="Hello"), defaults(sender="ACME"), IDS.derive)

    assert ("ACME", "Hello") == (told.sender, told.text)


@pytest.mark.parametrize(
    ("said", "why", "reason"),
    [
        ({"message": message(), "text": "Sale!"}, "not both", Reason.OTHER),
        ({"message": message(), "sender": "ACME"}, "not both", Reason.OTHER),
        ({"message": "Sale!"}, "message must be a Message, not str", Reason.OTHER),
        ({"text": "Sale!"}, "sender= is missing", Reason.NO_SENDER),
        ({"text": "", "sender": "ACME"}, "text is empty", Reason.BAD_TEXT),
        ({"text": "Sale!", "sender": ""}, "sender is empty", Reason.BAD_SENDER),
        ({"text": "Sale!", "sender": "Twelve chars"}, "12 characters", Reason.BAD_SENDER),
        ({"sender": "Twelve chars"}, "12 characters", Reason.BAD_SENDER),
        ({"text": "\udfff", "sender": "ACME"}, "lone surrogate", Reason.BAD_TEXT),
    ],
)
def test_a_call_that_cannot_be_sent_is_refused_whole(said: CallOptions, why: str, reason: Reason):
    """A fault in what all recipients share ends the call before an item is taken from the source."""
    with pytest.raises(InputError, match=why) as refused:
        defaults(**said)

    assert reason is refused.value.reason


@pytest.mark.parametrize("field", ["sender_viber", "text_viber", "image_viber", "url", "name"])
def test_half_a_character_in_any_field_is_refused(field: str):
    """UTF-8 cannot carry a lone surrogate: the call is refused, and a recipient's own message makes it unusable."""
    broken = Message(**({"sender": "ACME", "text": "Sale!"} | {field: "\ud83d"}))  # type: ignore[arg-type]

    with pytest.raises(InputError):
        defaults(message=broken)
    assert Reason.BAD_TEXT is only_unusable(Recipient("79612242243", message=broken)).reason


# ---------------------------------------------------------------------------- times


@pytest.mark.parametrize("field", ["validity_period", "time_send"])
@pytest.mark.parametrize(
    ("moment", "why"),
    [
        (datetime(2031, 1, 1), "aware"),  # noqa: DTZ001
        ("2031-01-01 12:00:00", "aware"),
        (1_900_000_000, "aware"),
        (datetime.max.replace(tzinfo=UTC), "is out of range"),
    ],
)
def test_a_time_that_cannot_be_meant_is_refused(field: str, moment: object, why: str):
    """A time that is naive or out of range is an error of the call that names the field."""
    with pytest.raises(InputError, match=f"{field} .*{why}") as refused:
        defaults(message=message(), **{field: moment})

    assert Reason.BAD_TIME is refused.value.reason


@pytest.mark.parametrize("field", ["validity_period", "time_send"])
@pytest.mark.parametrize("moment", [NOW, NOW - timedelta(days=1), datetime(2030, 1, 1, 14, 59, tzinfo=MOSCOW)])
@pytest.mark.parametrize("whose", ["call", "recipient"])
def test_a_time_that_is_past_is_named(field: str, moment: datetime, whose: str):
    """The error names the time that is past, the call's or a recipient's, in any zone."""
    said = {field: moment}
    call = defaults(message=message(), **(said if whose == "call" else {}))
    past = call.past(NOW, Recipient("79612242243", **(said if whose == "recipient" else {})))  # type: ignore[arg-type]

    assert (f"{field} {moment.isoformat()} is past", Reason.BAD_TIME) == (str(past), past and past.reason)


def test_a_recipients_later_time_rescues_it():
    """A time of the call is past, but a recipient with a later time of its own is sent to."""
    call = defaults(message=message(), validity_period=NOW)

    assert None is call.past(NOW, Recipient("79612242243", validity_period=SOON))


@pytest.mark.parametrize(
    ("zone", "second"), [(MOSCOW, "2030-01-01 16:00:00"), (UTC, "2030-01-01 13:00:00"), (BERLIN, "2030-01-01 14:00:00")]
)
def test_times_go_out_in_the_gateways_zone(zone: tzinfo, second: str):
    """The call's times apply to recipients without their own, to the second or the minute, in the configured zone."""
    call = defaults(zone, message=message(), validity_period=SOON, time_send=SOON)
    _, to = address(Recipient("79612242243"), call, IDS.derive)
    [written] = json.loads(JsonFormat(zone).encode([(message(), [to])]))[0]["phones"]

    assert (SOON, SOON) == (to.validity_period, to.time_send)
    assert (second, second[:-3]) == (written["validity_period"], written["time_send"])


def test_a_recipients_own_time_comes_first():
    """A recipient's own time replaces the call's; with neither, the field is left out."""
    call = defaults(message=message(), validity_period=SOON)
    _, own = address(Recipient("79612242243", validity_period=SOON + timedelta(hours=1)), call, IDS.derive)
    _, none = address(Recipient("79612242243"), defaults(), IDS.derive)

    assert (SOON + timedelta(hours=1), None) == (own.validity_period, none.validity_period)


def test_a_time_that_passes_during_the_campaign_makes_the_rest_late():
    """A time of the call that passes before a batch is cut makes that batch's recipients late."""
    cutting = RecipientBatcher(defaults(message=message(), validity_period=SOON), IDS, FORMAT, size=1, max_bytes=10_000)
    waiting: deque[object] = deque(phones(2))
    before, after = cutting.cut(waiting, set(), NOW), cutting.cut(waiting, set(), SOON)

    assert ({}, after.client_ids) == (before.barred, list(after.barred))
    assert [Reason.BAD_TIME] == [error.reason for error in after.barred.values()]


@pytest.mark.parametrize(("fold", "hour"), [(0, 0), (1, 1)])
@pytest.mark.parametrize("other", [0, 1])
def test_the_hour_that_comes_twice_keeps_its_two_meanings(fold: int, other: int, hour: int):
    """When clocks are set back, one clock time is two moments, and each is kept, in any order."""
    twice = [datetime(2030, 10, 27, 2, 30, tzinfo=BERLIN, fold=which) for which in (other, fold)]
    written = [address(Recipient("79612242243", validity_period=it), defaults(), IDS.derive)[1] for it in twice]

    assert datetime(2030, 10, 27, hour, 30, tzinfo=UTC) == written[-1].validity_period


# ---------------------------------------------------------------------------- as a whole


PLAIN = st.fixed_dictionaries(
    {"phone": st.integers(79_000_000_000, 79_000_000_030).map(str)},
    optional={
        "text": st.sampled_from(["a", "b", 'quo"te', "перенос\nстроки", "", " ", "half \ud800", None]),
        "key": st.sampled_from(["", "1", "2", " "]),
        "client_id_sms": st.sampled_from([None, 5, "6", "07", 0, ""]),
        "number_sms": st.sampled_from([None, 0, 1]),
        "validity_period": st.sampled_from([None, SOON]),
    },
)


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip)))
def test_copies_with_their_own_texts_are_the_plain_messages(texts: list[str]):
    """Messages with a text put into a copy unchecked equal those that the checks make."""
    template = Message(sender="ACME", text="Sale!", type=MessageType.FLASH)

    assert with_texts(template, texts) == copies_with_texts(template, texts)
    assert "Sale!" == template.text


@settings(max_examples=300)
@given(
    st.lists(PLAIN.map(lambda said: Recipient(**said)), min_size=1, max_size=12)
    | st.lists(st.integers(79_000_000_000, 79_000_000_030).map(str), min_size=1, max_size=12),
    st.sampled_from([{"text": "Sale!", "sender": "ACME"}, {"sender": "ACME"}, {}]),
    st.sampled_from([60, 200, 524_288]),
)
def test_a_batch_taken_as_a_whole_is_what_it_is_one_by_one(items: list, call: dict, max_bytes: int):
    """The shortcut for clean batches changes nothing: cut one by one, recipients get the same, in the same bytes."""
    waiting, shortcut, slow = deque(items), batcher(5, max_bytes, **call), batcher(5, max_bytes, **call)
    again = deque(items)
    while waiting:
        quick = shortcut.cut(waiting, {ClientIdSms("5")}, NOW)
        careful = slow._cut_one_by_one(again, {ClientIdSms("5")}, NOW)

        assert careful.addressed == quick.addressed
        assert careful.client_ids == quick.client_ids
        assert careful.unusable == quick.unusable
        assert list(again) == list(waiting)
        assert FORMAT.encode(careful.addressed) == (quick.messages or FORMAT.encode(quick.addressed))


class OddKey(str):
    """A key of a type of the caller's own, whose methods fail."""

    __slots__ = ()

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        raise LookupError("no such row", 7)

    isspace = strip = encode  # type: ignore[assignment]


def test_an_item_whose_own_method_fails_says_how():
    """The result names the exception of the item and what it says; a refusal of ours is told in its own words."""
    foreign, ours = only_unusable(Recipient("79612242244", key=OddKey("7"))), only_unusable("no phone")

    assert ("LookupError: ('no such row', 7)", Reason.BAD_RECIPIENT) == (foreign.error, foreign.reason)
    assert (ours.error or "").startswith("'no phone' ")


def new_ids_batcher(size: int, max_bytes: int = 524_288) -> RecipientBatcher:
    """Return a batcher that gives each recipient a new id as well."""
    said = defaults(text="Sale!", sender="ACME")
    return RecipientBatcher(said, IDS, FORMAT, size=size, max_bytes=max_bytes, new_ids=IdScheme("spring", 53, new=True))


def test_a_recipient_with_two_ids_is_one_recipient():
    """Both ids of a recipient are in flight; given ids have no second one, and only recipients fill a batch."""
    waiting = deque([*phones(4), Recipient("79612242249", "101")])
    first, second = (new_ids_batcher(3).cut(waiting, frozenset(), NOW) for _ in range(2))

    assert (3, 2) == (len(first.phones), len(second.phones))
    assert (6, 3) == (len(set(first.client_ids)), len(set(second.client_ids)))
    assert None not in first.client_ids
    assert 1 == len(second.new_ids)


@pytest.mark.parametrize(
    ("change", "excess"),
    [
        ({}, True),
        ({"type": MessageType.WAP_PUSH}, False),
        ({"type_send_1": Channel.VIBER}, False),
        ({"type_send_1": Channel.VIBER, "type_send_2": Channel.SMS}, True),
    ],
)
def test_only_a_text_that_an_sms_carries_has_parts(change: dict[str, object], excess: bool):
    """The limit on SMS holds for a text that is sent as SMS, be it in the second place, and for no other."""
    said = Message(sender="ACME", text="word " * 100, **change)  # type: ignore[arg-type]
    found = CallDefaults(max_parts=2).excess(said)

    assert excess is (found is not None)


def test_a_long_text_is_counted_and_bars_its_recipient_only():
    """Among recipients with their own texts, those of too many SMS are barred; long texts of few SMS are not."""
    said = call_defaults(None, "ACME", None, None, None, send_format=FORMAT, max_parts=2)
    cutting = RecipientBatcher(said, IDS, FORMAT, size=10, max_bytes=524_288)
    texts = {"short": "Sale!", "two SMS": "x" * 250, "many": "x" * 1_000}
    within = cutting.cut(deque(mixed(texts["short"], texts["two SMS"])), frozenset(), NOW)
    beyond = cutting.cut(deque(mixed(texts["short"], texts["many"])), frozenset(), NOW)

    assert (True, {}) == (within.messages is not None, within.barred)
    assert {beyond.client_ids[1]} == beyond.barred.keys()
    assert Reason.TOO_MANY_PARTS is beyond.barred[beyond.client_ids[1]].reason


def mixed(*texts: str) -> list[Recipient]:
    """Return a recipient for each of *texts*."""
    return [Recipient(phone, text=text) for phone, text in zip(phones(len(texts)), texts, strict=True)]


def test_a_single_recipient_whose_moment_cannot_be_written_is_barred():
    """A moment that the gateway's zone cannot have bars its recipient, with the reason."""
    late = msgspec.structs.replace(wire_phones(1)[0], validity_period=datetime.max.replace(tzinfo=UTC))
    batch = SingleRecipientBatcher(FORMAT).cut(deque([(message(), late)]), frozenset(), NOW)

    assert isinstance(batch.barred[late.client_id_sms], InputError)

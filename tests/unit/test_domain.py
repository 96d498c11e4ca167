"""The domain's rules: sentences of the gateway, text from outside, phones, ids and delivery states."""

import os
import unicodedata
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import permutations
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.vendor_sentences import SENTENCES
from webcom_async import (
    ClientIdSms,
    ConfigurationError,
    DeliveryReport,
    DeliveryState,
    GatewayBusy,
    IdBits,
    IdScheme,
    InputError,
    Knowledge,
    Outcome,
    Pace,
    Phone,
    Reason,
    SendResult,
    WebcomError,
)
from webcom_async._domain.client_ids import check_client_id, mint_campaign, random_ids
from webcom_async._domain.credentials import hide_password
from webcom_async._domain.delivery_rules import advanced, wait_before_asking
from webcom_async._domain.errors import another
from webcom_async._domain.given import open_file
from webcom_async._domain.outcome_rules import collision, doubted, repeated_ids
from webcom_async._domain.phones import normal_phones
from webcom_async._domain.refusals import Scope, classify, refusal
from webcom_async._domain.results import SettledResults
from webcom_async._domain.untrusted_text import csv_cell, listed, printable
from webcom_async.audience import normalise_phone

PRINTED = [(reason, sentence) for reason, *sentences in SENTENCES for sentence in sentences]


@pytest.mark.parametrize(("reason", "sentence"), PRINTED)
def test_every_printed_sentence_has_its_reason(reason: Reason, sentence: str):
    """A sentence is recognised with and without its final dot, in any case and between blanks."""
    forms = [sentence, f"{sentence}.", sentence.upper(), sentence.lower(), f"  {sentence} \r\n", f"error: {sentence}."]

    assert dict.fromkeys(forms, reason) == {form: classify(form) for form in forms}


@pytest.mark.parametrize(("reason", "english", "russian"), SENTENCES)
def test_the_table_holds_the_sentences_as_printed(reason: Reason, english: str, russian: str):
    """The table keeps the sentences letter for letter, because the emulator answers with them."""
    row = refusal(reason)

    assert (reason, english, russian) == (row.reason, row.english, row.russian)


@pytest.mark.parametrize(
    ("sentence", "reason"),
    [
        ("Такого отправителя Нет.", Reason.UNKNOWN_SENDER),
        ("Текст SMS отклонён модератором", Reason.TEXT_REJECTED),
        ("Номер телефона присутствует в стоп листе", Reason.STOP_LIST),
        ("Номер телефона присутствует в стоп\u2011листе", Reason.STOP_LIST),
        ("Phone number is on the stop-list", Reason.STOP_LIST),
        (
            "Укажите название контакта, и хотя бы один параметр, для визитной карточки.",
            Reason.NO_CONTACT,
        ),
        ("Нет\u00a0 текста   сообщения", Reason.NO_TEXT),
        ("Неправильный формат XML документа", Reason.BAD_DOCUMENT),
        ("Your account is locked Incorrect login or password", Reason.ACCOUNT_LOCKED),
        (
            "Недостаточно средств для отправки SMS. SMS будет отправлена как только вы пополните счет.",
            Reason.HELD_FOR_FUNDS,
        ),
        ("Данное сообщение уже было отправлено.", Reason.ALREADY_SENT),
    ],
)
def test_real_texts_differ_in_small_things(sentence: str, reason: Reason):
    """Hyphens, commas, `ё`, odd blanks and two sentences on one line do not hide a reason."""
    assert reason is classify(sentence)


@pytest.mark.parametrize("text", ["", ".", "Flood SMS", "Внутренняя ошибка", "no send", "\x00", "\ud800"])
def test_an_unknown_sentence_is_other(text: str):
    """A sentence that is not in the table has the reason `OTHER`, and never fails."""
    assert Reason.OTHER is classify(text)


@given(st.text(), st.sampled_from(PRINTED), st.text())
def test_noise_around_a_sentence_never_fails(before: str, printed: tuple[Reason, str], after: str):
    """Any text gets a reason, and a whole sentence within it is never overlooked."""
    assert classify(before + after) in Reason
    assert Reason.OTHER is not classify(f"{before} {printed[1]} {after}")


@pytest.mark.parametrize(
    ("reason", "scope"),
    [
        (Reason.BAD_DOCUMENT, Scope.REQUEST),
        (Reason.NO_POST_DATA, Scope.REQUEST),
        (Reason.BAD_LOGIN, Scope.CAMPAIGN),
        (Reason.ACCOUNT_LOCKED, Scope.CAMPAIGN),
        (Reason.ACCOUNT_BLOCKED, Scope.CAMPAIGN),
        (Reason.OUT_OF_SMS, Scope.CAMPAIGN),
        (Reason.PROVIDER_OUT_OF_SMS, Scope.CAMPAIGN),
        (Reason.UNKNOWN_SENDER, Scope.MESSAGE),
        (Reason.TEXT_REJECTED, Scope.MESSAGE),
        (Reason.STOP_LIST, Scope.RECIPIENT),
        (Reason.DESTINATION_CLOSED, Scope.RECIPIENT),
        (Reason.PHONE_TOO_LONG, Scope.RECIPIENT),
    ],
)
def test_a_refusal_says_how_far_it_reaches(reason: Reason, scope: Scope):
    """A sentence about the account concerns the campaign, one about a phone concerns that phone."""
    assert scope is refusal(reason).scope


@pytest.mark.parametrize("reason", [Reason.NONE, Reason.OTHER, Reason.BAD_PHONE, Reason.TIMEOUT, Reason.HALTED])
def test_our_own_reasons_have_no_sentence(reason: Reason):
    """Reasons that the library finds itself are not in the gateway's table."""
    with pytest.raises(KeyError):
        refusal(reason)


# ---------------------------------------------------------------------------- text from outside


@pytest.mark.parametrize("cell", ["=1+1", "+79612242243", "-1", "@SUM(A1)", "\tx", "\rx"])
def test_a_formula_in_a_results_file_is_text(cell: str):
    """A spreadsheet must not run what the gateway or a source wrote."""
    assert csv_cell(cell).startswith("'")


@pytest.mark.parametrize("text", ["\x1b[31mred", "a\u202eb", "line\nbreak", "\x9b31m", "\u2066x", "nul\0"])
def test_text_from_outside_cannot_steer_a_terminal(text: str):
    """Control and direction marks become a replacement character before a terminal gets them."""
    assert not {c for c in printable(text) if ord(c) < 32 or c in "\x9b\u202e\u2066"}
    assert "\ufffd" in printable(text)


def test_ordinary_text_is_left_alone():
    """Russian, dashes and emoji are shown as they are."""
    assert "Номер телефона — «стоп-лист» 🙂" == printable("Номер телефона — «стоп-лист» 🙂")


@given(st.text())
def test_what_is_shown_holds_nothing_hidden(text: str):
    """Shown text has no control, direction mark or half of a character, and is otherwise unchanged."""
    shown = printable(text)

    assert len(text) == len(shown)
    assert not {unicodedata.category(character) for character in shown} & {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
    assert all(after in {before, "\ufffd"} for before, after in zip(text, shown, strict=True))


def test_a_list_in_a_message_stays_short():
    """A list of thousands of columns, or of names with thousands of characters, is shortened in a message."""
    assert "a, b" == listed(["a", "b"])
    assert len(listed(["x" * 5_000] * 5_000)) < 600
    assert listed(["x"] * 20).endswith("and 8 more")


# ---------------------------------------------------------------------------- delivery


NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


def said(state: str, minute: int | None = None, **fields: object) -> DeliveryReport:
    """Return a report that an SMS came into *state* at so many minutes past noon."""
    known = {each.value: each for each in DeliveryState}
    moment = None if minute is None else NOON + timedelta(minutes=minute)
    return DeliveryReport("7", known.get(state, DeliveryState.UNKNOWN), state, moment, **fields)  # type: ignore[arg-type]


def after(*reports: DeliveryReport) -> DeliveryReport:
    """Return what is known after *reports*."""
    known = None
    for report in reports:
        known = advanced(known, report)
    assert known is not None
    return known


@pytest.mark.parametrize(
    ("before", "news", "then"),
    [
        (said("send"), said("deliver", 1), "deliver"),
        (said("deliver", 1), said("send"), "deliver"),
        (said("deliver", 1), said("read", 2), "read"),
        (said("read", 2), said("deliver", 3), "read"),
        (said("deliver", 1), said("expired", 2), "deliver"),
        (said("expired", 1), said("deliver", 2), "expired"),
        (said("not_deliver", 1), said("read", 2), "not_deliver"),
        (said("partly_deliver", 1), said("deliver", 2), "deliver"),
        (said("deliver", 1), said("partly_deliver", 2), "deliver"),
        (said("send"), said("link", 1), "link"),
        (said("link", 1), said("send"), "link"),
        (said("link", 2), said("unsubscribe", 1), "link"),
        (said("link", 1), said("unsubscribe", 2), "unsubscribe"),
        (said("link", 9), said("deliver", 1), "deliver"),
    ],
)
def test_a_final_state_never_goes_back(before: DeliveryReport, news: DeliveryReport, then: str):
    """A terminal state never goes back: only a delivered SMS can still be read."""
    assert then == after(before, news).said


def test_a_repeat_says_nothing_new():
    """A repeated report returns the known state, as the same object."""
    known = said("deliver", 1, num_parts=2, price=Decimal(3))

    assert known is advanced(known, said("deliver", 1))
    assert known is advanced(known, said("deliver", 5))


def test_a_price_is_kept_from_wherever_it_came():
    """The price is kept from whichever report brings it, before or after the terminal state."""
    asked = said("send", num_parts=2, price=Decimal(3))

    for known in (after(asked, said("deliver", 1)), after(said("deliver", 1), asked)):
        assert (DeliveryState.DELIVER, Decimal(6)) == (known.state, known.cost)


@pytest.mark.parametrize("order", list(permutations([said("send"), said("deliver", 3), said("read", 4)])))
def test_any_order_ends_in_the_same_state(order: tuple[DeliveryReport, ...]):
    """The same reports end in the same state in any order."""
    assert "read" == after(*order, *order).said


REPORTS = st.builds(
    said,
    st.sampled_from([state.value for state in DeliveryState] + ["link"]),
    st.none() | st.integers(0, 3),
    num_parts=st.none() | st.integers(1, 3),
    price=st.none() | st.sampled_from([Decimal(1), Decimal(2)]),
)


@given(st.lists(REPORTS, min_size=1, max_size=8))
def test_disorder_and_repeats_are_harmless(reports: list[DeliveryReport]):
    """A terminal state stays, and reading the same reports again changes neither the state nor its time."""
    known = None
    was_final = False
    for report in reports:
        known = advanced(known, report)
        assert known.final >= was_final
        was_final = known.final
    assert known is not None
    again = after(known, *(report for report in reports if not report.final))
    assert not known.final or (known.state, known.changed_at) == (again.state, again.changed_at)


def test_the_waits_between_questions_grow_to_a_bound():
    """Each wait is longer than the one before, up to the longest."""
    pace = Pace(first=10, factor=2, longest=100)

    assert [10, 20, 40, 80, 100, 100] == [wait_before_asking(asked, pace) for asked in range(6)]
    assert 100 == wait_before_asking(10_000, pace) == wait_before_asking(10**9, Pace(factor=1e9, longest=100))


@pytest.mark.parametrize(
    "wrong",
    [{"first": -1}, {"factor": 0.5}, {"longest": 0}, {"deadline": float("nan")}, {"look": "1"}, {"first": True}],
)
def test_a_pace_that_cannot_be_kept_is_refused(wrong: dict[str, object]):
    """The message names the number that is out of range."""
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        Pace(**wrong)  # type: ignore[arg-type]


def test_no_question_follows_without_a_pause():
    """A first question may leave at once, and a second one waits."""
    waits = [wait_before_asking(asked, Pace(first=0.0)) for asked in range(4)]

    assert [0.0, 2.0, 4.0, 8.0] == waits


# ---------------------------------------------------------------------------- ids


PHONE = Phone("79612242243")


LARGEST = 2**63 - 1


def test_minted_campaigns_differ():
    """Two calls without a campaign share no id."""
    assert 1_000 == len({mint_campaign() for _ in range(1_000)})


@pytest.mark.parametrize(
    ("given_id", "on_wire"),
    [("101", "101"), (101, "101"), (1, "1"), (LARGEST, str(LARGEST)), (str(LARGEST), str(LARGEST))],
)
def test_decimal_digits_are_taken_as_they_are(given_id: object, on_wire: str):
    """An id is text on the wire, whether it was given as text or as a number."""
    assert on_wire == check_client_id(given_id)


@pytest.mark.parametrize(
    ("given_id", "why"),
    [
        ("007", "must not start with 0"),
        ("0", "must not start with 0"),
        (0, "must not start with 0"),
        (2**63, "is over"),
        (str(2**63), "is over"),
        ("1" * 20, "is over"),
        ("1" * 5000, "is over"),
        (-1, "must be decimal digits"),
        ("-1", "must be decimal digits"),
        ("+1", "must be decimal digits"),
        ("", "must be decimal digits"),
        (" 1", "must be decimal digits"),
        ("1\n", "must be decimal digits"),
        ("1_0", "must be decimal digits"),
        ("0x1", "must be decimal digits"),
        ("1.0", "must be decimal digits"),
        ("order-7", "must be decimal digits"),
        ("١٢٣", "must be decimal digits"),
        ("²", "must be decimal digits"),
        (True, "must be decimal digits"),
        (1.0, "must be decimal digits"),
        (b"1", "must be decimal digits"),
        (None, "must be decimal digits"),
    ],
)
def test_ids_that_the_gateway_would_change_are_refused(given_id: object, why: str):
    """An id that an Int would change is refused, because two ids could then become one."""
    with pytest.raises(InputError, match=why) as refused:
        check_client_id(given_id)

    assert Reason.BAD_CLIENT_ID is refused.value.reason


@pytest.mark.parametrize("given_id", [10**5000, -(10**5000)], ids=["huge", "negative huge"])
def test_a_number_too_long_to_print_is_refused_like_any_other(given_id: int):
    """A number too long for Python to print is refused with the same exception as other bad ids."""
    with pytest.raises(InputError) as refused:
        check_client_id(given_id)

    assert Reason.BAD_CLIENT_ID is refused.value.reason


@given(st.one_of(st.integers(), st.text(), st.text("0123456789"), st.floats(), st.booleans(), st.none()))
def test_the_outcome_is_a_number_of_63_bits_or_an_input_error(given_id: object):
    """Any input gives an id that survives a round trip through an Int, or an `InputError`."""
    try:
        client_id = check_client_id(given_id)
    except InputError as exc:
        refused = exc.reason
        assert Reason.BAD_CLIENT_ID is refused
    else:
        assert client_id == str(int(client_id))
        assert 1 <= int(client_id) <= LARGEST


@pytest.mark.parametrize("bits", [53, 63])
def test_ids_of_no_campaign_are_random(bits: IdBits):
    """Two messages to one phone without a campaign have two ids, of the width asked for."""
    derive = random_ids(bits)
    ids = {int(derive(PHONE, "")) for _ in range(1_000)}

    assert 1_000 == len(ids)
    assert 0 < min(ids)
    assert bits - 9 <= max(ids).bit_length() <= bits


@given(st.text(), st.text(), st.sampled_from([53, 63]))
def test_every_derived_id_is_one_that_a_caller_may_give(campaign: str, key: str, bits: IdBits):
    """Derived ids pass the check for given ones and fit their width, for any campaign and key."""
    client_id = IdScheme(campaign, bits).derive(PHONE, key)

    assert client_id == check_client_id(client_id)
    assert 1 <= int(client_id) < 2**bits


# ---------------------------------------------------------------------------- phones


_WRITTEN = st.one_of(
    st.integers(1, 10**16).map(str),
    st.sampled_from(
        ["79612242243", "89612242243", "8961224224", "88005553535", "96122422430", "07961224224", "", "７"]
    ),
    st.builds(
        "{}{}{}".format, st.integers(10**6, 10**12), st.sampled_from(".,"), st.sampled_from(["0", "00", "5", ""])
    ),
    st.builds("{}e{}".format, st.integers(1, 10**4), st.integers(-3, 10)),
    st.text("0123456789 +-,.eE\ud800²", max_size=16),
)


@given(st.lists(_WRITTEN, min_size=1, max_size=5))
def test_phones_as_a_whole_are_the_phones_one_by_one(written: list[str]):
    """The fast path for many phones returns the same digits as one by one, or none."""
    taken = normal_phones(written)

    assert taken is None or taken.phones == [normalise_phone(each) for each in written]
    assert taken is None or list(map(str, taken.numbers)) == taken.phones


@pytest.mark.parametrize("written", ["79612242243", " 79612242243\r\n", "88005553535", "442079460958", "96122422"])
def test_clean_phones_are_taken_as_a_whole(written: str):
    """Phones that need only stripping take the fast path."""
    taken = normal_phones([written, written])

    assert taken is not None
    assert [normalise_phone(written)] * 2 == taken.phones


@pytest.mark.parametrize(
    "written",
    [
        "89612242243",
        "+79612242243",
        "0796122422",
        "1234567",
        "1234567890123456",
        "²" * 9,
        "7961224224 3",
        "7.9e10",
        "79612242243.0",
    ],
)
def test_one_phone_that_needs_a_closer_look_sends_all_the_long_way(written: str):
    """One phone that is not clean sends the whole batch down the careful path."""
    assert normal_phones(["79612242243", written]) is None


# ---------------------------------------------------------------------------- results


def test_a_batch_in_which_all_are_accepted_has_no_others():
    """An answer that accepts all recipients has no others, whether that is known or has to be searched for."""
    results = [SendResult(ClientIdSms("1"), Phone("79612242243"), Outcome.ACCEPTED, "7")]

    assert [] == SettledResults(results, all_accepted=True).others() == SettledResults(results).others()


# ---------------------------------------------------------------------------- errors


class Peculiar(WebcomError):
    """A caller's own error, with a constructor of its own."""

    def __init__(self, where: str, *, code: int) -> None:
        super().__init__(f"{code} in {where}")
        self.code = code


@pytest.mark.parametrize(
    "error",
    [
        GatewayBusy("slow down", error="busy", retry_after=3.0, halts=True),
        InputError("no phone", Reason.NO_PHONE),
        Peculiar("a transport", code=7),
    ],
    ids=lambda error: type(error).__name__,
)
def test_another_exception_says_the_same(error: WebcomError):
    """The copy has the kind, words, attributes and notes of the first, which later changes to the copy do not touch."""
    error.add_note("first")
    new = another(error, knowledge=Knowledge.NOT_REACHED)
    before = vars(error) | {"knowledge": error.knowledge}
    new.add_note("second")

    assert (type(error), error.args, str(error)) == (type(new), new.args, str(new))
    assert before | {"knowledge": Knowledge.NOT_REACHED, "__notes__": ["first", "second"]} == vars(new)
    assert ["first"] == error.__notes__
    assert ("other words",) == another(error, "other words", error="other").args


# ---------------------------------------------------------------------------- files


@pytest.mark.skipif(os.name != "posix", reason="pipes have no name elsewhere")
def test_a_checked_path_is_checked_again_when_it_is_open(tmp_path: Path):
    """Only a regular file is emptied, even if the path changed after the first check."""
    path = tmp_path / "file"
    path.write_text("before")
    with open_file(path, "w") as file:
        file.write("now")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="it is a pipe"):
        open_file(tmp_path / "pipe", "w")

    assert "now" == path.read_text()


# ---------------------------------------------------------------------------- a database's password

REFUSED = 'connection to server at "db.local" (10.0.0.7), port 5432 failed: FATAL: password authentication failed'


@pytest.mark.parametrize(
    "password", ["a", "p", "1", "or", "to", "5432", "server", "postgres", "password", "s3cr3t", "***"]
)
def test_a_sentence_stays_readable_whatever_the_password_is(password: str):
    """A password that is a letter, a number or a word of the sentence blanks nothing in it."""
    assert REFUSED == hide_password(REFUSED, password)


@pytest.mark.parametrize("password", ["a", "postgres", "s3cr3t", "p@ss/w:rd", "Pä ss", "100%", "x"])
@pytest.mark.parametrize(
    "told",
    [
        "cannot use postgresql://user:{url}@host/db",
        "cannot use postgresql://user:{url}@host:5432/db?sslmode=require now",
        "cannot use postgresql://host/db?user=me&password={url}&sslmode=require",
        "cannot use host=host password={plain} dbname=db",
        "cannot use host=host password='{plain}' dbname=db",
        "cannot use PASSWORD = {plain}",
    ],
)
def test_a_password_is_hidden_where_it_is_marked_as_one(password: str, told: str):
    """In a DSN the password alone is hidden, in any spelling, however short it is."""
    quoting = told.format(plain=password, url=quote(password, safe=""))

    assert told.format(plain="***", url="***") == hide_password(quoting, password)


@pytest.mark.parametrize("password", ["s3cr3t", "p@ss/w:rd", "S3CR3T-longer", "correct-horse"])
def test_a_password_that_means_nothing_else_is_hidden_anywhere(password: str):
    """A password of several kinds of characters is no word of a sentence."""
    assert "the server says '***' is wrong: ***" == hide_password(
        f"the server says '{password}' is wrong: {quote(password, safe='')}", password
    )


# ---------------------------------------------------------------------------- repeated ids


def answered(client_id: str, id_sms: str) -> SendResult:
    """Return an accepted recipient."""
    return SendResult(ClientIdSms(client_id), Phone("79612242243"), Outcome.ACCEPTED, id_sms)


def test_a_later_answer_takes_the_place_of_an_earlier_one():
    """An `id_sms` that a recipient was once answered with is no longer its own after another answer."""
    results = [answered("a", "2"), answered("c", "1")]

    assert {"2": {"a", "b"}} == repeated_ids(results, [("2", "b"), ("1", "a")])


def test_a_doubted_recipient_says_why():
    """A recipient whose `id_sms` is another's is unknown, keeps it, and names it."""
    result = doubted(answered("a", "7"))

    assert (Outcome.UNKNOWN, Reason.REPEATED_ID_SMS, "7") == (result.outcome, result.reason, result.id_sms)
    assert "answered with id_sms 7, as another client_id_sms was" == result.error


def test_an_alarm_without_a_journal_knows_no_campaign():
    """Without a journal, the repeats are new, and of no campaign."""
    error = collision({"7": {"a", "b"}}, {"a": "7"})

    assert (False, [], {"a": "7"}) == (error.known, list(error.campaigns), error.claims)
    assert str(error).startswith(
        "1 recipient got an id_sms that another recipient has: client_id_sms a and b were answered with one id_sms, 7. "
    )


def test_an_alarm_names_a_few_ids_and_campaigns():
    """Of many ids, and of many campaigns, three are named, and the others counted."""
    error = collision(
        {"7": set("abcdef")},
        {"a": "7", "b": "7"},
        campaign="spring",
        campaigns={"spring", "p", "q", "r", "s"},
        known=True,
    )

    assert (True, ["p", "q", "r", "s", "spring"]) == (error.known, list(error.campaigns))
    assert str(error).startswith(
        "2 recipients of campaign 'spring' got an id_sms that another recipient, of campaign 'p', 'q', 'r' and 1 more, "
        "has: client_id_sms a and b and c and 3 more were answered with one id_sms, 7. "
    )

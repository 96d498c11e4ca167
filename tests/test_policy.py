"""What an answer or a failure means, and what the client does about it."""

import json
from datetime import timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builders import FORMAT, NOW, accepted, wire_phones
from webcom_async import (
    AccountLocked,
    AuthenticationError,
    ConfigurationError,
    ConnectionLost,
    GatewayBusy,
    GatewayUnavailable,
    InputError,
    Knowledge,
    Options,
    Outcome,
    OutOfBalance,
    PairingError,
    Reason,
    RedirectRefused,
    Reply,
    ReplyError,
    ReplyTimeout,
    RequestRefused,
    RequestTooLarge,
    SendResult,
    Split,
    TlsError,
    UsageError,
    WebcomError,
)
from webcom_async._gateway.policy import conclude, halting, judge, wait_before_retry, worth_retrying

HTML = b"<html><body>it does not matter what stands here</body></html>"


def error(text: str) -> bytes:
    """Return an answer that refuses the request in *text*."""
    return json.dumps({"error": text}).encode()


def judged(
    body: bytes = HTML, status: int = 200, count: int = 2, options: Options | None = None, **headers: str
) -> list[SendResult]:
    """Return what an answer to *count* recipients means; underscores in header names are hyphens."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    reply = Reply(status, named, body)
    return judge(reply, wire_phones(count), 1, options or Options(), NOW, send_format=FORMAT).results


def failed(*args: object, **kwargs: object) -> WebcomError:
    """Return the error of an answer that settles no recipient."""
    with pytest.raises(WebcomError) as failure:
        judged(*args, **kwargs)  # type: ignore[arg-type]
    return failure.value


def marks(failure: WebcomError) -> tuple[type, Knowledge, bool, bool]:
    """Return what a policy asks of an error."""
    return type(failure), failure.knowledge, failure.transient, failure.halts


def busy(retry_after: str, **options: object) -> GatewayBusy:
    """Return the error of an answer with *retry_after*."""
    failure = failed(status=503, options=Options(**options), retry_after=retry_after)  # type: ignore[arg-type]
    assert isinstance(failure, GatewayBusy)
    return failure


# ---------------------------------------------------------------------------- answers


@pytest.mark.parametrize("status", [200, 201, 400, 401, 404, 413, 429, 500, 503])
def test_results_count_whatever_the_status(status: int):
    """A body with `information` is results under any status: the manual contradicts itself about 200 and 400."""
    assert ["1001", "1002"] == [result.id_sms for result in judged(accepted(1001, 1002), status)]


@pytest.mark.parametrize("status", [200, 400, 401, 403, 404, 413, 500, 503])
@pytest.mark.parametrize(
    ("sentence", "kind"),
    [
        ("Incorrect login or password", AuthenticationError),
        ("Неправильный логин или пароль.", AuthenticationError),
        ("Your account is locked", AccountLocked),
        ("Your account is locked Incorrect login or password", AccountLocked),
        ("Account blocked", AccountLocked),
        ("Out of SMS", OutOfBalance),
        ("У нас закончились SMS. Для разрешения проблемы свяжитесь с менеджером.", OutOfBalance),
        ("Incorrect JSON document format", RequestRefused),
        ("POST data is missing", RequestRefused),
        ("This destination is closed", RequestRefused),
    ],
)
def test_a_known_sentence_counts_whatever_the_status(status: int, sentence: str, kind: type):
    """A known sentence decides over the status, and is kept word for word."""
    failure = failed(error(sentence), status)

    assert kind is type(failure)
    assert sentence == failure.error  # type: ignore[attr-defined]
    assert not failure.transient


@pytest.mark.parametrize(
    ("sentence", "alone", "among_others"),
    [
        ("Incorrect login or password", Knowledge.REFUSED, Knowledge.REFUSED),
        ("Your account is locked", Knowledge.REFUSED, Knowledge.REFUSED),
        ("Incorrect JSON document format", Knowledge.REFUSED, Knowledge.REFUSED),
        ("POST data is missing", Knowledge.REFUSED, Knowledge.REFUSED),
        ("Out of SMS", Knowledge.REFUSED, Knowledge.POSSIBLY_SENT),
        ("Account blocked", Knowledge.REFUSED, Knowledge.POSSIBLY_SENT),
        ("Something else", Knowledge.REFUSED, Knowledge.POSSIBLY_SENT),
    ],
)
def test_one_sentence_for_several_recipients_names_none(sentence: str, alone: Knowledge, among_others: Knowledge):
    """A sentence settles a request of one recipient; with several, the request is possibly sent."""
    assert (alone, among_others) == (
        failed(error(sentence), count=1).knowledge,
        failed(error(sentence), count=2).knowledge,
    )


@pytest.mark.parametrize("sentence", ["There is no such sender", "Phone number is on the stop list"])
def test_a_sentence_about_a_recipient_settles_the_only_one(sentence: str):
    """A sentence about a recipient refuses a lone recipient; with several, the request is possibly sent."""
    [result] = judged(error(sentence), count=1)

    assert (Outcome.REJECTED, sentence) == (result.outcome, result.error)
    assert Knowledge.POSSIBLY_SENT is failed(error(sentence), count=2).knowledge


@pytest.mark.parametrize(
    ("sentence", "reason"),
    [("No link", Reason.NO_LINK), ("Укажите номер телефона.", Reason.NO_PHONE), ("Something else", Reason.OTHER)],
)
def test_a_refused_request_has_the_sentences_reason(sentence: str, reason: Reason):
    """A refusal that ends no campaign carries its own reason into the results."""
    failure = failed(error(sentence))

    assert (RequestRefused, reason, False) == (type(failure), failure.reason, failure.halts)


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 307, 308])
def test_a_redirect_is_refused_with_both_urls(status: int):
    """A redirect is not followed, as the body holds the password, and the error names both URLs."""
    failure = failed(b"", status, location="https://elsewhere.example/json/")

    assert (RedirectRefused, Knowledge.REFUSED, False, True) == marks(failure)
    assert "https://lk.mysmpp.ru/json" in str(failure)
    assert "'https://elsewhere.example/json/'" in str(failure)


def test_a_redirect_to_nowhere_is_refused_too():
    """A redirect without a location is refused like any other."""
    assert RedirectRefused is type(failed(b"", 302))


@pytest.mark.parametrize("status", [401, 403, 404, 405, 410, 415])
@pytest.mark.parametrize("body", [HTML, b"", b"null", error("Forbidden")])
def test_a_status_that_speaks_of_the_url_halts(status: int, body: bytes):
    """A status about the URL halts, as a retry would meet the same; the message names URL and status."""
    failure = failed(body, status)

    assert (ConfigurationError, Knowledge.REFUSED, False, True) == marks(failure)
    assert f"https://lk.mysmpp.ru/json answered {status}" in str(failure)


def test_a_foreign_page_is_quoted_in_part():
    """A message shows the beginning of a page, not all of it, and survives bytes that are no text."""
    assert len(str(failed(b"\xff" * 100_000, 404))) < 1_000


def test_a_request_that_is_too_large_says_what_to_lower():
    """A batch that meets 413 is sent in halves, and the error names the setting to lower."""
    failure = failed(status=413)

    assert (RequestTooLarge, Knowledge.REFUSED, False, False) == marks(failure)
    assert Split.AT_ONCE is failure.split
    assert "batch_size or batch_bytes" in str(failure)


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 599])
@pytest.mark.parametrize("body", [HTML, b"", error("Internal error"), accepted(1001)])
def test_a_failing_gateway_is_asked_again(status: int, body: bytes):
    """A failing gateway may still process the request: it is possibly sent, and retried under the same ids."""
    assert (GatewayBusy, Knowledge.POSSIBLY_SENT, True, False) == marks(failed(body, status))


@pytest.mark.parametrize("status", [200, 202, 204, 400, 402, 418, 422])
@pytest.mark.parametrize("body", [HTML, b"", b"null", b"[]", b"{}"])
def test_an_answer_that_cannot_be_read_is_asked_again(status: int, body: bytes):
    """An answer without a usable body or status leaves the request possibly sent, and is retried."""
    assert (ReplyError, Knowledge.POSSIBLY_SENT, True, False) == marks(failed(body, status))


@pytest.mark.parametrize("status", [200, 202, 204, 400, 402, 418, 422])
@pytest.mark.parametrize("body", [accepted(1001), accepted(1001, 1002, 1003), b'{"information":[{},{}]}'])
def test_an_answer_that_cannot_be_paired_is_asked_again_once(status: int, body: bytes):
    """Entries that fit no recipient are retried once, as one answer may be an accident."""
    failure = failed(body, status)

    assert (PairingError, Knowledge.POSSIBLY_SENT, True, False) == marks(failure)
    assert [True, False, False] == [worth_retrying(failure, attempts) for attempts in (1, 2, 3)]


@given(st.integers(100, 999), st.binary(max_size=50) | st.sampled_from([HTML, accepted(1), error("?")]), st.text())
def test_every_answer_means_something(status: int, body: bytes, header: str):
    """Every answer becomes results for all recipients or a `WebcomError`."""
    reply = Reply(status, {"retry-after": header, "location": header}, body)
    try:
        results = judge(reply, wire_phones(1), 1, Options(), NOW, send_format=FORMAT).results
    except WebcomError as exc:
        knowledge = exc.knowledge
        assert knowledge in (Knowledge.REFUSED, Knowledge.POSSIBLY_SENT)
    else:
        assert ["101"] == [result.client_id_sms for result in results]


# ---------------------------------------------------------------------------- Retry-After


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0", 0.0),
        ("30", 30.0),
        (" 30 ", 30.0),
        (format_datetime(NOW + timedelta(seconds=30), usegmt=True), 30.0),
        ("Tue, 01 Jan 2030 15:00:30 +0300", 30.0),
        ("Tuesday, 01-Jan-30 12:00:30 GMT", 30.0),
        (format_datetime(NOW - timedelta(days=1), usegmt=True), 0.0),
    ],
)
def test_retry_after_is_seconds_or_a_date(header: str, seconds: float):
    """RFC 9110 allows both; a date that has passed asks for no wait."""
    assert seconds == busy(header).retry_after


@pytest.mark.parametrize(
    "header",
    [
        "",
        "soon",
        "-5",
        "1.5",
        "²",
        "Tue, 01 Jan 2030 12:00:30 -0000",
        "Tue, 99 Jan 2030 12:00:30 GMT",
        "Tue, 01 Jan 99999999999999999999 12:00:30 GMT",
        "Tue, 01 Jan 2030 12:00:30 +99999999999999999999",
        "Tue, 01 Jan 2030 12:00:30 +9999",
    ],
)
def test_nonsense_asks_for_no_wait(header: str):
    """A header that cannot be read counts as missing, and causes no other failure."""
    assert (None, False) == (busy(header).retry_after, busy(header).halts)


def test_a_missing_header_asks_for_no_wait():
    """A busy gateway without `Retry-After` is retried after the usual back-off."""
    assert None is failed(status=429).retry_after  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("header", "halts"), [("60", False), ("61", True), ("9" * 400, True), ("Thu, 31 Dec 2099 23:59:59 GMT", True)]
)
def test_a_long_wait_ends_the_campaign(header: str, halts: bool):
    """A wait up to the ceiling is waited out; a longer one halts the campaign, which can be resumed."""
    failure = busy(header, retry_after_max=60.0)

    assert (halts, not halts) == (failure.halts, worth_retrying(failure, 1))


# ---------------------------------------------------------------------------- retrying


@pytest.mark.parametrize(
    ("failure", "again"),
    [
        (GatewayUnavailable(), True),
        (ConnectionLost(), True),
        (ReplyTimeout(), True),
        (ReplyError(), True),
        (GatewayBusy(), True),
        (AuthenticationError(), False),
        (AccountLocked(), False),
        (OutOfBalance(), False),
        (RequestRefused(), False),
        (ConfigurationError(), False),
        (RedirectRefused(), False),
        (TlsError(), False),
        (UsageError(), False),
        (InputError("wrong"), False),
        (TimeoutError(), False),
        (ConnectionResetError(), False),
        (KeyboardInterrupt(), False),
    ],
)
def test_only_our_own_transient_errors_are_retried(failure: BaseException, again: bool):
    """Refusals and foreign exceptions are not retried."""
    assert again is worth_retrying(failure, 1)


@pytest.mark.parametrize(
    ("attempts", "bound"), [(1, 0.5), (2, 1.0), (3, 2.0), (4, 4.0), (6, 16.0), (7, 20.0), (60, 20.0), (5_000, 20.0)]
)
def test_the_bound_doubles_up_to_its_ceiling(attempts: int, bound: float):
    """Full jitter: the wait is drawn evenly between zero and a bound that doubles up to its ceiling."""
    waits = [wait_before_retry(attempts, ReplyTimeout(), Options(), random) for random in (0.0, 0.5, 1.0)]

    assert [0.0, bound / 2, bound] == waits


def test_the_bound_is_an_option():
    """The caller sets the first wait and the ceiling, and zero switches waiting off."""
    options = Options(wait_initial=3.0, wait_max=10.0)

    assert [3.0, 6.0, 10.0] == [wait_before_retry(attempts, None, options, 1.0) for attempts in (1, 2, 3)]
    assert 0.0 == wait_before_retry(3, None, Options(wait_initial=0), 1.0)
    assert 0.0 == wait_before_retry(3, None, Options(wait_max=0), 1.0)


def test_a_named_wait_is_obeyed_in_full():
    """The jitter comes on top of a `Retry-After`, so that many clients do not come back at once."""
    asked = GatewayBusy(retry_after=30.0)

    assert [30.0, 30.5] == [wait_before_retry(2, asked, Options(), random) for random in (0.0, 0.5)]


# ---------------------------------------------------------------------------- the end of it


def result(outcome: Outcome, reason: Reason, words: str = "words") -> SendResult:
    """Return one recipient's result."""
    phone = wire_phones(1)[0]
    return SendResult(phone.client_id_sms, phone.phone, outcome, None, reason, words)


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        (Reason.OUT_OF_SMS, OutOfBalance),
        (Reason.PROVIDER_OUT_OF_SMS, OutOfBalance),
        (Reason.ACCOUNT_BLOCKED, AccountLocked),
        (Reason.ACCOUNT_LOCKED, AccountLocked),
        (Reason.BAD_LOGIN, AuthenticationError),
    ],
)
def test_words_about_the_account_halt_the_campaign(reason: Reason, kind: type):
    """One recipient that is refused because of the account halts the campaign, with the gateway's words."""
    good, bad = result(Outcome.ACCEPTED, Reason.NONE), result(Outcome.NOT_SENT, reason, "the gateway's own")
    halt = halting([good, bad, good])

    assert kind is type(halt)
    assert halt is not None
    assert ("the gateway's own", True) == (halt.error, halt.halts)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "results",
    [
        [],
        [result(Outcome.ACCEPTED, Reason.NONE)],
        [result(Outcome.ACCEPTED, Reason.HELD_FOR_FUNDS)],
        [result(Outcome.REJECTED, Reason.STOP_LIST)],
        [result(Outcome.REJECTED, Reason.UNKNOWN_SENDER)],
        [result(Outcome.REJECTED, Reason.OTHER)],
        [result(Outcome.UNKNOWN, Reason.TIMEOUT)],
        [result(Outcome.NOT_SENT, Reason.DUPLICATE)],
    ],
)
def test_words_about_a_recipient_halt_nothing(results: list[SendResult]):
    """A bad number, a stop list or a duplicate concerns that recipient only."""
    assert None is halting(results)


@pytest.mark.parametrize("failure", [RequestRefused("no"), RequestTooLarge("no")])
def test_only_who_was_alone_in_a_refused_request_is_rejected(failure: WebcomError):
    """A refusal of a lone recipient rejects it; a refusal of several leaves each of them not sent."""
    outcomes = [conclude(failure, possibly_sent=False, alone=alone)[0] for alone in (True, False)]

    assert [Outcome.REJECTED, Outcome.NOT_SENT] == outcomes


@pytest.mark.parametrize(
    ("failure", "possibly_sent", "outcome"),
    [
        (GatewayUnavailable("no"), False, Outcome.NOT_SENT),
        (GatewayUnavailable("no"), True, Outcome.UNKNOWN),
        (ConnectionLost("no"), True, Outcome.UNKNOWN),
        (ReplyTimeout("no"), True, Outcome.UNKNOWN),
        (ReplyError("no"), True, Outcome.UNKNOWN),
        (GatewayBusy("no"), True, Outcome.UNKNOWN),
        (RequestRefused("no", reason=Reason.NO_TEXT), False, Outcome.REJECTED),
        (RequestRefused("no", reason=Reason.NO_TEXT), True, Outcome.UNKNOWN),
        (AuthenticationError("no"), False, Outcome.NOT_SENT),
        (AuthenticationError("no"), True, Outcome.UNKNOWN),
        (OutOfBalance("no"), False, Outcome.NOT_SENT),
        (ConfigurationError("no"), False, Outcome.NOT_SENT),
    ],
)
def test_one_possibly_sent_attempt_decides(failure: WebcomError, possibly_sent: bool, outcome: Outcome):
    """After one possibly sent attempt a recipient is unknown, whatever the last attempt met."""
    assert (outcome, failure.reason, "no") == conclude(failure, possibly_sent=possibly_sent, alone=True)


def test_the_possibly_sent_attempt_gives_the_reason():
    """A recipient without a first answer is unknown for that reason, not because the second request never left."""
    said = conclude(GatewayUnavailable("no way"), possibly_sent=True, alone=True, question=ConnectionLost("gone"))

    assert (Outcome.UNKNOWN, Reason.CONNECTION_LOST, "gone") == said


def test_results_have_the_gateways_own_words():
    """The result shows the gateway's own words, without our sentence around them."""
    *_, words = conclude(RequestRefused(error="No link"), possibly_sent=False, alone=True)

    assert "No link" == words

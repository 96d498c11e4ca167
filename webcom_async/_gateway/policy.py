"""
Decide what an answer or a failure means, and what follows from it.

Only this module decides. Its functions are pure; `retry` waits, and `_sending` acts. The *body* decides before the
status does: the manual's own headings contradict each other about 200 and 400.
"""

import math
from collections.abc import Callable, Container, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple, TypeVar

from webcom_async._domain.errors import (
    AccountLocked,
    AuthenticationError,
    ConfigurationError,
    GatewayBusy,
    GatewayError,
    GatewayUnavailable,
    Knowledge,
    OutOfBalance,
    RedirectRefused,
    ReplyError,
    ReplyTimeout,
    RequestRefused,
    RequestTooLarge,
    Split,
    TransportError,
    WebcomError,
)
from webcom_async._domain.exchange import Reply
from webcom_async._domain.messages import OutboundRecipient
from webcom_async._domain.options import Options
from webcom_async._domain.outcome_rules import claims_among, collision, repeated_ids
from webcom_async._domain.reasons import Reason
from webcom_async._domain.refusals import Scope, classify, refused_outcome, scope_of
from webcom_async._domain.results import Outcome, SendResult, SettledResults, given_ids, not_accepted
from webcom_async._wire.base import Call, RefusedRequest, SendFormat

__all__ = [
    "conclude",
    "halting",
    "judge",
    "judge_call",
    "shrinks",
    "wait_before_retry",
    "worth_retrying",
    "worth_waiting",
]

T = TypeVar("T")

_HALTING: dict[Reason, type[GatewayError]] = {
    Reason.BAD_LOGIN: AuthenticationError,
    Reason.ACCOUNT_LOCKED: AccountLocked,
    Reason.ACCOUNT_BLOCKED: AccountLocked,
    Reason.OUT_OF_SMS: OutOfBalance,
    Reason.PROVIDER_OUT_OF_SMS: OutOfBalance,
}
_WHOLE_REQUEST = frozenset({Reason.BAD_LOGIN, Reason.ACCOUNT_LOCKED, Reason.BAD_DOCUMENT, Reason.NO_POST_DATA})
_DOUBLINGS = 64  # far beyond any wait in use


def judge(
    reply: Reply,
    phones: Sequence[OutboundRecipient],
    attempts: int,
    options: Options,
    now: datetime,
    *,
    send_format: SendFormat,
    allow_repeats: bool = False,
) -> SettledResults:
    """
    Return one result per recipient of *phones*; *attempts* includes this request.

    An `id_sms` that comes twice is an error, unless *allow_repeats* leaves it to the journal.

    Raises:
        WebcomError: The answer settles no recipient.
    """
    try:
        decoded = send_format.decode(reply, phones, attempts)
        return decoded if allow_repeats else _told_apart(decoded)
    except RefusedRequest as refused:
        error = refused.error
    except ReplyError as exc:
        raise _by_status(_UnsettlingReply(reply, "", options.url, options, now)) or exc from None
    reason = classify(error)
    alone = len(phones) == 1
    if reason is Reason.OTHER:
        by_status = _by_status(_UnsettlingReply(reply, error, options.url, options, now))
        raise by_status or _by_sentence(error, reason, alone=alone)
    if alone and scope_of(reason) in (Scope.RECIPIENT, Scope.MESSAGE):
        # The sentence can only mean this recipient, so it counts as the recipient's entry.
        [phone] = phones
        outcome = refused_outcome(reason)
        result = SendResult(phone.client_id_sms, phone.phone, outcome, None, reason, error, attempts)
        return SettledResults([result])
    raise _by_sentence(error, reason, alone=alone)


def judge_call(reply: Reply, call: Call[T], url: str, options: Options, now: datetime) -> T:
    try:
        return call.decode(reply)
    except RefusedRequest as refused:
        error = refused.error
    except ReplyError as exc:
        raise _by_status(_UnsettlingReply(reply, "", url, options, now)) or exc from None
    reason = classify(error)
    by_status = _by_status(_UnsettlingReply(reply, error, url, options, now)) if reason is Reason.OTHER else None
    raise by_status or _by_sentence(error, reason, alone=True)


def halting(results: Sequence[SendResult]) -> WebcomError | None:
    """Return the first error that ends a campaign, or None."""
    for result in not_accepted(results):
        if result.reason in _HALTING:
            return _HALTING[result.reason](error=result.error)
    return None


def worth_retrying(error: BaseException | None, attempts: int) -> bool:
    if isinstance(error, GatewayBusy) and error.halts:
        return False
    if isinstance(error, WebcomError) and error.split is Split.AFTER_ONE_RETRY:
        return attempts <= 1
    return isinstance(error, WebcomError) and error.transient


def worth_waiting(error: WebcomError) -> bool:
    """Whether the gateway is out of service for now, so that a later request may be answered."""
    return isinstance(error, TransportError) or (isinstance(error, GatewayBusy) and not error.halts)


def shrinks(error: WebcomError) -> bool:
    return isinstance(error, GatewayBusy | ReplyTimeout | GatewayUnavailable)


def wait_before_retry(attempts: int, error: BaseException | None, options: Options, random: float) -> float:
    """
    Return the seconds to wait after *attempts* requests.

    Full jitter: evenly distributed between zero and a bound that doubles, so that many clients do not return at once. A
    `Retry-After` is obeyed in full, and the jitter is added to it.
    """
    bound = min(options.wait_max, math.ldexp(options.wait_initial, min(attempts - 1, _DOUBLINGS)))
    asked = error.retry_after if isinstance(error, GatewayBusy) else None
    return (asked or 0.0) + bound * random


def conclude(
    error: WebcomError, *, possibly_sent: bool, alone: bool, question: WebcomError | None = None
) -> tuple[Outcome, Reason, str]:
    """
    Return the outcome, reason and words of a recipient whose last request met *error*.

    The error of a possibly processed attempt, *question*, says more than the last one. A request *alone* has one
    recipient.
    """
    if possibly_sent:
        outcome, error = Outcome.UNKNOWN, question or error
    elif alone and isinstance(error, RequestRefused | RequestTooLarge):
        outcome = Outcome.REJECTED
    else:
        outcome = Outcome.NOT_SENT
    return outcome, error.reason, error.error if isinstance(error, GatewayError) and error.error else str(error)


def _told_apart(settled: SettledResults) -> SettledResults:
    """Return *settled*, if no two results share an `id_sms`."""
    if settled.all_accepted:
        return settled
    given = given_ids(settled.results)
    if len(set(given)) == len(given):
        return settled
    repeats = repeated_ids(settled.results)
    raise collision(repeats, claims_among(settled.results, repeats))


def _by_sentence(error: str, reason: Reason, *, alone: bool) -> WebcomError:
    """Return the meaning of a sentence that answers a whole request, or one recipient *alone*."""
    # A sentence that fits one recipient names none of several: others may have been sent to.
    names_all = alone or reason in _WHOLE_REQUEST
    knowledge = Knowledge.REFUSED if names_all else Knowledge.POSSIBLY_SENT
    if reason in _HALTING:
        return _HALTING[reason](error=error, knowledge=knowledge)
    return RequestRefused(error=error, reason=reason, knowledge=knowledge)


class _UnsettlingReply(NamedTuple):
    """An answer whose body settles no recipient, with what the meaning of its status depends on."""

    reply: Reply
    error: str
    url: str
    options: Options
    now: datetime


def _redirected(answer: _UnsettlingReply) -> WebcomError:
    # Without the query, which may repeat the request and its credentials.
    target = answer.reply.headers.get("location", "nowhere").partition("?")[0]
    return RedirectRefused(
        f"the gateway redirects {answer.url} to {target!r}; it is not followed, "
        "because the body holds your credentials. If you trust it, set base_url or path to it"
    )


def _wrong_url(answer: _UnsettlingReply) -> WebcomError:
    # Without the body, which may quote the request and its credentials.
    return ConfigurationError(f"{answer.url} answered {answer.reply.status} {answer.error}: check base_url and path")


def _too_large(_answer: _UnsettlingReply) -> WebcomError:
    return RequestTooLarge()


def _busy(answer: _UnsettlingReply, split: Split = Split.NEVER) -> WebcomError:
    wait = _retry_after(answer.reply.headers, answer.now)
    return GatewayBusy(
        f"the gateway answered {answer.reply.status}",
        error=answer.error,
        retry_after=wait,
        halts=wait is not None and wait > answer.options.retry_after_max,
        split=split,
    )


def _failing(answer: _UnsettlingReply) -> WebcomError:
    return _busy(answer, Split.NEVER if "retry-after" in answer.reply.headers else Split.IF_A_HALF_SUCCEEDS)


# What a status means when the body says nothing. The error itself says what follows: `knowledge`, `transient`, `halts`
# and `split`.
_BY_STATUS: tuple[tuple[Container[int], Callable[[_UnsettlingReply], WebcomError]], ...] = (
    (range(300, 400), _redirected),
    (frozenset({401, 403, 404, 405, 410, 415, 501}), _wrong_url),
    (frozenset({413}), _too_large),
    (frozenset({408, 425, 429}), _busy),
    (range(500, 600), _failing),
)


def _by_status(answer: _UnsettlingReply) -> WebcomError | None:
    return next((meaning(answer) for statuses, meaning in _BY_STATUS if answer.reply.status in statuses), None)


def _retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """
    Return the seconds of a `Retry-After` header (RFC 9110, 10.2.3); None for none or nonsense.

    A moment is the gateway's, so it is compared with the gateway's own `Date`; without one, with *now*.
    """
    value = headers.get("retry-after", "").strip()
    if value.isascii() and value.isdecimal():
        return float(value)
    moment = _http_date(value)
    if moment is None:
        return None
    return max(0.0, (moment - (_http_date(headers.get("date", "")) or now)).total_seconds())


def _http_date(value: str) -> datetime | None:
    """Return the moment of an HTTP date in any of its three forms (RFC 9110, 5.6.7); None for nonsense."""
    if not value:
        return None
    from email.utils import parsedate_to_datetime  # noqa: PLC0415 - a slow import for a rare header

    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, TypeError, OverflowError):
        return None
    if moment.tzinfo is None:
        return None if "," in value else moment.replace(tzinfo=UTC)  # the form of C's `asctime` names no zone
    return moment

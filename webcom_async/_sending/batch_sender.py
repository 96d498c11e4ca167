"""
Send one batch until every recipient has a result, or sending again is of no use.

A batch that fails as a whole may be sent again in halves, under the same ids, down to the one recipient that causes the
failure. This module only orders the requests; `_gateway.policy` decides whether to retry, to split or to end.
"""

import math
from collections.abc import Generator, Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager

import msgspec
from anyio import CancelScope
from anyio.lowlevel import checkpoint, checkpoint_if_cancelled

from webcom_async._batching.batcher import Batch
from webcom_async._domain.errors import (
    ConnectionLost,
    GatewayUnavailable,
    IdCollision,
    Knowledge,
    QuotaExhausted,
    RequestTooLarge,
    Split,
    WebcomError,
)
from webcom_async._domain.exchange import Reply, RequestTrace
from webcom_async._domain.messages import Addressed, OutboundRecipient, phones_of
from webcom_async._domain.outcome_rules import doubted, possibly_sent, possibly_sent_among
from webcom_async._domain.reasons import Reason
from webcom_async._domain.results import Outcome, SendResult, SettledResults
from webcom_async._domain.types import ClientIdSms
from webcom_async._gateway import policy as _policy
from webcom_async._gateway.gateway_session import GatewaySession, RequestEvents
from webcom_async._gateway.retry import retrying
from webcom_async._gateway.safeguards import RetryQuota
from webcom_async._sending.counters import CampaignCounters
from webcom_async._wire.base import SendFormat

__all__ = ["BatchSender", "GracePeriod"]


class SubBatch:
    """
    Recipients that are sent in one request.

    Args:
        addressed: Messages and their recipients.
        possibly_sent: Ids of the recipients that were possibly sent to before.
        send_format: The format of the request.
        past: The sub-batch that this is a half of; None for a whole batch.
        messages: *addressed* as encoded, if it is encoded already.

    Attributes:
        phones: The recipients.
        messages: Their part of the body. It is encoded once: every attempt must carry the same bytes and ids.
        attempts: The number of requests that carried them.
        knowledge: The most doubtful knowledge that any attempt left.
        question: The failure of the latest attempt that may have been processed; None if there is none.
        results: The results; None while the sub-batch is open.
    """

    def __init__(
        self,
        addressed: Sequence[Addressed],
        possibly_sent: AbstractSet[ClientIdSms],
        send_format: SendFormat,
        past: "SubBatch | None" = None,
        messages: bytes | None = None,
    ) -> None:
        self.phones: list[OutboundRecipient] = phones_of(addressed)
        self.messages: bytes = send_format.encode(addressed) if messages is None else messages
        self.attempts: int = 0 if past is None else past.attempts
        self.knowledge: Knowledge = Knowledge.NOT_REACHED if past is None else past.knowledge
        self.question: WebcomError | None = None if past is None else past.question
        self.results: SettledResults | None = None
        self._addressed = addressed
        self._possibly_sent = possibly_sent
        self._format = send_format

    def halves(self) -> tuple["SubBatch", "SubBatch"]:
        middle = len(self.phones) // 2
        first: list[Addressed] = []
        second: list[Addressed] = []
        for message, phones in self._addressed:
            room = max(0, middle - sum(len(some) for _, some in first))
            if phones[:room]:
                first.append((message, phones[:room]))
            if phones[room:]:
                second.append((message, phones[room:]))
        return SubBatch(first, self._possibly_sent, self._format, self), SubBatch(
            second, self._possibly_sent, self._format, self
        )

    def settle(self, answered: SettledResults, before: Knowledge) -> None:
        """Close it with the gateway's results; *before* is the knowledge before this attempt."""
        if answered.all_accepted:
            self.results = answered
        elif before is Knowledge.POSSIBLY_SENT:
            self.results = SettledResults([possibly_sent(result) for result in answered.results])
        else:
            self.results = SettledResults(possibly_sent_among(answered.results, self._possibly_sent))

    def meet(self, error: WebcomError, before: Knowledge) -> None:
        """Record a failed attempt; *before* is the knowledge before it."""
        # The most doubtful attempt counts: a refusal after a lost answer proves nothing about the first.
        self.knowledge = max(before, error.knowledge)
        if error.knowledge is Knowledge.POSSIBLY_SENT:
            self.question = error

    def conclude(self, error: WebcomError) -> None:
        """Close it: sending again is of no use."""
        alone = len(self.phones) == 1
        results = [
            self._result(
                phone, *_policy.conclude(error, possibly_sent=possibly_sent, alone=alone, question=self.question)
            )
            for phone, possibly_sent in self._by_doubt()
        ]
        if isinstance(error, IdCollision):
            results = [_with_claim(each, error.claims.get(each.client_id_sms)) for each in results]
        self.results = SettledResults(results)

    def unfinished(self, reason: Reason) -> SettledResults:
        """Return the results if it is cut short now because of *reason*."""
        if self.results is not None:
            return self.results
        cut_short = f"{reason.value} before "
        return SettledResults(
            [
                self._result(phone, Outcome.UNKNOWN, reason, cut_short + "the answer came")
                if possibly_sent
                else self._result(phone, Outcome.NOT_SENT, reason, cut_short + "it was sent")
                for phone, possibly_sent in self._by_doubt()
            ]
        )

    def _by_doubt(self) -> Iterator[tuple[OutboundRecipient, bool]]:
        left = self.knowledge is Knowledge.POSSIBLY_SENT
        return ((phone, left or phone.client_id_sms in self._possibly_sent) for phone in self.phones)

    def _result(self, to: OutboundRecipient, outcome: Outcome, reason: Reason, words: str) -> SendResult:
        return SendResult(to.client_id_sms, to.phone, outcome, None, reason, words, self.attempts)


class GracePeriod:
    """The time that requests in flight get after their stream is left; until then each has its own shield."""

    def __init__(self) -> None:
        self._shields: set[CancelScope] = set()
        self._deadline = math.inf

    def end_at(self, deadline: float) -> None:
        """Let no request continue beyond *deadline*, in the event loop's time."""
        self._deadline = deadline
        for shield in self._shields:
            shield.deadline = min(shield.deadline, deadline)

    @contextmanager
    def shield(self) -> Generator[None, None, None]:
        with CancelScope(shield=True, deadline=self._deadline) as scope:
            self._shields.add(scope)
            try:
                yield
            finally:
                self._shields.discard(scope)


class BatchSender:
    """
    Sends one batch.

    Args:
        session: The gateway session.
        batch: The batch.
        counters: The campaign's counts.
        quota: The budget for retries.
        possibly_sent: Ids of the recipients that were possibly sent to before.
        grace: The grace of a request in flight whose stream is left; None if the request ends with its caller's
            cancellation.
        after: The failure of an earlier request for the same recipients, which another sender made.
        allow_repeats: Whether an `id_sms` that comes twice in an answer is left to the journal.

    Attributes:
        halt: The error in this batch that ends the campaign; None if there is none.
        too_large: The size of the smallest messages that the gateway refused as too large; None if there are none.
    """

    def __init__(
        self,
        session: GatewaySession,
        batch: Batch,
        counters: CampaignCounters,
        quota: RetryQuota,
        grace: GracePeriod | None = None,
        *,
        possibly_sent: AbstractSet[ClientIdSms] = frozenset(),
        after: WebcomError | None = None,
        allow_repeats: bool = False,
    ) -> None:
        self.halt: WebcomError | None = None
        self.too_large: int | None = None
        self._session = session
        self._events = RequestEvents(session.observers, counters.campaign, batch.number)
        self._counters = counters
        self._quota = quota
        self._grace = grace
        self._after = after
        self._allow_repeats = allow_repeats
        self._parts = [SubBatch(batch.addressed, possibly_sent, session.send_format, messages=batch.messages)]
        if after is not None:
            self._parts[0].meet(after, Knowledge.NOT_REACHED)
            self._parts[0].attempts = 1

    async def run(self) -> SettledResults:
        """
        Send until nothing more can be learnt, and return the results in order.

        Raises no error of ours. After a cancellation, `unfinished` returns the results.
        """
        [whole] = self._parts
        before = self._after
        if before is not None and before.halts and not _policy.worth_retrying(before, 1):
            self.halt = before
            whole.conclude(before)
            return self.unfinished(Reason.HALTED)
        # The request of another sender does not count as one of these attempts.
        error = await self._ask(whole, self._session.options.attempts + (before is not None), before)
        if error is not None:
            await self._narrow(whole, error)
        return self.unfinished(Reason.HALTED)

    async def run_once(self) -> WebcomError | None:
        """Send once. Return the error (no recipient is settled), or None (all are)."""
        [whole] = self._parts
        return await self._ask(whole, 1)

    def unfinished(self, reason: Reason) -> SettledResults:
        """Return what is known now; *reason* is why open recipients were cut short."""
        if len(self._parts) == 1:
            return self._parts[0].unfinished(reason)
        return SettledResults([result for part in self._parts for result in part.unfinished(reason).results])

    async def _ask(self, part: SubBatch, attempts: int, before: WebcomError | None = None) -> WebcomError | None:
        """Settle *part*, or return the error of the last request; *before* counts as one if it is worth a retry."""
        session = self._session
        met = before if before is not None and _policy.worth_retrying(before, 1) else None
        try:
            await retrying(
                lambda: self._attempt(part),
                attempts,
                self._spend,
                session.options,
                session.clock,
                met=met,
                retried=lambda _, error, seconds: self._events.retried(part.attempts, error, seconds),
            )
        except WebcomError as exc:
            if exc.halts:
                self.halt = exc
            elif self._quota.spent:
                self.halt = _quota_exhausted(exc)
            return exc
        self._quota.refund()
        if part.results is not None:
            self.halt = self.halt or _policy.halting(part.results.others())
        return None

    async def _narrow(self, part: SubBatch, error: WebcomError) -> None:
        """Send *part* again in halves if that may help; else close it."""
        if isinstance(error, RequestTooLarge):
            self.too_large = min(len(part.messages), self.too_large or len(part.messages))
        if self.halt is not None or error.split is Split.NEVER or len(part.phones) == 1:
            part.conclude(error)
            return
        if not self._spend(2):
            self.halt = _quota_exhausted(error)
            part.conclude(error)
            return
        await self._ask_halves(part, error)

    async def _ask_halves(self, part: SubBatch, error: WebcomError) -> None:
        halves = part.halves()
        place = self._parts.index(part)
        self._parts[place : place + 1] = halves
        # While no half succeeds, the gateway may be down, and more requests would not help.
        probing = error.split is Split.IF_A_HALF_SUCCEEDS
        attempts = 1 if probing else self._session.options.attempts
        # A half that is not sent any more stays open: the failure of the whole says nothing about the half alone.
        asked = [(half, await self._ask(half, attempts)) for half in halves if self.halt is None]
        none_succeeds = all(failure is not None for _, failure in asked)
        for half, failure in asked:
            if failure is not None and probing and none_succeeds:
                half.conclude(failure)
            elif failure is not None:
                await self._narrow(half, failure)

    def _spend(self, requests: int = 1) -> bool:
        granted = self._quota.spend(requests)
        self._events.spent(self._quota)
        return granted

    async def _attempt(self, part: SubBatch) -> None:
        session = self._session
        async with session.slot():
            # A slot may come free just when the stream is left: nothing more may be sent then. On asyncio, a caller's
            # own task receives its cancellation only when the event loop turns.
            await (checkpoint() if self._grace is None else checkpoint_if_cancelled())
            await session.acquire_rate(len(part.phones))
            sent_in = session.limit.sent()
            before = part.knowledge
            part.knowledge = Knowledge.POSSIBLY_SENT  # from the first byte until the attempt ends
            part.attempts += 1
            self._events.sent(part.phones, part.attempts)
            began = session.clock.monotonic()
            try:
                reply = await self._send(part, before)
                self._events.answered(part.phones, part.attempts, reply.status, session.clock.monotonic() - began)
                judged = session.judge(reply, part.phones, part.attempts, allow_repeats=self._allow_repeats)
                part.settle(judged, before)
                session.adapt_limit(sent_in, None)
            except WebcomError as exc:
                part.meet(exc, before)
                session.adapt_limit(sent_in, exc)
                self._events.failed(part.attempts, exc)
                raise

    async def _send(self, part: SubBatch, before: Knowledge) -> Reply:
        """Send *part* once, under the grace period's shield."""
        # Made per attempt and passed on at once: it holds the credentials.
        request = self._session.request(part.messages)
        trace = RequestTrace(fresh_connection=isinstance(part.question, ConnectionLost))
        try:
            with self._counters.request(trace, again=part.attempts > 1):
                if self._grace is None:
                    return await self._session.send(request, trace, len(part.phones))
                with self._grace.shield():
                    return await self._session.send(request, trace, len(part.phones))
        finally:
            # Also after a cancellation: a request that is still connecting was not sent.
            if not trace.possibly_sent:
                part.knowledge = before
        if trace.reply is not None:
            return trace.reply
        raise self._left(trace)

    def _left(self, trace: RequestTrace) -> WebcomError:
        grace = self._session.options.grace
        if trace.possibly_sent:
            return ConnectionLost(f"the stream was left, and no answer came within {grace:g} s")
        return GatewayUnavailable(f"the stream was left, and no connection came within {grace:g} s")


def _with_claim(result: SendResult, id_sms: str | None) -> SendResult:
    """Return *result* with its repeated `id_sms`: a journal remembers that, so that no recipient owns it later."""
    replace = msgspec.structs.replace
    if id_sms is None:
        return replace(result, error="an id_sms came twice in the answer")
    return doubted(replace(result, id_sms=id_sms))


def _quota_exhausted(last: WebcomError) -> QuotaExhausted:
    return QuotaExhausted(f"{QuotaExhausted.__doc__} The last failure: {last}")

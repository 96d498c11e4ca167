"""
Send one batch until every recipient has a result, or sending again is of no use.

A batch that fails as a whole may be sent again in halves, under the same ids, down to the one recipient that causes the
failure. This module only orders the requests; `_gateway.policy` decides whether to retry, to split or to end.
"""

import math
from collections.abc import AsyncGenerator, Generator, Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, nullcontext
from itertools import pairwise

import msgspec
from anyio import CancelScope

from webcom_async._batching.batcher import Batch
from webcom_async._domain.errors import (
    ConnectionLost,
    GatewayUnavailable,
    IdCollision,
    Knowledge,
    PairingError,
    QuotaExhausted,
    RequestTooLarge,
    Split,
    TransportError,
    WebcomError,
    another,
)
from webcom_async._domain.exchange import Reply, RequestTrace
from webcom_async._domain.messages import Addressed, Message, OutboundRecipient, phones_of
from webcom_async._domain.outcome_rules import doubted, possibly_sent, possibly_sent_among
from webcom_async._domain.reasons import Reason
from webcom_async._domain.results import Outcome, SendResult, SettledResults
from webcom_async._domain.types import ClientIdSms
from webcom_async._events.sending import GatewayAway, GatewayBack
from webcom_async._gateway import policy as _policy
from webcom_async._gateway.admission import Expected, Priority, Slot
from webcom_async._gateway.gateway_session import GatewaySession, RequestEvents
from webcom_async._gateway.patience import Patience
from webcom_async._gateway.request_size import RequestSize
from webcom_async._gateway.retry import retrying
from webcom_async._gateway.safeguards import RetryQuota
from webcom_async._sending.counters import CampaignCounters
from webcom_async._wire.base import SendFormat

__all__ = ["BatchSender", "GracePeriod"]


_BEFORE_WAITING = 2  # requests without an answer


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

    def halves(self) -> list["SubBatch"]:
        return self._cut(2)

    def pieces(self, most: int) -> list["SubBatch"]:
        """Return it in equal pieces of at most *most* recipients."""
        return self._cut(math.ceil(len(self.phones) / most))

    def _cut(self, number: int) -> list["SubBatch"]:
        pairs = [(message, phone) for message, phones in self._addressed for phone in phones]
        bounds = [len(pairs) * place // number for place in range(number + 1)]
        return [
            SubBatch(_as_addressed(pairs[start:end]), self._possibly_sent, self._format, self)
            for start, end in pairwise(bounds)
        ]

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


def _as_addressed(pairs: Sequence[tuple[Message, OutboundRecipient]]) -> list[Addressed]:
    """Return *pairs* with consecutive recipients of one message together."""
    addressed: list[Addressed] = []
    for message, phone in pairs:
        if addressed and addressed[-1][0] is message:
            addressed[-1][1].append(phone)
        else:
            addressed.append((message, [phone]))
    return addressed


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


class _KnownTooLarge(WebcomError):
    """The request would be larger than the gateway can answer; it was not sent."""

    halts = False


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
        sizes: What the campaign has learnt of the size of a request.
        patience: The campaign's patience; without limit by default.
        slot: The slot of the first request, if the caller holds one.
        expected: What ends when the first request has its slot.

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
        sizes: RequestSize | None = None,
        patience: Patience | None = None,
        slot: Slot | None = None,
        expected: Expected | None = None,
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
        self._latest = after  # the error of the latest request
        self._sizes = sizes or RequestSize()
        self._patience = patience or Patience.without_limit()
        self._useful = self._patience.useful
        self._unanswered = 0  # requests in a row, with no answer of use to any batch between them
        self._worked = 0  # the most recipients of this batch that were answered together
        self._held_slot = slot
        self._expected = expected
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
        try:
            # The request of another sender does not count as one of these attempts.
            await self._settle(whole, self._session.options.attempts + (before is not None), before)
        finally:
            self._patience.rests(self, self._now)
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

    @property
    def _now(self) -> float:
        return self._session.clock.monotonic()

    # ------------------------------------------------------------------------ the order of the requests

    async def _settle(self, part: SubBatch, attempts: int, before: WebcomError | None = None) -> None:
        """Send *part*, whole or in pieces, until it is closed, or the campaign ends."""
        error = await self._ask(part, attempts, before)
        if error is not None:
            await self._narrow(part, error)

    async def _settle_all(self, pieces: Sequence[SubBatch]) -> None:
        """Send *pieces*, one after the other. After the end of the campaign, the rest stays open."""
        for piece in pieces:
            if self.halt is None:
                await self._settle(piece, self._session.options.attempts)

    async def _narrow(self, part: SubBatch, error: WebcomError) -> None:
        """Send *part* again in halves if that may help; else close it."""
        self._learn_size(part, error)
        if self.halt is None and self._is_too_large(part):
            most = self._sizes.most or len(part.phones)
            await self._settle_all(self._replace(part, part.pieces(min(most, math.ceil(len(part.phones) / 2)))))
            return
        if self.halt is not None or error.split is Split.NEVER or len(part.phones) == 1:
            self._close(part, error)
            return
        pairing = isinstance(error, PairingError)
        if not self._spend(1 if pairing else 2):
            self.halt = _quota_exhausted(error)
            part.conclude(error)
        elif pairing:
            # One half after the other: what the first one teaches, the second one need not find out again.
            await self._settle_all(self._replace(part, part.halves()))
        else:
            await self._ask_halves(part, error)

    async def _ask_halves(self, part: SubBatch, error: WebcomError) -> None:
        halves = self._replace(part, part.halves())
        # While no half succeeds, the gateway may be down, and more requests would not help.
        probing = error.split is Split.IF_A_HALF_SUCCEEDS
        attempts = 1 if probing else self._session.options.attempts
        # A half that is not sent any more stays open: the failure of the whole says nothing about the half alone.
        asked = [(half, await self._ask(half, attempts)) for half in halves if self.halt is None]
        none_succeeds = all(failure is not None for _, failure in asked)
        if probing and none_succeeds:
            await self._give_up(asked)
            return
        for half, failure in asked:
            if failure is not None:
                await self._narrow(half, failure)

    async def _give_up(self, asked: Sequence[tuple[SubBatch, WebcomError | None]]) -> None:
        """Close the parts that all failed, unless the gateway is silent, and the campaign waits for it."""
        failed = [(part, error) for part, error in asked if error is not None]
        if self.halt is None and self._is_to_wait(failed[0][1], alone=True):
            self._begin_to_wait(failed[0][1])
            await self._settle_all([part for part, _ in failed])
            return
        for part, error in failed:
            self._close(part, error)

    def _replace(self, part: SubBatch, pieces: list[SubBatch]) -> list[SubBatch]:
        place = self._parts.index(part)
        self._parts[place : place + 1] = pieces
        return pieces

    def _close(self, part: SubBatch, error: WebcomError) -> None:
        """Give *part* its results, or leave it open if the campaign ended for want of answers."""
        if not self._patience.has_ended:
            part.conclude(error)

    def _is_too_large(self, part: SubBatch) -> bool:
        return self._sizes.is_too_large(len(part.phones), len(part.messages))

    def _learn_size(self, part: SubBatch, error: WebcomError) -> None:
        if isinstance(error, RequestTooLarge):
            self.too_large = min(len(part.messages), self.too_large or len(part.messages))
            self._sizes.refused(len(part.messages))
        elif isinstance(error, PairingError) and len(part.phones) > max(1, self._worked):
            self._sizes.failed(len(part.phones))

    # ------------------------------------------------------------------------ one part

    async def _ask(self, part: SubBatch, attempts: int, before: WebcomError | None = None) -> WebcomError | None:
        """
        Settle *part*, or return the error of the last request; *before* counts as one if it is worth a retry.

        While the campaign waits for a silent gateway, *part* is one of its probes.
        """
        error = await self._retry(part, attempts, before)
        while error is not None and self._is_to_wait(error, alone=len(part.phones) == 1):
            self._begin_to_wait(error)
            error = await self._retry(part, attempts)
        if error is not None:
            self.halt = self.halt or self._end_of_campaign(error)
        return error

    async def _retry(self, part: SubBatch, attempts: int, before: WebcomError | None = None) -> WebcomError | None:
        met = before if before is not None and _policy.worth_retrying(before, 1) else None
        try:
            await retrying(
                lambda: self._attempt(part),
                attempts,
                self._may_retry,
                self._session.options,
                msgspec.structs.replace(self._session.clock, sleep=self._sleep),
                met=met,
                retried=lambda _, error, seconds: self._events.retried(part.attempts, error, seconds),
            )
        except WebcomError as exc:
            return exc
        self._quota.refund()
        self._patience.useful += 1
        self._worked = max(self._worked, len(part.phones))
        self._sizes.worked(len(part.phones))
        if part.results is not None:
            self.halt = self.halt or _policy.halting(part.results.others())
        return None

    async def _sleep(self, seconds: float) -> None:
        """Wait before a retry; no longer than the patience lasts, if that runs."""
        await self._session.clock.sleep(self._patience.shortened(seconds, self, self._now))

    def _may_retry(self) -> bool:
        if self._latest is not None and self._seems_silent(self._latest):
            return False
        if self._patience.waiting or self._patience.is_silent or self._patience.is_over(self._now):
            return False
        granted = self._quota.spend_after(self._latest)
        self._events.spent(self._quota)
        return granted

    def _spend(self, requests: int) -> bool:
        granted = self._quota.spend(requests)
        self._events.spent(self._quota)
        return granted

    # ------------------------------------------------------------------------ a gateway that does not answer

    def _end_of_campaign(self, error: WebcomError) -> WebcomError | None:
        """Return the error that ends the campaign after *error*; None if it goes on."""
        if isinstance(error, _KnownTooLarge):
            return None
        if error.halts and not isinstance(error, GatewayUnavailable):
            return error
        if self._patience.is_over(self._now):
            return self._patience.gave_up(error)
        if error.halts:
            return error
        if self._patience.is_silent:
            return self._patience.fell_silent(error)
        return _quota_exhausted(error) if self._quota.spent else None

    def _is_to_wait(self, error: WebcomError, *, alone: bool) -> bool:
        """
        Whether to wait for the gateway after *error*, instead of ending the campaign, or giving recipients up.

        Recipients that may be the cause are given up, or, if they are not *alone*, sent in halves first.
        """
        patience = self._patience
        if not patience.waits or not _policy.worth_waiting(error) or patience.is_over(self._now):
            return False
        if patience.waiting or patience.is_silent or self._quota.spent or error.halts:
            return True
        return self._seems_silent(error) and (alone or error.split is Split.NEVER)

    def _seems_silent(self, error: WebcomError) -> bool:
        """Whether a campaign that may wait has had no answer of use for some requests."""
        return self._patience.waits and isinstance(error, TransportError) and self._unanswered >= _BEFORE_WAITING

    def _note_silence(self, error: WebcomError, limit: int) -> None:
        useful = self._patience.useful
        self._unanswered = self._unanswered + 1 if useful == self._useful else 1
        self._useful = useful
        self._patience.unanswered(error, limit)

    def _begin_to_wait(self, error: WebcomError) -> None:
        patience = self._patience
        if patience.waiting:
            patience.last = error  # a 503 may say when to come back
            return
        patience.begin_to_wait(error, self._now)
        away = GatewayAway(campaign=self._counters.campaign, error=str(error), patience=patience.seconds)
        self._session.observers.emit(away)

    def _end_waiting(self, *, refill: bool) -> None:
        if self._patience.waiting:
            seconds = self._patience.end_waiting()
            self._session.observers.emit(GatewayBack(campaign=self._counters.campaign, seconds=seconds))
            if refill:
                self._quota.refill()

    @asynccontextmanager
    async def _turn(self) -> AsyncGenerator[bool, None]:
        """Wait for the turn of a probe, and its pause, if the campaign waits; yield whether it does."""
        if self._patience.waiting:
            self._stop_expecting()
            async with self._patience.probing:
                await self._pause()
                if self._patience.waiting:
                    yield True
                    return
        # Without the lock: after the wait, all batches leave at full speed.
        yield False

    def _stop_expecting(self) -> None:
        """Let other campaigns pull: this batch needs no slot soon."""
        if self._expected is not None:
            self._expected.end()

    async def _pause(self) -> None:
        """Wait before a probe."""
        patience, session = self._patience, self._session
        if patience.waiting and not patience.is_over(self._now):
            patience.tries(self, self._now)
            back_off = _policy.wait_before_retry(
                patience.probes + 1, patience.last, session.options, session.clock.random()
            )
            await session.clock.sleep(patience.pause(back_off, self._now))

    # ------------------------------------------------------------------------ one request

    async def _attempt(self, part: SubBatch) -> None:
        """Send *part* once, when the campaign does not wait, or when it is its turn to probe."""
        while True:
            async with self._turn() as probing:
                last = self._patience.last
                if last is not None and self._patience.is_over(self._now):
                    raise another(last)
                self._patience.rests(self, self._now)  # other requests, or a rate, are not the gateway's silence
                async with self._slot(len(part.phones)) as slot:
                    if self._patience.waiting is probing:
                        await self._attempt_in_slot(part, slot)
                        return
                    slot.reduce(0)

    async def _attempt_in_slot(self, part: SubBatch, slot: Slot) -> None:
        if self._is_too_large(part):
            slot.reduce(0)
            raise _KnownTooLarge
        self._patience.tries(self, self._now)
        limit = self._session.traffic.admission.limit.limit
        before, part.knowledge = part.knowledge, Knowledge.POSSIBLY_SENT  # from the first byte until the attempt ends
        part.attempts += 1
        self._events.sent(part.phones, part.attempts)
        reply = None
        try:
            reply = await self._answer(part, before)
            judged = self._session.judge(reply, part.phones, part.attempts, allow_repeats=self._allow_repeats)
            part.settle(judged, before)
            slot.finish(None)
            self._end_waiting(refill=True)
        except WebcomError as exc:
            self._latest = exc
            part.meet(exc, before)
            slot.finish(exc)
            self._events.failed(part.attempts, exc)
            if reply is None:
                self._note_silence(exc, limit)
            elif not _policy.worth_waiting(exc):
                self._end_waiting(refill=False)
            raise

    async def _answer(self, part: SubBatch, before: Knowledge) -> Reply:
        """Send *part*, and note that the answer came."""
        began = self._now
        reply = await self._send(part, before)
        self._patience.answered(self, self._now)
        self._events.answered(part.phones, part.attempts, reply.status, self._now - began)
        return reply

    def _slot(self, recipients: int) -> AbstractAsyncContextManager[Slot]:
        held, self._held_slot = self._held_slot, None
        if held is not None:
            return nullcontext(held)
        priority = Priority.SINGLE if self._grace is None else Priority.BATCH
        return self._session.traffic.admission.slot(recipients, priority, self._expected)

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

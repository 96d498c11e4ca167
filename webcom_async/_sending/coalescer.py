"""
One message on its way: alone, or sharing a request with others that are sent in the same milliseconds.

One whose id another call may have too travels in a task of its own, for all who wait for it: a second equal call waits
for what the first one has begun, and each has a result, an error and a cancellation of its own. It ends when no call
waits for it any longer. A request that is shared with other messages is made once; if it settles nobody, each goes on
alone, under the same id, so that a bad neighbour costs no more than one resend.
"""

import copy
from contextlib import suppress
from typing import Self

import anyio
from anyio import CancelScope

from webcom_async._batching.batcher import Batch, not_sent
from webcom_async._domain.errors import ConnectionLost, Knowledge, RequestTooLarge, UsageError, WebcomError, another
from webcom_async._domain.messages import Message
from webcom_async._domain.outbound import OutboundRecipient
from webcom_async._domain.reasons import Reason
from webcom_async._domain.results import Outcome, SendResult
from webcom_async._domain.types import ClientIdSms, Phone
from webcom_async._events.sending import SendEnded, SendQueued, SendSettled
from webcom_async._gateway import policy as _policy
from webcom_async._gateway.gateway_session import GatewaySession
from webcom_async._gateway.safeguards import RetryQuota
from webcom_async._sending.background import run_in_background
from webcom_async._sending.batch_sender import BatchSender
from webcom_async._sending.counters import CampaignCounters

__all__ = ["RequestCoalescer", "SingleSender"]

_END_SECONDS = 1.0  # that a cancelled caller waits for its request to end, which takes some turns of the event loop
_REMEMBERED = 10_000  # messages in doubt: ours, some hours of a backend whose gateway is slow
_SETTLED = frozenset({Outcome.ACCEPTED, Outcome.REJECTED})


class SingleSender:
    """
    Messages that are sent one by one, each id in one request at a time.

    Args:
        session: The way to the gateway.
    """

    def __init__(self, session: GatewaySession) -> None:
        self._session = session
        self._ongoing: dict[ClientIdSms, SingleSend] = {}
        self._possibly_sent: dict[ClientIdSms, None] = {}  # the latest at the end

    async def send(
        self, said: Message, to: OutboundRecipient, coalescer: "RequestCoalescer | None", *, random: bool
    ) -> SendResult:
        """
        Send a message, or wait for an equal one that is on its way, and return what became of it.

        Args:
            said: What it says.
            to: To whom.
            coalescer: Lets it share a request; None to go alone.
            random: Whether no other call can have its id.

        Raises:
            WebcomError: The gateway serves nobody now; nothing was sent.
        """
        if random:
            return await SingleSend(self._session, said, to).send(coalescer)
        while True:
            single = self._ongoing.get(to.client_id_sms)
            if single is None:
                batch = self._session.find_batch(to.client_id_sms)
                if batch is None:
                    return await self._begin(said, to, coalescer).wait()
                told = batch.told(to.client_id_sms)
                known = None if _is_other(told, said, to) else await self._session.wait_for_result(to.client_id_sms)
                if _is_other(told, said, to) or (known is not None and known.phone != to.phone):
                    return _reused(to)
                if known is not None and known.outcome in _SETTLED:
                    return known
                self._remember(to.client_id_sms, known)
            elif _is_other(single.told, said, to):
                return _reused(to)
            elif single.ending:
                await single.ended.wait()
            else:
                single.join()
                return await single.wait()

    def _begin(self, said: Message, to: OutboundRecipient, coalescer: "RequestCoalescer | None") -> "SingleSend":
        client_id = to.client_id_sms
        single = self._ongoing[client_id] = SingleSend(
            self._session, said, to, possibly_sent=client_id in self._possibly_sent
        )
        self._session.ids_in_flight.add(client_id)

        async def travel() -> None:
            try:
                await single.run(coalescer)
            finally:
                del self._ongoing[client_id]
                self._session.ids_in_flight.discard(client_id)
                self._remember(client_id, single.known)
                single.ended.set()

        single.join()  # before the task runs, which an eager event loop has it do at once
        run_in_background(travel)
        return single

    def _remember(self, client_id: ClientIdSms, known: SendResult | None) -> None:
        """Remember that a message may have been sent, for the next call: what that one meets says nothing about it."""
        self._possibly_sent.pop(client_id, None)
        if known is None or known.outcome is Outcome.UNKNOWN:
            self._possibly_sent[client_id] = None
            if len(self._possibly_sent) > _REMEMBERED:
                del self._possibly_sent[next(iter(self._possibly_sent))]


def _is_other(told: tuple[Message, Phone] | None, said: Message, to: OutboundRecipient) -> bool:
    """Whether what is *told* under an id is known, and is not this."""
    return told is not None and told != (said, to.phone)


def _reused(to: OutboundRecipient) -> SendResult:
    words = f"client_id_sms {to.client_id_sms} is in a request for another phone or message that has no answer yet"
    return not_sent(to, Reason.ID_REUSED, words)


class SingleSend:
    """
    One message.

    Args:
        session: The way to the gateway.
        said: What it says.
        to: To whom.
        possibly_sent: Whether it may have been sent before.

    Attributes:
        said: What it says.
        to: To whom.
        possibly_sent: The same.
        settled: What became of it; None as long as it is open.
        met: What the shared request met, if that settled nobody.
        shared: Whether a shared request with it may have left.
        ended: Set when it is on its way no more.
    """

    def __init__(
        self, session: GatewaySession, said: Message, to: OutboundRecipient, *, possibly_sent: bool = False
    ) -> None:
        self.said = said
        self.to = to
        self.possibly_sent = possibly_sent
        self.settled: SendResult | None = None
        self.met: WebcomError | None = None
        self.shared: bool = False
        self.ended: anyio.Event = anyio.Event()
        self._session = session
        self._batch_sender: BatchSender | None = None
        self._bug: BaseException | None = None
        self._waiting = 0
        self._scope = CancelScope()

    @property
    def left(self) -> bool:
        """Whether no call waits for it any longer."""
        return not self._waiting

    @property
    def ending(self) -> bool:
        """Whether it is being cut short."""
        return self._scope.cancel_called

    @property
    def told(self) -> tuple[Message, Phone]:
        """What is said, and to which phone."""
        return self.said, self.to.phone

    async def send(self, coalescer: "RequestCoalescer | None") -> SendResult:
        """
        Send it for the one caller it has, in the caller's task, and return what became of it.

        Raises:
            WebcomError: The gateway serves nobody now; nothing was sent.
            Exception: The transport's own bug.
        """
        self._waiting = 1
        try:
            await self._travel(coalescer)
        except BaseException as exc:
            self._waiting = 0
            self._note(exc, self.known)
            raise
        return self._told()

    async def run(self, coalescer: "RequestCoalescer | None") -> None:
        """Send it for all calls that wait for it, until its fate is known or no call waits any longer."""
        with self._scope:
            try:
                await self._travel(coalescer)
            except anyio.get_cancelled_exc_class():
                if self.ending:
                    raise
                # Not our cancellation: the event loop is ending, or the transport raised one of its own.
                self._bug = UsageError("the transport raised a cancellation of its own, or the event loop has ended")
            except BaseException as exc:  # noqa: BLE001 - its callers raise it
                self._bug = exc

    async def _travel(self, coalescer: "RequestCoalescer | None") -> None:
        emit = self._session.observers.emit
        emit(SendQueued(client_id_sms=self.to.client_id_sms))
        if coalescer is not None:
            await coalescer.take(self)
        if self.settled is None and not self.left:
            self._batch_sender = _batch_sender(self._session, [self], after=self.met)
            [self.settled] = (await self._batch_sender.run()).results
        if self.settled is not None:
            emit(_settled(self.settled))

    def _note(self, exc: BaseException, result: SendResult) -> None:
        """Say on *exc*, and to observers, under which id to send again."""
        client_id, outcome = result.client_id_sms, result.outcome
        exc.add_note(f"client_id_sms {client_id} is {outcome.value}; send again under this id only")
        self._session.observers.emit(SendEnded(client_id_sms=client_id, outcome=outcome))

    def join(self) -> None:
        """Count one more who will `wait` for it."""
        self._waiting += 1

    async def wait(self) -> SendResult:
        """
        Wait for it, and return what became of it; see `join`.

        Raises:
            WebcomError: The gateway serves nobody now; nothing was sent.
            Exception: The transport's own bug.
        """
        try:
            await self.ended.wait()
        except BaseException as exc:
            self._waiting -= 1
            await self._abandon()
            self._note(exc, self._left_behind())
            raise
        self._waiting -= 1
        return self._told()

    async def _abandon(self) -> None:
        """End it if no call waits any longer; but a request that is shared goes on, and its id stays taken."""
        if not self.left or self.ended.is_set() or (self.shared and self._batch_sender is None):
            return
        self._scope.cancel()
        with CancelScope(shield=True, deadline=anyio.current_time() + _END_SECONDS), suppress(BaseException):
            # A second cancellation of asyncio's own comes through the shield; it is the first that tells the id.
            await self.ended.wait()

    def _left_behind(self) -> SendResult:
        """Return what is known for a caller who does not wait: nothing, as long as it goes on for others."""
        known = self.known
        if self.left or known.outcome in _SETTLED:
            return known
        words = "cancelled before the answer came"
        to = self.to
        return SendResult(to.client_id_sms, to.phone, Outcome.UNKNOWN, None, Reason.CANCELLED, words, known.attempts)

    def _told(self) -> SendResult:
        """Return the result, or raise what keeps the gateway from serving anybody, to each caller one of its own."""
        if self._bug is not None:
            raise self._with_id(self._bug, self.known) from self._bug.__cause__
        result = self.known if self.settled is None else self.settled
        if result.outcome is Outcome.ACCEPTED:
            return result
        halt = _policy.halting([result]) if self._batch_sender is None else self._batch_sender.halt
        if halt is None:
            return result
        if result.outcome is Outcome.UNKNOWN and halt.knowledge is not Knowledge.POSSIBLY_SENT:
            # What the last request met would deny an earlier one that may have been processed.
            return result
        raise self._with_id(halt, result) from halt.__cause__

    def _with_id(self, error: BaseException, result: SendResult) -> BaseException:
        """Return *error* for one of its callers, with the id in a note; raised by several, it would name all ids."""
        own = another(error) if isinstance(error, WebcomError) else _another_foreign(error)
        self._note(own, result)
        return own

    @property
    def known(self) -> SendResult:
        """What is known of it now, as of one that is cut short."""
        if self._batch_sender is not None:
            return self._batch_sender.unfinished(Reason.CANCELLED).results[0]
        if self.settled is not None:
            return self.settled
        possibly_sent = self.shared if self.met is None else self.met.knowledge is Knowledge.POSSIBLY_SENT
        possibly_sent = possibly_sent or self.possibly_sent
        outcome = Outcome.UNKNOWN if possibly_sent else Outcome.NOT_SENT
        words = f"cancelled before {'the answer came' if possibly_sent else 'it was sent'}"
        return SendResult(
            self.to.client_id_sms, self.to.phone, outcome, None, Reason.CANCELLED, words, int(self.shared)
        )


class RequestCoalescer:
    """
    Let messages that are sent within `Options.linger` seconds share a request.

    Open it with `async with`, in the task that closes it: the shared requests are tasks of its own, so that no
    caller's cancellation ends another's request.
    """

    def __init__(self, session: GatewaySession) -> None:
        self._session = session
        self._tasks = anyio.create_task_group()
        self._largest = min(session.options.largest_batch, session.send_format.max_recipients)
        self._boarding: SharedRequest | None = None

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._tasks.cancel_scope.cancel()
        await self._tasks.__aexit__(None, None, None)

    async def take(self, single: SingleSend) -> None:
        """Bring *single* along, and come back when its shared request has ended, or it is to go alone."""
        send_format = self._session.send_format
        size = send_format.size_of_recipient(single.to) + send_format.size_of(single.said)
        company = self._boarding
        if company is None or not company.has_room(size):
            self._boarding = company = SharedRequest(self._session, self._largest)
            self._tasks.start_soon(self._carry, company)
        company.join(single, size)
        await company.arrived.wait()

    async def _carry(self, company: "SharedRequest") -> None:
        try:
            await company.linger()
            if self._boarding is company:
                self._boarding = None
            await company.travel()
        except Exception as exc:  # noqa: BLE001 - a transport's own bug; let out, it would end the client's host
            company.break_up(exc)
        except anyio.get_cancelled_exc_class() as exc:
            if self._tasks.cancel_scope.cancel_called:
                company.strand()
                raise
            # Nobody has cancelled us: the transport raised a cancellation of its own.
            company.break_up(exc)
        finally:
            self._largest = min(self._largest, company.largest)
            company.disband()


class SharedRequest:
    """
    Messages that share a request.

    Attributes:
        largest: How many may share one; less than it was once the gateway has found that too large.
        arrived: Set when their request has ended.
    """

    def __init__(self, session: GatewaySession, largest: int) -> None:
        self.largest = largest
        self.arrived: anyio.Event = anyio.Event()
        self._session = session
        self._single_sender: list[SingleSend] = []
        self._bytes_left = session.options.batch_bytes
        self._lingering = CancelScope()
        self._leaves = session.clock.monotonic() + session.options.linger
        self._batch_sender: BatchSender | None = None

    def has_room(self, size: int) -> bool:
        """Whether one more of *size* bytes can come; if not, this one leaves now."""
        room = len(self._single_sender) < self.largest and size <= self._bytes_left
        if not room:
            self._lingering.cancel()
        return room

    def join(self, single: SingleSend, size: int) -> None:
        """Take *single* in; the last one that can come need not wait for more."""
        self._single_sender.append(single)
        self._bytes_left -= size
        if len(self._single_sender) >= self.largest:
            self._lingering.cancel()

    async def linger(self) -> None:
        """Wait for more to come: not longer than the first may wait, who is here for some time on a busy event loop."""
        with self._lingering:
            await self._session.clock.sleep(max(0.0, self._leaves - self._session.clock.monotonic()))

    async def travel(self) -> None:
        """Post once for all who still wait; a lone one goes alone."""
        present = self._single_sender = [single for single in self._single_sender if not single.left]
        if len(present) <= 1:
            return
        for single in present:
            single.shared = True
        self._batch_sender = _batch_sender(self._session, present)
        error = await self._batch_sender.run_once()
        if isinstance(error, RequestTooLarge):
            self.largest = max(1, len(present) // 2)
        for single, result in zip(present, self._batch_sender.unfinished(Reason.HALTED).results, strict=True):
            single.settled = result if error is None else None
            # One each: an exception that several tasks raise would tell of all of them.
            single.met = None if error is None else another(error)

    def break_up(self, exc: BaseException) -> None:
        """Let everybody go on alone, after a request that failed as none should: it may have been processed."""
        for single in self._single_sender:
            single.met = (
                ConnectionLost(f"the shared request failed with {type(exc).__name__}") if single.shared else None
            )

    def strand(self) -> None:
        """Let nobody go on: the client is being closed."""
        for single in self._single_sender:
            single.met = UsageError("the client was closed before this was sent") if not single.shared else None

    def disband(self) -> None:
        """Let everybody go, with what is known if this was cut short."""
        for number, single in enumerate(self._single_sender):
            if self._batch_sender is not None and single.settled is None and single.met is None:
                single.settled = self._batch_sender.unfinished(Reason.CANCELLED).results[number]
        self.arrived.set()


def _batch_sender(session: GatewaySession, singles: list[SingleSend], after: WebcomError | None = None) -> BatchSender:
    batch = Batch(1, [], [], [], {})
    for single in singles:
        batch.add(single.said, single.to)
    counters = CampaignCounters("", session.clock.monotonic())
    possibly_sent = {single.to.client_id_sms for single in singles if single.possibly_sent}
    return BatchSender(
        session, batch, counters, RetryQuota(session.options.attempts), possibly_sent=possibly_sent, after=after
    )


def _another_foreign(error: BaseException) -> BaseException:
    """Return a copy of a transport's own exception, or the exception itself if it cannot be copied."""
    try:
        own = copy.copy(error)
    except Exception:  # noqa: BLE001 - anything may be wrong with it
        return error
    vars(own)["__notes__"] = [*getattr(error, "__notes__", ())]
    return own.with_traceback(error.__traceback__)


def _settled(result: SendResult) -> SendSettled:
    return SendSettled(
        client_id_sms=result.client_id_sms, outcome=result.outcome, reason=result.reason, attempts=result.attempts
    )

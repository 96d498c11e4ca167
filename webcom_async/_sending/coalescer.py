"""
Send single messages, alone or coalesced: messages sent within a few milliseconds can share a request.

A message whose id a second call may also use is sent in its own task, for all calls that wait for it: a second equal
call waits for the first one's request, and each call gets its own result, error and cancellation. The task ends when no
call waits any longer. A shared request is sent once; if it settles no message, each message is sent alone, under the
same id, so that one bad message costs the others no more than one retry.
"""

import copy
from contextlib import suppress
from typing import Self

import anyio
from anyio import CancelScope

from webcom_async._batching.batcher import Batch, not_sent
from webcom_async._domain.errors import ConnectionLost, Knowledge, RequestTooLarge, UsageError, WebcomError, another
from webcom_async._domain.messages import Message, OutboundRecipient
from webcom_async._domain.reasons import Reason
from webcom_async._domain.results import Outcome, SendResult
from webcom_async._domain.types import ClientIdSms, Phone
from webcom_async._events.sending import SendEnded, SendQueued, SendSettled
from webcom_async._gateway import policy as _policy
from webcom_async._gateway.admission import Priority, Slot
from webcom_async._gateway.gateway_session import GatewaySession
from webcom_async._gateway.owned_tasks import OwnedTasks
from webcom_async._gateway.safeguards import RetryQuota
from webcom_async._sending.background import run_in_background
from webcom_async._sending.batch_sender import BatchSender
from webcom_async._sending.counters import CampaignCounters

__all__ = ["OngoingSends", "RequestCoalescer", "SingleSender"]

_END_SECONDS = 1.0  # ours: the end of a request takes some turns of the event loop
_REMEMBERED = 10_000  # possibly sent messages: ours, some hours of a backend whose gateway is slow
_SETTLED = frozenset({Outcome.ACCEPTED, Outcome.REJECTED})


class OngoingSends:
    """
    The single sends of one or more clients.

    Attributes:
        ongoing: The sends in flight whose id a second call may use.
        possibly_sent: The ids of possibly sent messages, the latest at the end.
    """

    def __init__(self) -> None:
        self.ongoing: dict[ClientIdSms, SingleSend] = {}
        self.possibly_sent: dict[ClientIdSms, None] = {}


class SingleSender:
    """
    Sends messages one by one, each id in one request at a time.

    Args:
        session: The gateway session.
        sends: The sends of all clients that share limits, and so the ids in flight.
    """

    def __init__(self, session: GatewaySession, sends: "OngoingSends") -> None:
        self._session = session
        self._traffic = session.traffic
        self._ongoing = sends.ongoing
        self._possibly_sent = sends.possibly_sent

    async def send(
        self, said: Message, to: OutboundRecipient, coalescer: "RequestCoalescer | None", *, random: bool
    ) -> SendResult:
        """
        Send a message, or wait for an equal one in flight; a *random* id cannot be in another call.

        Raises:
            WebcomError: The gateway serves this account nothing now; nothing was sent.
        """
        if random:
            return await SingleSend(self._session, said, to).send(coalescer)
        while True:
            single = self._ongoing.get(to.client_id_sms)
            if single is None:
                batch = self._traffic.find_batch(to.client_id_sms)
                if batch is None:
                    return await self._begin(said, to, coalescer).wait()
                told = batch.told(to.client_id_sms)
                known = None if _is_other(told, said, to) else await self._traffic.wait_for_result(to.client_id_sms)
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
                result = await self._wait_for(single)
                if result is not None:
                    return result

    async def _wait_for(self, single: "SingleSend") -> SendResult | None:
        """Return the result of *single*; None if the client that sent it was closed before the answer came."""
        single.join()
        try:
            result = await single.wait()
        except UsageError:
            if not self._outlives(single):
                raise
            return None
        return None if self._outlives(single) and result.outcome not in _SETTLED else result

    def _outlives(self, single: "SingleSend") -> bool:
        return single.is_closed and not self._session.closed

    def _begin(self, said: Message, to: OutboundRecipient, coalescer: "RequestCoalescer | None") -> "SingleSend":
        client_id = to.client_id_sms
        single = self._ongoing[client_id] = SingleSend(
            self._session, said, to, possibly_sent=client_id in self._possibly_sent
        )
        self._traffic.ids_in_flight.add(client_id)

        async def travel() -> None:
            try:
                await single.run(coalescer)
            finally:
                del self._ongoing[client_id]
                self._traffic.ids_in_flight.discard(client_id)
                self._remember(client_id, single.known)
                single.ended.set()

        single.join()  # before the task runs: an eager event loop starts it at once
        run_in_background(travel)
        return single

    def _remember(self, client_id: ClientIdSms, known: SendResult | None) -> None:
        """Remember a possibly sent message: the next call's failure proves nothing about it."""
        self._possibly_sent.pop(client_id, None)
        if known is None or known.outcome is Outcome.UNKNOWN:
            self._possibly_sent[client_id] = None
            if len(self._possibly_sent) > _REMEMBERED:
                del self._possibly_sent[next(iter(self._possibly_sent))]


def _is_other(told: tuple[Message, Phone] | None, said: Message, to: OutboundRecipient) -> bool:
    return told is not None and told != (said, to.phone)


def _reused(to: OutboundRecipient) -> SendResult:
    words = f"client_id_sms {to.client_id_sms} is in a request for another phone or message that has no answer yet"
    return not_sent(to, Reason.ID_REUSED, words)


class SingleSend:
    """
    One message in flight, and the calls that wait for it.

    Args:
        session: The gateway session.
        said: The message.
        to: The recipient.
        possibly_sent: Whether an earlier call possibly sent it.

    Attributes:
        said: The message.
        to: The recipient.
        possibly_sent: The same.
        settled: The result; None while it is open.
        met: The failure of the shared request, if it settled no message.
        shared: Whether a shared request with the message may have been sent.
        ended: An event that is set when the message is no longer in flight.
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
        """Whether no call waits any longer."""
        return not self._waiting

    @property
    def is_closed(self) -> bool:
        """Whether the client that sends it is closed."""
        return self._session.closed

    @property
    def ending(self) -> bool:
        return self._scope.cancel_called

    @property
    def told(self) -> tuple[Message, Phone]:
        return self.said, self.to.phone

    async def send(self, coalescer: "RequestCoalescer | None") -> SendResult:
        """
        Send the message for its only caller, in the caller's task.

        Raises:
            WebcomError: The gateway serves this account nothing now; nothing was sent.
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
        """Send the message for all calls that wait."""
        with self._scope:
            try:
                await self._travel(coalescer)
            except anyio.get_cancelled_exc_class():
                if self.ending:
                    raise
                # Not our cancellation: the event loop is ending, or the transport raised a cancellation of its own.
                self._bug = UsageError("the transport raised a cancellation of its own, or the event loop has ended")
            except BaseException as exc:  # noqa: BLE001 - its callers raise it
                self._bug = exc

    async def _travel(self, coalescer: "RequestCoalescer | None") -> None:
        observers = self._session.observers
        if observers.listening():
            observers.emit(SendQueued(client_id_sms=self.to.client_id_sms))
        if coalescer is not None:
            await coalescer.take(self)
        if self.settled is None and not self.left:
            self._batch_sender = _batch_sender(self._session, [self], after=self.met)
            [self.settled] = (await self._batch_sender.run()).results
        if self.settled is not None and observers.listening():
            observers.emit(_settled(self.settled))

    def _note(self, exc: BaseException, result: SendResult) -> None:
        """Name the id for sending again, on *exc* and in an event."""
        client_id, outcome = result.client_id_sms, result.outcome
        exc.add_note(f"client_id_sms {client_id} is {outcome.value}; send again under this id only")
        self._session.observers.emit(SendEnded(client_id_sms=client_id, outcome=outcome))

    def join(self) -> None:
        """Count one more call that will `wait`."""
        self._waiting += 1

    async def wait(self) -> SendResult:
        """Wait for the result after `join`; raises what `send` raises."""
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
        """End the task if no call waits. A shared request continues, and keeps its id taken."""
        if not self.left or self.ended.is_set() or (self.shared and self._batch_sender is None):
            return
        self._scope.cancel()
        with CancelScope(shield=True, deadline=anyio.current_time() + _END_SECONDS), suppress(BaseException):
            # A second cancellation on asyncio comes through the shield; the first one carries the id.
            await self.ended.wait()

    def _left_behind(self) -> SendResult:
        """Return what a leaving call knows: nothing, while the send continues for others."""
        known = self.known
        if self.left or known.outcome in _SETTLED:
            return known
        words = "cancelled before the answer came"
        to = self.to
        return SendResult(to.client_id_sms, to.phone, Outcome.UNKNOWN, None, Reason.CANCELLED, words, known.attempts)

    def _told(self) -> SendResult:
        """Return the result, or raise each caller a copy of the error that ends all sending."""
        if self._bug is not None:
            raise self._with_id(self._bug, self.known) from self._bug.__cause__
        result = self.known if self.settled is None else self.settled
        if result.outcome is Outcome.ACCEPTED:
            return result
        halt = _policy.halting([result]) if self._batch_sender is None else self._batch_sender.halt
        if halt is None:
            return result
        if result.outcome is Outcome.UNKNOWN and halt.knowledge is not Knowledge.POSSIBLY_SENT:
            # The last failure would deny an earlier request that may have been processed.
            return result
        raise self._with_id(halt, result) from halt.__cause__

    def _with_id(self, error: BaseException, result: SendResult) -> BaseException:
        """Return a copy of *error* with one id in a note; a shared error would name all."""
        own = another(error) if isinstance(error, WebcomError) else _another_foreign(error)
        self._note(own, result)
        return own

    @property
    def known(self) -> SendResult:
        """The result if the send is cut short now."""
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
    Lets messages that are sent within `Options.linger` seconds share a request.

    Open it with `async with`, in the task that closes it: shared requests run in its own tasks, so that the
    cancellation of one caller does not end another caller's request.
    """

    def __init__(self, session: GatewaySession) -> None:
        self._session = session
        self._tasks = OwnedTasks("a client with linger=")
        self._largest = min(session.options.largest_batch, session.send_format.max_recipients)
        self._boarding: SharedRequest | None = None

    async def __aenter__(self) -> Self:
        await self._tasks.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._tasks.close()

    async def take(self, single: SingleSend) -> None:
        """Add *single* to a shared request, and return when that has ended."""
        send_format = self._session.send_format
        size = send_format.size_of_recipient(single.to) + send_format.size_of(single.said)
        company = self._boarding
        if company is None or not company.has_room(size):
            self._boarding = company = SharedRequest(self._session, self._largest)
            self._tasks.start_soon(self._carry, company)
        company.join(single, size)
        try:
            await company.arrived.wait()
        except BaseException:
            company.leave(single)
            raise

    async def _carry(self, company: "SharedRequest") -> None:
        try:
            await company.linger()
            if self._boarding is company:
                self._boarding = None
            await company.travel()
        except Exception as exc:  # noqa: BLE001 - a transport's own bug; uncaught, it would end the client's host task
            company.break_up(exc)
        except anyio.get_cancelled_exc_class() as exc:
            if self._tasks.closing:
                company.strand()
                raise
            # Not our cancellation: the transport raised one of its own.
            company.break_up(exc)
        finally:
            self._largest = min(self._largest, company.largest)
            company.disband()


class SharedRequest:
    """
    Messages that share a request.

    Attributes:
        largest: The maximum number of messages; halved after the gateway refuses a request as too large.
        arrived: An event that is set when the request has ended.
    """

    def __init__(self, session: GatewaySession, largest: int) -> None:
        self.largest = largest
        self.arrived: anyio.Event = anyio.Event()
        self._session = session
        self._single_sender: list[SingleSend] = []
        self._bytes_left = session.options.batch_bytes
        self._lingering = CancelScope()
        self._travelling = CancelScope()
        self._slot: Slot | None = None
        self._leaves = session.clock.monotonic() + session.options.linger
        self._batch_sender: BatchSender | None = None

    def has_room(self, size: int) -> bool:
        """Whether *size* more bytes fit; if not, the request leaves now."""
        room = len(self._single_sender) < self.largest and size <= self._bytes_left
        if not room:
            self._lingering.cancel()
        return room

    def join(self, single: SingleSend, size: int) -> None:
        """Add *single*; a full request leaves at once."""
        self._single_sender.append(single)
        self._bytes_left -= size
        if len(self._single_sender) >= self.largest:
            self._lingering.cancel()

    async def linger(self) -> None:
        """Wait for more messages. On a busy event loop, the first may have waited long enough already."""
        with self._lingering:
            await self._session.clock.sleep(max(0.0, self._leaves - self._session.clock.monotonic()))

    async def travel(self) -> None:
        """Send once for all messages whose calls still wait; a single one goes alone."""
        self._leave_out_gone()
        recipients = len(self._single_sender)
        if recipients > 1:
            self._slot = self._session.traffic.admission.slot(recipients, Priority.SINGLE)
            with self._travelling:
                async with self._slot as slot:
                    self._leave_out_gone()
                    slot.reduce(len(self._single_sender))
                    if self._single_sender:
                        await self._send(slot)

    def leave(self, single: SingleSend) -> None:
        """Leave *single* out, unless it has been sent: it takes no turn of the rate, and no place in the queue."""
        if single.shared or single not in self._single_sender:
            return
        self._single_sender.remove(single)
        if self._slot is not None:
            self._slot.reduce(len(self._single_sender))
        if self._slot is not None and not self._single_sender:
            self._travelling.cancel()

    def _leave_out_gone(self) -> None:
        self._single_sender = [single for single in self._single_sender if not single.left]

    async def _send(self, slot: Slot) -> None:
        present = self._single_sender
        for single in present:
            single.shared = True
        self._batch_sender = _batch_sender(self._session, present, slot=slot)
        error = await self._batch_sender.run_once()
        if isinstance(error, RequestTooLarge):
            self.largest = max(1, len(present) // 2)
        for single, result in zip(present, self._batch_sender.unfinished(Reason.HALTED).results, strict=True):
            single.settled = result if error is None else None
            # One each: an exception that several tasks raise would collect the notes of all.
            single.met = None if error is None else another(error)

    def break_up(self, exc: BaseException) -> None:
        """Have each message sent alone after a bug of the transport."""
        for single in self._single_sender:
            single.met = (
                ConnectionLost(f"the shared request failed with {type(exc).__name__}") if single.shared else None
            )

    def strand(self) -> None:
        """Send no message: the client is being closed."""
        for single in self._single_sender:
            single.met = UsageError("the client was closed before this was sent") if not single.shared else None

    def disband(self) -> None:
        """Release all messages, with what is known."""
        for number, single in enumerate(self._single_sender):
            if self._batch_sender is not None and single.settled is None and single.met is None:
                single.settled = self._batch_sender.unfinished(Reason.CANCELLED).results[number]
        self.arrived.set()


def _batch_sender(
    session: GatewaySession, singles: list[SingleSend], after: WebcomError | None = None, slot: Slot | None = None
) -> BatchSender:
    batch = Batch(1, [], [], [], {})
    for single in singles:
        batch.add(single.said, single.to)
    counters = CampaignCounters("", session.clock.monotonic())
    possibly_sent = {single.to.client_id_sms for single in singles if single.possibly_sent}
    return BatchSender(
        session,
        batch,
        counters,
        RetryQuota(session.options.attempts),
        possibly_sent=possibly_sent,
        after=after,
        slot=slot,
    )


def _another_foreign(error: BaseException) -> BaseException:
    """Return a copy of a transport's own exception, if it can be copied."""
    try:
        own = copy.copy(error)
    except Exception:  # noqa: BLE001 - a foreign exception's copy may fail in any way
        return error
    vars(own)["__notes__"] = [*getattr(error, "__notes__", ())]
    return own.with_traceback(error.__traceback__)


def _settled(result: SendResult) -> SendSettled:
    return SendSettled(
        client_id_sms=result.client_id_sms, outcome=result.outcome, reason=result.reason, attempts=result.attempts
    )

"""
One message on its way: alone, or sharing a request with others that are sent in the same milliseconds.

Whoever shares gets a result, an error and a cancellation of their own, as if alone. A shared request is made once; if
it settles nobody, each goes on alone, under the same id, so that a bad neighbour costs no more than one resend.
"""

import copy
import logging
from typing import Self

import anyio
from anyio import CancelScope

from webcom_async import _policy
from webcom_async._batching import Batch
from webcom_async._flight import Flight
from webcom_async._line import Line
from webcom_async._reasons import Reason
from webcom_async._safeguards import RetryQuota
from webcom_async._tally import Tally
from webcom_async._wire import WirePhone, message_size, phone_size
from webcom_async.errors import ConnectionLost, Knowledge, RequestTooLarge, UsageError, WebcomError
from webcom_async.models import Message, Outcome, SendResult

__all__ = ["Coalescer", "Single"]

logger: logging.Logger = logging.getLogger("webcom_async")


class Single:
    """
    One message.

    Args:
        line: The way to the gateway.
        said: What it says.
        to: To whom.

    Attributes:
        said: What it says.
        to: To whom.
        settled: What became of it; None as long as it is open.
        met: What the shared request met, if that settled nobody.
        shared: Whether a shared request with it may have left.
        left: Whether its caller does not wait for it any more.
        ended: Whether the shared request has ended.
    """

    def __init__(self, line: Line, said: Message, to: WirePhone) -> None:
        self.said = said
        self.to = to
        self.settled: SendResult | None = None
        self.met: WebcomError | None = None
        self.shared: bool = False
        self.left: bool = False
        self.ended: bool = False
        self._line = line
        self._flight: Flight | None = None

    async def send(self, coalescer: "Coalescer | None") -> SendResult:
        """
        Send it, and return what became of it.

        Raises:
            WebcomError: The gateway serves nobody now; nothing was sent.
        """
        self._line.under_way.add(self.to.client_id_sms)
        try:
            if coalescer is not None:
                await coalescer.take(self)
            if self.settled is None:
                self._flight = _flight(self._line, [self], after=self.met)
                [self.settled] = await self._flight.run()
        except BaseException as exc:
            self.left = True
            _note(exc, self._cut_short())
            raise
        finally:
            # An id is in one request at a time: the shared one goes on without this caller.
            if not (self.left and self.shared and not self.ended):
                self._line.under_way.discard(self.to.client_id_sms)
        return self._told(self.settled)

    def _told(self, result: SendResult) -> SendResult:
        """Return *result*, or raise what keeps the gateway from serving anybody."""
        if result.outcome is Outcome.ACCEPTED:
            return result
        halt = _policy.halting([result]) if self._flight is None else self._flight.halt
        if halt is None:
            return result
        if result.outcome is Outcome.UNKNOWN and halt.knowledge is not Knowledge.IN_QUESTION:
            # What the last request met would deny an earlier one that may have been processed.
            return result
        _note(halt, result)
        raise halt

    def _cut_short(self) -> SendResult:
        if self._flight is not None:
            return self._flight.unfinished(Reason.CANCELLED)[0]
        if self.settled is not None:
            return self.settled
        in_question = self.shared if self.met is None else self.met.knowledge is Knowledge.IN_QUESTION
        outcome = Outcome.UNKNOWN if in_question else Outcome.NOT_SENT
        words = f"cancelled before {'the answer came' if in_question else 'it was sent'}"
        return SendResult(
            self.to.client_id_sms, self.to.phone, outcome, None, Reason.CANCELLED, words, int(self.shared)
        )


class Coalescer:
    """
    Let messages that are sent within `Options.linger` seconds share a request.

    Open it with `async with`, in the task that closes it: the shared requests are tasks of its own, so that no
    caller's cancellation ends another's request.
    """

    def __init__(self, line: Line) -> None:
        self._line = line
        self._tasks = anyio.create_task_group()
        self._largest = line.options.largest_batch
        self._boarding: _Company | None = None

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._tasks.cancel_scope.cancel()
        await self._tasks.__aexit__(None, None, None)

    async def take(self, single: Single) -> None:
        """Bring *single* along, and come back when its shared request has ended, or it is to go alone."""
        size = phone_size(single.to) + message_size(single.said)
        company = self._boarding
        if company is None or not company.has_room(size):
            self._boarding = company = _Company(self._line, self._largest)
            self._tasks.start_soon(self._carry, company)
        company.join(single, size)
        await company.arrived.wait()

    async def _carry(self, company: "_Company") -> None:
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


class _Company:
    """
    Messages that share a request.

    Attributes:
        largest: How many may share one; less than it was once the gateway has found that too large.
        arrived: Set when their request has ended.
    """

    def __init__(self, line: Line, largest: int) -> None:
        self.largest = largest
        self.arrived: anyio.Event = anyio.Event()
        self._line = line
        self._singles: list[Single] = []
        self._bytes_left = line.options.batch_bytes
        self._lingering = CancelScope()
        self._leaves = line.clock.monotonic() + line.options.linger
        self._flight: Flight | None = None

    def has_room(self, size: int) -> bool:
        """Whether one more of *size* bytes can come; if not, this one leaves now."""
        room = len(self._singles) < self.largest and size <= self._bytes_left
        if not room:
            self._lingering.cancel()
        return room

    def join(self, single: Single, size: int) -> None:
        """Take *single* in; the last one that can come need not wait for more."""
        self._singles.append(single)
        self._bytes_left -= size
        if len(self._singles) >= self.largest:
            self._lingering.cancel()

    async def linger(self) -> None:
        """Wait for more to come: not longer than the first may wait, who is here for some time on a busy event loop."""
        with self._lingering:
            await self._line.clock.sleep(max(0.0, self._leaves - self._line.clock.monotonic()))

    async def travel(self) -> None:
        """Post once for all who still wait; a lone one goes alone."""
        present = self._singles = [single for single in self._singles if not single.left]
        if len(present) <= 1:
            return
        for single in present:
            single.shared = True
        self._flight = _flight(self._line, present)
        error = await self._flight.run_once()
        if isinstance(error, RequestTooLarge):
            self.largest = max(1, len(present) // 2)
        for single, result in zip(present, self._flight.unfinished(Reason.HALTED), strict=True):
            single.settled = result if error is None else None
            # A copy each: an exception that several tasks raise would tell of all of them.
            single.met = copy.copy(error)

    def break_up(self, exc: BaseException) -> None:
        """Let everybody go on alone, after a request that failed as none should: it may have been processed."""
        for single in self._singles:
            single.met = (
                ConnectionLost(f"the shared request failed with {type(exc).__name__}") if single.shared else None
            )

    def strand(self) -> None:
        """Let nobody go on: the client is being closed."""
        for single in self._singles:
            single.met = UsageError("the client was closed before this was sent") if not single.shared else None

    def disband(self) -> None:
        """Let everybody go, with what is known if this was cut short."""
        for number, single in enumerate(self._singles):
            if self._flight is not None and single.settled is None and single.met is None:
                single.settled = self._flight.unfinished(Reason.CANCELLED)[number]
            single.ended = True
            if single.left:
                self._line.under_way.discard(single.to.client_id_sms)
        self.arrived.set()


def _flight(line: Line, singles: list[Single], after: WebcomError | None = None) -> Flight:
    batch = Batch(1, [], [], [], {})
    for single in singles:
        batch.add(single.said, single.to)
    tally = Tally("", line.clock.monotonic())
    return Flight(line, batch, tally, RetryQuota(line.options.attempts), after=after)


def _note(exc: BaseException, result: SendResult) -> None:
    """Say on *exc*, and in the log, under which id to ask again."""
    exc.add_note(f"client_id_sms {result.client_id_sms} is {result.outcome.value}; send again under this id only")
    logger.warning("send_ended", extra={"client_id_sms": result.client_id_sms, "outcome": result.outcome.value})

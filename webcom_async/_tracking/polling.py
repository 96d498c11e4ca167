"""
Questions to the gateway that change nothing there: statuses and the balance.

They share the line's limits, deadlines and judgement with what is sent, and may be asked again as often as it takes.
What several questions at once look like is not documented: the first answers tell, and are remembered.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import TypeVar

import anyio

from webcom_async._domain.credentials import Credentials
from webcom_async._domain.delivery import Balance, DeliveryReport, DeliveryState
from webcom_async._domain.errors import RequestRefused, RequestTooLarge, WebcomError
from webcom_async._domain.options import Options
from webcom_async._domain.reasons import Reason
from webcom_async._gateway.gateway_session import GatewaySession
from webcom_async._gateway.retry import retrying
from webcom_async._gateway.safeguards import RetryQuota
from webcom_async._wire.json_api.delivery import (
    BALANCE_PAGE,
    STATUS_PAGE,
    Question,
    balance_question,
    decode_balance,
    decode_statuses,
    status_question,
)

__all__ = ["Inquiry", "StatusInquiry", "ask_balance"]

T = TypeVar("T")

_PROBE = 2  # ids in a question, until it is known whether the gateway takes several
_MOST = 100  # ids in a question: ours, 9 kB of JSON and as much of an answer
_ROUNDS = 4  # requests per place on the line, in a stretch of questions
_BAD_SHAPE = frozenset({Reason.BAD_DOCUMENT, Reason.NO_POST_DATA})


class Inquiry:
    """
    A page that is asked.

    Args:
        session: The way to the gateway.
        page: Its name below `Options.path`.

    Attributes:
        requests: Questions that were asked, repeated ones included.
    """

    def __init__(self, session: GatewaySession, page: str) -> None:
        self.requests: int = 0
        self._session = session
        self._options: Options = session.options.below(page)
        self._quota = RetryQuota(session.options.retry_quota)

    async def ask(self, question: Callable[[Credentials], Question], read: Callable[[bytes], T], entries: int) -> T:
        """
        Return what *read* makes of the answer.

        Args:
            question: Makes the body.
            read: Raises as `_wire_delivery`'s decoders do.
            entries: How many the answer has, which bounds it.

        Raises:
            WebcomError: There is no usable answer, after as many attempts as the options allow.
        """

        async def attempt() -> T:
            self.requests += 1
            return await self._session.inquire(question, read, self._options, entries)

        session = self._session
        answer = await retrying(attempt, session.options.attempts, self._quota.spend, session.options, session.clock)
        self._quota.refund()
        return answer


async def ask_balance(session: GatewaySession) -> Balance:
    """
    Return what is left on the account.

    Raises:
        WebcomError: See `Inquiry.ask`.
    """
    return await Inquiry(session, BALANCE_PAGE).ask(balance_question, decode_balance, 1_000)


class _Habits:
    """
    How the gateway wants to be asked about statuses, as far as it has shown.

    Attributes:
        largest: Ids in a question.
        array: Whether a question about one id stands in an array, as the page's example has it.
    """

    def __init__(self) -> None:
        self.largest = _PROBE
        self.array = True

    def answered(self, asked: int, together: int, alone: int) -> None:
        """Learn from a question about several ids: how many were answered *together*, and how many only *alone*."""
        if together == asked:
            self.largest = max(self.largest, _MOST if asked == _PROBE else asked)
        elif alone:
            self.largest = max(1, asked // 2)


class StatusInquiry:
    """
    Questions about statuses, as many at once as the line lets.

    Args:
        session: The way to the gateway.

    Attributes:
        failure: What ended the latest round; None if nothing did.
    """

    def __init__(self, session: GatewaySession) -> None:
        self.failure: WebcomError | None = None
        self._session = session
        self._inquiry = Inquiry(session, STATUS_PAGE)
        self._habits = _Habits()

    @property
    def requests(self) -> int:
        """Questions that were asked, repeated ones included."""
        return self._inquiry.requests

    @property
    def appetite(self) -> int:
        """Ids that one round takes, at most."""
        return self._habits.largest * self._session.limit.limit * _ROUNDS

    async def round(self, waiting: deque[str], told: deque[DeliveryReport]) -> None:
        """
        Ask for some of those who are *waiting*, and add what is told of each to *told*, in the order of the answers.

        Whatever happens, an id is in one of the two when this returns; but for those that a failure came for, which
        `failure` then is, it is in *told*.
        """
        self.failure = None
        asked = deque(waiting.popleft() for _ in range(min(len(waiting), self.appetite)))
        in_flight: dict[int, list[str]] = {}
        try:
            async with anyio.create_task_group() as tasks:
                for number in range(self._session.limit.limit):
                    tasks.start_soon(self._work, number, asked, in_flight, told, tasks.cancel_scope)
        finally:
            waiting.extendleft(reversed([*(id_sms for ids in in_flight.values() for id_sms in ids), *asked]))

    async def _work(
        self,
        number: int,
        asked: deque[str],
        in_flight: dict[int, list[str]],
        told: deque[DeliveryReport],
        scope: anyio.CancelScope,
    ) -> None:
        """Ask until nobody is left, or something fails."""
        while asked:
            ids = [asked.popleft() for _ in range(min(len(asked), self._habits.largest))]
            in_flight[number] = ids
            try:
                reports = await self.ask(ids)
            except WebcomError as exc:
                self.failure = exc
                scope.cancel()
                return
            told.extend(reports)
            del in_flight[number]

    async def ask(self, ids: Sequence[str]) -> list[DeliveryReport]:
        """
        Return a report for each of *ids*; one of which the gateway says nothing is unknown, in no words.

        Raises:
            WebcomError: See `Inquiry.ask`.
        """
        found = await self._ask_together(ids) if len(ids) > 1 else {}
        together = len(found)
        if together < len(ids):
            alone = {id_sms: await self._ask_alone(id_sms) for id_sms in ids if id_sms not in found}
            self._habits.answered(len(ids), together, sum(bool(report.said) for report in alone.values()))
            found |= alone
        else:
            self._habits.answered(len(ids), together, 0)
        return [found[id_sms] for id_sms in ids]

    async def _ask_together(self, ids: Sequence[str]) -> dict[str, DeliveryReport]:
        """Return what is told of *ids* at once: of all, of some, or of none if that is not understood."""
        try:
            return await self._exchange(ids, array=True)
        except (RequestRefused, RequestTooLarge):
            return {}

    async def _ask_alone(self, id_sms: str) -> DeliveryReport:
        """Return what is told of one id, in whichever shape is understood."""
        array = self._habits.array
        try:
            try:
                found = await self._exchange([id_sms], array=array)
            except RequestRefused as exc:
                if exc.reason not in _BAD_SHAPE:
                    raise
                try:
                    found = await self._exchange([id_sms], array=not array)
                except RequestRefused as other:
                    raise (exc if other.reason in _BAD_SHAPE else other) from None
                self._habits.array = not array
        except RequestRefused as exc:
            if exc.reason in _BAD_SHAPE:
                raise
            # A sentence about a question for one id is about this id.
            return DeliveryReport(id_sms, DeliveryState.UNKNOWN, exc.error)
        return found.get(id_sms, DeliveryReport(id_sms, DeliveryState.UNKNOWN))

    async def _exchange(self, ids: Sequence[str], *, array: bool) -> dict[str, DeliveryReport]:
        zone = self._session.options.zone
        return await self._inquiry.ask(
            lambda credentials: status_question(credentials, ids, array=array),
            lambda body: decode_statuses(body, ids, zone),
            len(ids),
        )

"""
Ask the gateway for statuses and the balance; this changes nothing there.

These calls share the session's limits, deadlines and retry rules with sending. The gateway does not document questions
about several ids: their shape is found from the first answers, and remembered.
"""

from collections import deque
from collections.abc import Sequence

import anyio

from webcom_async._domain.delivery import Balance, DeliveryReport, DeliveryState
from webcom_async._domain.errors import RequestRefused, RequestTooLarge, WebcomError
from webcom_async._domain.reasons import Reason
from webcom_async._gateway.gateway_session import GatewaySession
from webcom_async._gateway.safeguards import RetryQuota
from webcom_async._wire.json_api.delivery import BalanceCall, StatusCall

__all__ = ["StatusInquiry", "ask_balance"]

_PROBE = 2  # ids in a question, until the gateway has answered for several
_MOST = 100  # ids in a question: ours, 9 kB of JSON and as much of an answer
_ROUNDS = 4  # requests per slot, in a round of questions
_BAD_SHAPE = frozenset({Reason.BAD_DOCUMENT, Reason.NO_POST_DATA})


async def ask_balance(session: GatewaySession) -> Balance:
    return await session.call(BalanceCall(), RetryQuota(session.options.retry_quota), lambda: None)


class _Habits:
    """
    The form of status questions that the gateway accepts, learnt from its answers.

    Attributes:
        largest: Ids in a question.
        array: Whether a question about one id is an array, as in the page's example.
    """

    def __init__(self) -> None:
        self.largest = _PROBE
        self.array = True

    def answered(self, asked: int, together: int, alone: int) -> None:
        """Learn how many of several ids were answered *together*, and how many only *alone*."""
        if together == asked:
            self.largest = max(self.largest, _MOST if asked == _PROBE else asked)
        elif alone:
            self.largest = max(1, asked // 2)


class StatusInquiry:
    """
    Asks for statuses, with as many requests in flight as the session's limit allows.

    Args:
        session: The gateway session.

    Attributes:
        failure: The error that ended the latest round; None if none did.
        requests: Requests sent, retries included.
    """

    def __init__(self, session: GatewaySession) -> None:
        self.failure: WebcomError | None = None
        self.requests: int = 0
        self._session = session
        self._quota = RetryQuota(session.options.retry_quota)
        self._habits = _Habits()

    @property
    def appetite(self) -> int:
        """The most ids that one round takes."""
        return self._habits.largest * self._session.limit * _ROUNDS

    async def round(self, waiting: deque[str], told: deque[DeliveryReport]) -> None:
        """
        Ask for some of the *waiting* ids, and append their reports to *told*, in the order of the answers.

        Afterwards, even on an error, each id is in *waiting* or its report is in *told*; `failure` has the error.
        """
        self.failure = None
        asked = deque(waiting.popleft() for _ in range(min(len(waiting), self.appetite)))
        in_flight: dict[int, list[str]] = {}
        try:
            async with anyio.create_task_group() as tasks:
                for number in range(self._session.limit):
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
        Return a report for each of *ids*; unknown, without words, if the gateway has none.

        Raises:
            WebcomError: See `GatewaySession.call`.
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
        """Return the reports of one question about all *ids*; empty if it is refused."""
        try:
            return await self._exchange(ids, array=True)
        except (RequestRefused, RequestTooLarge):
            return {}

    async def _ask_alone(self, id_sms: str) -> DeliveryReport:
        """Return the report of one id, in the form that the gateway takes."""
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
            # An error in answer to a question about one id concerns this id.
            return DeliveryReport(id_sms, DeliveryState.UNKNOWN, exc.error)
        return found.get(id_sms, DeliveryReport(id_sms, DeliveryState.UNKNOWN))

    async def _exchange(self, ids: Sequence[str], *, array: bool) -> dict[str, DeliveryReport]:
        call = StatusCall(ids, self._session.options.zone, array)
        return await self._session.call(call, self._quota, self._count)

    def _count(self) -> None:
        self.requests += 1

"""
The iterator that `WebcomClient.statuses` returns.

A class with `__anext__`: each step asks a round of questions and waits for all answers, so no task outlives the call
that made it. It can be cancelled or dropped at any moment, and continued.
"""

from collections import deque
from collections.abc import AsyncIterable, Callable, Iterable
from typing import Self, TypeAlias, cast

from webcom_async._domain.delivery import DeliveryReport
from webcom_async._domain.errors import InputError
from webcom_async._domain.phones import plain_int, quoted
from webcom_async._domain.sources import RecipientSource, Source
from webcom_async._tracking.polling import StatusInquiry
from webcom_async._wire.json_api.send import known_id

__all__ = ["IdSource", "Statuses"]

IdSource: TypeAlias = Iterable[str | int] | AsyncIterable[str | int]
"""Ids of SMS, from a list, a generator, a file, a database cursor, …"""


class Statuses:
    """
    Yields one report for each id, in the order of the answers.

    After a step that fails or is cancelled, iterate again: no id is lost.

    Raises:
        InputError: An item is not an `id_sms`; raised after the reports of the items before it.
        WebcomError: The gateway cannot be asked; raised after the reports that have arrived.
    """

    def __init__(self, inquiry: StatusInquiry, ids: IdSource, check_usable: Callable[[], None]) -> None:
        if isinstance(ids, str | bytes | int) or not isinstance(ids, Iterable | AsyncIterable):
            raise InputError(f"ids is {quoted(ids)}: give an iterable of id_sms, such as a list")
        self._inquiry = inquiry
        self._source = Source(cast("RecipientSource", iter(ids) if isinstance(ids, Iterable) else ids))
        self._check_usable = check_usable
        self._raw: deque[object] = deque()
        self._waiting: deque[str] = deque()
        self._told: deque[DeliveryReport] = deque()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> DeliveryReport:
        while not self._told:
            await self._step()
        return self._told.popleft()

    async def _step(self) -> None:
        self._check_usable()
        wrong = await self._fill()
        if not self._waiting:
            raise wrong or StopAsyncIteration
        await self._inquiry.round(self._waiting, self._told)
        if self._inquiry.failure is not None and not self._told:
            raise self._inquiry.failure

    async def _fill(self) -> InputError | None:
        """Take as many ids as a round asks for; return the error of the next item, if it is wrong."""
        wanted = self._inquiry.appetite - len(self._waiting)
        if wanted > 0:
            await self._source.fill(self._raw, wanted)
        while self._raw:
            item = plain_int(self._raw[0])
            id_sms = known_id(item) if isinstance(item, str | int) and not isinstance(item, bool) else None
            if id_sms is None and self._waiting:
                return None  # those before it come first
            self._raw.popleft()
            if id_sms is None:
                return InputError(f"{quoted(item)} is not an id_sms: give that of an accepted SendResult")
            self._waiting.append(id_sms)
        return None

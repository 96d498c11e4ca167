"""
A file of delivery reports, for the event loop.

Reports that arrive at the same time share a transaction, and so an fsync: one caller writes for all that wait.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from types import TracebackType
from typing import Self, TypeVar

import anyio

from webcom_async._domain.clock import Clock
from webcom_async._domain.delivery import DeliveryReport
from webcom_async._domain.errors import JournalError, UsageError
from webcom_async._domain.given import StrPath
from webcom_async._storage.sqlite.reports import Inbox
from webcom_async._storage.worker_thread import WorkerThread

__all__ = ["ReportFile"]

T = TypeVar("T")


class ReportFile:
    """
    A file in which webhooks store reports, and from which `WebcomClient.track` and you read them.

    The first call, or `async with`, opens the file, which then belongs to that event loop. Several processes may have
    it open. Reports of SMS that no journal holds yet are kept too.

    Args:
        path: The file. It is created if missing, readable by you alone; its directory is not created.
        clock: The clock.

    Raises:
        JournalError: From every method: the file cannot be read or written; the message says why.
    """

    def __init__(self, path: StrPath, *, clock: Clock | None = None) -> None:
        self._path = path
        self._now = (clock or Clock()).now
        self._held: WorkerThread[Inbox] | None = None
        self._closed = False
        self._opening = anyio.Lock()
        self._turn = anyio.Lock()
        self._waiting: list[_Commit] = []

    async def commit(self, reports: Sequence[DeliveryReport]) -> Sequence[DeliveryReport]:
        """Write *reports* to disk and return them."""
        own = _Commit(reports)
        self._waiting.append(own)
        async with self._turn:
            if not own.done:
                await self._commit_all()
        if own.error is not None:
            raise JournalError(own.error)
        return reports

    async def find(self, id_sms: str | int) -> DeliveryReport | None:
        """Return the report of an SMS; None if there is none."""
        return (await self.known([str(id_sms)])).get(str(id_sms))

    async def known(self, ids: Iterable[str]) -> dict[str, DeliveryReport]:
        """Return the stored reports of *ids*."""
        return await self._call(lambda inbox: inbox.find(ids))

    async def latest(self) -> int:
        """Return the number of the latest change, for `after`."""
        return await self._call(lambda inbox: inbox.latest())

    async def after(self, number: int, count: int = 1_000) -> tuple[int, list[DeliveryReport]]:
        """Return up to *count* reports that changed after *number*, and the number to continue from."""
        return await self._call(lambda inbox: inbox.after(number, count))

    async def purge(self, before: datetime) -> int:
        """Remove the reports received before a moment (aware), and return their number."""
        return await self._call(lambda inbox: inbox.purge(before))

    async def aclose(self) -> None:
        """Close the file. It cannot be used again."""
        self._closed = True
        held, self._held = self._held, None
        if held is not None:
            with anyio.CancelScope(shield=True):
                await held.aclose()

    async def __aenter__(self) -> Self:
        await self._open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _commit_all(self) -> None:
        commits, self._waiting = self._waiting, []
        error: str | None = None
        try:
            reports = [report for commit in commits for report in commit.reports]
            await self._call(lambda inbox: inbox.store(reports, self._now()))
        except JournalError as exc:
            error = str(exc)
        except BaseException:
            # Only this caller is cancelled. The next turn writes the others' reports, possibly a second time.
            self._waiting = commits + self._waiting
            raise
        for commit in commits:
            commit.done = True
            commit.error = error

    async def _call(self, call: Callable[[Inbox], T]) -> T:
        return await (await self._open()).call(call)

    async def _open(self) -> WorkerThread[Inbox]:
        if self._held is None:
            async with self._opening:
                if self._closed:
                    raise UsageError("this file of reports is closed: make another ReportFile")
                if self._held is None:
                    self._held = await WorkerThread[Inbox].open(lambda: Inbox(self._path))
        return self._held


class _Commit:
    """The reports of one caller, and whether they are written."""

    def __init__(self, reports: Sequence[DeliveryReport]) -> None:
        self.reports = reports
        self.done = False
        self.error: str | None = None

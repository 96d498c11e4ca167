"""
Tasks that one task starts and ends, as a task group demands.

Some plugins of pytest enter and leave a fixture in two tasks. anyio then reports a cancel scope that was exited in a
different task, and leaves the tasks running; here they end all the same, and the error says what to do.
"""

from collections.abc import Awaitable, Callable
from typing import TypeVarTuple

import anyio
from anyio import CancelScope

from webcom_async._domain.errors import UsageError
from webcom_async._http.deadline import running_loop

__all__ = ["OwnedTasks"]

Arguments = TypeVarTuple("Arguments")


class OwnedTasks:
    """
    A task group that knows which task opened it.

    Args:
        what: What the tasks belong to, for the error: "a campaign".

    Attributes:
        closing: Whether the tasks have been cancelled.
    """

    def __init__(self, what: str) -> None:
        self.closing: bool = False
        self._what = what
        self._group = anyio.create_task_group()
        self._scopes: set[CancelScope] = set()
        self._ended = anyio.Event()

    async def open(self) -> None:
        self._owner = anyio.get_current_task().id
        self._loop = running_loop()
        await self._group.__aenter__()

    def start_soon(self, work: Callable[[*Arguments], Awaitable[object]], *arguments: *Arguments) -> None:
        scope = CancelScope()
        self._scopes.add(scope)
        self._group.start_soon(self._run, scope, work, arguments)

    async def close(self) -> None:
        """
        Cancel the tasks, and wait until they have ended.

        Raises:
            UsageError: Another task opened them; they have ended, unless that was in another event loop.
        """
        if running_loop() != self._loop:
            raise UsageError(f"{self._what} was opened in another event loop: open and close it in one")
        self.closing = True
        if anyio.get_current_task().id == self._owner:
            self._group.cancel_scope.cancel()
            await self._group.__aexit__(None, None, None)
            return
        for scope in self._scopes:
            scope.cancel()
        if self._scopes:
            with CancelScope(shield=True):
                await self._ended.wait()
        raise UsageError(
            f"{self._what} was opened by another task than this one, which closes it: use async with in one task. A "
            "fixture of pytest that yields runs in two tasks with pytest-asyncio, and in one with anyio's plugin"
        )

    async def _run(
        self,
        scope: CancelScope,
        work: Callable[[*Arguments], Awaitable[object]],
        arguments: tuple[*Arguments],
    ) -> None:
        try:
            with scope:
                await work(*arguments)
        finally:
            self._scopes.discard(scope)
            if self.closing and not self._scopes:
                self._ended.set()

"""One run of a campaign, and every claim in it."""

import random
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import anyio
from anyio.lowlevel import checkpoint

from tests.builders import still_clock
from webcom_async import Campaign, SendResult, WebcomClient, WebcomError
from webcom_async.emulator import Gateway, GatewayTransport
from webcom_async.journal import Journal

__all__ = ["SALE", "Run", "cancelled_after", "client_of"]

SALE = {"text": "Sale!", "sender": "ACME", "campaign": "spring"}


def client_of(gateway: Gateway, **options: Any) -> WebcomClient:
    """Return a client of *gateway*, in this process, that never waits between attempts."""
    chance = random.Random(gateway.requests)
    options = {"token": gateway.token, "base_url": "http://127.0.0.1", "grace": 0.05} | options
    return WebcomClient(transport=GatewayTransport(gateway), clock=still_clock(random=chance.random), **options)


class Run:
    """
    One run of a campaign.

    Attributes:
        asked: The phones that were taken from the source.
        results: The results of these phones, read or left unread.
        error: The exception that ended it early; None without one.
    """

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.results: list[SendResult] = []
        self.error: WebcomError | None = None

    async def send(
        self,
        client: WebcomClient,
        phones: Iterable[str],
        *,
        journal: Path | Journal | None = None,
        leave_after: int | None = None,
    ) -> "Run":
        """Send to *phones*, and leave the stream after *leave_after* results, if that is given."""
        return await self.read(client.stream(self._noted(phones), journal=journal, **SALE), leave_after)

    async def read(self, campaign: Campaign, leave_after: int | None = None) -> "Run":
        """Read the results of *campaign*."""
        results = None
        read: list[SendResult] = []
        try:
            async with campaign as results:
                while leave_after is None or len(read) < leave_after:
                    read.append(await anext(results))
        except StopAsyncIteration:
            pass
        except WebcomError as exc:
            self.error = exc
        finally:
            self.results += read
            if results is not None:
                self.results += results.unread
        return self

    def _noted(self, phones: Iterable[str]) -> Iterator[str]:
        for phone in phones:
            self.asked.append(phone)
            yield phone


async def cancelled_after(turns: int, scope: anyio.CancelScope) -> None:
    """Cancel *scope* after *turns* turns of the event loop."""
    for _ in range(turns):
        await checkpoint()
    scope.cancel()

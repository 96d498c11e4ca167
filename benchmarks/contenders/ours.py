"""This library, as its users call it."""

import importlib
import tempfile
from collections.abc import AsyncGenerator, Generator, Iterable
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.case import Case, Unavailable
from benchmarks.reference import SENDER, TEXT, TOKEN
from benchmarks.watch import Watch
from webcom_async import Recipient, Results, WebcomClient, WebcomError

__all__ = ["SALE", "client", "kept", "send"]

SALE: dict[str, str] = {"text": TEXT, "sender": SENDER}


async def send(case: Case, url: str, source: Iterable[str | Recipient], watch: Watch) -> int:
    """Send to *source* and read every result, one by one or in lists."""
    said = {"sender": SENDER} if case.personal else SALE
    with kept(case) as where:
        async with client(case, url) as ours:
            with watch:
                async with ours.stream(source, **said, **where) as results:
                    await (_read_lists(results) if case.batches else _read_one_by_one(results))
        return results.report.accepted


@contextmanager
def kept(case: Case) -> Generator[dict[str, Any], None, None]:
    """Give what a call says of its journal, which is gone afterwards; nothing, if the case has none."""
    if not case.journal:
        yield {}
        return
    importlib.import_module("webcom_async.journal")  # once in a process, and none of a recipient's work
    with tempfile.TemporaryDirectory() as folder:
        yield {"campaign": "sale", "journal": Path(folder) / "journal"}


async def _read_one_by_one(results: Results) -> None:
    """Read as most programs do."""
    async for _ in results:
        pass


async def _read_lists(results: Results) -> None:
    """Read with less to await."""
    async for _ in results.batches():
        pass


@asynccontextmanager
async def client(case: Case, url: str, **more: Any) -> AsyncGenerator[WebcomClient, None]:
    """
    Open a client with the case's settings, and *more*.

    Raises:
        Unavailable: This version of the library does not have what the case asks for.
    """
    if case.transport != "httpx2":
        more["transport"] = case.transport
    if case.linger is not None:
        more["linger"] = case.linger
    settings = {"in_flight": case.in_flight, "batch_size": case.batch_size} | more
    if "transport" in more or "linger" in more:
        await _try_out(url, settings)
    async with WebcomClient(token=TOKEN, base_url=url, **settings) as ours:
        yield ours


async def _try_out(url: str, settings: dict[str, Any]) -> None:
    """Send one message with *settings* that may not exist."""
    try:
        async with WebcomClient(token=TOKEN, base_url=url, **settings) as ours:
            await ours.send("79612242243", **SALE)
    except (WebcomError, TypeError, AttributeError, ImportError) as exc:
        raise Unavailable(f"{type(exc).__name__}: {exc}") from None

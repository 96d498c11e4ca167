"""
What a journal costs: reserving and settling, in a file and on PostgreSQL, side by side.

`python -m benchmarks.journals` starts a server of its own (see `tests.postgres_server`); `--batches N` for more.
The gateway is left out. What counts is the ratio within one run: seconds are this machine's, and its server does not
wait for the disk.
"""

import argparse
import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

from tests.postgres_server import serve
from webcom_async import IdScheme, Message, Outcome, Phone, SendResult
from webcom_async.journal import (
    Addressed,
    CampaignHeader,
    DurableCampaignJournal,
    Journal,
    OutboundRecipient,
    SqliteJournal,
    fingerprint,
)
from webcom_async.postgres import PostgresStore

FIRST_PHONE = 79612242243
SIZE = 500  # recipients in a batch
SAID = Message(sender="ACME", text="Sale!")
HEADER = CampaignHeader(campaign="spring", id_bits=63, fingerprint=fingerprint(SAID, None))

Work = list[tuple[list[Addressed], list[SendResult]]]


def work(batches: int) -> Work:
    """Return batches of recipients that were never sent to, each with its answers."""
    ids = IdScheme(HEADER.campaign)
    made: Work = []
    for first in range(FIRST_PHONE, FIRST_PHONE + batches * SIZE, SIZE):
        numbers = range(first, first + SIZE)
        everyone = list(map(OutboundRecipient, map(Phone, map(str, numbers)), ids.derive_all(numbers)))
        results = [SendResult(to.client_id_sms, to.phone, Outcome.ACCEPTED, to.phone[1:]) for to in everyone]
        made.append(([(SAID, everyone)], results))
    return made


@asynccontextmanager
async def in_a_file() -> AsyncIterator[Journal]:
    """Return an empty journal in a file."""
    with tempfile.TemporaryDirectory() as folder:
        yield SqliteJournal(Path(folder, "spring.journal"))


def on_postgres(dsn: str) -> Callable[[], PostgresStore]:
    """Return what opens an empty journal on a server."""
    numbers = count()
    return lambda: PostgresStore(dsn, schema=f"bench_{next(numbers)}")


async def drain(journal: DurableCampaignJournal, batches: Iterator[tuple[list[Addressed], list[SendResult]]]) -> None:
    """Reserve and settle what is left."""
    for addressed, results in batches:
        await journal.settle(results, await journal.reserve(addressed), all_accepted=True)


async def measured(journals: Journal, batches: Work, at_once: int) -> float:
    """Return the microseconds per recipient, *at_once* batches at a time."""
    journal = await journals.open(HEADER, lambda: datetime.now(UTC))
    waiting = iter(batches)
    before = time.perf_counter()
    await asyncio.gather(*(drain(journal, waiting) for _ in range(at_once)))
    seconds = time.perf_counter() - before
    await journal.aclose()
    return seconds * 1e6 / (len(batches) * SIZE)


async def compare(dsn: str, batches: Work) -> None:
    """Print a line per kind and number at once."""
    kinds = {"file": in_a_file, "PostgreSQL": on_postgres(dsn)}
    for at_once in (1, 4, 8):
        for kind, opened in kinds.items():
            async with opened() as journals:
                cost = await measured(journals, batches, at_once)
            print(f"{kind:>10}, {at_once} at once: {cost:5.1f} µs per recipient, {1e6 / cost:9,.0f} recipients/s")


def main() -> None:
    """Compare them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batches", type=int, default=200)
    batches = work(parser.parse_args().batches)
    with serve() as server:
        asyncio.run(compare(server.dsn, batches))


if __name__ == "__main__":
    main()

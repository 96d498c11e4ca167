"""requests in threads, with the same batches: what people write without asyncio."""

import threading
from collections.abc import Sequence
from itertools import count
from queue import Queue

from benchmarks.case import Case
from benchmarks.contenders.hand_written import chunks
from benchmarks.reference import answer_of, encode, request_of, results_of
from benchmarks.watch import Watch
from webcom_async import Recipient, SendResult

__all__ = ["send"]


async def send(case: Case, url: str, source: Sequence[str | Recipient], watch: Watch) -> int:
    """Send to *source* with as many threads as requests in flight."""
    batches: Queue[Sequence[str | Recipient] | None] = Queue()
    results: Queue[list[SendResult] | None] = Queue(case.in_flight)
    arguments = (f"{url}/json", batches, results, count(10**18))
    threads = [threading.Thread(target=_work, args=arguments) for _ in range(case.in_flight)]
    with watch:
        for batch in chunks(source, case.batch_size):
            batches.put(batch)
        for thread in threads:
            batches.put(None)
            thread.start()
        accepted = _read(results, len(threads))
        for thread in threads:
            thread.join()
    return accepted


def _read(results: "Queue[list[SendResult] | None]", running: int) -> int:
    """Count accepted recipients, until as many threads as are *running* are done."""
    accepted = 0
    while running:
        settled = results.get()
        running -= settled is None
        for _ in settled or ():
            pass  # what a reader does with a result is nobody's work here
        accepted += len(settled or ())
    return accepted


def _work(
    url: str,
    batches: "Queue[Sequence[str | Recipient] | None]",
    results: "Queue[list[SendResult] | None]",
    ids: "count[int]",
) -> None:
    """Post one batch after another over a session of this thread's own."""
    import requests  # noqa: PLC0415 - a contender that need not be there

    try:
        with requests.Session() as session:
            session.trust_env = False
            while (batch := batches.get()) is not None:
                phones, request = request_of(batch, ids)
                response = session.post(url, data=encode(request), timeout=30)
                response.raise_for_status()
                results.put(results_of(phones, answer_of(response.content)))
    finally:
        results.put(None)

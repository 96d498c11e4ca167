"""
The hand-written loop with all that is arithmetic in ours: what no code can leave out that keeps the same promise.

Recipients are checked and addressed, ids derived, no id is in two requests, every answer is judged, no `id_sms` counts
twice, and results are read from an async iterator. Nothing is retried, limited, timed, given grace or counted: that is
the difference between this and ours.
"""

from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Self

from benchmarks.case import Case
from benchmarks.contenders import hand_written
from benchmarks.contenders.hand_written import Batch, Post, Results
from benchmarks.reference import SENDER, TEXT, TOKEN
from benchmarks.watch import Watch
from webcom_async import ClientIdSms, Credentials, IdScheme, Options, Outcome, Recipient, SendResult
from webcom_async._batching.addressing import call_defaults
from webcom_async._batching.batcher import RecipientBatcher
from webcom_async._storage.memory import MemoryCampaignJournal
from webcom_async._wire.json_api.send import JsonFormat, decode_send
from webcom_async.journal import Reservation

__all__ = ["send"]

_ROOMY = 2**30  # bytes of a batch: its recipients are what is bounded


async def send(case: Case, url: str, source: Sequence[str | Recipient], watch: Watch) -> int:
    """Send to *source* and read every result, one by one, as it arrives."""
    send_format = JsonFormat(UTC)
    said = call_defaults(None if case.personal else TEXT, SENDER, None, None, None, send_format=send_format)
    batcher = RecipientBatcher(said, IdScheme("sale"), send_format, size=case.batch_size, max_bytes=_ROOMY)
    credentials, options = Credentials(token=TOKEN), Options(base_url=url)
    ids_in_flight: set[ClientIdSms] = set()
    journal = MemoryCampaignJournal()

    async def settle(given: Batch, post: Post) -> list[SendResult]:
        """Post one batch and return what became of it."""
        batch = batcher.cut(deque(given), ids_in_flight, datetime.now(UTC))
        ids_in_flight.update(batch.client_ids)
        answer = await post(send_format.request(batch.messages or b"", credentials, options).body)
        decoded = decode_send(answer, batch.phones, 1)
        reserved = Reservation(batch.addressed, [], [])
        results = await journal.settle(decoded.results, reserved, all_accepted=decoded.all_accepted)
        ids_in_flight.difference_update(batch.client_ids)
        return results

    return await hand_written.loop(case, url, source, watch, settle=settle, read=_read)


async def _read(results: Results) -> int:
    """Read them as most programs do."""
    accepted = 0
    async for result in _Stream(results):
        accepted += result.outcome is Outcome.ACCEPTED
    return accepted


class _Stream:
    """Results one by one, out of a queue of lists."""

    def __init__(self, results: Results) -> None:
        self._results = results
        self._received: deque[SendResult] = deque()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> SendResult:
        while not self._received:
            if (batch := await self._results.get()) is None:
                raise StopAsyncIteration
            self._received.extend(batch)
        return self._received.popleft()

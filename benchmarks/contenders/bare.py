"""
The same batches as ready bodies, and answers that are not read: what the HTTP library takes by itself.

Nothing is encoded, decoded or made a result: what is left of a bar beside this and REF is all that a client may take.
"""

from collections.abc import Sequence
from itertools import count

from benchmarks.case import Case
from benchmarks.contenders import hand_written
from benchmarks.contenders.hand_written import Batch, Post, Results, chunks
from benchmarks.reference import encode, request_of
from benchmarks.watch import Watch
from webcom_async import Recipient, SendResult

__all__ = ["send"]


async def send(case: Case, url: str, source: Sequence[str | Recipient], watch: Watch) -> int:
    """Post to *source*, and return how many were posted."""
    ids = count(10**18)
    bodies = iter([encode(request_of(batch, ids)[1]) for batch in chunks(source, case.batch_size)])

    async def settle(_batch: Batch, post: Post) -> list[SendResult]:
        """Post one body."""
        await post(next(bodies))
        return []

    await hand_written.loop(case, url, source, watch, settle=settle, read=_wait)
    return len(source)


async def _wait(results: Results) -> int:
    """Wait for the last of them."""
    while await results.get() is not None:
        pass
    return 0

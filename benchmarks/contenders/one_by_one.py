"""What people write today: one POST per phone, `gather`, and a semaphore of 50."""

import asyncio
import json
from collections.abc import Sequence
from itertools import count

from benchmarks.case import Case
from benchmarks.contenders.hand_written import Post, poster
from benchmarks.reference import SENDER, TEXT, TOKEN
from benchmarks.watch import Watch
from webcom_async import Recipient

__all__ = ["AT_ONCE", "send"]

AT_ONCE = 50


async def send(case: Case, url: str, source: Sequence[str | Recipient], watch: Watch) -> int:
    """Send to each of *source*."""
    ids = count(10**18)
    places = asyncio.Semaphore(AT_ONCE)
    async with poster(case.transport, f"{url}/json", AT_ONCE) as post:
        with watch:
            answers = await asyncio.gather(*(_one(post, str(phone), next(ids), places) for phone in source))
    return sum(answers)


async def _one(post: Post, phone: str, number: int, places: asyncio.Semaphore) -> bool:
    """Send to one phone and return whether it was accepted."""
    entry = {"phone": phone, "client_id_sms": str(number)}
    said = {"token": TOKEN, "message": [{"type_send_1": "sms", "sender": SENDER, "text": TEXT, "phones": [entry]}]}
    async with places:
        # Dense, as the gateway wants it: it looks for `"phone":`.
        answer = json.loads(await post(json.dumps(said, separators=(",", ":")).encode()))
    return answer["information"][0]["state"] == "send"

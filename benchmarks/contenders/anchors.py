"""
Libraries for other servers that do the same kind of work: many small items, sent together, a result for each.

What one item costs them says what is usual.
"""

from collections.abc import Sequence
from itertools import count

from benchmarks.broker import TOPIC
from benchmarks.case import Case
from benchmarks.contenders.hand_written import chunks
from benchmarks.reference import WirePhone, encode
from benchmarks.servers import broker
from benchmarks.watch import Watch
from webcom_async import Recipient

__all__ = ["send_to_elasticsearch", "send_to_kafka"]

_LARGEST_BATCH = 65_536  # bytes; about as many items as in ours
_LINGER_MS = 5


async def send_to_elasticsearch(case: Case, url: str, source: Sequence[str | Recipient], watch: Watch) -> int:
    """Index a document per phone with `async_streaming_bulk`."""
    from elasticsearch import AsyncElasticsearch  # noqa: PLC0415 - a contender that need not be there
    from elasticsearch.helpers import async_streaming_bulk  # noqa: PLC0415

    ids = count(10**18)
    documents = ({"_index": "sms", "phone": str(phone), "client_id_sms": str(next(ids))} for phone in source)
    accepted = 0
    async with AsyncElasticsearch(url) as client:
        with watch:
            async for ok, _ in async_streaming_bulk(client, documents, chunk_size=case.batch_size):
                accepted += ok
    return accepted


async def send_to_kafka(case: Case, _url: str, source: Sequence[str | Recipient], watch: Watch) -> int:
    """Produce a record per phone with aiokafka, and wait for each record's future."""
    from aiokafka import AIOKafkaProducer  # noqa: PLC0415 - a contender that need not be there

    ids = count(10**18)
    accepted = 0
    with broker() as server:
        address = f"127.0.0.1:{server.port}"
        async with AIOKafkaProducer(
            bootstrap_servers=address, max_batch_size=_LARGEST_BATCH, linger_ms=_LINGER_MS
        ) as producer:
            with watch:
                for batch in chunks(source, case.batch_size * case.in_flight):
                    records = [encode(WirePhone(str(phone), str(next(ids)))) for phone in batch]
                    futures = [await producer.send(TOPIC, record) for record in records]
                    for future in futures:
                        accepted += (await future).offset >= 0
    return accepted

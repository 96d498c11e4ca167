"""
PostgreSQL as a journal, and as the store of campaigns of many workers.

An extra, `webcom-async[postgres]`; asyncio only.

    async with PostgresStore("postgresql://webcom:…@db/webcom") as store:
        await client.send_all(phones, message=said, campaign="spring", journal=store)

It promises what a file does: a recipient is *reserved* before its request leaves, and *settled* before a caller sees
the result. Beyond that, many processes and hosts may send one campaign at once, without waiting for each other: a
recipient that one of them has reserved is a duplicate for the others. A reservation belongs to a lease. When a process
does not renew its lease in time, its reservations pass to the next process that asks for them. Their recipients are
possibly sent then, and are sent again under the same id, for which the gateway sends one SMS.

Only the server's clock is compared. What is committed is as durable as the server's settings make it. A pooler in
between may hand each transaction to another connection (PgBouncer: `pool_mode = transaction`), and nothing that this
library sets reaches other users of it.

No call waits for ever. After `patience` seconds without the server, or without an answer while it is not at work, it
raises `StoreUnavailable`; one whose caller is cancelled ends in a few seconds. What had been sent by then and is not
settled is possibly sent, and the next run sends it again under the same id.
"""

from webcom_async._storage.postgres.store import PostgresStore

__all__ = ["PostgresStore"]

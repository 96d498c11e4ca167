"""
PostgreSQL as a journal, and as the store of campaigns of many workers.

An extra, `webcom-async[postgres]`; asyncio only.

    async with PostgresStore("postgresql://webcom:…@db/webcom") as store:
        await client.send_all(phones, message=said, campaign="spring", journal=store)

It promises what a file does: a recipient is *reserved* before their request leaves, and *settled* before anybody sees
what became of them. Beyond that, many processes and hosts may send one campaign at once, without waiting for each
other: whoever one of them has reserved is a duplicate for the others. A reservation belongs to a lease. Who is not
heard of until their lease has ended loses what they had reserved to the next one who asks for it: it is in doubt then,
and asked for again under the same id, of which the gateway sends one SMS.

The server's clock is the only one that is compared. What is committed is as durable as the server is set up to make it.
A pooler between them must keep a session per connection (PgBouncer: `pool_mode = session`).
"""

from webcom_async._storage.postgres.store import PostgresStore

__all__ = ["PostgresStore"]

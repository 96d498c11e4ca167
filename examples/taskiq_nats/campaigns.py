"""
A campaign on Taskiq with NATS JetStream: a task is a shard, and is acknowledged when that is done.

    python -m pip install "webcom-async[postgres]" taskiq taskiq-nats
    nats-server -js
    python campaigns.py worker                     # on every host
    python campaigns.py start spring phones.txt    # anywhere; again, if in doubt

JetStream delivers a task again when its worker was not heard of for half a minute. Whether that is dead or only slow,
the lease decides: a task that comes too early waits until the shard is free, or done. While a campaign is paused its
tasks wait, and whoever resumes it need not hand anything out.

CAMPAIGN_STORE is a folder, for one sending process and others that stand by, or postgresql://… (and CAMPAIGN_SCHEMA)
for as many as you like. WEBCOM_TOKEN and WEBCOM_BASE_URL are the client's; NATS_URL and LEASE_SECONDS have defaults.
"""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Annotated

from nats.aio.msg import Msg
from nats.errors import TimeoutError as NothingToDo
from nats.js.api import ConsumerConfig
from taskiq import AckableMessage, Context, TaskiqDepends, TaskiqEvents, TaskiqState
from taskiq.api import run_receiver_task
from taskiq_nats import PullBasedJetStreamBroker

from webcom_async import Message, WebcomClient, WebcomError
from webcom_async.scaleout import CampaignSettings, CampaignState, CampaignStore, ShardOutcome, SqliteStore, Worker

LEASE_SECONDS = float(os.environ.get("LEASE_SECONDS", "60"))
SHARDS_AT_ONCE = 4  # in a worker


class Broker(PullBasedJetStreamBroker):
    """Tells JetStream that a task is being worked on, for as long as it is."""

    async def listen(self) -> AsyncGenerator[AckableMessage, None]:
        """Yield tasks, one at a time."""
        while True:
            try:
                [message] = await self.consumer.fetch(batch=1, timeout=5)
            except NothingToDo:
                continue
            beating = asyncio.create_task(self._heartbeat(message))

            async def ack(message: Msg = message, beating: asyncio.Task[None] = beating) -> None:
                beating.cancel()
                await message.ack()

            yield AckableMessage(data=message.data, ack=ack)

    async def _heartbeat(self, message: Msg) -> None:
        while True:
            await asyncio.sleep(LEASE_SECONDS / 6)
            await message.in_progress()


broker = Broker(
    os.environ.get("NATS_URL", "nats://127.0.0.1:4222"),
    durable="campaigns",
    consumer_config=ConsumerConfig(durable_name="campaigns", ack_wait=LEASE_SECONDS / 2),
)


def open_store() -> CampaignStore:
    """Return the store that CAMPAIGN_STORE names."""
    where = os.environ.get("CAMPAIGN_STORE", "campaigns")
    if "://" not in where:
        return SqliteStore(where)
    from webcom_async.postgres import PostgresStore  # noqa: PLC0415 - an extra

    return PostgresStore(where, schema=os.environ.get("CAMPAIGN_SCHEMA", "webcom_async"))


@broker.on_event(TaskiqEvents.WORKER_STARTUP)
async def open_worker(state: TaskiqState) -> None:
    """Make what the tasks of this process share."""
    state.client, state.store = WebcomClient.from_env(), open_store()
    name = f"{socket.gethostname()} {os.getpid()}"
    state.worker = Worker(state.client, state.store, name, lease_seconds=LEASE_SECONDS)


@broker.task("send_shard")
async def send_shard(campaign: str, shard: int, context: Annotated[Context, TaskiqDepends()]) -> str:
    """Send a shard, and return when it is done, by whomever, or the campaign was cancelled."""
    while True:
        try:
            end = await context.state.worker.run_shard(campaign, shard)
            if end.finished:
                print(f"{campaign} is finished", flush=True)
            cancelled = (await context.state.store.status(campaign)).state is CampaignState.CANCELLED
            if end.ending is ShardOutcome.DONE or cancelled:
                return end.ending.value
        except WebcomError as exc:
            # The store is away, another process sends from this folder, or this worker is set up wrongly: the task
            # stays until somebody can do it.
            print(exc, file=sys.stderr)
        await asyncio.sleep(LEASE_SECONDS / 3)


async def start(campaign: str, phones: Path) -> None:
    """Plan a campaign, and hand its shards out."""
    store = open_store()
    settings = CampaignSettings(campaign=campaign, message=Message(sender="ACME", text="Sale!"))
    await store.plan(settings, phones.read_text().split())
    await broker.startup()
    for shard in await store.shards(campaign):
        if not shard.done:
            await send_shard.kiq(campaign, shard.number)
    await broker.shutdown()
    await store.aclose()


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["worker"]:
            asyncio.run(run_receiver_task(broker, run_startup=True, max_async_tasks=SHARDS_AT_ONCE))
        case ["start", campaign, phones]:
            asyncio.run(start(campaign, Path(phones)))
        case _:
            sys.exit("say `worker`, or `start CAMPAIGN FILE`")

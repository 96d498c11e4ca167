"""Clients and campaigns in another event loop, in another task, and under a replaced `asyncio.run`."""

import asyncio
import gc
import subprocess
import sys
from functools import partial
from pathlib import Path

import anyio
import pytest

from tests.builders import phones
from tests.conftest import Connect
from webcom_async import Outcome, UsageError, WebcomClient
from webcom_async.emulator import Fault, Gateway, GatewayTransport, serve

CODE = {"text": "Code 1234", "sender": "ACME"}
SALE = {"text": "Sale!", "sender": "ACME", "campaign": "spring"}


@pytest.mark.socket
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # of the connection, which died with its loop
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_closing_a_client_in_another_loop_says_so(webcom_gateway: Gateway, backend: str):
    """The error names the other loop and what to do; the client cannot be used any more."""
    with serve(webcom_gateway) as base_url:
        client = WebcomClient(token=webcom_gateway.token, base_url=base_url)
        send = partial(client.send, "79612242243", **CODE)
        result = anyio.run(send, backend=backend)
        with pytest.raises(UsageError, match=r"used in another event loop.*: close it there"):
            anyio.run(client.aclose, backend=backend)
        with pytest.raises(UsageError, match="closed"):
            anyio.run(send, backend=backend)
    del client, send
    gc.collect()  # the connection, while its warning is ignored

    assert Outcome.ACCEPTED is result.outcome


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_client_that_was_never_used_is_closed_anywhere(webcom_gateway: Gateway, backend: str):
    """A client belongs to a loop once it is used there."""
    client = WebcomClient(token=webcom_gateway.token, transport=GatewayTransport(webcom_gateway))

    anyio.run(client.aclose, backend=backend)


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_campaign_left_by_another_task_stops_and_says_so(
    connect: Connect, webcom_gateway: Gateway, tmp_path: Path
):
    """As in a fixture of pytest-asyncio: the error says what to do, nothing runs on, and the journal can be resumed."""
    journal, arrived = tmp_path / "journal", anyio.Event()
    webcom_gateway.faults.script(Fault(arrived=arrived, delay=0.01))
    async with connect(webcom_gateway, batch_size=5, in_flight=1) as client:
        campaign = client.stream(phones(20), journal=journal, **SALE)
        before = asyncio.all_tasks()
        results = await asyncio.create_task(campaign.__aenter__())
        await arrived.wait()
        with pytest.raises(UsageError, match=r"opened by another task .*: use async with in one task.*pytest-asyncio"):
            await asyncio.create_task(campaign.__aexit__(None, None, None))
        left = asyncio.all_tasks() - before
        report = results.report
        rest = await client.send_all(phones(20), journal=journal, **SALE)

    assert set() == left
    assert (5, 20) == (report.recipients, rest.accepted)
    assert 20 == len(webcom_gateway.ledger.sent)


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_lingering_client_left_by_another_task_is_closed_and_says_so(webcom_gateway: Gateway):
    """The error names `linger=`, whose requests run in the client's own tasks; the client is closed."""
    client = WebcomClient(token=webcom_gateway.token, transport=GatewayTransport(webcom_gateway), linger=0.001)
    await asyncio.create_task(client.__aenter__())
    result = await client.send("79612242243", **CODE)
    with pytest.raises(UsageError, match="linger= was opened by another task"):
        await asyncio.create_task(client.__aexit__(None, None, None))
    with pytest.raises(UsageError, match="closed"):
        await client.send("79612242243", **CODE)

    assert Outcome.ACCEPTED is result.outcome


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_client_without_linger_may_be_left_by_another_task(webcom_gateway: Gateway):
    """A fixture of a client is fine on any plugin."""
    client = WebcomClient(token=webcom_gateway.token, transport=GatewayTransport(webcom_gateway))
    await asyncio.create_task(client.__aenter__())
    result = await client.send("79612242243", **CODE)
    await asyncio.create_task(client.__aexit__(None, None, None))

    assert Outcome.ACCEPTED is result.outcome


REPLACED = """
import asyncio

def run(main, *, debug=False):  # as nest_asyncio replaces it: without loop_factory
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(main)
    finally:
        loop.close()

asyncio.run = run
from webcom_async import WebcomClient
from webcom_async.emulator import Gateway, serve

async def main(gateway, base_url):
    async with WebcomClient(token=gateway.token, base_url=base_url, timeout=10, attempts=1) as client:
        print((await client.send("79612242243", "Code 1234", sender="ACME")).outcome)

gateway = Gateway()
with serve(gateway) as base_url:
    asyncio.run(main(gateway, base_url))
"""


@pytest.mark.socket
def test_the_emulator_serves_where_asyncio_run_is_replaced():
    """`serve` works in a notebook, where nest_asyncio replaces `asyncio.run`."""
    done = subprocess.run([sys.executable, "-c", REPLACED], capture_output=True, text=True, check=False)

    assert ("accepted", "") == (done.stdout.strip(), done.stderr)


BROKEN = """
import asyncio

class Runner:
    def __init__(self, **options):
        raise TypeError("no loop_factory")

asyncio.Runner = Runner
from webcom_async.emulator import Gateway, serve

with serve(Gateway()):
    pass
"""


@pytest.mark.socket
def test_a_server_that_cannot_serve_says_so():
    """`serve` raises what ended its server, so that a client does not wait for an answer for no reason."""
    done = subprocess.run([sys.executable, "-c", BROKEN], capture_output=True, text=True, check=False)

    assert 1 == done.returncode
    assert (
        "RuntimeError: the emulator's server ended early: TypeError('no loop_factory')" == done.stderr.splitlines()[-1]
    )

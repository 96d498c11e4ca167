"""Credentials appear in no exception, log, pickle or traceback, whatever happens to a request."""

import asyncio
import logging
import pickle
import socket
import traceback
from collections.abc import Awaitable, Callable, Iterator

import anyio
import pytest
from anyio.lowlevel import checkpoint

from tests.builders import phones
from tests.conftest import Connect
from tests.raw_servers import RawServer, Talk, accepting, answers, http, raw_server, reset
from webcom_async import Outcome, WebcomError

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.socket,
    # httpx leaves its generator around a body that is not written to the end to the garbage collector; httpx2 does not.
    pytest.mark.filterwarnings("ignore:Async generator 'httpx\\.:ResourceWarning"),
]

TOKEN = "s3cr3t-t0k3n"
CODE = {"text": "Code 1234", "sender": "ACME"}
TURNS = 100


@pytest.fixture(autouse=True)
def log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """Switch every logger on, and check at the end what they wrote."""
    caplog.set_level(logging.DEBUG)
    yield caplog
    records = caplog.get_records("call")
    assert records
    assert TOKEN not in "".join(f"{record.getMessage()} {vars(record)}" for record in records)


def told_by(error: BaseException) -> str:
    """Return all that can be printed of *error*: words, notes, causes, and the local variables of every frame."""
    told = traceback.TracebackException.from_exception(error, capture_locals=True)
    return "".join(told.format()) + repr(error) + repr(vars(error))


@pytest.fixture
def stages(http: str) -> tuple[str, str]:
    """Return names of functions of the HTTP library that are at work while a body is written, and an answer awaited."""
    # aiohttp writes in a task of its own.
    return (
        ("client_reqrep.py", "client_reqrep.py")
        if http == "aiohttp"
        else ("_send_request_body", "_receive_response_headers")
    )


def resets(server: RawServer, connection: socket.socket, _number: int) -> None:
    """Read a request, and break the connection."""
    server.request(connection)
    reset(connection)


@pytest.mark.parametrize(
    "talk",
    [
        resets,
        answers(b""),
        answers(b"SSH-2.0-OpenSSH_9.2\r\n"),
        answers(http(b"{}")[:-1]),
        answers(http(b"{}", "content-encoding: br")),
        answers(http(b" " * 200_000)),
        answers(b"", hold=True),
    ],
    ids=["reset", "closed", "not HTTP", "cut", "unknown coding", "too large", "timed out"],
)
async def test_a_failed_exchange_tells_no_credentials(connect_to: Connect, talk: Talk):
    """Neither message, causes, local variables nor a pickle of the exception hold credentials."""
    with raw_server(talk) as server:
        async with connect_to(server.url, token=TOKEN, timeout=0.3, attempts=1) as client:
            with pytest.raises(WebcomError) as caught:
                await client.balance()

    assert TOKEN not in told_by(caught.value)
    assert TOKEN.encode() not in pickle.dumps(caught.value)
    assert (None, None) == (caught.value.__context__, caught.value.__cause__)


async def test_a_refused_connection_tells_no_credentials(connect_to: Connect, unused_port: int):
    """An exception for a request that was never written holds no credentials."""
    async with connect_to(f"http://127.0.0.1:{unused_port}", token=TOKEN, attempts=1) as client:
        with pytest.raises(WebcomError) as caught:
            await client.balance()

    assert TOKEN not in told_by(caught.value)
    assert (None, None) == (caught.value.__context__, caught.value.__cause__)


async def test_a_call_that_ends_in_an_exception_tells_no_credentials(connect_to: Connect, unused_port: int):
    """An exception that a caller of the client catches holds no credentials."""
    async with connect_to(f"http://127.0.0.1:{unused_port}", token=TOKEN, attempts=2) as client:
        with pytest.raises(WebcomError, match="No connection") as caught:
            await client.send("79612242243", **CODE)

    assert TOKEN not in told_by(caught.value)


async def test_a_good_exchange_tells_no_credentials(connect_to: Connect):
    """The log of a message that was sent holds no credentials."""
    with raw_server(answers(accepting())) as server:
        async with connect_to(server.url, token=TOKEN) as client:
            result = await client.send("79612242243", **CODE)

    assert Outcome.ACCEPTED is result.outcome


def reads_nothing(server: RawServer, connection: socket.socket, _number: int) -> None:
    """Let a request pile up: the client is stuck in the middle of its body."""
    connection.recv(1)
    server.came.set()
    server.stopping.wait()


async def told_when_cancelled(send: Callable[[], Awaitable[object]], moment: Callable[[], Awaitable[object]]) -> str:
    """Start *send*, cancel it at *moment*, and return all that can be printed of the cancellation."""
    told = []

    async def listen() -> None:
        try:
            await send()
        except BaseException as exc:
            told.append(told_by(exc))
            raise

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(listen)
        await moment()
        tasks.cancel_scope.cancel()
    return "".join(told)


async def came(server: RawServer) -> None:
    """Wait until *server* has seen a request."""
    assert await anyio.to_thread.run_sync(server.came.wait, 20)


async def turns(count: int) -> None:
    """Let the event loop turn *count* times."""
    for _ in range(count):
        await checkpoint()


@pytest.mark.parametrize("talk", [answers(b"", hold=True), answers(http(b"{}")[:-1], hold=True)], ids=["head", "body"])
async def test_a_call_cancelled_while_it_waits_tells_no_credentials(connect_to: Connect, talk: Talk):
    """A cancellation carries every frame that it passed through, and none of them shows more than `***`."""
    with raw_server(talk) as server:
        async with connect_to(server.url, token=TOKEN) as client:
            told = await told_when_cancelled(lambda: client.send("79612242243", **CODE), lambda: came(server))

    assert "exchange.py" in told
    assert TOKEN not in told


async def test_a_request_cancelled_while_it_is_written_tells_no_credentials(
    connect_to: Connect, stages: tuple[str, str]
):
    """The frames that write the body hold no credentials when they are cancelled."""
    long = CODE | {"text": "x" * (32 << 20)}
    with raw_server(reads_nothing) as server:
        async with connect_to(server.url, token=TOKEN, batch_bytes=64 << 20, max_parts=None) as client:
            told = await told_when_cancelled(lambda: client.send("79612242243", **long), lambda: came(server))

    assert stages[0] in told
    assert TOKEN not in told


async def test_a_call_cancelled_anywhere_tells_no_credentials(connect_to: Connect, stages: tuple[str, str]):
    """A call cancelled at any turn of the event loop, from connecting to the answer, shows no credentials."""
    told = []
    with raw_server(answers(b"", hold=True)) as server:
        async with connect_to(server.url, token=TOKEN) as client:
            for count in range(TURNS):
                told.append(
                    await told_when_cancelled(
                        lambda: client.send("79612242243", **CODE), lambda count=count: turns(count)
                    )
                )

    assert any(stages[1] in text for text in told)
    assert TOKEN not in "".join(told)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_call_under_the_callers_time_out_tells_no_credentials(connect_to: Connect):
    """A `TimeoutError` of `asyncio.timeout`, and the cancellation that caused it, hold no credentials."""
    with raw_server(answers(b"", hold=True)) as server:
        async with connect_to(server.url, token=TOKEN) as client:
            with pytest.raises(TimeoutError) as caught:
                async with asyncio.timeout(0.2):
                    await client.send("79612242243", **CODE)

    told = told_by(caught.value)
    assert "CancelledError" in told
    assert TOKEN not in told


async def test_a_stream_that_is_left_tells_no_credentials(connect_to: Connect):
    """An exception in the body of a campaign holds nothing of the requests in flight."""
    with raw_server(answers(b"", hold=True)) as server:
        async with connect_to(server.url, token=TOKEN, grace=0.2) as client:
            with pytest.raises(ZeroDivisionError) as caught:
                async with client.stream(phones(10), text="Sale", sender="ACME"):
                    await anyio.to_thread.run_sync(server.came.wait, 20)
                    raise ZeroDivisionError

    assert TOKEN not in told_by(caught.value)

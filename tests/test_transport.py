"""One exchange over a real socket: what can happen to it, and what is then known."""

import socket
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import anyio
import pytest

from tests.builders import phones
from tests.conftest import Connect
from webcom_async import ConfigurationError, Outcome, Payload, Reason, Reply, WebcomClient
from webcom_async.emulator import Fault, Gateway, serve

pytest.importorskip("uvicorn", reason="the emulator's socket is an extra")
pytestmark = [pytest.mark.anyio, pytest.mark.socket]

CODE = {"text": "Code 1234", "sender": "ACME"}


@contextmanager
def raw_server(answer: bytes, *, hold: bool = False) -> Iterator[str]:
    """Answer every connection with *answer* once a request has come, then close; or *hold* it open."""
    listener = socket.create_server(("127.0.0.1", 0))
    held: list[socket.socket] = []

    def run() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            connection.recv(65_536)
            connection.sendall(answer)
            held.append(connection)
            if not hold:
                connection.shutdown(socket.SHUT_RDWR)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()
        for connection in held:
            connection.close()


async def test_a_hundred_thousand_recipients_over_a_socket(connect_to: Connect):
    """100,000 recipients through real HTTP: as many results, as many in the ledger, none twice."""
    gateway = Gateway()
    with serve(gateway) as base_url:
        async with connect_to(base_url) as client, client.stream(phones(100_000), **CODE) as results:
            accepted = [r.client_id_sms async for r in results if r.outcome is Outcome.ACCEPTED]

    assert 100_000 == len(accepted) == len(set(accepted)) == len(gateway.ledger)
    assert not gateway.ledger.billed_twice()
    assert 200 == gateway.requests


@pytest.mark.parametrize(
    "fault",
    [
        Fault(close=True),
        Fault(close=True, processed=True),
        Fault(cut=0, processed=True),
        Fault(cut=10, processed=True),
        Fault(status=503),
        Fault(status=500, processed=True, body=b"<html>"),
    ],
    ids=["closed", "processed and closed", "no body", "cut body", "busy", "processed and failed"],
)
async def test_a_fault_on_the_socket_costs_a_retry_and_no_second_sms(connect_to: Connect, fault: Fault):
    """Closed, cut or refused: the retry ends with one SMS and the `id_sms` that the ledger has."""
    gateway = Gateway()
    gateway.faults.script(Fault(), fault)
    with serve(gateway) as base_url:
        async with connect_to(base_url) as client:
            await client.send("79612242244", **CODE)
            result = await client.send("79612242243", **CODE)

    [sms] = gateway.ledger.to("79612242243")
    assert (Outcome.ACCEPTED, sms.id_sms, 2) == (result.outcome, result.id_sms, result.attempts)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{",
        b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\ncontent-length: 300000\r\n\r\n" + b" " * 300_000,
    ],
    ids=["closed", "not HTTP", "cut", "cut chunk", "compressed", "too large"],
)
async def test_what_is_no_whole_answer_leaves_the_recipient_unknown(connect_to: Connect, answer: bytes):
    """The request may have been processed: nothing else is claimed, and nothing else is raised."""
    with raw_server(answer) as base_url:
        async with connect_to(base_url, attempts=2) as client:
            result = await client.send("79612242243", **CODE)

    assert (Outcome.UNKNOWN, 2) == (result.outcome, result.attempts)
    assert result.reason in {Reason.CONNECTION_LOST, Reason.BAD_REPLY}


@pytest.mark.parametrize(
    "answer",
    [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n{"],
    ids=["silence", "half a head", "half a body"],
)
async def test_one_deadline_covers_the_whole_exchange(connect_to: Connect, answer: bytes):
    """A gateway that stops talking, at any point, is waited for no longer than `timeout`."""
    with raw_server(answer, hold=True) as base_url:
        async with connect_to(base_url, attempts=1, timeout=0.2) as client:
            with anyio.fail_after(10):
                result = await client.send("79612242243", **CODE)

    assert (Outcome.UNKNOWN, Reason.TIMEOUT) == (result.outcome, result.reason)


class Slow:
    """A transport whose answer arrives while the event loop is blocked past the deadline."""

    async def post(self, url: str, body: Payload, *, timeout: float, max_bytes: int) -> Reply:  # noqa: ASYNC109
        """Block the loop, as a web backend's synchronous call does; the answer is here when it ends."""
        await anyio.lowlevel.checkpoint()
        time.sleep(timeout * 1.5)  # noqa: ASYNC251 - the point of the test
        await anyio.lowlevel.checkpoint()
        return Reply(200, {}, b'{"information":[{"state":"send","id_sms":"1"}]}')

    async def aclose(self) -> None:
        """Nothing to close."""


async def test_an_answer_that_is_here_is_not_timed_out():
    """When the loop was blocked longer than the time-out, an answer that arrived meanwhile is taken."""
    async with WebcomClient(token="dummy", transport=Slow(), timeout=0.1, attempts=1) as client:
        result = await client.send("79612242243", **CODE)

    assert Outcome.ACCEPTED is result.outcome


async def test_a_transport_that_fails_oddly_ends_the_call_in_doubt():
    """An exception that no HTTP library documents is not retried: the request may have been processed."""

    class Odd(Slow):
        async def post(self, url: str, body: Payload, *, timeout: float, max_bytes: int) -> Reply:  # noqa: ASYNC109
            raise KeyError("a bug")

    async with WebcomClient(token="dummy", transport=Odd()) as client:
        with pytest.raises(Exception, match="KeyError") as caught:
            await client.send("79612242243", **CODE)

    assert "is unknown" in caught.value.__notes__[0]


async def test_credentials_are_in_no_exception(connect_to: Connect, unused_port: int):
    """Neither message, notes, context nor traceback locals of a failed call show the token."""
    async with connect_to(f"http://127.0.0.1:{unused_port}", token="s3cr3t-t0k3n", attempts=1) as client:
        with pytest.raises(Exception, match="No connection") as caught:
            await client.send("79612242243", **CODE)

    told = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    assert "s3cr3t-t0k3n" not in "".join(told.format())
    assert (None, None) == (caught.value.__context__, caught.value.__cause__)


async def test_a_callers_own_client_is_left_open(http: str):
    """The client closes what it has opened, and leaves alone what it was given."""
    library = pytest.importorskip(http if http != "own" else "httpx2")
    gateway = Gateway()
    with serve(gateway) as base_url:
        async with library.AsyncClient(trust_env=False) as mine:
            async with WebcomClient(token=gateway.token, base_url=base_url, http_client=mine) as client:
                result = await client.send("79612242243", **CODE)
            assert not mine.is_closed

    assert Outcome.ACCEPTED is result.outcome


def test_two_ways_to_post_are_refused():
    """A transport and an HTTP client together are a contradiction."""
    with pytest.raises(ConfigurationError, match="not both"):
        WebcomClient(token="dummy", transport=Slow(), http_client=object())  # type: ignore[arg-type]

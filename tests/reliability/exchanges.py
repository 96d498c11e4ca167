"""Connections that expire while answers arrive, and answers with further bytes, over http and https."""

import os
import random
import ssl
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import Any

import anyio
import msgspec
import trustme
from anyio.abc import ByteStream, SocketAttribute
from anyio.streams.tls import TLSListener

from tests.builders import accepted, phones, still_clock
from tests.reliability.judge import NONE, Counts, judged
from tests.reliability.runs import SALE
from tests.reliability.scales import Scale
from tests.reliability.table import Row
from webcom_async import Options, Outcome, SendResult, WebcomClient, WebcomError
from webcom_async._http.httpx2_transport import Httpx2Transport
from webcom_async.emulator import Gateway, Ledger, Sms, serve

__all__ = ["measure_bursts", "measure_surplus"]

_CODE = {"text": SALE["text"], "sender": SALE["sender"]}
_IDLE = 8  # connections that expire
_BURST = 40
_TURNS = 40  # over which a burst arrives
_FOREIGN = 5_000_000  # ids of answers that belong to no request
_LOST = 0.2  # share of the requests on a used connection that are not answered


def measure_bursts(scale: Scale, seed: int) -> list[Row]:
    """Send single messages, in bursts, while idle connections are closed."""
    wrong, others = NONE, 0
    with tempfile.TemporaryDirectory() as folder, _trusted(Path(folder)) as context:
        for backend, tls in product(("asyncio", "trio"), (None, context)):
            found = anyio.run(_bursts, scale.singles // 4, random.Random(f"{seed} {backend}"), tls, backend=backend)
            wrong, others = wrong + found[0], others + found[1]
    return [
        Row(
            "single sends in bursts while idle connections are closed, https and http, asyncio and trio",
            f"{scale.singles // 4 * 4:,} sends",
            "0 each",
            f"{others} told as anything but accepted, {wrong}",
            not (wrong or others),
        )
    ]


def measure_surplus(scale: Scale, seed: int) -> list[Row]:
    """Put another answer, garbage or blank lines behind answers, and lose requests on such connections."""
    wrong, unknown, sends = NONE, 0, 0
    with tempfile.TemporaryDirectory() as folder, _trusted(Path(folder)) as context:
        libraries = [("httpx2", "asyncio"), ("httpx2", "trio")]
        if find_spec("aiohttp") is not None:
            libraries.append(("aiohttp", "asyncio"))
        for (library, backend), tls in product(libraries, (None, context)):
            chance = random.Random(f"{seed} {library} {backend}")
            found = anyio.run(_surplus, scale.surplus, chance, library, tls, backend=backend)
            wrong, unknown, sends = wrong + found[0], unknown + found[1], sends + scale.surplus
    return [
        Row(
            "another answer, garbage or blank lines behind answers; https and http, httpx2 and aiohttp",
            f"{sends:,} sends",
            "0 each",
            f"{unknown} unknown, {wrong}",
            not (wrong or unknown),
        )
    ]


# ---------------------------------------------------------------------------- bursts


async def _bursts(count: int, chance: random.Random, tls: ssl.SSLContext | None) -> tuple[Counts, int]:
    gateway, clock = Gateway(), {"now": 0.0}
    people = list(phones(count))
    results: list[SendResult] = []
    failures: list[BaseException] = []
    async with _served(gateway, tls) as base_url:
        transport = Httpx2Transport(Options(base_url=base_url), now=lambda: clock["now"])
        async with WebcomClient(token=gateway.token, base_url=base_url, transport=transport, in_flight=32) as client:

            async def send(phone: str, turns: int) -> None:
                for _ in range(turns):
                    await anyio.lowlevel.checkpoint()
                try:
                    results.append(await client.send(phone, **_CODE))
                except WebcomError as exc:
                    failures.append(exc)

            left = iter(people)
            at_once = True
            while burst := [phone for phone, _ in zip(left, range(_IDLE if at_once else _BURST), strict=False)]:
                async with anyio.create_task_group() as tasks:
                    for phone in burst:
                        tasks.start_soon(send, phone, 0 if at_once else chance.randrange(_TURNS))
                clock["now"] += 6.0 if at_once else 0.0
                at_once = not at_once
    others = len(failures) + sum(result.outcome is not Outcome.ACCEPTED for result in results)
    told = {result.phone for result in results}
    return judged((phone for phone in people if phone in told), results, gateway.ledger), others


@asynccontextmanager
async def _served(gateway: Gateway, tls: ssl.SSLContext | None) -> AsyncIterator[str]:
    """Serve *gateway*, behind TLS if there is a context."""
    with serve(gateway) as plain_url:
        if tls is None:
            yield plain_url
            return
        port = int(plain_url.rpartition(":")[2])

        async def tunnel(outer: ByteStream) -> None:
            async with outer, await anyio.connect_tcp("127.0.0.1", port) as inner, anyio.create_task_group() as tasks:
                tasks.start_soon(_pump, outer, inner)
                await _pump(inner, outer)
                tasks.cancel_scope.cancel()

        async with _listening(tunnel, tls) as base_url:
            yield base_url


async def _pump(source: ByteStream, target: ByteStream) -> None:
    try:
        while True:
            await target.send(await source.receive())
    except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
        await target.aclose()


# ---------------------------------------------------------------------------- more behind an answer


class _Talkative:
    """
    A server that sends more bytes after its answers, and loses requests.

    Attributes:
        ledger: The SMS that it has sent.
    """

    def __init__(self, chance: random.Random) -> None:
        self.ledger = Ledger()
        self._chance = chance
        self._by_client_id: dict[str, str] = {}

    async def talk(self, stream: ByteStream) -> None:
        """Serve a connection."""
        async with stream:
            used = False
            try:
                while True:
                    body = await _request(stream)
                    if used and self._chance.random() < _LOST:
                        return
                    used = True
                    await self._answer(stream, self._process(body))
            except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError, ssl.SSLError):
                return

    def _process(self, body: bytes) -> str:
        [message] = msgspec.json.decode(body)["message"]
        [to] = message["phones"]
        if to["client_id_sms"] not in self._by_client_id:
            id_sms = self._by_client_id[to["client_id_sms"]] = str(1_000 + len(self.ledger))
            self.ledger.sent.append(
                Sms(id_sms, "login", to["client_id_sms"], "sms", "ACME", message["text"], to["phone"], "")
            )
        return self._by_client_id[to["client_id_sms"]]

    async def _answer(self, stream: ByteStream, id_sms: str) -> None:
        coded = self._chance.choice((_with_length, _in_chunks))
        answer = coded(accepted(id_sms))
        extra = self._chance.choice(
            (b"", _with_length(accepted(_FOREIGN)), _in_chunks(accepted(_FOREIGN)), b"x", b"\r\n")
        )
        await stream.send(answer + extra)


async def _request(stream: ByteStream) -> bytes:
    came = b""
    while b"\r\n\r\n" not in came:
        came += await stream.receive()
    head, _, body = came.partition(b"\r\n\r\n")
    length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    while len(body) < length:
        body += await stream.receive()
    return body


def _with_length(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)


def _in_chunks(body: bytes) -> bytes:
    half = len(body) // 2
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:half], body[half:], b""))
    return b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + chunks


async def _surplus(count: int, chance: random.Random, library: Any, tls: ssl.SSLContext | None) -> tuple[Counts, int]:
    server, results = _Talkative(chance), []
    people = list(phones(count))
    async with AsyncExitStack() as stack:
        base_url = await stack.enter_async_context(_listening(server.talk, tls))
        client = await stack.enter_async_context(
            WebcomClient(token="dummy", base_url=base_url, transport=library, clock=still_clock())
        )
        for phone in people:
            results.append(await client.send(phone, **_CODE))
    return judged(people, results, server.ledger), sum(result.outcome is Outcome.UNKNOWN for result in results)


# ---------------------------------------------------------------------------- both


@asynccontextmanager
async def _listening(talk: Any, tls: ssl.SSLContext | None) -> AsyncIterator[str]:
    """Serve every connection with *talk* in this event loop, and yield the base URL."""
    listener: Any = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(SocketAttribute.local_port)
    if tls is not None:
        listener = TLSListener(listener, tls, standard_compatible=False)
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, talk)
        yield f"{'http' if tls is None else 'https'}://127.0.0.1:{port}"
        tasks.cancel_scope.cancel()


@contextmanager
def _trusted(folder: Path) -> Iterator[ssl.SSLContext]:
    """Make a certificate for this machine that our clients trust."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(folder / "authority.pem")
    before = os.environ.get("SSL_CERT_FILE")
    os.environ["SSL_CERT_FILE"] = str(folder / "authority.pem")
    try:
        yield context
    finally:
        if before is None:
            del os.environ["SSL_CERT_FILE"]
        else:
            os.environ["SSL_CERT_FILE"] = before

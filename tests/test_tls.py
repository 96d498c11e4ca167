"""Which server sees the password: certificates, and proxies from the environment."""

import base64
import inspect
import socket
import ssl
import subprocess
import sys
import threading
import traceback
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from tests.builders import still_clock
from tests.raw_servers import RawServer, Talk, accepting, answers, http, raw_server
from webcom_async import (
    ConfigurationError,
    GatewayUnavailable,
    Knowledge,
    OptionFields,
    Outcome,
    TlsError,
    WebcomClient,
)
from webcom_async.emulator import Gateway, serve

trustme = pytest.importorskip("trustme", reason="certificates are made for the occasion")
pytestmark = [pytest.mark.anyio, pytest.mark.socket]

CODE = {"text": "Code 1234", "sender": "ACME"}
HERE = "127.0.0.1"
ELSEWHERE = "gateway.test"  # RFC 6761: resolves nowhere
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)

ConnectTls = Callable[..., AbstractAsyncContextManager[WebcomClient]]


@pytest.fixture(scope="module")
def authority() -> Any:
    """Return a certificate authority that no machine trusts."""
    return trustme.CA()


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the machine's own proxies and certificates away."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)


@pytest.fixture
def trust(authority: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let clients of ours trust the authority."""
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))


@pytest.fixture
def connect_tls(http: str, authority: Any, request: pytest.FixtureRequest) -> ConnectTls:
    """Return a function that opens a client to a port of this machine; with `trusting`, it trusts the authority."""

    @asynccontextmanager
    async def connected(port: int, *, trusting: bool, **options: Any) -> AsyncIterator[WebcomClient]:
        options = {"token": "dummy", "base_url": f"https://{HERE}:{port}", "clock": still_clock()} | options
        if http in {"own", "aiohttp"}:
            options["transport"] = "httpx2" if http == "own" else http
            if trusting:
                request.getfixturevalue("trust")
            async with WebcomClient(**options) as client:
                yield client
            return
        context = ssl.create_default_context()
        if trusting:
            authority.configure_trust(context)
        async with (
            pytest.importorskip(http).AsyncClient(trust_env=False, verify=context) as mine,
            WebcomClient(http_client=mine, **options) as client,
        ):
            yield client

    return connected


def over_tls(certificate: Any, talk: Talk) -> Talk:
    """Return *talk* behind a handshake with *certificate*."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)

    def talk_over_tls(server: RawServer, connection: socket.socket, number: int) -> None:
        with context.wrap_socket(connection, server_side=True) as secure:
            talk(server, secure, number)

    return talk_over_tls


async def test_a_second_answer_in_a_record_of_its_own_is_dropped(connect_tls: ConnectTls, authority: Any, http: str):
    """A second answer in another TLS record of the segment is not taken as the answer to the next request."""
    if http in {"httpx", "httpx2"}:
        pytest.skip("a caller's client keeps what it keeps")
    said = threading.Event()

    def says_it_twice(server: RawServer, connection: socket.socket, _number: int) -> None:
        while server.request(connection):
            if hasattr(socket, "TCP_CORK"):
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
            connection.sendall(accepting(len(server.requests)))
            connection.sendall(accepting(5_000_000))
            if hasattr(socket, "TCP_CORK"):
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 0)
            said.set()

    with raw_server(over_tls(authority.issue_cert(HERE), says_it_twice)) as server:
        async with connect_tls(server.port, trusting=True) as client:
            first = await client.send("79612242243", **CODE)
            await anyio.to_thread.run_sync(said.wait, 20)
            second = await client.send("79612242244", **CODE)

    assert ("1", "2") == (first.id_sms, second.id_sms)


async def test_a_trusted_certificate_is_enough(connect_tls: ConnectTls, authority: Any):
    """With the right name and a trusted issuer, messages are sent."""
    with raw_server(over_tls(authority.issue_cert(HERE), answers(accepting()))) as server:
        async with connect_tls(server.port, trusting=True) as client:
            result = await client.send("79612242243", **CODE)

    assert Outcome.ACCEPTED is result.outcome


@pytest.mark.parametrize(
    ("identity", "trusting", "not_after", "words"),
    [
        (HERE, False, None, "unable to get local issuer|self-signed|self signed"),
        (ELSEWHERE, True, None, "mismatch"),
        (HERE, True, LONG_AGO, "expired"),
    ],
    ids=["untrusted", "wrong name", "expired"],
)
async def test_a_bad_certificate_ends_the_call_before_a_byte(
    connect_tls: ConnectTls, authority: Any, *, identity: str, trusting: bool, not_after: datetime | None, words: str
):
    """An untrusted, expired or foreign certificate is an error that says why, and nothing is sent or retried."""
    certificate = authority.issue_cert(identity, not_before=LONG_AGO, not_after=not_after)
    with raw_server(over_tls(certificate, answers(accepting()))) as server:
        async with connect_tls(server.port, trusting=trusting) as client:
            with pytest.raises(TlsError, match=words) as caught:
                await client.send("79612242243", **CODE)

    assert (1, []) == (server.connections, server.requests)
    assert (True, Knowledge.NOT_REACHED) == (caught.value.halts, caught.value.knowledge)


async def test_a_server_without_tls_ends_the_call_before_a_byte(connect_tls: ConnectTls):
    """Plain HTTP behind an https URL is not retried, because the next attempt would meet the same."""

    def plain(_server: RawServer, connection: socket.socket, _number: int) -> None:
        connection.recv(65_536)
        connection.sendall(http(b"", status="400 Bad Request"))

    with raw_server(plain) as server:
        async with connect_tls(server.port, trusting=True) as client:
            with pytest.raises(TlsError, match="no TLS"):
                await client.send("79612242243", **CODE)

    assert 1 == server.connections


async def test_a_handshake_that_is_cut_off_is_tried_again(connect_tls: ConnectTls, authority: Any):
    """A handshake that is cut off is retried, as nothing was sent and the server may be starting."""

    def better_at_the_second(server: RawServer, connection: socket.socket, number: int) -> None:
        if number > 1:
            over_tls(authority.issue_cert(HERE), answers(accepting()))(server, connection, number)
        else:
            connection.recv(65_536)

    with raw_server(better_at_the_second) as server:
        async with connect_tls(server.port, trusting=True) as client:
            result = await client.send("79612242243", **CODE)

    assert (Outcome.ACCEPTED, 2, 2) == (result.outcome, result.attempts, server.connections)


def test_nothing_turns_certificate_checks_off():
    """No argument and no option turns certificate checks off."""
    names = {*inspect.signature(WebcomClient).parameters, *OptionFields.__annotations__}

    assert set() == {name for name in names if {"verify", "ssl", "tls", "cert", "insecure"} & set(name.split("_"))}


def test_certificates_that_cannot_be_read_are_named(monkeypatch: pytest.MonkeyPatch):
    """A wrong `SSL_CERT_FILE` is a configuration error that names it."""
    monkeypatch.setenv("SSL_CERT_FILE", "nowhere.pem")

    with pytest.raises(ConfigurationError, match="SSL_CERT_FILE"):
        WebcomClient(token="dummy")


# ---------------------------------------------------------------------------- proxies from the environment


@contextmanager
def proxy(answer: str, to_port: int = 0) -> Iterator[tuple[RawServer, list[str]]]:
    """Answer CONNECT requests with *answer*, and pass bytes on to *to_port* if that is a 200; give the heads seen."""
    heads: list[str] = []

    def talk(_server: RawServer, connection: socket.socket, _number: int) -> None:
        heads.append(connection.recv(65_536).decode())
        connection.sendall(f"HTTP/1.1 {answer}\r\n\r\n".encode())
        if answer.startswith("200"):
            with socket.create_connection((HERE, to_port)) as onward:
                back = threading.Thread(target=pump, args=(onward, connection))
                back.start()
                pump(connection, onward)
                back.join()

    with raw_server(talk) as server:
        yield server, heads


def pump(source: socket.socket, sink: socket.socket) -> None:
    """Pass on what comes from *source*, its end included."""
    with suppress(OSError):
        while part := source.recv(65_536):
            sink.sendall(part)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


def proxied_client(**options: Any) -> WebcomClient:
    """Return a client to a host that only a proxy can reach."""
    return WebcomClient(token="dummy", base_url=f"https://{ELSEWHERE}", clock=still_clock(), **options)


@pytest.mark.usefixtures("trust")
@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "ALL_PROXY"])
async def test_https_goes_through_the_proxy_that_was_set_when_the_client_was_made(
    monkeypatch: pytest.MonkeyPatch, authority: Any, variable: str
):
    """The proxy gets a tunnel that it cannot read, and later changes of the environment have no effect."""
    with raw_server(over_tls(authority.issue_cert(ELSEWHERE), answers(accepting()))) as gateway:
        with proxy("200 OK", gateway.port) as (server, heads):
            monkeypatch.setenv(variable, f"http://user:pr0xy@{HERE}:{server.port}")
            client = proxied_client()
            monkeypatch.setenv(variable, f"http://{HERE}:1")
            async with client:
                result = await client.send("79612242243", **CODE)

    assert Outcome.ACCEPTED is result.outcome
    assert [f"CONNECT {ELSEWHERE}:443 HTTP/1.1"] == [head.splitlines()[0] for head in heads]
    assert base64.b64encode(b"user:pr0xy").decode() in heads[0]


async def test_a_proxy_cannot_vouch_for_the_gateway(monkeypatch: pytest.MonkeyPatch, authority: Any):
    """Behind a proxy the gateway's certificate is checked too."""
    with raw_server(over_tls(authority.issue_cert(ELSEWHERE), answers(accepting()))) as gateway:
        with proxy("200 OK", gateway.port) as (server, _):
            monkeypatch.setenv("HTTPS_PROXY", server.url)
            async with proxied_client() as client:
                with pytest.raises(TlsError):
                    await client.send("79612242243", **CODE)

    assert (1, []) == (gateway.connections, gateway.requests)


@pytest.mark.parametrize(
    ("answer", "error", "connections"),
    [
        ("407 Proxy Authentication Required", ConfigurationError, 1),
        ("403 Forbidden", ConfigurationError, 1),
        ("302 Found", ConfigurationError, 1),
        ("502 Bad Gateway", GatewayUnavailable, 3),
    ],
)
async def test_a_refusal_of_a_proxy_is_not_retried(
    monkeypatch: pytest.MonkeyPatch, answer: str, error: type[Exception], connections: int
):
    """A proxy's refusal ends the campaign, an unavailable upstream is retried, and in both cases nothing was sent."""
    with proxy(answer) as (server, _):
        monkeypatch.setenv("HTTPS_PROXY", f"http://user:pr0xy@{HERE}:{server.port}")
        async with proxied_client(attempts=3) as client:
            with pytest.raises(error) as caught:
                await client.send("79612242243", **CODE)

    assert (connections, Knowledge.NOT_REACHED) == (server.connections, caught.value.knowledge)
    assert "pr0xy" not in str(caught.value)


@pytest.mark.usefixtures("trust")
@pytest.mark.parametrize("broken", [b"", b"no TLS at all"], ids=["closed", "garbage"])
async def test_a_handshake_that_breaks_costs_one_request(
    monkeypatch: pytest.MonkeyPatch, authority: Any, broken: bytes
):
    """When a tunnel breaks during its handshake, the next request makes a new one."""

    def once_broken(_server: RawServer, connection: socket.socket, number: int) -> None:
        if not connection.recv(65_536):
            return
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + (broken if number == 1 else b""))
        if number > 1:
            with socket.create_connection((HERE, gateway.port)) as onward:
                back = threading.Thread(target=pump, args=(onward, connection))
                back.start()
                pump(connection, onward)
                back.join()

    with raw_server(over_tls(authority.issue_cert(ELSEWHERE), answers(accepting()))) as gateway:
        with raw_server(once_broken) as server:
            monkeypatch.setenv("HTTPS_PROXY", server.url)
            async with proxied_client(attempts=1) as client:
                with pytest.raises((GatewayUnavailable, TlsError)):
                    await client.send("79612242243", **CODE)
                result = await client.send("79612242243", **CODE)

    assert (Outcome.ACCEPTED, 2) == (result.outcome, server.connections)


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_a_proxy_is_refused_where_it_would_read_the_password(monkeypatch: pytest.MonkeyPatch, variable: str):
    """A proxy is refused for clear text, even where clear text to the gateway is allowed."""
    monkeypatch.setenv(variable, f"http://user:pr0xy@{HERE}:3128")

    with pytest.raises(ConfigurationError, match="would read your password") as caught:
        WebcomClient(token="dummy", base_url=f"http://{ELSEWHERE}", allow_cleartext=True)

    assert "pr0xy" not in str(caught.value)


async def test_no_proxy_is_obeyed_for_clear_text(monkeypatch: pytest.MonkeyPatch):
    """A host that is named in `NO_PROXY` is reached directly, without a connection to the proxy."""
    with raw_server(answers(accepting())) as server:
        monkeypatch.setenv("HTTP_PROXY", server.url)
        monkeypatch.setenv("NO_PROXY", ELSEWHERE)
        base_url = f"http://{ELSEWHERE}"
        async with WebcomClient(token="dummy", base_url=base_url, allow_cleartext=True, attempts=1) as client:
            with pytest.raises(GatewayUnavailable):
                await client.send("79612242243", **CODE)

    assert 0 == server.connections


async def test_a_gateway_on_this_machine_is_reached_directly(monkeypatch: pytest.MonkeyPatch, unused_port: int):
    """A gateway on this machine is reached without a proxy."""
    pytest.importorskip("uvicorn", reason="the emulator's socket is an extra")
    monkeypatch.setenv("HTTP_PROXY", f"http://{HERE}:{unused_port}")
    monkeypatch.setenv("ALL_PROXY", f"http://{HERE}:{unused_port}")
    gateway = Gateway()
    with serve(gateway) as base_url:
        async with WebcomClient(token=gateway.token, base_url=base_url) as client:
            result = await client.send("79612242243", **CODE)

    assert Outcome.ACCEPTED is result.outcome


@pytest.mark.parametrize("url", ["ftp://user:pr0xy@proxy.test", "http://user:pr0xy"])
def test_a_proxy_that_cannot_be_used_is_reported_without_its_password(monkeypatch: pytest.MonkeyPatch, url: str):
    """An unusable proxy is an error that names the variables, and not their values."""
    monkeypatch.setenv("HTTPS_PROXY", url)

    with pytest.raises(ConfigurationError, match="HTTPS_PROXY") as caught:
        WebcomClient(token="dummy")

    assert "pr0xy" not in str(caught.value)
    assert (None, None) == (caught.value.__cause__, caught.value.__context__)
    assert_frames_hide("pr0xy", caught.value)


def test_certificates_that_cannot_be_read_show_no_password_of_a_proxy(monkeypatch: pytest.MonkeyPatch):
    """No local variable on the way to an error holds a proxy's password, for tools that print them."""
    monkeypatch.setenv("HTTPS_PROXY", "http://user:pr0xy@proxy.test")
    monkeypatch.setenv("SSL_CERT_FILE", "nowhere.pem")

    with pytest.raises(ConfigurationError, match="SSL_CERT_FILE") as caught:
        WebcomClient(token="dummy")

    assert_frames_hide("pr0xy", caught.value)


def assert_frames_hide(secret: str, error: BaseException) -> None:
    """Check the local variables of every function that *error* passed through, except the test's own."""
    _, *frames = traceback.walk_tb(error.__traceback__)
    assert secret not in "".join(repr(frame.f_locals) for frame, _ in frames)


WATCHED = """
import sys

loaded = []
def watch(frame, event, argument):
    if event == "c_call" and argument.__name__ in {"load_verify_locations", "set_default_verify_paths"}:
        loaded.append(argument.__name__)

sys.setprofile(watch)
from webcom_async import WebcomClient
from webcom_async.emulator import Gateway, GatewayTransport

class Own:
    def stream(self): ...
    def aclose(self): ...

WebcomClient(token="dummy", **eval(sys.argv[1]))
sys.setprofile(None)
print(len(loaded))
"""


@pytest.mark.parametrize(
    ("arguments", "loads"),
    [
        ("{'base_url': 'http://127.0.0.1'}", False),
        ("{'base_url': 'HTTP://gateway.test', 'allow_cleartext': True}", False),
        ("{'transport': GatewayTransport(Gateway())}", False),
        ("{'http_client': Own()}", False),
        ("{}", True),
    ],
    ids=["http", "http elsewhere", "own transport", "own client", "https"],
)
def test_certificates_are_loaded_for_tls_only(arguments: str, loads: bool):
    """A client of a gateway without TLS, or with a transport of the caller's, loads no certificates."""
    done = subprocess.run([sys.executable, "-c", WATCHED, arguments], capture_output=True, text=True, check=True)

    assert loads == (int(done.stdout) > 0)

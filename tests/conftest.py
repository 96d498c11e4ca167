"""Fixtures that every test may use; async tests run on asyncio and on trio."""

import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from tests.builders import still_clock
from tests.postgres_server import postgres, postgres_server, schema
from webcom_async import WebcomClient
from webcom_async.emulator import Gateway, GatewayApp, GatewayTransport, serve

__all__ = ["postgres", "postgres_server", "schema"]  # fixtures

Connect = Callable[..., AbstractAsyncContextManager[WebcomClient]]


def pytest_configure() -> None:
    """
    Give Hypothesis' examples all the time they take: a busy machine may stall for a moment.

    And restore Ctrl-C: a script's background job starts with it ignored, and its children inherit that.
    """
    settings.register_profile("patient", deadline=None)
    settings.load_profile("patient")
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--http",
        choices=["own", "httpx", "httpx2", "aiohttp"],
        default="own",
        help="what clients post with: our default, a caller's AsyncClient of httpx or httpx2, or ours on aiohttp",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out PostgreSQL on trio; where another HTTP library is the point, leave out tests without a client."""
    impossible = [item for item in items if _on_trio(item) and "postgres" in item.callspec.params.values()]
    config.hook.pytest_deselected(items=impossible)
    items[:] = [item for item in items if item not in set(impossible)]
    http = config.getoption("--http")
    if http == "own":
        return
    with_client = [item for item in items if {"connect", "connect_to", "http"} & set(getattr(item, "fixturenames", ()))]
    if http == "aiohttp":
        with_client = [item for item in with_client if not _on_trio(item)]
    config.hook.pytest_deselected(items=[item for item in items if item not in with_client])
    items[:] = with_client


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip tests that need the emulator on a socket where its server, an extra, is not installed."""
    if item.get_closest_marker("socket") and find_spec("uvicorn") is None:
        pytest.skip("the emulator on a socket is an extra")


@pytest.fixture
def http(request: pytest.FixtureRequest) -> str:
    """Return the HTTP library that clients post with."""
    return request.config.getoption("--http")


@pytest.fixture
def connect(http: str) -> Connect:
    """Return a function that opens a client to an emulated gateway in this process; it never waits between attempts."""

    @asynccontextmanager
    async def connected(gateway: Gateway, **options: Any) -> AsyncIterator[WebcomClient]:
        options = {"token": gateway.token, "base_url": "http://127.0.0.1", "clock": still_clock()} | options
        if http == "own":
            options["transport"] = GatewayTransport(gateway)
        async with AsyncExitStack() as stack:
            if http == "aiohttp":
                # It has no way to an application in this process.
                if _in_process_only(gateway):
                    pytest.skip("the fault is scripted with events of this event loop")
                options |= {"transport": http, "base_url": stack.enter_context(serve(gateway))}
            elif http != "own":
                options["http_client"] = await stack.enter_async_context(_asgi_client(http, gateway))
            yield await stack.enter_async_context(WebcomClient(**options))

    return connected


@pytest.fixture
def connect_to(http: str) -> Connect:
    """Return a function that opens a client to a base URL; it never waits between attempts."""

    @asynccontextmanager
    async def connected(base_url: str, **options: Any) -> AsyncIterator[WebcomClient]:
        options = {"token": Gateway().token, "base_url": base_url, "clock": still_clock()} | options
        async with AsyncExitStack() as stack:
            if http == "aiohttp":
                options["transport"] = http
            elif http != "own":
                library = pytest.importorskip(http)
                options["http_client"] = await stack.enter_async_context(library.AsyncClient(trust_env=False))
            yield await stack.enter_async_context(WebcomClient(**options))

    return connected


def _in_process_only(gateway: Gateway) -> bool:
    faults = [*gateway.faults._script, *(fault for _, fault in gateway.faults._chances)]
    scripted = any(fault.arrived is not None or fault.until is not None for fault in faults)
    return scripted or gateway.push is not None


def _on_trio(item: pytest.Item) -> bool:
    callspec = getattr(item, "callspec", None)
    return callspec is not None and callspec.params.get("anyio_backend") == "trio"


def _asgi_client(http: str, gateway: Gateway) -> Any:
    library = pytest.importorskip(http)

    def hang_up(_scope: object) -> None:
        raise library.RemoteProtocolError("the emulator closed the connection")

    return library.AsyncClient(transport=library.ASGITransport(app=GatewayApp(gateway, hang_up)))


@pytest.fixture
def cli_gateway(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Gateway]:
    """Return a gateway on a socket for the command line, in an empty working directory."""
    gateway = Gateway()
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("WEBCOM_STORE", raising=False)
    environ = {"WEBCOM_TOKEN": gateway.token, "WEBCOM_LANG": "en", "COLUMNS": "200"}
    with serve(gateway) as url:
        for name, value in {**environ, "WEBCOM_BASE_URL": url}.items():
            monkeypatch.setenv(name, value)
        yield gateway


@pytest.fixture
def unused_port() -> int:
    """Return a loopback port on which no server listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]

"""Credentials and full phone numbers, searched in every text about a failure."""

import logging
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any

import anyio

from tests.builders import phones, still_clock
from tests.reliability.runs import SALE, Run, cancelled_after
from tests.reliability.scales import Scale
from tests.reliability.table import Row
from tests.reliability.troubled import KINDS, TroubledGateway, When
from webcom_async import Credentials, Outcome, WebcomClient
from webcom_async.emulator import Account, Gateway, GatewayTransport, serve

__all__ = ["measure"]

_TOKEN = "s3cr3t-t0k3n-0f-th3-pr00f"
_PEOPLE = 12
_TIMEOUT = 0.1
_BREAKING_TURNS = 40


class _Told:
    """
    The texts, by where they may be shown.

    Attributes:
        private: May hold phones, such as a file or the local variables of a traceback, but no token.
        public: May hold neither: logs, reprs of what holds no recipients, and the words of exceptions.
    """

    def __init__(self) -> None:
        self.private: list[str] = []
        self.public: list[str] = []

    def error(self, error: BaseException) -> None:
        """Collect every text that can be printed of *error*."""
        told = traceback.TracebackException.from_exception(error, capture_locals=True)
        self.private += [*told.format(), repr(vars(error))]
        self.public += [str(error), repr(error), *getattr(error, "__notes__", [])]


class _Recorder(logging.Handler):
    """Keeps every record, with all of its fields."""

    def __init__(self, told: _Told) -> None:
        super().__init__()
        self._told = told

    def emit(self, record: logging.LogRecord) -> None:
        self._told.public.append(f"{record.getMessage()} {vars(record)}")


def measure(scale: Scale, seed: int) -> list[Row]:
    """Make every kind of call fail in every way, and search the texts about it."""
    told = _Told()
    with _everything_logged(told), tempfile.TemporaryDirectory() as folder:
        for backend in ("asyncio", "trio"):
            anyio.run(_fail, told, seed, scale.seeds, Path(folder) / backend, backend=backend)
        for file in Path(folder).rglob("*.*"):
            told.private.append(file.read_bytes().decode("latin-1"))
    tokens = sum(_TOKEN in text for text in told.private + told.public)
    numbers = sum(any(phone in text for phone in phones(_PEOPLE)) for text in told.public)
    return [
        Row(
            "token in logs, reprs, tracebacks with local variables, journals",
            f"{len(told.private) + len(told.public):,} texts",
            "0 hits",
            f"{tokens} hits",
            bool(told.private) and not tokens,
        ),
        Row(
            "full phone numbers in logs, reprs, words of exceptions",
            f"{len(told.public):,} texts",
            "0 hits",
            f"{numbers} hits",
            bool(told.public) and not numbers,
        ),
    ]


@contextmanager
def _everything_logged(told: _Told) -> Iterator[None]:
    root, recorder = logging.getLogger(), _Recorder(told)
    before = root.level
    root.setLevel(logging.DEBUG)
    root.addHandler(recorder)
    try:
        yield
    finally:
        root.removeHandler(recorder)
        root.setLevel(before)


async def _fail(told: _Told, seed: int, seeds: int, folder: Path) -> None:
    folder.mkdir()
    moments = list(When) if seeds > 1 else [When.HALF]
    for number, (kind, when) in enumerate(product(KINDS.values(), moments)):
        gateway = TroubledGateway(kind, when, 0.7, seed)
        gateway.accounts[0].token = _TOKEN
        await _in_process(told, gateway, folder / f"{number}.journal")
    for place, account in enumerate((Account(token=_TOKEN, locked=True), Account(token=_TOKEN, balance=3), Account())):
        await _in_process(told, Gateway(account), folder / f"account-{place}.journal")
    gateway = TroubledGateway(seed=seed)
    gateway.accounts[0].token = _TOKEN
    with serve(gateway) as url:
        for gateway.faults.kind, gateway.faults.when in product(KINDS.values(), moments):
            gateway.faults.share = 0.7
            await _over_socket(told, url)


async def _in_process(told: _Told, gateway: Gateway, journal: Path) -> None:
    transport = GatewayTransport(gateway)
    async with _client(told, transport=transport, base_url="http://127.0.0.1", timeout=0.02) as client:
        await _campaign(told, client, journal)
        await _cancelled(told, client)


async def _over_socket(told: _Told, url: str) -> None:
    async with _client(told, base_url=url, timeout=_TIMEOUT) as client:
        await _campaign(told, client, None)
        await _cancelled(told, client)
    async with _client(told, base_url="http://127.0.0.1:1", timeout=_TIMEOUT) as client:
        await _campaign(told, client, None)


def _client(told: _Told, **options: Any) -> WebcomClient:
    credentials = Credentials(token=_TOKEN)
    options = {"batch_size": 4, "attempts": 2, "retry_quota": 5, "grace": 0.0, "clock": still_clock()} | options
    client = WebcomClient(credentials=credentials, **options)
    told.public += [repr(client), repr(client.options), repr(credentials), str(credentials), f"{credentials!s}"]
    told.private.append(repr(vars(client)))
    return client


async def _campaign(told: _Told, client: WebcomClient, journal: Path | None) -> None:
    """Send to all, send to one, and reconcile; collect the texts of their failures."""
    run = await Run().send(client, phones(_PEOPLE), journal=journal)
    told.private += [repr(result) for result in run.results]
    if run.error is not None:
        told.error(run.error)
        told.public.append(f"{run.error.report!r} {run.error.report}")
    if journal is not None and any(result.outcome is Outcome.UNKNOWN for result in run.results):
        campaign = client.reconcile(journal, campaign=SALE["campaign"])
        told.public.append(repr(campaign))
        again = await Run().read(campaign)
        if again.error is not None:
            told.error(again.error)
    try:
        await client.send(next(phones(1)), "Code 1234", sender="ACME")
    except Exception as exc:  # noqa: BLE001 - any exception is read
        told.error(exc)


async def _cancelled(told: _Told, client: WebcomClient) -> None:
    """Cancel a call in flight, and collect the texts of the cancellation."""

    async def send() -> None:
        try:
            await client.send(next(phones(1)), "Code 1234", sender="ACME")
        except BaseException as exc:
            told.error(exc)
            if isinstance(exc, Exception):
                return
            raise

    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as group:
            group.start_soon(cancelled_after, _BREAKING_TURNS, scope)
            await send()
            group.cancel_scope.cancel()

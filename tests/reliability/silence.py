"""A PostgreSQL that goes silent at each step of a campaign: the seconds until the campaign ends, and what it claims."""

import random
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from importlib.util import find_spec
from itertools import product
from typing import TYPE_CHECKING, NamedTuple

import anyio
from anyio.to_thread import run_sync

from tests.builders import phones
from tests.postgres_proxies import Sees, SilentProxy, silent
from tests.postgres_server import serve
from tests.reliability.judge import NONE, Counts, judged, unreached
from tests.reliability.runs import SALE, Run
from tests.reliability.scales import Scale
from tests.reliability.table import Row
from webcom_async import Clock, WebcomClient
from webcom_async.emulator import Gateway, GatewayTransport, Received

if TYPE_CHECKING:
    from webcom_async.postgres import PostgresStore

__all__ = ["measure"]

_PATIENCE = 3.0  # seconds; a busy machine is not to spend it before the silence
_LONG_PATIENCE = 60.0
_LONGEST_SILENCE = 0.5  # that is waited for
_LEASE = 1.0
_PEOPLE = 60
_REQUESTS = 4  # at most before the silence; there are more than twice as many
_AT_ONCE = 16  # they wait, mostly
# Seconds, of which a busy machine takes three.
_OVER_PATIENCE = 8.0  # a last settlement gets the patience once more, and the release of the lease two
_OVER_CANCELLATION = 15.0  # five for the calls in flight, five for the last settlement, two for the lease
_MISSED = float("inf")

_STEPS: dict[str, Sees] = {
    "connect": lambda theirs, data: not theirs and b"webcom_async" in data,
    "tables": lambda theirs, data: not theirs and b"CREATE TABLE" in data,
    "reserve": lambda theirs, data: not theirs and b"INSERT INTO recipients" in data,
    "settle": lambda theirs, data: not theirs and b"INSERT INTO answers" in data,
    "result": lambda theirs, data: theirs and b"pg_backend_pid" in data,
    "commit": lambda theirs, data: theirs and b"COMMIT" in data,
}
_AT_FIRST = frozenset({"connect", "tables"})  # before any request


class _Silencing(Gateway):
    """
    A gateway that lets a line go silent at a step, after a number of requests.

    Attributes:
        step: The step.
        since: The moment of silence; for ever ago before it.
    """

    def __init__(self, line: SilentProxy, step: str, after: int) -> None:
        super().__init__()
        self.since = -_MISSED
        self.step = step
        self._line = line
        self._after = after
        self._silence()

    def arrive(self, request: Received) -> None:
        super().arrive(request)
        self._silence()

    def _silence(self) -> None:
        if self.requests == self._after:
            self._line.freeze_at(self._noted)

    def _noted(self, theirs: bool, data: bytes) -> bool:
        if not _STEPS[self.step](theirs, data):
            return False
        self.since = time.monotonic()
        return True


class _Case:
    """
    A campaign over a line that goes silent.

    Args:
        line: The line.
        dsn: The server's own.
        schema: The campaign's own.
        step: What the server goes silent at.
        chance: Decides when, and how the campaign is sent.
    """

    def __init__(self, line: SilentProxy, dsn: str, schema: str, step: str, chance: random.Random) -> None:
        self.line = line
        self.chance = chance
        self.gateway = _Silencing(line, step, 0 if step in _AT_FIRST else chance.randint(0, _REQUESTS))
        self.run = Run()
        self._dsn = dsn
        self._schema = schema
        self._people = list(phones(_PEOPLE))

    async def prepare(self) -> None:
        """Make the tables, unless the silence comes before them."""
        if self.gateway.step not in _AT_FIRST:
            async with self._store(self._dsn, _LONG_PATIENCE) as store:
                await store.campaigns()

    async def begin(self, patience: float) -> None:
        """Send over the line."""
        async with self._client() as client, self._store(self.line.dsn, patience) as store:
            await self.run.send(client, self._people, journal=store)

    async def falls_silent(self) -> bool:
        """Wait until the line is silent; return False if it is not in time."""
        return await run_sync(self.line.silent.wait, _LONG_PATIENCE)

    @property
    def is_complete(self) -> bool:
        """Whether the first run has a result of each recipient."""
        return self.run.error is None and len(self.run.results) == _PEOPLE

    async def end(self) -> Counts:
        """Send the rest, past the line, and return the false claims of both runs and of the store."""
        self.line.close()  # the server ends the transactions behind it
        ledger = self.gateway.ledger
        wrong = judged(self.run.asked, self.run.results, ledger)
        await anyio.sleep(_LEASE)
        rest = Run()
        async with self._client() as client, self._store(self._dsn, _LONG_PATIENCE) as store:
            await rest.send(client, self._people, journal=store)
            stored = [each async for each in store.results(SALE["campaign"])]
        wrong += judged(self._people, rest.results, ledger) + judged(self._people, stored, ledger)
        return wrong + unreached(self._people, ledger)

    def _client(self) -> WebcomClient:
        return WebcomClient(
            token=self.gateway.token,
            base_url="http://127.0.0.1",
            transport=GatewayTransport(self.gateway),
            clock=Clock(random=self.chance.random),
            grace=0.5,
            in_flight=self.chance.randint(1, 4),
            batch_size=self.chance.randint(2, 6),
        )

    def _store(self, dsn: str, patience: float) -> "PostgresStore":
        from webcom_async.postgres import PostgresStore  # noqa: PLC0415 - an extra

        return PostgresStore(dsn, schema=self._schema, patience=patience, lease=_LEASE)


class _Found(NamedTuple):
    """The false claims of a campaign, and the seconds that its end took: `_MISSED` if it met no silence, or ended."""

    wrong: Counts
    seconds: float


Way = Callable[[_Case], Awaitable[float]]


def measure(scale: Scale, seed: int) -> list[Row]:
    """Run campaigns that are given up, cancelled, or go on; none where there is no PostgreSQL."""
    if find_spec("psycopg") is None:
        return _left_out("psycopg is an extra")
    with ExitStack() as stack:
        try:
            server = stack.enter_context(serve())
        except RuntimeError as exc:
            return _left_out(str(exc))
        given_up, cancelled, gone_on = anyio.run(_measure, server.dsn, (scale.silences + 1) // 2, seed)
    steps = ", ".join(_STEPS)
    return [
        _timed(
            f"a PostgreSQL silent at {steps}: given up when patience is over, resumed; seconds over it",
            given_up,
            _OVER_PATIENCE,
        ),
        _timed("a PostgreSQL silent: cancelled, resumed; seconds after that", cancelled, _OVER_CANCELLATION),
        _untimed("a PostgreSQL silent for a while: waited for, and gone on", gone_on),
    ]


async def _measure(dsn: str, count: int, seed: int) -> list[list[_Found]]:
    limiter = anyio.CapacityLimiter(_AT_ONCE)
    ways: tuple[Way, ...] = (_given_up, _cancelled, _gone_on)
    found: list[list[_Found]] = [[] for _ in ways]

    async def case(place: int, step: str, number: int) -> None:
        name = f"silence_{place}_{step}_{number}"
        async with limiter:
            with silent(dsn) as line:
                one = _Case(line, dsn, name, step, random.Random(f"{seed} {name}"))
                await one.prepare()
                seconds = await ways[place](one)
                found[place].append(_Found(await one.end(), seconds))
                if seconds == _MISSED:
                    sys.stderr.write(f"{name}, silent since {one.gateway.since:.1f}: {one.run.error}\n")

    async with anyio.create_task_group() as tasks:
        for place, step, number in product(range(len(ways)), _STEPS, range(count)):
            tasks.start_soon(case, place, step, number)
    return found


async def _given_up(case: _Case) -> float:
    await case.begin(_PATIENCE)
    over = time.monotonic() - case.gateway.since - _PATIENCE
    return _MISSED if case.run.error is None else over


async def _cancelled(case: _Case) -> float:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(case.begin, _LONG_PATIENCE)
        if not await case.falls_silent():
            return _MISSED
        await anyio.sleep(case.chance.uniform(0.0, _LONGEST_SILENCE))
        began = time.monotonic()
        tasks.cancel_scope.cancel()
    return time.monotonic() - began


async def _gone_on(case: _Case) -> float:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(case.begin, _LONG_PATIENCE)
        if not await case.falls_silent():
            return _MISSED
        await anyio.sleep(case.chance.uniform(0.0, _LONGEST_SILENCE))
        case.line.resume()
    return 0.0 if case.is_complete else _MISSED


def _timed(what: str, found: list[_Found], bar: float) -> Row:
    wrong = sum((each.wrong for each in found), NONE)
    slowest = max(each.seconds for each in found)
    return Row(
        what,
        f"{len(found)} campaigns",
        f"0 each, {bar:.2f} s",
        f"{wrong}, {slowest:.2f} s",
        not wrong and slowest <= bar,
    )


def _untimed(what: str, found: list[_Found]) -> Row:
    wrong = sum((each.wrong for each in found), NONE)
    ended = sum(each.seconds == _MISSED for each in found)
    return Row(what, f"{len(found)} campaigns", "0 each", f"{wrong}, {ended} ended", not wrong and not ended)


def _left_out(why: str) -> list[Row]:
    sys.stderr.write(f"silence is not measured: {why}\n")
    return []

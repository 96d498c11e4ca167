"""Cancellation at each turn of the event loop, until a run completes."""

import asyncio
import gc
import random
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import trio

from tests.builders import phones, still_clock
from tests.reliability.judge import NONE, Counts, judged, unreached
from tests.reliability.runs import Run, cancelled_after, client_of
from tests.reliability.scales import Scale
from tests.reliability.table import Row
from webcom_async import Outcome, WebcomClient
from webcom_async.emulator import Gateway, serve

__all__ = ["measure"]

_PEOPLE = 6
_OPTIONS = {"batch_size": 2, "grace": 0.0}
_FINISHED_IN_A_ROW = 3  # with threads or a socket, turns take different times


class _Found:
    """The findings so far."""

    def __init__(self) -> None:
        self.runs = 0
        self.tasks = 0
        self.warnings = 0
        self.broken = 0
        self.wrong: Counts = NONE


def measure(scale: Scale, seed: int) -> list[Row]:
    """Cancel at every turn, and count tasks and warnings that are left."""
    rows = []
    for name, connect, journaled, step in (
        ("in process", _in_process, False, 1),
        ("in process, with a journal", _in_process, True, scale.step),
        ("over a socket", _over_socket, False, scale.step),
    ):
        found = _Found()
        for backend in ("asyncio", "trio"):
            with _counting_warnings(found), tempfile.TemporaryDirectory() as folder:
                path = Path(folder) if journaled else None
                run = partial(_everywhere, found, connect, path, random.Random(seed), step=step, last=scale.last_step)
                anyio.run(run, backend=backend)
                gc.collect()
        left = f"{found.tasks} tasks, {found.warnings} warnings, {found.broken} broken clients"
        ok = not (found.tasks or found.warnings or found.broken or found.wrong)
        turns = "each turn" if step == 1 else f"every {step}th turn or so"
        what = f"cancelled at {turns} of the loop, {name}, asyncio and trio: left behind"
        rows.append(Row(what, f"{found.runs:,} cancelled runs", "0 each", f"{left}, {found.wrong}", ok))
    return rows


@contextmanager
def _counting_warnings(found: _Found) -> Iterator[None]:
    """Count every warning, such as of an unclosed socket, and every exception that could not be raised."""

    def unraisable(_: object) -> None:
        found.warnings += 1

    before = sys.unraisablehook
    sys.unraisablehook = unraisable
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield
        found.warnings += len(caught)
    finally:
        sys.unraisablehook = before


@contextmanager
def _in_process(gateway: Gateway) -> Iterator[Callable[[], WebcomClient]]:
    yield lambda: client_of(gateway, **_OPTIONS)


@contextmanager
def _over_socket(gateway: Gateway) -> Iterator[Callable[[], WebcomClient]]:
    with serve(gateway) as url:
        yield lambda: WebcomClient(token=gateway.token, base_url=url, clock=still_clock(), **_OPTIONS)


async def _everywhere(
    found: _Found, connect: Any, folder: Path | None, chance: random.Random, *, step: int, last: int | None
) -> None:
    finished, turns = 0, 0
    while finished < _FINISHED_IN_A_ROW and (last is None or turns <= last):
        journal = None if folder is None else folder / f"{turns}.journal"
        finished = finished + 1 if await _cancel_one(found, connect, journal, turns) else 0
        found.runs += not finished
        turns += chance.randint(1, 2 * step - 1)


async def _cancel_one(found: _Found, connect: Any, journal: Path | None, turns: int) -> bool:
    """Cancel one run after *turns* turns, use its client again, and return whether the run completed."""
    gateway, run, through = Gateway(), Run(), False
    with connect(gateway) as client_now:
        async with client_now() as client:
            tasks = _tasks()
            with anyio.CancelScope() as scope:
                async with anyio.create_task_group() as group:
                    group.start_soon(cancelled_after, turns, scope)
                    await run.send(client, phones(_PEOPLE), journal=journal)
                    through = True
                    group.cancel_scope.cancel()
            found.tasks += _tasks() - tasks
            # A request that was cut short may still be on its way: its effect is in the ledger by the next answer.
            before = list(gateway.ledger.sent) if journal is None else []
            found.wrong += judged(run.asked, run.results, gateway.ledger)
            again = await Run().send(client, phones(_PEOPLE), journal=journal)
            found.broken += [Outcome.ACCEPTED] * _PEOPLE != [result.outcome for result in again.results]
        found.wrong += judged(again.asked, again.results, gateway.ledger, before=before)
        found.wrong += unreached(again.asked, gateway.ledger)
    return through


def _tasks() -> int:
    try:
        return len(asyncio.all_tasks())
    except RuntimeError:
        return trio.lowlevel.current_statistics().tasks_living

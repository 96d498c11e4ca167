"""
Which packages a batch crosses, and which modules a row of a file enters: `python -m tests.crossings [-v]`.

Calls are traced while a campaign runs against an emulator; what the emulator does, and what imports do, is left out.
An edge is a call from one package of the library into another; a module outside all packages counts as one of its own.
"""

import csv
import os
import sys
import tempfile
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from types import FrameType
from typing import NamedTuple

import anyio

import webcom_async
from tests.builders import phones
from webcom_async import WebcomClient
from webcom_async.cli import main as command_line
from webcom_async.emulator import Gateway, GatewayTransport, serve

__all__ = ["CORE", "MOST_EDGES", "MOST_EDGES_WITH_JOURNAL", "MOST_MODULES", "Call", "of_batch", "of_row"]

MOST_EDGES = 22
MOST_EDGES_WITH_JOURNAL = 24
MOST_MODULES = 50
CORE = ("_sending.campaign", "_sending.dispatcher", "_sending.batch_sender")

_ROOT = f"{Path(webcom_async.__file__).parent}{os.sep}"


class Call(NamedTuple):
    """
    A call of a function of the library.

    Attributes:
        caller: The module of the nearest caller in the library, by its name below it; empty if there is none.
        called: The function's module.
        function: The function.
        place: Where the caller calls it.
    """

    caller: str
    called: str
    function: str
    place: str


class Trace:
    """The calls between modules of the library, while it is on."""

    def __init__(self) -> None:
        self.calls: list[Call] = []

    @property
    def modules(self) -> set[str]:
        """The modules that were entered."""
        return {call.called for call in self.calls}

    @property
    def modules_of_row(self) -> list[str]:
        """The modules that were entered from the first look at a row until the file of results was closed."""
        of_tables = [at for at, call in enumerate(self.calls) if call.function == "CsvTable.rows"]
        of_results = [at for at, call in enumerate(self.calls) if call.called == "files._results"]
        return sorted({call.called for call in self.calls[of_tables[0] : of_results[-1] + 1]})

    @property
    def edges(self) -> set[tuple[str, str]]:
        """The edges between packages."""
        edges = {(_package(call.caller), _package(call.called)) for call in self.calls if call.caller}
        return {(caller, called) for caller, called in edges if caller != called}

    def places(self, caller: str, called: str) -> set[str]:
        """Return the places from which one module calls another."""
        return {call.place for call in self.calls if (call.caller, call.called) == (caller, called)}

    @contextmanager
    def on(self) -> Generator[None, None, None]:
        """Trace this thread, and threads that start meanwhile."""
        threading.setprofile(self._see)
        sys.setprofile(self._see)
        try:
            yield
        finally:
            sys.setprofile(None)
            threading.setprofile(None)

    def _see(self, frame: FrameType, event: str, _: object) -> None:
        if event != "call" or not _is_ours(frame):
            return
        stack = [each for each in _stack(frame) if _is_ours(each)]
        modules = [_module(each) for each in stack[:2]]
        of_import = any(each.f_code.co_name == "<module>" for each in stack)
        if of_import or any(module.startswith("emulator") for module in modules):
            return
        caller = stack[1] if stack[1:] else None
        place = "" if caller is None else f"{caller.f_code.co_qualname}, line {caller.f_lineno}"
        self.calls.append(Call("" if caller is None else modules[1], modules[0], frame.f_code.co_qualname, place))


def of_batch(journal: Path | None = None, count: int = 2) -> Trace:
    """Return the trace of a batch through `client.stream`; what a client does once was done before."""

    async def send() -> Trace:
        gateway, trace = Gateway(), Trace()
        async with WebcomClient(token=gateway.token, transport=GatewayTransport(gateway)) as client:
            # The journal comes second only: the thread that writes it is traced if it begins while tracing is on.
            for campaign, tracing, kept in (("before", Trace(), None), ("spring", trace, journal)):
                words = {"text": "Sale!", "sender": "ACME", "campaign": campaign}
                with tracing.on():
                    async with client.stream(phones(count), **words, journal=kept) as results:
                        assert count == len([result async for result in results])
        return trace

    return anyio.run(send)


def of_row(folder: Path) -> Trace:
    """Return the trace of `webcom-async send` with a CSV file of one row, and a file of results."""
    people, results, trace = folder / "people.csv", folder / "results.csv", Trace()
    people.write_text("phone;name\n79612242243;Anna\n", encoding="utf-8")
    gateway = Gateway()
    with serve(gateway) as url, _environment(WEBCOM_BASE_URL=url, WEBCOM_TOKEN=gateway.token), trace.on():
        words = ["send", str(people), "--sender", "ACME", "--text", "Hello, {name}!", "--results", str(results)]
        assert 0 == command_line([*words, "--json"])
    with results.open(encoding="utf-8", newline="") as file:
        assert ["accepted"] == [row["outcome"] for row in csv.DictReader(file, delimiter=";")]
    return trace


@contextmanager
def _environment(**variables: str) -> Generator[None, None, None]:
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _stack(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _is_ours(frame: FrameType) -> bool:
    return frame.f_code.co_filename.startswith(_ROOT)


def _module(frame: FrameType) -> str:
    name = frame.f_code.co_filename.removeprefix(_ROOT).removesuffix(".py").replace(os.sep, ".")
    return name.removesuffix(".__init__")


def _package(module: str) -> str:
    return module.partition(".")[0]


def main() -> int:
    """Print what was measured beside its bar, and return an exit code."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plain, kept, row = of_batch(), of_batch(folder / "journal"), of_row(folder)
    measured = [
        ("packages: edges of a batch", len(plain.edges), MOST_EDGES),
        ("packages: edges of a batch with a journal", len(kept.edges), MOST_EDGES_WITH_JOURNAL),
        ("modules: a CSV row, read, sent and written", len(row.modules_of_row), MOST_MODULES),
    ]
    print(*(f"{what}: {number}, at most {bar}" for what, number, bar in measured), sep="\n")
    print(f"modules: the whole command: {len(row.modules)}")
    for caller, called in pairwise(CORE):
        print(f"{caller} calls {called} from: {', '.join(sorted(plain.places(caller, called)))}")
    if "-v" in sys.argv[1:]:
        print(*(f"{caller} -> {called}" for caller, called in sorted(kept.edges)), *row.modules_of_row, sep="\n")
    return any(number > bar for _, number, bar in measured)


if __name__ == "__main__":
    sys.exit(main())

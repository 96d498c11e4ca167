"""Workloads A, B and I: what a recipient takes, with ours and with every other contender."""

from benchmarks.case import Case, Measured
from benchmarks.contenders.one_by_one import AT_ONCE
from benchmarks.race import figure, raced, ratio
from benchmarks.report import Group, Row, at_least, at_most, without_bar
from benchmarks.scales import Scale

__all__ = ["journaled", "one_text", "own_texts"]

_TRANSPORTS = ("httpx2", "aiohttp")
_SAME_BATCHES = {
    "ours": "ours",
    "hand-written loop": "hand-written",
    "the loop with our checks": "checked",
    "bare POSTs of the same batches": "bare",
}


def one_text(scale: Scale) -> Group:
    """Workload A against every contender."""
    everyone = {"recipients": scale.one_text}
    each = {"recipients": scale.one_by_one}
    anchored = {"recipients": scale.anchored}
    cases = _with_the_same_batches(**everyone) | {
        "ours on httpx2, batches()": Case(name="ours", batches=True, **everyone),
        "ours on aiohttp, batches()": Case(name="ours", transport="aiohttp", batches=True, **everyone),
        "ours on httpx2, 8 × 50 in flight": Case(name="ours", batch_size=50, **everyone),
        "requests in 8 threads": Case(name="threads", **everyone),
        "one POST per phone on httpx": Case(name="one-by-one", transport="httpx", **each),
        "one POST per phone on httpx2": Case(name="one-by-one", transport="httpx2", **each),
        "one POST per phone on aiohttp": Case(name="one-by-one", transport="aiohttp", **each),
        "elasticsearch async_streaming_bulk": Case(name="elasticsearch", **anchored),
        "aiokafka producer": Case(name="aiokafka", **anchored),
    }
    found = raced(cases, scale.repeats)
    return Group(
        title=f"A. One text for all: {scale.one_text:,} recipients, 8 × 500 in flight "
        f"(one POST per phone: {scale.one_by_one:,}, {AT_ONCE} at once; anchors: {scale.anchored:,})",
        facts=_speeds(found),
        rows=[*_to_ref(found, (8, 3.3)), *_batches_to_ref(found), *_to_others(found)],
        measured=found,
    )


def own_texts(scale: Scale) -> Group:
    """Workload B."""
    found = raced(_with_the_same_batches(recipients=scale.own_texts, personal=True), scale.repeats)
    return Group(
        title=f"B. Everyone with a text of 120 Cyrillic characters: {scale.own_texts:,} recipients, 8 × 500 in flight",
        facts=_speeds(found),
        rows=_to_ref(found, (6, 3)),
        measured=found,
    )


def journaled(scale: Scale) -> Group:
    """Workload I."""
    cases = {
        "without": Case(name="ours", recipients=scale.journaled),
        "with a journal": Case(name="ours", recipients=scale.journaled, journal=True),
    }
    found = raced(cases, scale.repeats)
    kept, plainly = found["with a journal"], found["without"]
    more = kept.why_not or plainly.why_not or (kept.figures["cpu_ns"] - plainly.figures["cpu_ns"]) / 1e3
    return Group(
        title=f"I. A with a journal on disk: {scale.journaled:,} recipients, httpx2",
        facts=_speeds(found),
        rows=[
            at_most("CPU per recipient, over that without", more, 2.5, " µs"),
            at_most("wall time ÷ that without", ratio(kept, plainly, "wall_ns"), 1.5, " ×"),
        ],
        measured=found,
    )


def _with_the_same_batches(**options: int) -> dict[str, Case]:
    """Return the cases of contenders that send the same batches, on each HTTP library."""
    return {
        f"{said} on {library}": Case(name=name, transport=library, **options)
        for said, name in _SAME_BATCHES.items()
        for library in _TRANSPORTS
    }


def _to_ref(found: dict[str, Measured], bars: tuple[float, float]) -> list[Row]:
    """Compare ours, read one by one, with REF."""
    return [
        at_most(
            f"CPU per recipient, `async for`, {library}",
            figure(found[f"ours on {library}"], "times_ref"),
            bar,
            " × REF",
        )
        for library, bar in zip(_TRANSPORTS, bars, strict=True)
    ]


def _batches_to_ref(found: dict[str, Measured]) -> list[Row]:
    """Compare ours, read in lists, with REF."""
    return [
        at_most(
            f"CPU per recipient, `batches()`, {library}",
            figure(found[f"ours on {library}, batches()"], "times_ref"),
            bar,
            " × REF",
        )
        for library, bar in zip(_TRANSPORTS, (7.5, 2.8), strict=True)
    ]


def _to_others(found: dict[str, Measured]) -> list[Row]:
    """Compare ours with every other contender, by CPU."""
    bars = [
        ("one POST per phone on httpx", "httpx2", None),
        ("one POST per phone on httpx", "aiohttp", 1500),
        ("one POST per phone on aiohttp", "aiohttp", 150),
        ("requests in 8 threads", "httpx2", 1.7),
        ("requests in 8 threads", "aiohttp", 4),
        ("elasticsearch async_streaming_bulk", "httpx2", None),
        ("elasticsearch async_streaming_bulk", "aiohttp", 10),
        ("aiokafka producer", "httpx2", None),
        ("aiokafka producer", "aiohttp", 5),
    ]
    rows: list[Row] = []
    for library in _TRANSPORTS:
        by_hand = _cpu_ratio(found, f"ours on {library}", f"hand-written loop on {library}")
        checked = _cpu_ratio(found, f"ours on {library}", f"the loop with our checks on {library}")
        rows += [at_most(*by_hand, 1.25, " ×"), without_bar(*checked, " ×")]
    rows.append(without_bar(*_cpu_ratio(found, "ours on httpx2, 8 × 50 in flight", "ours on httpx2"), " ×"))
    for other, library, bar in bars:
        rows.append(_against(found, other, f"ours on {library}", bar))
        if bar is not None:
            rows.append(_against(found, other, f"hand-written loop on {library}", None))
    return rows


def _against(found: dict[str, Measured], other: str, whose: str, bar: float | None) -> Row:
    """Compare another contender with *whose*."""
    what, times = _cpu_ratio(found, other, whose)
    digits = 1 if isinstance(times, float) and times < 100 else 0
    return without_bar(what, times, " ×", digits) if bar is None else at_least(what, times, bar, " ×", digits)


def _cpu_ratio(found: dict[str, Measured], above: str, below: str) -> tuple[str, float | str]:
    """Return what one takes over what the other takes, each in multiples of its own process's REF, and its name."""
    return f"CPU of {above} ÷ {below}", ratio(found[above], found[below], "times_ref")


def _speeds(found: dict[str, Measured]) -> list[list[str]]:
    """Return the table of what each contender took."""
    head = ["contender", "CPU ns per recipient", "× REF", "wall ns", "recipients/s", "peak over idle, MiB"]
    return [head, *(_speed(name, measured) for name, measured in found.items())]


def _speed(name: str, measured: Measured) -> list[str]:
    """Return one contender's line of it."""
    if measured.why_not:
        return [name, "–", "–", "–", "–", "–"]
    of = measured.figures
    numbers = [f"{of[key]:,.0f}" for key in ("cpu_ns", "wall_ns", "recipients_per_second")]
    return [name, numbers[0], f"{of['times_ref']:,.1f}", numbers[1], numbers[2], f"{of['peak_mib']:.1f}"]

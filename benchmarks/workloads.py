"""The workloads, and the bars that they are held against. Bars are printed, and never asserted in a test."""

from collections.abc import Callable

from benchmarks.case import Case, Measured
from benchmarks.contenders.one_by_one import AT_ONCE
from benchmarks.race import figure, raced, ratio
from benchmarks.report import Group, Row, at_least, at_most
from benchmarks.scales import Scale

__all__ = ["PROFILED", "WORKLOADS"]

_TRANSPORTS = ("httpx2", "aiohttp")
_IN_FLIGHT = 8
_LATENCY = 0.2  # seconds
_CALL_LATENCY = 0.02
_LINGER = 0.005
_CALLERS = (1, 50, 500)
_MOST_IN_FLIGHT = 64  # of single calls: httpx2's pool takes its time with more
_SMALLEST_LINGER_RUN = 10_000  # calls; a POST carries hundreds of them


def one_text(scale: Scale) -> Group:
    """Workload A against everybody."""
    everyone = {"recipients": scale.one_text}
    each = {"recipients": scale.one_by_one}
    anchored = {"recipients": scale.anchored}
    cases = {
        "ours on httpx2": Case(name="ours", **everyone),
        "ours on httpx2, batches()": Case(name="ours", batches=True, **everyone),
        "ours on aiohttp": Case(name="ours", transport="aiohttp", **everyone),
        "ours on aiohttp, batches()": Case(name="ours", transport="aiohttp", batches=True, **everyone),
        "hand-written loop on httpx2": Case(name="hand-written", **everyone),
        "hand-written loop on aiohttp": Case(name="hand-written", transport="aiohttp", **everyone),
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
    by_hand = [
        at_most(
            f"CPU of ours on {library} ÷ hand-written loop on {library}",
            ratio(found[f"ours on {library}"], found[f"hand-written loop on {library}"], "times_ref"),
            1.25,
            " ×",
        )
        for library in _TRANSPORTS
    ]
    return [*by_hand, *(_against(found, other, library, bar) for other, library, bar in bars)]


def _against(found: dict[str, Measured], other: str, library: str, bar: float | None) -> Row:
    """Compare another contender with ours on *library*."""
    what = f"CPU of {other} ÷ ours on {library}"
    times = ratio(found[other], found[f"ours on {library}"], "times_ref")
    digits = 1 if isinstance(times, float) and times < 100 else 0
    return _plain_row(what, times, " ×", digits) if bar is None else at_least(what, times, bar, " ×", digits)


def _plain_row(what: str, value: float | str, unit: str, digits: int = 2) -> Row:
    """Return a row without a bar."""
    return Row(what, "", value if isinstance(value, str) else f"{value:,.{digits}f}{unit}", "")


def _speeds(found: dict[str, Measured]) -> list[list[str]]:
    """Return the table of what everybody took."""
    head = ["contender", "CPU ns per recipient", "× REF", "wall ns", "recipients/s", "peak over idle, MiB"]
    return [head, *(_speed(name, measured) for name, measured in found.items())]


def _speed(name: str, measured: Measured) -> list[str]:
    """Return one contender's line of it."""
    if measured.why_not:
        return [name, "–", "–", "–", "–", "–"]
    of = measured.figures
    numbers = [f"{of[key]:,.0f}" for key in ("cpu_ns", "wall_ns", "recipients_per_second")]
    return [name, numbers[0], f"{of['times_ref']:,.1f}", numbers[1], numbers[2], f"{of['peak_mib']:.1f}"]


def own_texts(scale: Scale) -> Group:
    """Workload B."""
    options = {"recipients": scale.own_texts, "personal": True}
    cases = {f"ours on {library}": Case(name="ours", transport=library, **options) for library in _TRANSPORTS} | {
        f"hand-written loop on {library}": Case(name="hand-written", transport=library, **options)
        for library in _TRANSPORTS
    }
    found = raced(cases, scale.repeats)
    return Group(
        title=f"B. Everyone with a text of 120 Cyrillic characters: {scale.own_texts:,} recipients, 8 × 500 in flight",
        facts=_speeds(found),
        rows=_to_ref(found, (6, 3)),
        measured=found,
    )


def slow_gateway(scale: Scale) -> Group:
    """Workload C."""
    bars = {"httpx2": (0.95, 0.90, 0.70), "aiohttp": (0.95, 0.95, 0.88)}
    limits = (8, 32, 128)
    cases = {
        f"{limit} in flight, {library}": Case(
            name="pace",
            transport=library,
            in_flight=limit,
            batch_size=1_000,
            latency=_LATENCY,
            recipients=limit * 1_000 * scale.rounds,
            seconds=scale.seconds,
        )
        for library in _TRANSPORTS
        for limit in limits
    }
    found = raced(cases, 1)
    first = raced({"first result": Case(name="first result", latency=_LATENCY)}, 1)
    wanted = [
        (f"{limit} in flight, {library}", bar)
        for library in bars
        for limit, bar in zip(limits, bars[library], strict=True)
    ]
    return Group(
        title="C. A gateway that answers after 200 ms: batches of 1,000; share of in flight × batch ÷ latency",
        facts=_paces(found),
        rows=[
            *(at_least(f"{name}, once all are under way", figure(found[name], "share"), bar) for name, bar in wanted),
            *(
                at_least(
                    f"{name}, whole campaign of {cases[name].recipients:,}", figure(found[name], "whole_share"), bar
                )
                for name, bar in wanted
            ),
            at_most("first result, after the latency", figure(first["first result"], "after_latency_ms"), 30, " ms", 1),
            at_most(
                "first result, after one round trip", figure(first["first result"], "after_round_trip_ms"), 20, " ms", 1
            ),
        ],
        measured=found | first,
    )


def _paces(found: dict[str, Measured]) -> list[list[str]]:
    """Return the table behind C."""
    head = ["", "recipients/s", "core busy", "seconds until all were under way"]
    lines = [
        [name, f"{of['recipients_per_second']:,.0f}", f"{of['core_busy']:.0%}", f"{of['opened_seconds']:.1f}"]
        for name, measured in found.items()
        if (of := measured.figures)
    ]
    return [head, *lines]


def stragglers(scale: Scale) -> Group:
    """Workload D."""
    wanted = [(library, limit, bar) for library in _TRANSPORTS for limit, bar in ((8, 0.80), (32, 0.75))]
    cases = {
        (kind, library, limit): Case(
            name=kind,
            transport=library,
            in_flight=limit,
            latency=_LATENCY / 2,
            slow_share=0.05,
            slow_factor=10,
            recipients=limit * 500 * scale.rounds * 2,
            seconds=scale.seconds * 2,
        )
        for kind in ("pace", "campaign")
        for library, limit, _ in wanted
    }
    found = raced({", ".join(map(str, key)): case for key, case in cases.items()}, 1)
    rows = [
        at_least(
            f"{limit} in flight, {library}, once all are under way",
            figure(found[f"pace, {library}, {limit}"], "share"),
            bar,
        )
        for library, limit, bar in wanted
    ] + [
        at_least(
            f"{limit} in flight, {library}, whole campaign of {limit * 500 * scale.rounds * 2:,}",
            figure(found[f"campaign, {library}, {limit}"], "whole_share"),
            bar,
        )
        for library, limit, bar in wanted
    ]
    return Group(
        title="D. 5 % of the answers take 1 s instead of 100 ms: share of in flight × batch ÷ mean latency",
        rows=rows,
        measured=found,
    )


def slow_reader(scale: Scale) -> Group:
    """Workload E."""
    found = raced({"slow reader": Case(name="slow reader", recipients=scale.slow_batches * 500, pause=0.02)}, 1)
    [measured] = found.values()
    return Group(
        title=f"E. A reader that takes 20 ms for a batch: {scale.slow_batches * 500:,} recipients, 8 × 500 in flight",
        rows=[
            at_most(
                "batches taken from the source ahead of the reader",
                figure(measured, "batches_ahead"),
                _IN_FLIGHT,
                "",
                1,
            ),
            at_most("growth of memory from the first quarter to the end", figure(measured, "growth_mib"), 1, " MiB"),
            at_least("throughput ÷ the reader's own", figure(measured, "of_reader"), 0.9, " ×"),
        ],
        measured=found,
    )


def memory(scale: Scale) -> Group:
    """Workload F."""
    cases = {f"{count:,}": Case(name="memory", recipients=count) for count in scale.counts}
    found = raced(cases, 1)
    least, *_, most = found
    difference = figure(found[most], "over_idle_mib")
    base = figure(found[least], "over_idle_mib")
    more = difference - base if isinstance(difference, float) and isinstance(base, float) else str(difference)
    return Group(
        title="F. Recipients out of a generator: peak memory over an idle client",
        facts=[["recipients", "MiB"], *([name, f"{figure(one, 'over_idle_mib'):.1f}"] for name, one in found.items())],
        rows=[at_most(f"{most} recipients against {least}", more, 2, " MiB")],
        measured=found,
    )


def blocked_loop(scale: Scale) -> Group:
    """Workload G."""
    case = Case(name="blocked loop", recipients=scale.blocked_batches * 500, latency=0.1, pause=0.6)
    found = raced({"blocked loop": case}, 1)
    [measured] = found.values()
    return Group(
        title="G. The event loop blocked for 600 ms again and again; time-out 300 ms, gateway 100 ms",
        rows=[
            at_most("false time-outs", figure(measured, "false_timeouts"), 0, "", 0),
            _plain_row("times the loop was blocked", figure(measured, "blocks"), "", 0),
            _plain_row("requests repeated", figure(measured, "retries"), "", 0),
            _plain_row("recipients unknown", figure(measured, "unknown"), "", 0),
        ],
        measured=found,
    )


def single_calls(scale: Scale) -> Group:
    """Workload H."""
    cases: dict[str, Case] = {}
    for callers in _CALLERS:
        calls = scale.calls if callers > 1 else scale.calls // 5
        options = {"callers": callers, "in_flight": min(callers, _MOST_IN_FLIGHT), "recipients": calls}
        cases[f"send, callers: {callers}"] = Case(name="calls", latency=_CALL_LATENCY, **options)
        cases[f"bare httpx2, callers: {callers}"] = Case(name="bare calls", latency=_CALL_LATENCY, **options)
    many = {"callers": 500, "in_flight": _MOST_IN_FLIGHT, "recipients": max(_SMALLEST_LINGER_RUN, scale.calls)}
    cases["send with linger, callers: 500"] = Case(name="calls", latency=_CALL_LATENCY, linger=_LINGER, **many)
    found = raced(cases, scale.repeats)
    linger = found["send with linger, callers: 500"]
    over = linger.why_not or linger.figures["p50_ms"] - _CALL_LATENCY * 1e3
    return Group(
        title=f"H. One send() at a time: {scale.calls:,} calls, gateway 20 ms, at most {_MOST_IN_FLIGHT} in flight",
        facts=_calls(found),
        rows=[
            *(
                at_most(
                    f"CPU per call ÷ bare httpx2 POST, callers: {callers}",
                    ratio(found[f"send, callers: {callers}"], found[f"bare httpx2, callers: {callers}"], "cpu_us"),
                    1.3,
                    " ×",
                )
                for callers in _CALLERS
            ),
            at_least(
                "linger=0.005, 500 callers: calls per CPU second ÷ without",
                ratio(linger, found["send, callers: 500"], "calls_per_cpu_second"),
                15,
                " ×",
                1,
            ),
            at_most("linger=0.005, 500 callers: p50 over the gateway's latency", over, _LINGER * 1e3 + 10, " ms", 1),
        ],
        measured=found,
    )


def _calls(found: dict[str, Measured]) -> list[list[str]]:
    """Return the table behind H."""
    head = ["", "CPU µs per call", "calls/s", "p50 ms", "p99 ms"]
    lines = [
        [name, f"{of['cpu_us']:,.0f}", f"{of['calls_per_second']:,.0f}", f"{of['p50_ms']:,.1f}", f"{of['p99_ms']:,.1f}"]
        for name, measured in found.items()
        if (of := measured.figures)
    ]
    return [head, *lines]


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


def import_time(_scale: Scale) -> Group:
    """Measure what the import takes."""
    found = raced({"imports": Case(name="imports")}, 1)
    [measured] = found.values()
    return Group(
        title="Import: a fresh process, without the start of Python",
        facts=[
            ["", "ms"],
            ["webcom_async", f"{figure(measured, 'ours_ms'):.0f}"],
            ["httpx2, anyio, msgspec, tenacity", f"{figure(measured, 'dependencies_ms'):.0f}"],
        ],
        rows=[at_most("import webcom_async ÷ its four dependencies", figure(measured, "times"), 1.15, " ×")],
        measured=found,
    )


WORKLOADS: dict[str, Callable[[Scale], Group]] = {
    "A": one_text,
    "B": own_texts,
    "C": slow_gateway,
    "D": stragglers,
    "E": slow_reader,
    "F": memory,
    "G": blocked_loop,
    "H": single_calls,
    "I": journaled,
    "import": import_time,
}

PROFILED: dict[str, Case] = {
    "A": Case(name="ours"),
    "B": Case(name="ours", personal=True, recipients=20_000),
    "C": Case(name="campaign", in_flight=8, batch_size=1_000, latency=_LATENCY, recipients=200_000),
    "H": Case(name="calls", callers=50, in_flight=50, recipients=1_000),
    "I": Case(name="ours", journal=True, recipients=50_000),
}
"""What our client does in workloads whose profile says something."""

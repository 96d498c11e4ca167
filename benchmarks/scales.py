"""How much is measured."""

import msgspec

__all__ = ["SCALES", "Scale"]


class Scale(msgspec.Struct, frozen=True, kw_only=True):
    """
    How much is measured.

    Attributes:
        name: What it is called.
        repeats: Runs of each contender, of which the median counts.
        one_text: Recipients of workload A.
        own_texts: Recipients of workload B.
        journaled: Recipients of workload I.
        one_by_one: Recipients for contenders that send a POST for each.
        anchored: Items for other servers' clients.
        rounds: Rounds of requests in a campaign of workloads C and D, if all were in flight from the start.
        seconds: Seconds that the pace is measured once all requests are in flight.
        slow_batches: Batches for the slow reader.
        blocked_batches: Batches while the event loop is blocked.
        calls: Calls of `send`.
        counts: Recipients of the campaigns whose memory is compared.
    """

    name: str
    repeats: int
    one_text: int
    own_texts: int
    journaled: int
    one_by_one: int
    anchored: int
    rounds: int
    seconds: float
    slow_batches: int
    blocked_batches: int
    calls: int
    counts: tuple[int, ...]


SCALES = {
    "quick": Scale(
        name="quick",
        repeats=5,
        one_text=100_000,
        own_texts=50_000,
        journaled=100_000,
        one_by_one=1_000,
        anchored=50_000,
        rounds=25,
        seconds=3.0,
        slow_batches=200,
        blocked_batches=160,
        calls=1_500,
        counts=(10_000, 100_000, 1_000_000),
    ),
    "long": Scale(
        name="long",
        repeats=5,
        one_text=1_000_000,
        own_texts=200_000,
        journaled=1_000_000,
        one_by_one=5_000,
        anchored=200_000,
        rounds=100,
        seconds=10.0,
        slow_batches=1_000,
        blocked_batches=800,
        calls=5_000,
        counts=(10_000, 100_000, 1_000_000, 10_000_000),
    ),
}

"""The number of runs of everything that is measured."""

import msgspec

__all__ = ["DEFAULT", "LONG", "SCALES", "TINY", "Scale"]


class Scale(msgspec.Struct, frozen=True, kw_only=True):
    """
    The number of runs of everything that is measured.

    Attributes:
        seeds: Runs per kind of fault, per moment and per event loop.
        storms: Random sequences of runs.
        kills: Processes killed.
        copies: Journals cut.
        step: Turns of the event loop from one cancellation to the next, where there is a journal or a socket.
        last_step: The turn at which to stop; None to go on until a run completes.
        answers: Malformed answers.
        batches: Batches in a campaign whose requests are counted.
        refusals: Campaigns per kind of refusal of the account.
        recipients: Recipients of the campaign whose memory is measured.
        deliveries: SMS that are tracked.
        bodies: Mutated webhook bodies.
        singles: Single sends in bursts.
        surplus: Sends per HTTP library, event loop and scheme to a server that sends more than an answer.
        sources: Campaigns whose source sets a context variable, or is left early.
        calls: Storms of equal calls.
        readings: Campaigns whose journals are read while they run.
        repeats: Campaigns at a gateway that cuts ids.
        outputs: Commands whose outputs fail.
        silences: Campaigns per kind of a gateway's silence and event loop; half as many per step of a database's.
        limits: Single sends, and requests of a campaign, at a gateway that refuses some.
    """

    seeds: int
    storms: int
    kills: int
    copies: int
    step: int
    last_step: int | None = None
    answers: int
    batches: int
    refusals: int
    recipients: int
    deliveries: int
    bodies: int
    singles: int
    surplus: int
    sources: int
    calls: int
    readings: int
    repeats: int
    outputs: int
    silences: int
    limits: int


TINY: Scale = Scale(
    seeds=1,
    storms=4,
    kills=2,
    copies=6,
    step=40,
    last_step=80,
    answers=500,
    batches=40,
    refusals=2,
    recipients=2_000,
    deliveries=400,
    bodies=2_000,
    singles=400,
    surplus=30,
    sources=20,
    calls=10,
    readings=1,
    repeats=4,
    outputs=2,
    silences=1,
    limits=400,
)
DEFAULT: Scale = Scale(
    seeds=20,
    storms=400,
    kills=400,
    copies=300,
    step=6,
    answers=100_000,
    batches=2_000,
    refusals=20,
    recipients=200_000,
    deliveries=100_000,
    bodies=1_000_000,
    singles=10_000,
    surplus=1_000,
    sources=1_000,
    calls=1_000,
    readings=40,
    repeats=100,
    outputs=40,
    silences=10,
    limits=2_000,
)
LONG: Scale = Scale(
    seeds=200,
    storms=3_000,
    kills=1_000,
    copies=3_000,
    step=1,
    answers=1_000_000,
    batches=20_000,
    refusals=200,
    recipients=1_000_000,
    deliveries=1_000_000,
    bodies=5_000_000,
    singles=100_000,
    surplus=10_000,
    sources=10_000,
    calls=10_000,
    readings=400,
    repeats=1_000,
    outputs=400,
    silences=100,
    limits=10_000,
)
SCALES: dict[str, Scale] = {"tiny": TINY, "default": DEFAULT, "long": LONG}

"""Every accepted SMS is tracked to a terminal state, although reports are repeated, early, lost and out of order."""

import tempfile
from collections import Counter
from pathlib import Path

import anyio

from tests.builders import FIRST_ID_SMS, Travel, numbered_gateway, phones
from tests.reliability.runs import SALE
from tests.reliability.scales import Scale
from tests.reliability.table import Row
from webcom_async import DeliveryState, TrackReport, WebcomClient
from webcom_async.emulator import AppPost, Gateway, GatewayTransport, Scenario, Step, push
from webcom_async.webhooks import ReportFile, WebhookApp

__all__ = ["measure", "resident"]

_SECRET = "a-secret-of-23-letters."
_READ = Scenario((Step(5, "deliver"), Step(30, "read")))
_EXPIRED = Scenario((Step(60, "expired"),))
_RUNS = 4  # the tracking is left three times, and resumed
_STATES = list(DeliveryState)  # the first of them is not final
_BAR = 60.0  # MiB
_MIB = 1 << 20


class _Followed:
    """
    The latest state of each SMS, in a byte for each, apart from the tracker's memory.

    Attributes:
        ended: SMS in a terminal state.
        peak: The most memory that was in use, in MiB.
        wrong: SMS that left a terminal state.
    """

    def __init__(self, count: int) -> None:
        self.ended = 0
        self.peak = 0.0
        self.wrong = 0
        self._final = bytearray(count)

    @property
    def states(self) -> Counter[str]:
        """SMS per terminal state."""
        return Counter({_STATES[place].value: self._final.count(place) for place in set(self._final) if place})

    async def follow(self, client: WebcomClient, journal: Path, reports: Path, leave_after: int | None) -> TrackReport:
        """Track, and leave when *leave_after* SMS are in a terminal state, if that is given."""
        async with client.track(journal, campaign=SALE["campaign"], reports=reports) as changes:
            async for change in changes:
                self._take(int(change.report.id_sms) - FIRST_ID_SMS, change.report.state)
                if leave_after is not None and self.ended >= leave_after:
                    break
            return changes.report

    def _take(self, number: int, state: DeliveryState) -> None:
        before = _STATES[self._final[number]]
        if before.final:
            self.wrong += state is not before and (before, state) != (DeliveryState.DELIVER, DeliveryState.READ)
        if state.final:
            self.ended += not before.final
            self._final[number] = _STATES.index(state)
        if not self.ended % 1_000:
            self.peak = max(self.peak, resident())


def measure(scale: Scale, seed: int) -> list[Row]:
    """Send, receive and track, and compare the states with those of the gateway."""
    with tempfile.TemporaryDirectory() as folder:
        return [anyio.run(_track, scale.deliveries, seed, Path(folder))]


async def _track(count: int, seed: int, folder: Path) -> Row:
    time = Travel()
    gateway = _gateway(time, seed)
    followed = _Followed(count)
    async with (
        ReportFile(folder / "reports.db", clock=time.clock()) as store,
        WebcomClient(
            token=gateway.token,
            base_url="http://127.0.0.1",
            transport=GatewayTransport(gateway),
            clock=time.clock(),
        ) as client,
    ):
        post = gateway.push = AppPost(WebhookApp(store, secret=_SECRET), f"/{_SECRET}")
        await client.send_all(phones(count), journal=folder / "journal", **SALE)
        gateway.push = None
        early = len((await store.after(0, count))[1])
        time.meanwhile = lambda: push(gateway.webhooks, post)
        gateway.ledger.find("")  # its index is the gateway's memory
        before = resident()
        for run in range(1, _RUNS + 1):
            leave_after = None if run == _RUNS else count * run // _RUNS
            report = await followed.follow(client, folder / "journal", folder / "reports.db", leave_after)
    over = max(0.0, followed.peak - before)
    lost = len(gateway.ledger) - followed.ended
    untrue = _arrived(gateway, time) != _merged(followed.states)
    untrue += report.final != count
    return Row(
        "SMS tracked to the end by webhooks, 30 % repeated, 10 % early, 5 % lost; left three times",
        f"{count:,} SMS, {gateway.webhooks.offered:,} reports, {early:,} before the answer",
        f"0 each, {_BAR:.0f} MiB",
        f"{lost} lost, {followed.wrong} went back, {int(untrue)} counts untrue, {report.requests:,} questions in the "
        f"last run, {over:.1f} MiB",
        ok=not lost and not followed.wrong and not untrue and over <= _BAR,
    )


def _gateway(time: Travel, seed: int) -> Gateway:
    gateway = numbered_gateway(now=time.now, seed=seed)
    gateway.scenarios.sometimes(0.1, _EXPIRED)
    gateway.scenarios.sometimes(0.2, _READ)
    hooks = gateway.webhooks
    hooks.enabled, hooks.repeated, hooks.early, hooks.lost, hooks.jitter = True, 0.3, 0.1, 0.05, 60.0
    return gateway


def _arrived(gateway: Gateway, time: Travel) -> Counter[str]:
    return _merged(Counter(gateway.scenarios.state(sms, time.now())[0] for sms in gateway.ledger.sent))


def _merged(states: Counter[str]) -> Counter[str]:
    """Return *states* with `read` counted as delivered: tracking does not ask for a `read` whose report is lost."""
    return Counter({"deliver": states["deliver"] + states["read"], "expired": states["expired"]})


def resident() -> float:
    """Return the memory that this process uses now, in MiB; 0 where the system does not report it."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return 0.0
    return pages * 4_096 / _MIB

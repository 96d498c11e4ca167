"""How fast a campaign of many workers goes: from one look at its store to the next."""

from collections import deque
from collections.abc import AsyncGenerator

from webcom_async._domain.clock import Clock
from webcom_async.scaleout import CampaignState, CampaignStatus, CampaignStore

__all__ = ["ENDED", "looks"]

#: What a campaign does not come out of by itself.
ENDED = frozenset({CampaignState.FINISHED, CampaignState.CANCELLED, CampaignState.HALTED})

_EVERY = 0.25  # seconds between two looks
_SPAN = 40  # looks that a speed is taken over


async def looks(
    store: CampaignStore, campaign: str, clock: Clock | None = None
) -> AsyncGenerator[tuple[CampaignStatus, float | None]]:
    """
    Yield status and speed, in recipients per second, until the campaign has ended.

    The speed is that of the last seconds; None with the first look.
    """
    clock = clock or Clock()
    seen: deque[tuple[float, int]] = deque(maxlen=_SPAN)
    while True:
        status = await store.status(campaign)
        seen.append((clock.monotonic(), sum(status.outcomes.values())))
        yield status, _speed(seen)
        if status.state in ENDED:
            return
        await clock.sleep(_EVERY)


def _speed(seen: deque[tuple[float, int]]) -> float | None:
    (began, first), (now, last) = seen[0], seen[-1]
    return (last - first) / (now - began) if now > began else None

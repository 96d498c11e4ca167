"""What an operator is shown of a campaign and a worker: a sentence for each event that may need a hand, on stderr."""

from contextvars import copy_context

from webcom_async._cli.ui.console import say_aside
from webcom_async._cli.ui.translations import tr
from webcom_async.events import (
    CampaignHalted,
    CampaignMissing,
    CampaignsAwaited,
    CampaignsNotStarted,
    CampaignsUnseen,
    EngineVersionAwaited,
    Event,
    GatewayAway,
    GatewayBack,
    OverseerFailed,
    OverseerSilent,
    ShardFailed,
    ShardGivenBack,
    ShardLost,
    StoreAwaited,
    StoreAway,
    StoreBack,
)

__all__ = ["GatewayMessages", "WorkerMessages"]


class GatewayMessages:
    """An observer that shows when a campaign waits for the gateway, and when it goes on."""

    def __init__(self) -> None:
        # The tasks of an engine do not have the language in their context.
        self._context = copy_context()

    def __call__(self, event: Event) -> None:
        sentence = self._context.copy().run(_of_gateway, event)
        if sentence is not None:
            say_aside(sentence)


class WorkerMessages:
    """An observer that shows the events of a worker; the same sentence about one campaign or store is shown once."""

    def __init__(self) -> None:
        # The engine's tasks do not have the language in their context.
        self._context = copy_context()
        self._latest: dict[str, str] = {}

    def __call__(self, event: Event) -> None:
        sentence = self._context.copy().run(_sentence, event)
        if sentence is None:
            return
        about = _about(event)
        # Calls that wait for one store meet it in different words.
        token = event.name if isinstance(event, StoreAway | StoreBack) else sentence
        if token != self._latest.get(about):
            self._latest[about] = token
            say_aside(sentence)


def _about(event: Event) -> str:
    """Return an empty text for all campaigns."""
    return str(getattr(event, "campaign", getattr(event, "store", "")))


def _sentence(event: Event) -> str | None:
    match event:
        case StoreAway(store=store, error=error):
            return tr("{store} cannot be reached just now; waiting for it ({error})", store=store, error=error)
        case StoreBack(store=store):
            return tr("{store} is reached again", store=store)
        case StoreAwaited(error=error):
            return tr("still waiting: {error}", error=error)
        case CampaignsUnseen(error=error):
            return tr("it could not be looked at which campaigns run: {error}", error=error)
        case CampaignsNotStarted(error=error):
            return tr("not started: {error}", error=error)
        case _:
            return _of_shard(event) or _of_campaign(event) or _of_waiting(event) or _of_gateway(event)


def _of_gateway(event: Event) -> str | None:
    match event:
        case GatewayAway(campaign=campaign, error=error, patience=patience):
            return tr(
                "{campaign}: waiting for the gateway, for {seconds} s at most ({error})",
                campaign=campaign,
                seconds=f"{patience:,.0f}" if patience >= 1 else f"{patience:g}",
                error=error,
            )
        case GatewayBack(campaign=campaign):
            return tr("{campaign}: the gateway answers again", campaign=campaign)
        case _:
            return None


def _of_shard(event: Event) -> str | None:
    match event:
        case ShardGivenBack(campaign=campaign, shard=shard, error=error):
            return tr(
                "{campaign}, shard {shard}: given back, because it cannot be sent from here now: {error}",
                campaign=campaign,
                shard=shard,
                error=error,
            )
        case ShardLost(campaign=campaign, shard=shard, error=error):
            return tr("{campaign}, shard {shard}: given up: {error}", campaign=campaign, shard=shard, error=error)
        case ShardFailed(campaign=campaign, error=error):
            return tr("{campaign}: not sent from here: {error}", campaign=campaign, error=error)
        case _:
            return None


def _of_campaign(event: Event) -> str | None:
    match event:
        case CampaignHalted(campaign=campaign, why=why):
            return tr("{campaign}: halted: {error}", campaign=campaign, error=why)
        case OverseerFailed(campaign=campaign, error=error):
            return tr(
                "{campaign}: its shards could not be handed out, which is tried again: {error}",
                campaign=campaign,
                error=error,
            )
        case OverseerSilent(campaign=campaign):
            return tr(
                "{campaign}: nothing is heard of the worker that oversees it; another one does from now on",
                campaign=campaign,
            )
        case _:
            return None


def _of_waiting(event: Event) -> str | None:
    match event:
        case CampaignsAwaited():
            return tr("no campaign is running here; waiting for one")
        case CampaignMissing(campaign=campaign):
            return tr(
                "{campaign}: not in the store any more: it was purged, or the server is another, empty one, as after a "
                "failover; restore the store, or start the campaign again",
                campaign=campaign,
            )
        case EngineVersionAwaited(campaign=campaign, version=version, own_version=own):
            return tr(
                "{campaign}: waiting for a worker of engine version {version}, because it was started by another "
                "release; this worker has version {own}: run workers of that release to its end",
                campaign=campaign,
                version=version,
                own=own,
            )
        case _:
            return None

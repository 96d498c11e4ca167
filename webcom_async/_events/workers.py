"""Events of campaigns of many workers, and of their stores."""

from webcom_async._events.base import ERROR, WARNING, Event

__all__ = [
    "BatchNotNoted",
    "CampaignMissing",
    "CampaignsAwaited",
    "CampaignsNotStarted",
    "CampaignsUnseen",
    "EngineVersionAwaited",
    "LeaseNotGivenBack",
    "OverseerFailed",
    "OverseerSilent",
    "ShardEnded",
    "ShardFailed",
    "ShardGivenBack",
    "ShardLost",
    "ShardTaken",
    "ShardTakenOver",
    "StoreAwaited",
    "StoreAway",
    "StoreBack",
]


class StoreAway(Event, frozen=True):
    """
    A database server cannot be reached; the call waits and retries.

    Attributes:
        store: The server: host, port and database.
        error: The failure in words.
    """

    level = WARNING
    sentence = "{store} cannot be reached: {error}"
    store: str
    error: str


class StoreBack(Event, frozen=True):
    """
    A database server is reached again.

    Attributes:
        store: The server: host, port and database.
    """

    sentence = "{store} is reached again"
    store: str


class StoreAwaited(Event, frozen=True, tag="store_unavailable"):
    """
    A store could not be reached for longer than a call waits; a worker makes the call again.

    Attributes:
        error: The failure in words.
    """

    level = WARNING
    sentence = "the store is unavailable: {error}"
    error: str


class ShardTaken(Event, frozen=True):
    """
    A worker has acquired the lease of a shard.

    Attributes:
        campaign: The campaign's name.
        shard: The shard's number.
        token: The lease's token.
    """

    sentence = "campaign {campaign}, shard {shard}: lease {token} is acquired"
    campaign: str
    shard: int
    token: int


class ShardTakenOver(Event, frozen=True):
    """
    The lease that a worker has acquired replaces one that had expired. Emitted after `ShardTaken`.

    Attributes:
        campaign: The campaign's name.
        shard: The shard's number.
        token: The new lease's token.
        holder: The worker whose lease was revoked; it may be this worker, restarted.
    """

    level = WARNING
    sentence = "campaign {campaign}, shard {shard}: lease {token} replaces that of {holder}"
    campaign: str
    shard: int
    token: int
    holder: str


class ShardLost(Event, frozen=True, tag="lease_lost"):
    """
    A worker has lost the lease of a shard, and sends no more of it.

    Attributes:
        campaign: The campaign's name.
        shard: The shard's number.
        error: The cause in words.
    """

    level = WARNING
    sentence = "campaign {campaign}, shard {shard}: {error}"
    campaign: str
    shard: int
    error: str


class ShardGivenBack(Event, frozen=True):
    """
    A worker cannot send a shard now, and releases it for other workers.

    Attributes:
        campaign: The campaign's name.
        shard: The shard's number.
        error: The cause in words.
    """

    level = WARNING
    sentence = "campaign {campaign}, shard {shard}: given back, because it cannot be sent from here now: {error}"
    campaign: str
    shard: int
    error: str


class ShardEnded(Event, frozen=True):
    """
    A worker has ended its work on a shard.

    Attributes:
        campaign: The campaign's name.
        shard: The shard's number.
        ending: The value of its `ShardOutcome`.
    """

    sentence = "campaign {campaign}, shard {shard}: ended, {ending}"
    campaign: str
    shard: int
    ending: str


class ShardFailed(Event, frozen=True):
    """
    A worker cannot send a shard at all, such as a worker whose settings differ from the campaign's.

    Attributes:
        campaign: The campaign's name.
        shard: The shard's number.
        error: The cause in words.
    """

    level = ERROR
    sentence = "campaign {campaign}, shard {shard}: not sent from here: {error}"
    campaign: str
    shard: int
    error: str


class LeaseNotGivenBack(Event, frozen=True):
    """
    A store could not be reached when a worker released a lease; the lease expires.

    Attributes:
        campaign: The campaign's name.
        shard: The shard's number.
    """

    sentence = "campaign {campaign}, shard {shard}: the lease is not given back, and will expire"
    campaign: str
    shard: int


class BatchNotNoted(Event, frozen=True):
    """
    A store was unreachable when a batch was cut short; the journal has its results, and the next attempt counts it.

    Attributes:
        campaign: The campaign's name.
        shard: The shard's number.
    """

    sentence = "campaign {campaign}, shard {shard}: the counts of a batch are not noted"
    campaign: str
    shard: int


class OverseerSilent(Event, frozen=True):
    """
    The workflow that dispatches a campaign's shards is silent; another process replaces it.

    Attributes:
        campaign: The campaign's name.
    """

    level = WARNING
    sentence = "campaign {campaign}: its scheduler is silent, and is replaced"
    campaign: str


class OverseerFailed(Event, frozen=True):
    """
    The shards of a campaign could not be dispatched; this is retried.

    Attributes:
        campaign: The campaign's name.
        error: The type of the failure, and its message.
    """

    level = WARNING
    sentence = "campaign {campaign}: its shards could not be handed out: {error}"
    campaign: str
    error: str


class CampaignsUnseen(Event, frozen=True):
    """
    A worker could not list the running campaigns; this is retried.

    Attributes:
        error: The failure in words.
    """

    level = WARNING
    sentence = "the running campaigns could not be listed: {error}"
    error: str


class CampaignsNotStarted(Event, frozen=True):
    """
    Campaigns could not be started; this is retried.

    Attributes:
        error: The failures in words.
    """

    level = WARNING
    sentence = "campaigns could not be started: {error}"
    error: str


class CampaignsAwaited(Event, frozen=True):
    """A worker finds no running campaign in its store, and waits for one."""

    sentence = "no campaign is running; waiting for one"


class CampaignMissing(Event, frozen=True):
    """
    A campaign that was running is not in the store any more: it was purged, or the server is another one.

    Attributes:
        campaign: The campaign's name.
    """

    level = WARNING
    sentence = "campaign {campaign} is not in the store any more: it was purged, or the server is another, empty one"
    campaign: str


class EngineVersionAwaited(Event, frozen=True):
    """
    A campaign was started for workers of another engine version, and waits for one of those.

    Attributes:
        campaign: The campaign's name.
        version: The version of the engine that it waits for.
        own_version: This worker's version.
    """

    level = WARNING
    sentence = "campaign {campaign} waits for a worker of engine version {version}; this one has {own_version}"
    campaign: str
    version: str
    own_version: str

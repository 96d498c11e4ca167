"""
Events: what happens while the library works, as frozen structs for metrics, traces and messages.

    def count(event: Event) -> None:
        match event:
            case BatchSettled(accepted=accepted):
                sent.inc(accepted)

    client = WebcomClient(token=…, observers=[count])

An observer is a plain function. It runs in the event loop, so it must be quick; its exceptions are logged once and do
not affect sending. `str(event)` is a sentence, `event.fields` a dict, `msgspec.json.encode(event)` a line of JSON. The
logger `webcom_async` logs every event: `record.event` is its name, such as `campaign_halted`, and its fields are
attributes of the record. No event holds a phone, a text or a credential.
"""

from webcom_async._events.base import Event
from webcom_async._events.observers import Observer, ObserverFailed, Observers
from webcom_async._events.receiving import PostRefused, ReportsCommitted, ReportsNotCommitted
from webcom_async._events.sending import (
    AttemptFailed,
    BatchAnswered,
    BatchSent,
    BatchSettled,
    CampaignEnded,
    CampaignHalted,
    CampaignResumed,
    CampaignStarted,
    ClosingFailed,
    DeliveryChanged,
    GatewayAway,
    GatewayBack,
    LimitChanged,
    RequestRetried,
    RetryAfterObeyed,
    RetryQuotaLow,
    SendAnswered,
    SendEnded,
    SendQueued,
    SendSent,
    SendSettled,
    TrackingPaused,
    TransportFailed,
)
from webcom_async._events.workers import (
    BatchNotNoted,
    CampaignMissing,
    CampaignsAwaited,
    CampaignsNotStarted,
    CampaignsUnseen,
    EngineVersionAwaited,
    LeaseNotGivenBack,
    OverseerFailed,
    OverseerSilent,
    ShardEnded,
    ShardFailed,
    ShardGivenBack,
    ShardLost,
    ShardTaken,
    ShardTakenOver,
    StoreAwaited,
    StoreAway,
    StoreBack,
)

__all__ = [
    "AttemptFailed",
    "BatchAnswered",
    "BatchNotNoted",
    "BatchSent",
    "BatchSettled",
    "CampaignEnded",
    "CampaignHalted",
    "CampaignMissing",
    "CampaignResumed",
    "CampaignStarted",
    "CampaignsAwaited",
    "CampaignsNotStarted",
    "CampaignsUnseen",
    "ClosingFailed",
    "DeliveryChanged",
    "EngineVersionAwaited",
    "Event",
    "GatewayAway",
    "GatewayBack",
    "LeaseNotGivenBack",
    "LimitChanged",
    "Observer",
    "ObserverFailed",
    "Observers",
    "OverseerFailed",
    "OverseerSilent",
    "PostRefused",
    "ReportsCommitted",
    "ReportsNotCommitted",
    "RequestRetried",
    "RetryAfterObeyed",
    "RetryQuotaLow",
    "SendAnswered",
    "SendEnded",
    "SendQueued",
    "SendSent",
    "SendSettled",
    "ShardEnded",
    "ShardFailed",
    "ShardGivenBack",
    "ShardLost",
    "ShardTaken",
    "ShardTakenOver",
    "StoreAwaited",
    "StoreAway",
    "StoreBack",
    "TrackingPaused",
    "TransportFailed",
]

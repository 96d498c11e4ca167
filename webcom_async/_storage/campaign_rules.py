"""
Rules that all stores share: valid settings, and allowed changes of state.

Pure: the moment is an argument.
"""

import math
from datetime import UTC, datetime

from webcom_async._batching.addressing import CallDefaults, call_defaults
from webcom_async._domain.errors import CampaignStopped, InputError
from webcom_async._domain.given import campaign_name, new_name_error
from webcom_async._domain.results import Outcome
from webcom_async._domain.types import ID_BITS
from webcom_async._storage.campaign_store import BatchRef, CampaignSettings, CampaignState
from webcom_async._storage.contracts import CampaignHeader, fingerprint
from webcom_async._wire.json_api.send import JsonFormat

__all__ = [
    "ENDED",
    "OUTCOMES",
    "burst_seconds",
    "check_change",
    "check_new",
    "check_same_recipients",
    "check_settings",
    "check_unchanged",
    "header_of",
    "largest_batch",
    "no_batch",
    "no_shard",
    "nothing_to_renew",
    "stopped",
]

OUTCOMES = (Outcome.ACCEPTED, Outcome.REJECTED, Outcome.UNKNOWN, Outcome.NOT_SENT)  # in the order of the columns
ENDED = frozenset({CampaignState.FINISHED, CampaignState.CANCELLED})
_LONGEST_NAME = 200  # characters: engines make ids of names, and databases index them
_SLOWEST = 1 / 86_400  # recipients per second
_NEVER_QUOTED = frozenset({"message", "sender"})
_WAY_OUT = (
    "; go on with what it was planned with. A new campaign needs another name, under which recipients that were "
    "accepted in this one are sent to, and billed, again"
)


def check_settings(settings: CampaignSettings) -> None:
    name = campaign_name(settings.campaign)
    if not name.isprintable():
        raise InputError(f"campaign is {name!r}; it must be a name, without control characters")
    if len(name) > _LONGEST_NAME:
        raise InputError(f"campaign is a name of {len(name):,} characters; it may have {_LONGEST_NAME}")
    for field in ("batch_size", "shard_size"):
        _require_whole(field, getattr(settings, field))
    if settings.rate is not None:
        _require_rate(settings.rate)
    if settings.shard_size < settings.batch_size:
        raise InputError(
            f"shard_size is {settings.shard_size}; a shard is made of batches, of which one may have "
            f"{settings.batch_size} recipients: raise shard_size, or lower batch_size"
        )
    if settings.id_bits not in ID_BITS:
        raise InputError(f"id_bits is {settings.id_bits!r}; it must be one of {ID_BITS}")
    _said_to_all(settings)


def check_new(settings: CampaignSettings, now: datetime) -> None:
    """Raise `InputError` if a time is in the past, or a new name has white space around it."""
    odd = new_name_error(settings.campaign)
    if odd is not None:
        raise odd
    past = _said_to_all(settings).past(now)
    if past is not None:
        raise past


def check_unchanged(before: CampaignSettings, now: CampaignSettings) -> None:
    """The message names the settings that differ."""
    pairs = ((field, getattr(before, field), getattr(now, field)) for field in CampaignSettings.__struct_fields__)
    changes = [
        f"another {field}" if field in _NEVER_QUOTED else f"{field}={_shown(old)}, not {_shown(new)}"
        for field, old, new in pairs
        if old != new
    ]
    if changes:
        raise InputError(f"{_planned_with(now.campaign)} {' and with '.join(changes)}{_WAY_OUT}")


def check_same_recipients(campaign: str, before: tuple[int, str], now: tuple[int, str]) -> None:
    """Compare number and digest of the recipients."""
    if before[0] != now[0]:
        raise InputError(f"{_planned_with(campaign)} {before[0]:,} recipients, not {now[0]:,}{_WAY_OUT}")
    if before != now:
        raise InputError(f"{_planned_with(campaign)} other recipients, or in another order{_WAY_OUT}")


def check_change(campaign: str, state: CampaignState, wanted: CampaignState, still_open: int) -> None:
    if state is wanted:
        return
    if state is CampaignState.CANCELLED:
        raise InputError(
            f"campaign {campaign!r} was cancelled, and that is for good. Another campaign would send to, and bill, "
            "again those of its recipients that were accepted in this one"
        )
    if wanted is CampaignState.FINISHED:
        raise InputError(f"campaign {campaign!r} is finished by its last shard, and by nothing else")
    if state is CampaignState.FINISHED and wanted is not CampaignState.RUNNING:
        raise InputError(f"campaign {campaign!r} is finished: it cannot be {wanted.value}")
    if state is CampaignState.FINISHED and not still_open:
        raise InputError(f"campaign {campaign!r} is finished, and has no recipients to send to again")


def stopped(campaign: str, state: CampaignState, why: str) -> CampaignStopped:
    return CampaignStopped(f"campaign {campaign!r} is {state.value}{f': {why}' if why else ''}")


def no_shard(campaign: str, shard: int) -> InputError:
    return InputError(f"campaign {campaign!r} has no shard {shard}")


def no_batch(ref: BatchRef) -> InputError:
    return InputError(f"campaign {ref.campaign!r} has no batch {ref.batch} in shard {ref.shard}")


def header_of(settings: CampaignSettings, *, new_ids: bool = False) -> CampaignHeader:
    said = fingerprint(settings.message, settings.sender)
    width = settings.id_bits if new_ids else 0
    return CampaignHeader(campaign=settings.campaign, id_bits=settings.id_bits, fingerprint=said, new_ids=width)


def nothing_to_renew(campaign: str) -> InputError:
    return InputError(f"campaign {campaign!r}: no recipient was sent to yet, so none needs a new id; leave that out")


def burst_seconds(rate: float) -> float:
    """Return how far a campaign may run ahead of its rate: one second's recipients, rounded up."""
    return math.ceil(rate) / rate


def largest_batch(settings: CampaignSettings) -> int:
    """Return at most one second's recipients."""
    if settings.rate is None:
        return settings.batch_size
    return min(settings.batch_size, math.ceil(settings.rate))


def _planned_with(campaign: str) -> str:
    return f"campaign {campaign!r} was planned with"


def _said_to_all(settings: CampaignSettings) -> CallDefaults:
    return call_defaults(
        None,
        settings.sender,
        settings.message,
        settings.validity_period,
        settings.time_send,
        send_format=JsonFormat(UTC),
    )


def _require_whole(name: str, value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise InputError(f"{name} is {value!r}; it must be a whole number of at least 1")


def _require_rate(rate: object) -> None:
    if not isinstance(rate, int | float) or isinstance(rate, bool) or not _SLOWEST <= rate < math.inf:
        raise InputError(f"rate is {rate!r} recipients per second; it must be at least 1 a day, which is 1/86400")


def _shown(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else repr(value)

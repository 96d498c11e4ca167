"""
The journal: a file that remembers, from one run of a campaign to the next, who was sent what and what came of it.

It has no event loop: calls are made one at a time, from whichever thread. It may not know how anything is sent, nor
see credentials.

A recipient is *reserved* before its request leaves and *settled* when its fate is known. Whoever stands reserved when a
file is opened was in a request whose answer nobody recorded, and counts as unknown.

A run writes both down in a log, batch by batch. The log becomes a row per recipient when a row is wanted: by the next
who opens the file, or by the run itself, for an id that it has met before. That takes longer than the log, by some
seconds for a million recipients; what ends it loses nothing.

Durability: the campaign's header is on the disk (fsync) before `CampaignFile` returns. Reservations and results are
written before a call returns and survive the death of the process; a power loss may take the last of them back. That
is harmless: ids are derived again, and the gateway answers an id it has seen with the first `id_sms`.

One owner at a time: the file is locked for as long as it is open, and the system drops the lock when a process dies.
Do not copy or open an open journal: its latest rows are in the `-wal` file beside it, and on POSIX systems closing
any handle of the file drops the lock of the process that closes it. Do not move or remove it either: that is noticed
at the next call, which raises `JournalError`.
"""

from webcom_async._domain.outbound import Addressed, OutboundRecipient
from webcom_async._storage.contracts import (
    CampaignHeader,
    CampaignJournal,
    CampaignNotBegun,
    DurableCampaignJournal,
    Journal,
    Reservation,
    StoredCampaign,
    fingerprint,
)
from webcom_async._storage.sqlite.archive import (
    StoredResults,
    campaigns,
    export,
    has_begun,
    highest_price,
    purge,
    stopped_phones,
    stored_campaign,
)
from webcom_async._storage.sqlite.journal import CampaignFile

__all__ = [
    "Addressed",
    "CampaignFile",
    "CampaignHeader",
    "CampaignJournal",
    "CampaignNotBegun",
    "DurableCampaignJournal",
    "Journal",
    "OutboundRecipient",
    "Reservation",
    "StoredCampaign",
    "StoredResults",
    "campaigns",
    "export",
    "fingerprint",
    "has_begun",
    "highest_price",
    "purge",
    "stopped_phones",
    "stored_campaign",
]

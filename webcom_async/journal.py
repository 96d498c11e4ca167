"""
The journal: a file that remembers a campaign's recipients and results from one run to the next.

The journal depends on no event loop: callers make one call at a time, from any thread. It does not know how a message
is sent, and sees no credentials.

A recipient is *reserved* before its request leaves, and *settled* when its result is known. A recipient that is still
reserved when the file is opened was in a request without a recorded answer, and counts as unknown.

A run appends both to a log, batch by batch. The log becomes one row per recipient when a row is needed: when the file
is opened next, or when the run meets an id for the second time. That takes some seconds for a million recipients; an
interruption loses nothing.

Durability: the campaign's header is on the disk (fsync) before `CampaignFile` returns. Reservations and results are
written before a call returns, and survive the death of the process; a power loss may undo the last of them. That is
harmless: ids are derived again, and the gateway answers a repeated id with the first `id_sms`. Before the alarm that
`id_sms` repeat, all of it is on the disk, because a recipient without a reservation may get a new id after that.

The functions here block, as their first lines say, mostly for that log. In an event loop, use `SqliteJournal`, whose
calls run in a thread.

One owner at a time: the file is locked while a campaign, a tracking or a purge has it open, and the system releases
the lock when a process dies. A second one gets `JournalInUse`, or waits: see `SqliteJournal`.

Any number of readers: `campaigns`, `stored_campaign`, `StoredResults`, `export` and the others read a private copy, as
of the last commit. They take no lock, so that no sender waits or fails, and write nothing beside the journal: a
read-only file in a read-only directory can be read, an older version too. The copy is in the directory for temporary
files, which `TMPDIR` names, and takes as much room as the journal.

Do not copy or open a journal that is open by other means: its latest rows are in the `-wal` file beside it, and on
POSIX systems closing any handle of the file releases the lock of the process that closes it. Do not move or remove it
either: the next call notices that, and raises `JournalError`.
"""

from webcom_async._domain.messages import Addressed, OutboundRecipient
from webcom_async._storage.contracts import (
    CampaignHeader,
    CampaignJournal,
    CampaignNotBegun,
    DurableCampaignJournal,
    Journal,
    JournalReader,
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
from webcom_async._storage.sqlite.file_journal import SqliteJournal
from webcom_async._storage.sqlite.journal import CampaignFile

__all__ = [
    "Addressed",
    "CampaignFile",
    "CampaignHeader",
    "CampaignJournal",
    "CampaignNotBegun",
    "DurableCampaignJournal",
    "Journal",
    "JournalReader",
    "OutboundRecipient",
    "Reservation",
    "SqliteJournal",
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

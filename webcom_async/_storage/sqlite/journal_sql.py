"""
SQL of the journal in a SQLite file: its schema by version, and all statements by name.

Text only; runs on SQLite 3.33 and later. A batch is passed as one JSON array of rows: one statement for 500 rows takes
half the time of 500 statements, and takes Python's lock once.
"""

from webcom_async._storage.sqlite.delivery_sql import DELIVERIES

__all__ = [
    "ADD_CAMPAIGN",
    "ADD_ENTRY",
    "ADD_MESSAGES",
    "APPLICATION_ID",
    "COUNT",
    "FIND_ANYBODY",
    "FIND_BEGUN",
    "FIND_CAMPAIGN",
    "FIND_HEADER",
    "FIND_KNOWN_IDS",
    "FIND_MESSAGES",
    "FIND_OWNERS",
    "FIND_RECIPIENTS",
    "FIND_RESULTS_TO",
    "FIND_STOPPED",
    "FIND_TIMES",
    "FORGET_ENTRIES",
    "GIVE_NEW_IDS",
    "IDENTIFY",
    "LIST_CAMPAIGNS",
    "MIGRATIONS",
    "NEXT_ENTRY",
    "PAGE_OF_EXPORT",
    "PAGE_OF_RESULTS",
    "PAGE_OF_UNSETTLED",
    "PURGE_CAMPAIGN",
    "PURGE_MESSAGES",
    "PURGE_RECIPIENTS",
    "RENUMBER",
    "REOPEN_CAMPAIGN",
    "RESERVE",
    "RESERVE_AGAIN",
    "SETTLE",
]

APPLICATION_ID = 0x5762436D  # "WbCm", in the header of every journal

# Each entry migrates a file to the next version; the last is the current one. Never edit a released one.
MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """
        CREATE TABLE campaigns (
            campaign_id INTEGER PRIMARY KEY,
            name TEXT NOT NULL UNIQUE,
            id_bits INTEGER NOT NULL,
            fingerprint TEXT NOT NULL,
            created_at INTEGER NOT NULL,    -- times are milliseconds since 1970, UTC
            opened_at INTEGER NOT NULL
        )
        """,
        """
        CREATE TABLE messages (
            message_id INTEGER PRIMARY KEY,
            digest TEXT NOT NULL UNIQUE,
            content TEXT NOT NULL           -- JSON, in the vendor's field names
        )
        """,
        """
        CREATE TABLE recipients (
            recipient_id INTEGER PRIMARY KEY,
            campaign_id INTEGER NOT NULL REFERENCES campaigns,
            client_id_sms INTEGER NOT NULL,
            phone TEXT NOT NULL,
            message_id INTEGER NOT NULL REFERENCES messages,
            validity_period TEXT,
            time_send TEXT,
            number_sms INTEGER,
            state TEXT NOT NULL CHECK (state IN ('reserved', 'accepted', 'rejected', 'unknown', 'not_sent')),
            id_sms TEXT,
            reason TEXT NOT NULL DEFAULT 'none',
            error TEXT NOT NULL DEFAULT '',
            attempts INTEGER NOT NULL DEFAULT 0,
            reserved_at INTEGER NOT NULL,
            settled_at INTEGER
        )
        """,
        # The id comes first: it is searched in all campaigns, because the gateway has one space of ids.
        "CREATE UNIQUE INDEX recipients_client_id_sms ON recipients (client_id_sms, campaign_id)",
        "CREATE INDEX recipients_id_sms ON recipients (id_sms) WHERE id_sms IS NOT NULL",
    ),
    (
        """
        CREATE TABLE log (
            entry INTEGER PRIMARY KEY,      -- without a gap
            campaign_id INTEGER NOT NULL REFERENCES campaigns,
            kind TEXT NOT NULL CHECK (kind IN ('reserved', 'settled')),
            written_at INTEGER NOT NULL,
            crc INTEGER NOT NULL,           -- CRC-32 of everything else
            payload BLOB NOT NULL           -- JSON, see `_log`
        )
        """,
    ),
    DELIVERIES,
    (),  # the log's entries are columns from here on, which older releases cannot read
    # Moments, in ISO 8601 with an offset, were texts of the gateway's clock. `JournalFile` defines the function.
    (
        """
        UPDATE recipients
        SET validity_period = from_wall_clock(validity_period), time_send = from_wall_clock(time_send)
        WHERE validity_period IS NOT NULL OR time_send IS NOT NULL
        """,
    ),
    # The width of the ids that recipients get instead, if they were never sent to; 0 for none.
    ("ALTER TABLE campaigns ADD COLUMN new_ids INTEGER NOT NULL DEFAULT 0",),
)

# The file's application, its version, and its number of tables and indexes.
IDENTIFY = """
SELECT application_id, user_version, (SELECT count(*) FROM sqlite_master)
FROM pragma_application_id, pragma_user_version
"""

# ---------------------------------------------------------------------------- campaigns

# The header of a campaign, if it was run before.
FIND_CAMPAIGN = "SELECT campaign_id, id_bits, fingerprint, new_ids FROM campaigns WHERE name = :1"

# A campaign's first run.
ADD_CAMPAIGN = "INSERT INTO campaigns (name, id_bits, fingerprint, created_at, opened_at) VALUES (:1, :2, :3, :4, :5)"

# A later run. Proves that the file can be written before anything is sent.
REOPEN_CAMPAIGN = "UPDATE campaigns SET opened_at = :1 WHERE campaign_id = :2"

# Recipients that were never sent to get new ids of this width.
GIVE_NEW_IDS = "UPDATE campaigns SET new_ids = :2 WHERE campaign_id = :1"

# All campaigns of a file, in the order of their first runs.
LIST_CAMPAIGNS = "SELECT campaign_id, name FROM campaigns ORDER BY campaign_id"

# One campaign: its header, and the times of its first and last run.
FIND_HEADER = "SELECT name, id_bits, fingerprint, new_ids FROM campaigns WHERE campaign_id = :1"
FIND_TIMES = "SELECT created_at, opened_at FROM campaigns WHERE campaign_id = :1"

# Recipients per state and reason.
COUNT = "SELECT state, reason, count(*) FROM recipients WHERE campaign_id = :1 GROUP BY state, reason"

# Phones that the gateway has rejected as on its stop list, in campaigns other than this one.
FIND_STOPPED = """
SELECT DISTINCT phone FROM recipients JOIN campaigns USING (campaign_id)
WHERE state = 'rejected' AND reason = 'stop_list' AND name <> :1
"""

# ---------------------------------------------------------------------------- reservation

# A message's text is stored once, however many recipients get it. Rows: digest, content.
ADD_MESSAGES = """
INSERT OR IGNORE INTO messages (digest, content)
SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]') FROM json_each(:1)
"""

# The numbers of a batch's messages.
FIND_MESSAGES = "SELECT digest, message_id FROM messages WHERE digest IN (SELECT value FROM json_each(:1))"

# The rows of a batch's ids, in all campaigns.
FIND_RECIPIENTS = """
SELECT client_id_sms, phone, state, id_sms, reason, error, attempts, campaign_id, message_id
FROM recipients
WHERE client_id_sms IN (SELECT value FROM json_each(:1))
"""

FIND_RESULTS_TO = """
SELECT client_id_sms, phone, state, id_sms, reason, error, attempts
FROM recipients
WHERE campaign_id = :1 AND phone IN (SELECT value FROM json_each(:2))
"""

# Reserve recipients for the first time. Rows: as for RESERVE_AGAIN, then phone and message.
RESERVE = """
INSERT INTO recipients
    (client_id_sms, validity_period, time_send, number_sms, phone, message_id, campaign_id, reserved_at, state)
SELECT
    json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]'),
    json_extract(value, '$[3]'), json_extract(value, '$[4]'), json_extract(value, '$[5]'), :1, :2, 'reserved'
FROM json_each(:3)
"""

# Reserve recipients that are sent again. One that was not sent or was rejected is like a new one; the others are
# unknown, which a later "not sent" does not overrule. Rows: client_id_sms, validity_period, time_send, number_sms.
RESERVE_AGAIN = """
UPDATE recipients
SET validity_period = json_extract(value, '$[1]'),
    time_send = json_extract(value, '$[2]'),
    number_sms = json_extract(value, '$[3]'),
    reserved_at = :2,
    reason = CASE state WHEN 'reserved' THEN 'cancelled' ELSE reason END,
    state = CASE WHEN state IN ('not_sent', 'rejected') THEN 'reserved' ELSE 'unknown' END
FROM json_each(:3)
WHERE client_id_sms = json_extract(value, '$[0]') AND campaign_id = :1
"""

# Give recipients that were never sent to their new ids. Rows: the old and the new one.
RENUMBER = """
UPDATE OR IGNORE recipients SET client_id_sms = json_extract(value, '$[1]')
FROM json_each(:2)
WHERE client_id_sms = json_extract(value, '$[0]') AND campaign_id = :1 AND state = 'not_sent'
"""

# ---------------------------------------------------------------------------- settlement

# The ids that got these `id_sms`, in all campaigns: the gateway numbers SMS across campaigns. A recipient that is
# unknown because its `id_sms` is another's keeps it here, so that neither is taken for the owner later.
FIND_OWNERS = """
SELECT id_sms, client_id_sms, campaign_id FROM recipients WHERE id_sms IN (SELECT value FROM json_each(:1))
"""

# Store results. Accepted is final; "not sent" does not overrule an earlier unknown, and an attempt that learns nothing
# does not overrule a repeated `id_sms`.
# Rows: client_id_sms, phone, state, id_sms, reason, error, attempts.
SETTLE = """
UPDATE recipients
SET state = json_extract(value, '$[2]'),
    id_sms = json_extract(value, '$[3]'),
    reason = json_extract(value, '$[4]'),
    error = json_extract(value, '$[5]'),
    attempts = json_extract(value, '$[6]'),
    settled_at = :2
FROM json_each(:3)
WHERE client_id_sms = json_extract(value, '$[0]') AND campaign_id = :1
    AND phone = json_extract(value, '$[1]') AND state <> 'accepted'
    AND (state <> 'unknown' OR json_extract(value, '$[2]') <> 'not_sent')
    AND (
        state <> 'unknown' OR reason <> 'repeated_id_sms' OR json_extract(value, '$[2]') <> 'unknown'
        OR json_extract(value, '$[4]') = 'repeated_id_sms'
    )
"""

# ---------------------------------------------------------------------------- the log

# A batch was reserved, or settled.
ADD_ENTRY = "INSERT INTO log (entry, campaign_id, kind, written_at, crc, payload) VALUES (:1, :2, :3, :4, :5, :6)"

# The next entry; without its payload if that is not a blob.
NEXT_ENTRY = """
SELECT entry, campaign_id, kind, written_at, crc, CASE typeof(payload) WHEN 'blob' THEN payload END
FROM log WHERE entry > :1 ORDER BY entry LIMIT 1
"""

# Delete entries whose rows are written.
FORGET_ENTRIES = "DELETE FROM log WHERE entry <= :1"

# One row if there is a recipient.
FIND_ANYBODY = "SELECT 1 FROM recipients LIMIT 1"

# One row if a campaign of this name has recipients, as rows or in the log.
FIND_BEGUN = """
SELECT 1 FROM campaigns
WHERE name = :1 AND (
    EXISTS (SELECT 1 FROM recipients WHERE recipients.campaign_id = campaigns.campaign_id)
    OR EXISTS (SELECT 1 FROM log WHERE log.campaign_id = campaigns.campaign_id)
)
"""

# One row if one of these ids is stored, in any campaign.
FIND_KNOWN_IDS = "SELECT 1 FROM recipients WHERE client_id_sms IN (SELECT value FROM json_each(:1)) LIMIT 1"

# ---------------------------------------------------------------------------- page by page

# A campaign's results, in the order of their first reservation.
PAGE_OF_RESULTS = """
SELECT recipient_id, client_id_sms, phone, state, id_sms, reason, error, attempts
FROM recipients
WHERE recipient_id > :1 AND campaign_id = :2 AND state IN (SELECT value FROM json_each(:3))
ORDER BY recipient_id LIMIT :4
"""

# Possibly sent recipients, with all that sending again needs.
PAGE_OF_UNSETTLED = """
SELECT recipient_id, content, phone, client_id_sms, validity_period, time_send, number_sms
FROM recipients JOIN messages USING (message_id)
WHERE recipient_id > :1 AND campaign_id = :2 AND state IN ('reserved', 'unknown')
ORDER BY recipient_id LIMIT :3
"""

# All fields of recipients; of all campaigns if the second parameter is NULL.
PAGE_OF_EXPORT = """
SELECT recipient_id, name AS campaign, client_id_sms, phone, content AS message, validity_period, time_send,
    number_sms, state, id_sms, reason, error, attempts, reserved_at, settled_at, delivery, said, changed_at, num_parts,
    price
FROM recipients JOIN campaigns USING (campaign_id) JOIN messages USING (message_id) LEFT JOIN (
    SELECT recipient_id, state AS delivery, said, changed_at, num_parts, price FROM deliveries
) USING (recipient_id)
WHERE recipient_id > :1 AND campaign_id = coalesce(:2, campaign_id)
ORDER BY recipient_id LIMIT :3
"""

# ---------------------------------------------------------------------------- purge

# First its recipients, then its header, then the messages without recipients.
PURGE_RECIPIENTS = "DELETE FROM recipients WHERE campaign_id = :1"
PURGE_CAMPAIGN = "DELETE FROM campaigns WHERE campaign_id = :1"
PURGE_MESSAGES = "DELETE FROM messages WHERE message_id NOT IN (SELECT message_id FROM recipients)"

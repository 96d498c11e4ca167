"""
What the journal says to SQLite: the schema, version by version, and every statement by name.

Text only. Recipients stand in packs, a batch of them in two rows, or one by one; see `_packs`. Rows come as one JSON
array: a single statement for 500 rows takes half the time of 500 runs of one, and holds Python's lock once. SQLite
3.33 understands all of it.
"""

__all__ = [
    "ADD_ANSWER",
    "ADD_CAMPAIGN",
    "ADD_MESSAGES",
    "ADD_PACK",
    "ADD_PLACES",
    "APPLICATION_ID",
    "COUNT",
    "COUNT_IN_PACKS",
    "COUNT_PACKED",
    "FIND_CAMPAIGN",
    "FIND_CONTENT",
    "FIND_LAST",
    "FIND_MESSAGES",
    "FIND_OWNERS",
    "FIND_PACK",
    "FIND_PLACES",
    "FIND_RECIPIENTS",
    "HIGHEST_ID_SMS",
    "IDENTIFY",
    "LIST_CAMPAIGNS",
    "MAKE_PLACES",
    "MIGRATIONS",
    "NEXT_PACK",
    "NO_END",
    "PAGE_OF_KEYS",
    "PAGE_OF_ROWS",
    "PURGE_ANSWERS",
    "PURGE_CAMPAIGN",
    "PURGE_MESSAGES",
    "PURGE_PACKS",
    "PURGE_RECIPIENTS",
    "REMOVE_ANSWER",
    "REMOVE_PACK",
    "REOPEN_CAMPAIGN",
    "RESERVED",
    "RESERVE_AGAIN",
    "SETTLE",
    "UNPACK",
]

APPLICATION_ID = 0x5762436D  # "WbCm", in the header of every journal
RESERVED = "reserved"  # the one state that is no outcome
NO_END = (1 << 63) - 1  # beyond every recipient_id

# Each entry takes a file from one version to the next; the last one's number is today's. Never edit a released one.
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
        # The id comes first: it is looked for in all campaigns, because the gateway knows of none.
        "CREATE UNIQUE INDEX recipients_client_id_sms ON recipients (client_id_sms, campaign_id)",
        "CREATE INDEX recipients_id_sms ON recipients (id_sms) WHERE id_sms IS NOT NULL",
    ),
    (
        # Recipients who left together have the numbers from first_id to last_id, and no rows in `recipients`.
        """
        CREATE TABLE packs (
            first_id INTEGER PRIMARY KEY,
            last_id INTEGER NOT NULL,
            campaign_id INTEGER NOT NULL REFERENCES campaigns,
            reserved_at INTEGER NOT NULL,
            asked TEXT NOT NULL             -- JSON: messages, ids, phones, times
        )
        """,
        # What became of them. As long as there is no such row, all of them are reserved.
        """
        CREATE TABLE answers (
            first_id INTEGER PRIMARY KEY REFERENCES packs,
            settled_at INTEGER NOT NULL,
            accepted INTEGER NOT NULL,
            rejected INTEGER NOT NULL,
            unknown INTEGER NOT NULL,
            not_sent INTEGER NOT NULL,
            answered TEXT NOT NULL          -- JSON: states, id_sms, reasons, errors, attempts
        )
        """,
    ),
)

# Whose file it is, its version, and whether anything is in it.
IDENTIFY = """
SELECT application_id, user_version, (SELECT count(*) FROM sqlite_master)
FROM pragma_application_id, pragma_user_version
"""

# ---------------------------------------------------------------------------- campaigns

# The header of a campaign, if it was run before.
FIND_CAMPAIGN = "SELECT campaign_id, id_bits, fingerprint FROM campaigns WHERE name = :1"

# A campaign's first run.
ADD_CAMPAIGN = "INSERT INTO campaigns (name, id_bits, fingerprint, created_at, opened_at) VALUES (:1, :2, :3, :4, :5)"

# A later run. It also proves that the file can be written, before anything is sent.
REOPEN_CAMPAIGN = "UPDATE campaigns SET opened_at = :1 WHERE campaign_id = :2"

# All campaigns of a file, in the order of their first runs.
LIST_CAMPAIGNS = (
    "SELECT campaign_id, name, id_bits, fingerprint, created_at, opened_at FROM campaigns ORDER BY campaign_id"
)

# Recipients per state, of those who have rows of their own.
COUNT = "SELECT state, count(*) FROM recipients WHERE campaign_id = :1 GROUP BY state"

# Recipients who are in packs: reserved, and by outcome.
COUNT_PACKED = """
SELECT coalesce(sum(CASE WHEN settled_at IS NULL THEN last_id - first_id + 1 END), 0),
    coalesce(sum(accepted), 0), coalesce(sum(rejected), 0), coalesce(sum(unknown), 0), coalesce(sum(not_sent), 0)
FROM packs LEFT JOIN answers USING (first_id)
WHERE campaign_id = :1
"""

# ---------------------------------------------------------------------------- a batch leaves

# A message's text is stored once, however many recipients get it. Rows: digest, content.
ADD_MESSAGES = """
INSERT OR IGNORE INTO messages (digest, content)
SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]') FROM json_each(:1)
"""

# The numbers of a batch's messages.
FIND_MESSAGES = "SELECT digest, message_id FROM messages WHERE digest IN (SELECT value FROM json_each(:1))"

# What is known of ids, in any campaign, of those who have rows of their own.
FIND_RECIPIENTS = """
SELECT client_id_sms, phone, state, id_sms, reason, error, attempts, campaign_id, message_id
FROM recipients
WHERE client_id_sms IN (SELECT value FROM json_each(:1))
"""

# The highest number of a recipient so far.
FIND_LAST = """
SELECT max(
    coalesce((SELECT max(recipient_id) FROM recipients), 0), coalesce((SELECT max(last_id) FROM packs), 0)
)
"""

# Recipients are to be sent to for the first time.
ADD_PACK = "INSERT INTO packs (first_id, last_id, campaign_id, reserved_at, asked) VALUES (:1, :2, :3, :4, :5)"

# Recipients are to be asked for again. One who was not sent to, or was refused, is as good as new; of the others nobody
# knows, and a later "not sent" may not deny it. Rows: client_id_sms, validity_period, time_send, number_sms.
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

# ---------------------------------------------------------------------------- its answer comes

# Who has been answered with these `id_sms`, in any campaign: the gateway's numbers are its own.
FIND_OWNERS = "SELECT id_sms, client_id_sms FROM recipients WHERE id_sms IN (SELECT value FROM json_each(:1))"

# The highest one of those who have rows of their own.
HIGHEST_ID_SMS = "SELECT coalesce(max(id_sms), '') FROM recipients WHERE id_sms IS NOT NULL"

# What became of the recipients of a pack.
ADD_ANSWER = """
INSERT INTO answers (first_id, settled_at, accepted, rejected, unknown, not_sent, answered)
VALUES (:1, :2, :3, :4, :5, :6, :7)
"""

# What became of recipients who have rows of their own. Accepted is final; "not sent" says nothing about an earlier
# request.
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
"""

# ---------------------------------------------------------------------------- page by page

# Rows of their own between two numbers; of all campaigns, if the third parameter is NULL.
PAGE_OF_ROWS = """
SELECT recipient_id, campaign_id, client_id_sms, phone, message_id, validity_period, time_send, number_sms,
    state, id_sms, reason, error, attempts, reserved_at, settled_at
FROM recipients
WHERE recipient_id > :1 AND recipient_id < :2 AND (:3 IS NULL OR campaign_id = :3)
    AND (NOT :4 OR state IN ('reserved', 'unknown'))
ORDER BY recipient_id LIMIT :5
"""

# The first pack after a number; of any campaign, if the second parameter is NULL. The third one leaves out those in
# which nobody is unknown.
NEXT_PACK = """
SELECT first_id, campaign_id, reserved_at, asked, settled_at, answered
FROM packs LEFT JOIN answers USING (first_id)
WHERE first_id > :1 AND (:2 IS NULL OR campaign_id = :2) AND (NOT :3 OR settled_at IS NULL OR unknown > 0)
ORDER BY first_id LIMIT 1
"""

# The ids of those who have rows of their own.
PAGE_OF_KEYS = """
SELECT recipient_id, CAST(client_id_sms AS TEXT), id_sms FROM recipients WHERE recipient_id > :1
ORDER BY recipient_id LIMIT :2
"""

# What a message says.
FIND_CONTENT = "SELECT content FROM messages WHERE message_id = :1"

# ---------------------------------------------------------------------------- packs

FIND_PACK = """
SELECT first_id, campaign_id, reserved_at, asked, settled_at, answered
FROM packs LEFT JOIN answers USING (first_id)
WHERE first_id = :1
"""

# Its recipients get rows of their own. Rows: all columns.
UNPACK = """
INSERT INTO recipients
    (recipient_id, campaign_id, client_id_sms, phone, message_id, validity_period, time_send, number_sms,
    state, id_sms, reason, error, attempts, reserved_at, settled_at)
SELECT
    json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]'),
    json_extract(value, '$[3]'), json_extract(value, '$[4]'), json_extract(value, '$[5]'),
    json_extract(value, '$[6]'), json_extract(value, '$[7]'), json_extract(value, '$[8]'),
    json_extract(value, '$[9]'), json_extract(value, '$[10]'), json_extract(value, '$[11]'),
    json_extract(value, '$[12]'), json_extract(value, '$[13]'), json_extract(value, '$[14]')
FROM json_each(:1)
"""
REMOVE_ANSWER = "DELETE FROM answers WHERE first_id = :1"
REMOVE_PACK = "DELETE FROM packs WHERE first_id = :1"

# Where keys may stand, by hash: for as long as the file is open, and never in it. Eight bytes per entry.
MAKE_PLACES = "CREATE TEMP TABLE IF NOT EXISTS places (bucket INTEGER PRIMARY KEY, entries BLOB NOT NULL)"
FIND_PLACES = "SELECT bucket, entries FROM places WHERE bucket IN (SELECT value FROM json_each(:1))"
ADD_PLACES = """
INSERT INTO places (bucket, entries) VALUES (?, ?)
ON CONFLICT (bucket) DO UPDATE SET entries = CAST(entries || excluded.entries AS BLOB)
"""

# ---------------------------------------------------------------------------- a campaign goes

# First its recipients, then its header, then the messages that nobody else got.
PURGE_RECIPIENTS = "DELETE FROM recipients WHERE campaign_id = :1"
COUNT_IN_PACKS = "SELECT coalesce(sum(last_id - first_id + 1), 0) FROM packs WHERE campaign_id = :1"
PURGE_ANSWERS = "DELETE FROM answers WHERE first_id IN (SELECT first_id FROM packs WHERE campaign_id = :1)"
PURGE_PACKS = "DELETE FROM packs WHERE campaign_id = :1"
PURGE_CAMPAIGN = "DELETE FROM campaigns WHERE campaign_id = :1"
PURGE_MESSAGES = """
DELETE FROM messages
WHERE message_id NOT IN (
    SELECT message_id FROM recipients
    UNION SELECT json_extract(value, '$[0]') FROM packs, json_each(packs.asked, '$.messages')
)
"""

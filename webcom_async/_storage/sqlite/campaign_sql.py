"""
SQL of a folder's `campaigns.db`: its schema by version, and all statements by name.

Text only; runs on SQLite 3.33 and later.
"""

__all__ = [
    "ACKNOWLEDGE",
    "ADD_ANSWERS",
    "ADD_CAMPAIGN",
    "ADD_DRAFT",
    "ADD_TO_WORKER",
    "APPLICATION_ID",
    "BATCH_DONE",
    "CHANGE_SHARD",
    "CHANGE_STATE",
    "CLAIM",
    "CLAIM_ACCOUNT",
    "CLEAR_DRAFT",
    "COPY_BATCHES",
    "COPY_CONTENTS",
    "COPY_SHARDS",
    "FIND_ACCOUNT",
    "FIND_BATCH",
    "FIND_CAMPAIGN",
    "FIND_CLAIM",
    "FIND_CONTENT",
    "FIND_HOLD",
    "FIND_HOLDERS",
    "FIND_HOLDER_NOW",
    "FIND_HOLDING",
    "FIND_OPEN",
    "FIND_OTHER_OWNERS",
    "FIND_SHARD",
    "FIND_SHARDS",
    "FIND_SUMS",
    "FIND_TOKEN",
    "FIND_WORKERS",
    "FINISH",
    "GIVE_BACK",
    "GIVE_NEW_IDS",
    "HAND_OUT",
    "LIST_CAMPAIGNS",
    "MAKE_DRAFT",
    "MIGRATIONS",
    "NEXT_TOKEN",
    "PAGE_OF_LEFT_OUT",
    "RENEW",
    "REOPEN_SHARDS",
    "REVOKE_ALL",
    "SHARD_DONE",
    "TAKE",
]

APPLICATION_ID = 0x57624370  # "WbCp", in the header of every such file

# Each entry migrates a file to the next version; the last is the current one. Never edit a released one.
MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """
        CREATE TABLE campaigns (
            campaign_id INTEGER PRIMARY KEY,
            name TEXT NOT NULL UNIQUE,
            settings TEXT NOT NULL,         -- JSON
            digest TEXT NOT NULL,           -- of the recipients
            recipients INTEGER NOT NULL,
            state TEXT NOT NULL CHECK (state IN ('running', 'paused', 'halted', 'cancelled', 'finished')),
            why TEXT NOT NULL DEFAULT '',
            planned_at INTEGER NOT NULL,    -- times are milliseconds since 1970, UTC
            ended_at INTEGER,
            account TEXT,                   -- a digest of whose account it is sent with
            asked REAL NOT NULL DEFAULT 0,  -- of the rate: when a turn was last asked for, in seconds since 1970,
            claimed REAL NOT NULL DEFAULT 0 -- and the moment up to which an even flow is used up
        )
        """,
        """
        CREATE TABLE shards (
            campaign_id INTEGER NOT NULL REFERENCES campaigns,
            number INTEGER NOT NULL,
            recipients INTEGER NOT NULL,
            generation INTEGER NOT NULL DEFAULT 0,
            done INTEGER NOT NULL DEFAULT 0,
            token INTEGER,                  -- of the latest lease
            holder TEXT,
            until INTEGER,                  -- NULL if nobody holds it
            accepted INTEGER NOT NULL DEFAULT 0,
            rejected INTEGER NOT NULL DEFAULT 0,
            unknown INTEGER NOT NULL DEFAULT 0,
            not_sent INTEGER NOT NULL DEFAULT 0,
            open INTEGER NOT NULL DEFAULT 0,
            PRIMARY KEY (campaign_id, number)
        ) WITHOUT ROWID
        """,
        """
        CREATE TABLE batches (
            campaign_id INTEGER NOT NULL REFERENCES campaigns,
            shard INTEGER NOT NULL,
            number INTEGER NOT NULL,
            recipients INTEGER NOT NULL,
            done_by TEXT,                   -- NULL if it is not
            accepted INTEGER NOT NULL DEFAULT 0,
            rejected INTEGER NOT NULL DEFAULT 0,
            unknown INTEGER NOT NULL DEFAULT 0,
            not_sent INTEGER NOT NULL DEFAULT 0,
            open INTEGER NOT NULL DEFAULT 0,
            left_out TEXT,                  -- JSON; NULL if nobody is
            PRIMARY KEY (campaign_id, shard, number)
        ) WITHOUT ROWID
        """,
        # A table of its own, because the others are read often and in full.
        """
        CREATE TABLE contents (
            campaign_id INTEGER NOT NULL REFERENCES campaigns,
            number INTEGER NOT NULL,
            content TEXT NOT NULL,          -- JSON
            PRIMARY KEY (campaign_id, number)
        )
        """,
        """
        CREATE TABLE workers (
            campaign_id INTEGER NOT NULL REFERENCES campaigns,
            name TEXT NOT NULL,
            done INTEGER NOT NULL DEFAULT 0,
            PRIMARY KEY (campaign_id, name)
        ) WITHOUT ROWID
        """,
        "CREATE TABLE tokens (latest INTEGER NOT NULL)",
        "INSERT INTO tokens VALUES (0)",
    ),
    (
        # Whether workers go on although `id_sms` repeat, and whether recipients that were never sent to get new ids.
        "ALTER TABLE campaigns ADD COLUMN acknowledged INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE campaigns ADD COLUMN new_ids INTEGER NOT NULL DEFAULT 0",
        # The first id that got each `id_sms`: journals see their own campaign alone.
        """
        CREATE TABLE answers (
            id_sms TEXT PRIMARY KEY,
            campaign_id INTEGER NOT NULL REFERENCES campaigns,
            client_id_sms INTEGER NOT NULL
        ) WITHOUT ROWID
        """,
    ),
)

# ---------------------------------------------------------------------------- the plan

# A draft is a temporary table outside the file: a slow source blocks no other process, and a crash leaves no rest.
MAKE_DRAFT = """
CREATE TEMP TABLE IF NOT EXISTS draft (
    plan INTEGER, shard INTEGER, number INTEGER, recipients INTEGER, content TEXT, PRIMARY KEY (plan, number)
)
"""
ADD_DRAFT = "INSERT INTO temp.draft VALUES (:1, :2, :3, :4, :5)"
CLEAR_DRAFT = "DELETE FROM temp.draft WHERE plan = :1"

ADD_CAMPAIGN = """
INSERT INTO campaigns (name, settings, digest, recipients, planned_at, state) VALUES (:1, :2, :3, :4, :5, 'running')
"""
COPY_SHARDS = """
INSERT INTO shards (campaign_id, number, recipients)
SELECT :1, shard, sum(recipients) FROM temp.draft WHERE plan = :2 GROUP BY shard
"""
COPY_BATCHES = """
INSERT INTO batches (campaign_id, shard, number, recipients)
SELECT :1, shard, number, recipients FROM temp.draft WHERE plan = :2 ORDER BY number
"""
COPY_CONTENTS = """
INSERT INTO contents (campaign_id, number, content)
SELECT :1, number, content FROM temp.draft WHERE plan = :2 ORDER BY number
"""

FIND_CAMPAIGN = """
SELECT campaign_id, settings, digest, recipients, state, why, planned_at, ended_at, acknowledged, new_ids
FROM campaigns WHERE name = :1
"""
CLAIM_ACCOUNT = "UPDATE campaigns SET account = :2 WHERE campaign_id = :1"
FIND_ACCOUNT = "SELECT account FROM campaigns WHERE campaign_id = :1"
ACKNOWLEDGE = "UPDATE campaigns SET acknowledged = 1 WHERE campaign_id = :1"
GIVE_NEW_IDS = "UPDATE campaigns SET new_ids = 1 WHERE campaign_id = :1"
LIST_CAMPAIGNS = "SELECT name FROM campaigns WHERE state IN (SELECT value FROM json_each(:1)) ORDER BY campaign_id"
FIND_CONTENT = """
SELECT content FROM contents JOIN batches USING (campaign_id, number)
WHERE campaign_id = :1 AND shard = :2 AND number = :3
"""

# ---------------------------------------------------------------------------- the status

CHANGE_STATE = "UPDATE campaigns SET state = :2, why = :3, ended_at = :4 WHERE campaign_id = :1"
FIND_SUMS = """
SELECT count(*), coalesce(sum(done), 0), coalesce(sum(accepted), 0), coalesce(sum(rejected), 0),
    coalesce(sum(unknown), 0), coalesce(sum(not_sent), 0), coalesce(sum(open), 0)
FROM shards WHERE campaign_id = :1
"""
FIND_WORKERS = "SELECT name, done FROM workers WHERE campaign_id = :1 ORDER BY name"
FIND_HOLDERS = """
SELECT holder, number, until FROM shards WHERE campaign_id = :1 AND until IS NOT NULL ORDER BY number
"""

FIND_SHARDS = """
SELECT number, recipients, generation, done, holder, until FROM shards WHERE campaign_id = :1 ORDER BY number
"""
HAND_OUT = "UPDATE shards SET generation = :3 WHERE campaign_id = :1 AND number = :2 AND generation < :3"
# When a finished campaign is resumed.
REOPEN_SHARDS = "UPDATE shards SET done = 0 WHERE campaign_id = :1 AND open > 0"

# ---------------------------------------------------------------------------- leases

NEXT_TOKEN = "UPDATE tokens SET latest = latest + 1"  # noqa: S105 - no password
FIND_TOKEN = "SELECT latest FROM tokens"  # noqa: S105 - no password
FIND_SHARD = "SELECT done, holder, until FROM shards WHERE campaign_id = :1 AND number = :2"
# No row if the lease was revoked or released.
FIND_HOLD = """
SELECT campaign_id, state, why FROM campaigns JOIN shards USING (campaign_id)
WHERE name = :1 AND number = :2 AND token = :3 AND until IS NOT NULL
"""
TAKE = "UPDATE shards SET token = :3, holder = :4, until = :5 WHERE campaign_id = :1 AND number = :2"
# Changes no row if the lease was revoked or released.
RENEW = """
UPDATE shards SET until = :4 WHERE campaign_id = :1 AND number = :2 AND token = :3 AND until IS NOT NULL
"""
FIND_HOLDER_NOW = "SELECT holder FROM shards WHERE campaign_id = :1 AND until > :2 ORDER BY number LIMIT 1"
REVOKE_ALL = "UPDATE shards SET until = NULL WHERE campaign_id = :1"
GIVE_BACK = "UPDATE shards SET until = NULL WHERE campaign_id = :1 AND number = :2 AND token = :3"
# Which of these leases are valid.
FIND_HOLDING = """
SELECT token FROM shards WHERE campaign_id = :1 AND until > :2 AND token IN (SELECT value FROM json_each(:3))
"""

# ---------------------------------------------------------------------------- answers

# The owners of these `id_sms` in other campaigns.
FIND_OTHER_OWNERS = """
SELECT id_sms, client_id_sms, name FROM answers JOIN campaigns USING (campaign_id)
WHERE campaign_id <> :1 AND id_sms IN (SELECT value FROM json_each(:2))
"""
# Rows: id_sms, client_id_sms.
ADD_ANSWERS = """
INSERT OR IGNORE INTO answers (id_sms, campaign_id, client_id_sms)
SELECT json_extract(value, '$[0]'), :1, json_extract(value, '$[1]') FROM json_each(:2)
"""

# ---------------------------------------------------------------------------- done batches

FIND_OPEN = """
SELECT number FROM batches
WHERE campaign_id = :1 AND shard = :2 AND (done_by IS NULL OR open > 0) ORDER BY number
"""
FIND_BATCH = """
SELECT recipients, done_by, accepted, rejected, unknown, not_sent, open FROM batches
WHERE campaign_id = :1 AND shard = :2 AND number = :3
"""
BATCH_DONE = """
UPDATE batches
SET done_by = :4, accepted = :5, rejected = :6, unknown = :7, not_sent = :8, open = :9, left_out = :10
WHERE campaign_id = :1 AND shard = :2 AND number = :3
"""
# The parameters are differences.
CHANGE_SHARD = """
UPDATE shards
SET accepted = accepted + :3, rejected = rejected + :4, unknown = unknown + :5, not_sent = not_sent + :6,
    open = open + :7
WHERE campaign_id = :1 AND number = :2
"""
ADD_TO_WORKER = """
INSERT INTO workers (campaign_id, name, done) VALUES (:1, :2, :3)
ON CONFLICT (campaign_id, name) DO UPDATE SET done = done + excluded.done
"""
SHARD_DONE = "UPDATE shards SET done = 1, until = NULL WHERE campaign_id = :1 AND number = :2"
# Unless a shard is open, or the campaign has ended.
FINISH = """
UPDATE campaigns SET state = 'finished', why = '', ended_at = :2
WHERE campaign_id = :1 AND state NOT IN ('finished', 'cancelled')
    AND NOT EXISTS (SELECT 1 FROM shards WHERE campaign_id = :1 AND NOT done)
"""
PAGE_OF_LEFT_OUT = """
SELECT number, left_out FROM batches
WHERE number > :1 AND campaign_id = :2 AND left_out IS NOT NULL ORDER BY number LIMIT :3
"""

# ---------------------------------------------------------------------------- the rate

FIND_CLAIM = "SELECT asked, claimed FROM campaigns WHERE campaign_id = :1"
CLAIM = "UPDATE campaigns SET asked = :2, claimed = :3 WHERE campaign_id = :1"

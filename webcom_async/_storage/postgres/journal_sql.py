"""
SQL of the journal on PostgreSQL: its schema by version, and all statements by name.

Text only, in ASCII, which every database's encoding has; tables are found by the transaction's `search_path`. Batches
are passed as one array per column. Rows are locked in the order of ids, so that two batches with the same ids do not
deadlock.

No foreign keys: each would cost a lookup per recipient. Only whole campaigns are purged, and only while no lease is
held on them.
"""

__all__ = [
    "ADD_CAMPAIGN",
    "ADD_FORMAT",
    "ADD_LEASE",
    "ADD_MESSAGES",
    "ADD_REPEATS",
    "APPLICATION",
    "BACK_OUT_AGAIN",
    "BACK_OUT_NEW",
    "BLOCK",
    "CLAIM_ANSWERS",
    "COUNT",
    "END_EXPIRED_LEASES",
    "END_EXPIRED_OF_CAMPAIGN",
    "END_EXPIRED_RUNS",
    "END_LEASE",
    "FIND_ANYBODY",
    "FIND_CAMPAIGN",
    "FIND_CAMPAIGNS_OF",
    "FIND_FORMAT",
    "FIND_HEADER",
    "FIND_OTHERS",
    "FIND_OWN",
    "FIND_OWNERS",
    "FIND_REPEATED",
    "FIND_SCHEMA",
    "FIND_STANDING_OF_LEASE",
    "FORGET_REPEATS",
    "GIVE_NEW_IDS",
    "HOLD_LEASE",
    "LIST_CAMPAIGNS",
    "LIST_HOLDERS",
    "LIST_TABLES",
    "LOCK_CAMPAIGN",
    "LOCK_FORMAT",
    "LOCK_OTHERS",
    "LOCK_OWN",
    "MAKE_SCHEMA",
    "MIGRATIONS",
    "NEXT_BLOCK",
    "PAGE_OF_EXPORT",
    "PAGE_OF_RESULTS",
    "PAGE_OF_UNSETTLED",
    "PURGE",
    "PURGE_RECIPIENTS",
    "RENEW_LEASE",
    "RENUMBER",
    "REOPEN_CAMPAIGN",
    "RESERVE",
    "RESERVE_AGAIN",
    "SETTLE",
    "SETTLE_FRESH",
    "SET_FORMAT",
    "TOUCH_CAMPAIGN",
]

from webcom_async._storage.postgres.campaign_sql import STANDING

APPLICATION = "webcom_async journal"  # in the schema of every journal
BLOCK = 1_024  # reservations
ZONE = "webcom_async.zone"  # of a schema's times, for its migration

# ---------------------------------------------------------------------------- the schema

# Each entry migrates a schema to the next version; the last is the current one. Never edit a released one.
MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        "CREATE TABLE format (application text NOT NULL, version integer NOT NULL)",
        """
        CREATE TABLE campaigns (
            campaign_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            name text NOT NULL UNIQUE,
            id_bits integer NOT NULL,
            fingerprint text NOT NULL,
            created_at timestamptz NOT NULL,
            opened_at timestamptz NOT NULL,
            -- Of campaigns that were planned:
            settings text,                      -- JSON
            digest text,                        -- of the recipients
            recipients bigint NOT NULL DEFAULT 0,
            state text CHECK (state IN ('running', 'paused', 'halted', 'cancelled', 'finished')),
            why text NOT NULL DEFAULT '',
            planned_at timestamptz,
            ended_at timestamptz,
            account text                        -- a digest of whose account it is sent with
        )
        """,
        """
        CREATE TABLE messages (
            campaign_id bigint NOT NULL,
            digest uuid NOT NULL,
            content text NOT NULL,              -- JSON, in the vendor's field names
            PRIMARY KEY (campaign_id, digest)
        )
        """,
        # A row is written twice. With half of each page free, the second write updates no index (a HOT update).
        """
        CREATE TABLE recipients (
            recipient_id bigint NOT NULL,       -- the number of the reservation * 2**20 + the place in it
            campaign_id bigint NOT NULL,
            client_id_sms bigint NOT NULL,
            phone text NOT NULL,
            message uuid NOT NULL,              -- its digest
            validity_period text,
            time_send text,
            number_sms bigint,
            lease bigint,                       -- whose request they are in; NULL once it is settled
            state text NOT NULL CHECK (state IN ('reserved', 'accepted', 'rejected', 'unknown', 'not_sent')),
            id_sms text,
            reason text NOT NULL DEFAULT 'none',
            error text NOT NULL DEFAULT '',
            attempts bigint NOT NULL DEFAULT 0,
            reserved_at timestamptz NOT NULL,
            settled_at timestamptz,
            PRIMARY KEY (campaign_id, recipient_id)
        ) WITH (fillfactor = 50)
        """,
        # The id comes first: it is searched in all campaigns, because the gateway has one space of ids.
        "CREATE UNIQUE INDEX recipients_client_id_sms ON recipients (client_id_sms, campaign_id)",
        # Runs number their reservations from blocks, so that a repeated call recognises its own by the number.
        f"CREATE SEQUENCE reservations INCREMENT BY {BLOCK}",
        """
        CREATE TABLE answers (
            id_sms text COLLATE "C" PRIMARY KEY,    -- of all campaigns: the gateway's numbers are its own
            client_id_sms bigint NOT NULL
        )
        """,
        """
        CREATE TABLE leases (
            token bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            campaign_id bigint NOT NULL,
            shard integer,                      -- NULL for a run that sends without a plan
            holder text NOT NULL,
            seconds double precision NOT NULL,
            until timestamptz NOT NULL
        )
        """,
        "CREATE UNIQUE INDEX leases_shard ON leases (campaign_id, shard)",
        *STANDING,
    ),
    # Moments were texts of the gateway's clock.
    (
        f"""
        ALTER TABLE recipients
            ALTER COLUMN validity_period TYPE timestamptz
                USING validity_period::timestamp AT TIME ZONE current_setting('{ZONE}'),
            ALTER COLUMN time_send TYPE timestamptz
                USING time_send::timestamp AT TIME ZONE current_setting('{ZONE}')
        """,
    ),
    (
        # The width of the ids that recipients get instead, if they were never sent to; 0 for none. Whether it is
        # acknowledged that ids repeat in a campaign of many workers.
        """
        ALTER TABLE campaigns
            ADD COLUMN new_ids integer NOT NULL DEFAULT 0, ADD COLUMN acknowledged boolean NOT NULL DEFAULT false
        """,
        # Recipients that are unknown because their `id_sms` is another's. It has no owner in `answers`, unless one was
        # accepted before.
        "ALTER TABLE answers ALTER COLUMN client_id_sms DROP NOT NULL",
        """
        CREATE TABLE repeats (
            campaign_id bigint NOT NULL,
            client_id_sms bigint NOT NULL,
            id_sms text COLLATE "C" NOT NULL,
            PRIMARY KEY (campaign_id, client_id_sms)
        )
        """,
        "CREATE INDEX repeats_id_sms ON repeats (id_sms)",
    ),
)

SET_ZONE = f"SELECT set_config('{ZONE}', %(zone)s, true)"
LOCK_FORMAT = "SELECT pg_advisory_xact_lock(hashtextextended(%(schema)s, 5762436))"
LIST_TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = %(schema)s"
FIND_FORMAT = "SELECT application, version FROM format"
ADD_FORMAT = "INSERT INTO format (application, version) VALUES (%(application)s, %(version)s)"
SET_FORMAT = "UPDATE format SET version = %(version)s"
FIND_SCHEMA = "SELECT 1 FROM pg_namespace WHERE nspname = %(schema)s"
MAKE_SCHEMA = "CREATE SCHEMA IF NOT EXISTS {}"

# ---------------------------------------------------------------------------- campaigns and leases

FIND_CAMPAIGN = "SELECT campaign_id, id_bits, fingerprint, new_ids FROM campaigns WHERE name = %(name)s"

# A campaign's first run.
ADD_CAMPAIGN = """
INSERT INTO campaigns (name, id_bits, fingerprint, created_at, opened_at)
VALUES (%(name)s, %(id_bits)s, %(fingerprint)s, %(now)s, %(now)s)
ON CONFLICT (name) DO NOTHING
"""

# A later run. Waits for a purge, and proves that the server accepts writes before anything is sent.
REOPEN_CAMPAIGN = "UPDATE campaigns SET opened_at = %(now)s WHERE campaign_id = %(campaign)s"

# The same for workers, which open the campaign for every batch.
TOUCH_CAMPAIGN = """
UPDATE campaigns SET opened_at = %(now)s WHERE name = %(name)s AND opened_at < %(now)s - interval '1 minute'
"""

# All campaigns, or one of them, in the order of their first runs.
LIST_CAMPAIGNS = """
SELECT campaign_id, name, id_bits, fingerprint, new_ids, created_at, opened_at FROM campaigns ORDER BY campaign_id
"""
FIND_HEADER = "SELECT name, id_bits, fingerprint, new_ids FROM campaigns WHERE campaign_id = %(campaign)s"

# Recipients that were never sent to get new ids of this width.
GIVE_NEW_IDS = "UPDATE campaigns SET new_ids = %(new_ids)s WHERE campaign_id = %(campaign)s"

# One row if the campaign has a recipient.
FIND_ANYBODY = """
SELECT 1 FROM campaigns JOIN recipients USING (campaign_id) WHERE name = %(name)s LIMIT 1
"""

# Recipients per state and reason.
COUNT = "SELECT state, reason, count(*) FROM recipients WHERE campaign_id = %(campaign)s GROUP BY state, reason"

ADD_LEASE = """
INSERT INTO leases (campaign_id, shard, holder, seconds, until)
SELECT campaign_id, %(shard)s::int, %(holder)s, %(seconds)s, clock_timestamp() + %(seconds)s * interval '1 second'
FROM campaigns WHERE campaign_id = %(campaign)s FOR KEY SHARE
RETURNING token
"""

# Locking the row protects the lease from revocation until the transaction ends.
HOLD_LEASE = "SELECT 1 FROM leases WHERE token = %(lease)s FOR KEY SHARE"

RENEW_LEASE = """
UPDATE leases SET seconds = %(seconds)s, until = clock_timestamp() + %(seconds)s * interval '1 second'
WHERE token = %(lease)s
"""
END_LEASE = "DELETE FROM leases WHERE token = %(lease)s"

# Revoke leases that have expired: given ones, or a campaign's.
END_EXPIRED_LEASES = "DELETE FROM leases WHERE token = ANY (%(leases)s) AND until <= clock_timestamp()"
END_EXPIRED_OF_CAMPAIGN = "DELETE FROM leases WHERE campaign_id = %(campaign)s AND until <= clock_timestamp()"
END_EXPIRED_RUNS = f"{END_EXPIRED_OF_CAMPAIGN} AND shard IS NULL"
LIST_HOLDERS = "SELECT holder FROM leases WHERE campaign_id = %(campaign)s"

# Whether a lease is valid, and its campaign's state.
FIND_STANDING_OF_LEASE = """
SELECT (SELECT count(*) FROM leases WHERE token = %(lease)s), coalesce(state, 'running'), why
FROM campaigns WHERE campaign_id = %(campaign)s
"""

# ---------------------------------------------------------------------------- reservation

# A message's text is stored once per campaign, however many recipients get it.
ADD_MESSAGES = """
INSERT INTO messages (campaign_id, digest, content)
SELECT %(campaign)s, digest, content FROM unnest(%(digests)s::uuid[], %(contents)s::text[]) AS new (digest, content)
WHERE EXISTS (SELECT 1 FROM leases WHERE token = %(lease)s)
ON CONFLICT DO NOTHING
"""

NEXT_BLOCK = "SELECT nextval('reservations')"

# Reserve the recipients whose ids are new to the campaign. Returns their number; no row if the lease was revoked or
# the campaign is stopped.
RESERVE = """
WITH allowed AS MATERIALIZED (
    SELECT %(reservation)s::bigint << 20 AS first
    FROM leases JOIN campaigns USING (campaign_id)
    WHERE token = %(lease)s AND coalesce(state, 'running') = ANY (%(states)s)
), added AS (
    INSERT INTO recipients (
        recipient_id, campaign_id, client_id_sms, phone, message, validity_period, time_send, number_sms, lease, state,
        reserved_at
    )
    SELECT first + place, %(campaign)s, id, phone, said, validity_period, time_send, number_sms, %(lease)s, 'reserved',
        %(now)s
    FROM allowed, unnest(
        %(ids)s::bigint[], %(phones)s::text[], %(said)s::uuid[], %(validity_periods)s::timestamptz[],
        %(times_send)s::timestamptz[], %(numbers_sms)s::bigint[]
    ) WITH ORDINALITY AS new (id, phone, said, validity_period, time_send, number_sms, place)
    ORDER BY id
    ON CONFLICT (client_id_sms, campaign_id) DO NOTHING
    RETURNING 1
)
SELECT (SELECT count(*) FROM added) FROM allowed
"""

# The campaign's rows of a batch's ids, and whether another worker may be sending to them.
FIND_OWN = """
SELECT client_id_sms, phone, state, id_sms, reason, error, attempts, message, recipient_id, lease,
    coalesce(lease <> %(lease)s AND EXISTS (SELECT 1 FROM leases WHERE token = recipients.lease), false)
FROM recipients
WHERE client_id_sms = ANY (%(ids)s::bigint[]) AND campaign_id = %(campaign)s
"""
LOCK_OWN = f"{FIND_OWN} ORDER BY client_id_sms FOR UPDATE OF recipients"

# Other campaigns' rows of these ids. A recipient that was not sent to has not used its id.
FIND_OTHERS = """
SELECT client_id_sms, phone, state, id_sms, reason, error, attempts, message, recipient_id
FROM recipients
WHERE client_id_sms = ANY (%(ids)s::bigint[]) AND campaign_id <> %(campaign)s AND state <> 'not_sent'
"""

# The same, after campaigns that are backing out have done so.
LOCK_OTHERS = f"{FIND_OTHERS} ORDER BY recipient_id FOR KEY SHARE"

# Reserve recipients that are sent again; see the statement of SQLite's journal.
RESERVE_AGAIN = """
UPDATE recipients
SET validity_period = again.validity_period, time_send = again.time_send, number_sms = again.number_sms,
    reserved_at = %(now)s,
    lease = %(lease)s,
    reason = CASE state WHEN 'reserved' THEN 'cancelled' ELSE reason END,
    state = CASE WHEN state IN ('not_sent', 'rejected') THEN 'reserved' ELSE 'unknown' END
FROM (
    SELECT *, %(campaign)s::bigint AS campaign_id FROM unnest(
        %(ids)s::bigint[], %(validity_periods)s::timestamptz[], %(times_send)s::timestamptz[],
        %(numbers_sms)s::bigint[]
    ) AS given (id, validity_period, time_send, number_sms)
) AS again
WHERE client_id_sms = again.id AND recipients.campaign_id = again.campaign_id
"""

# Give recipients that were never sent to their new ids.
RENUMBER = """
UPDATE recipients SET client_id_sms = new
FROM unnest(%(ids)s::bigint[], %(new_ids)s::bigint[]) AS given (old, new)
WHERE client_id_sms = old AND campaign_id = %(campaign)s AND state = 'not_sent' AND NOT EXISTS (
    SELECT 1 FROM recipients AS others WHERE others.client_id_sms = new AND others.campaign_id = %(campaign)s
)
"""

# Undo reservations whose id another campaign has reserved at the same moment.
BACK_OUT_NEW = """
DELETE FROM recipients
WHERE client_id_sms = ANY (%(ids)s::bigint[]) AND campaign_id = %(campaign)s AND lease = %(lease)s
    AND recipient_id >> 20 = ANY (%(reservations)s)
"""
BACK_OUT_AGAIN = """
UPDATE recipients
SET state = CASE state WHEN 'reserved' THEN 'not_sent' ELSE state END, reason = 'id_reused', lease = NULL
WHERE client_id_sms = ANY (%(ids)s::bigint[]) AND campaign_id = %(campaign)s AND lease = %(lease)s
    AND recipient_id >> 20 <> ALL (%(reservations)s)
"""

# ---------------------------------------------------------------------------- settlement

# The ids that got these `id_sms` before, and whether several did.
FIND_OWNERS = """
SELECT id_sms, client_id_sms, false FROM answers
WHERE id_sms = ANY (%(answers)s::text[]) AND client_id_sms IS NOT NULL
UNION ALL
SELECT id_sms, client_id_sms, true FROM repeats WHERE id_sms = ANY (%(answers)s::text[])
"""

# One row if one of a campaign's ids was answered with another's `id_sms`.
FIND_REPEATED = """
SELECT 1 FROM repeats WHERE campaign_id = %(campaign)s AND client_id_sms = ANY (%(ids)s::bigint[]) LIMIT 1
"""

# The campaigns of ids.
FIND_CAMPAIGNS_OF = """
SELECT DISTINCT name FROM recipients JOIN campaigns USING (campaign_id)
WHERE client_id_sms = ANY (%(ids)s::bigint[]) AND recipients.state <> 'not_sent'
"""

# Record each `id_sms` for the id that owns it; NULL for none. A concurrent claim waits for this one.
CLAIM_ANSWERS = """
INSERT INTO answers (id_sms, client_id_sms)
SELECT id_sms, id FROM unnest(%(answers)s::text[], %(owners)s::bigint[]) AS new (id_sms, id) ORDER BY id_sms
ON CONFLICT (id_sms) DO UPDATE SET client_id_sms = excluded.client_id_sms WHERE answers.client_id_sms IS NULL
"""

# Record the repeated `id_sms` of a campaign's ids, in place of earlier ones.
FORGET_REPEATS = """
DELETE FROM repeats WHERE campaign_id = %(campaign)s AND client_id_sms = ANY (%(ids)s::bigint[])
"""
ADD_REPEATS = """
INSERT INTO repeats (campaign_id, client_id_sms, id_sms)
SELECT %(campaign)s, id, id_sms FROM unnest(%(ids)s::bigint[], %(answers)s::text[]) AS new (id, id_sms)
"""

# Store results. Accepted is final; "not sent" does not overrule an earlier unknown, and an attempt that learns nothing
# does not overrule a repeated `id_sms`; under a revoked lease only accepted results are stored. Materializing makes the
# join use the index of ids.
_ANSWERS = """
WITH given AS MATERIALIZED (
    SELECT *, %(campaign)s::bigint AS campaign_id FROM unnest(
        %(ids)s::bigint[], %(phones)s::text[], %(states)s::text[], %(answers)s::text[], %(reasons)s::text[],
        %(errors)s::text[], %(attempts)s::bigint[]
    ) AS given (id, phone, state, id_sms, reason, error, attempts)
    ORDER BY id
), held AS MATERIALIZED (
    SELECT EXISTS (SELECT 1 FROM leases WHERE token = %(lease)s) AS held
)
"""
_UPDATE = """
    UPDATE recipients
    SET state = given.state, id_sms = given.id_sms, reason = given.reason, error = given.error,
        attempts = given.attempts, settled_at = %(now)s, lease = NULL
    FROM given, held{source}
    WHERE recipients.client_id_sms = given.id AND recipients.campaign_id = given.campaign_id
        AND recipients.phone = given.phone AND recipients.state <> 'accepted'
        AND (recipients.state <> 'unknown' OR given.state <> 'not_sent')
        AND (
            recipients.state <> 'unknown' OR recipients.reason <> 'repeated_id_sms' OR given.state <> 'unknown'
            OR given.reason = 'repeated_id_sms'
        )
        AND (given.state = 'accepted' OR held AND (
            coalesce(lease, %(lease)s) = %(lease)s
            OR NOT EXISTS (SELECT 1 FROM leases WHERE token = recipients.lease)
        )){guard}
    RETURNING 1
"""
SETTLE = f"""
{_ANSWERS}, settled AS ({_UPDATE.format(source="", guard="")})
SELECT count(*) FROM settled
"""

# The same, unless one of the `id_sms` was returned before: then no result is stored. Also returns the number of new
# ones.
SETTLE_FRESH = f"""
{_ANSWERS}, claimed AS (
    INSERT INTO answers (id_sms, client_id_sms) SELECT id_sms, id FROM given WHERE id_sms IS NOT NULL ORDER BY id_sms
    ON CONFLICT DO NOTHING
    RETURNING 1
), fresh AS MATERIALIZED (SELECT count(*) AS claims FROM claimed),
settled AS ({_UPDATE.format(source=", fresh", guard=" AND claims = %(claims)s")})
SELECT claims, (SELECT count(*) FROM settled) FROM fresh
"""

# ---------------------------------------------------------------------------- page by page

# A campaign's results, in the order of their first reservation.
PAGE_OF_RESULTS = """
SELECT recipient_id, client_id_sms, phone, state, id_sms, reason, error, attempts
FROM recipients
WHERE campaign_id = %(campaign)s AND recipient_id > %(last)s AND state = ANY (%(states)s)
ORDER BY recipient_id LIMIT %(rows)s
"""

# Possibly sent recipients, with all that sending again needs.
PAGE_OF_UNSETTLED = """
SELECT recipient_id, content, phone, client_id_sms, validity_period AT TIME ZONE 'UTC', time_send AT TIME ZONE 'UTC',
    number_sms
FROM recipients JOIN messages ON messages.campaign_id = recipients.campaign_id AND digest = message
WHERE recipients.campaign_id = %(campaign)s AND recipient_id > %(last)s AND state IN ('reserved', 'unknown')
ORDER BY recipient_id LIMIT %(rows)s
"""

# All fields of a campaign's recipients.
PAGE_OF_EXPORT = """
SELECT recipient_id, client_id_sms, phone, content, validity_period AT TIME ZONE 'UTC', time_send AT TIME ZONE 'UTC',
    number_sms, state, id_sms, reason, error, attempts, reserved_at, settled_at
FROM recipients JOIN messages ON messages.campaign_id = recipients.campaign_id AND digest = message
WHERE recipients.campaign_id = %(campaign)s AND recipient_id > %(last)s
ORDER BY recipient_id LIMIT %(rows)s
"""

# ---------------------------------------------------------------------------- purge

LOCK_CAMPAIGN = "SELECT campaign_id FROM campaigns WHERE name = %(name)s FOR UPDATE"
PURGE = (
    """
    DELETE FROM answers USING recipients
    WHERE recipients.campaign_id = %(campaign)s AND answers.id_sms = recipients.id_sms
        AND answers.client_id_sms = recipients.client_id_sms
    """,
    *(
        f"DELETE FROM {table} WHERE campaign_id = %(campaign)s"
        for table in ("messages", "left_out", "batches", "shards", "turns", "repeats", "campaigns")
    ),
    """
    DELETE FROM answers
    WHERE client_id_sms IS NULL AND NOT EXISTS (SELECT 1 FROM repeats WHERE repeats.id_sms = answers.id_sms)
    """,
)
PURGE_RECIPIENTS = "DELETE FROM recipients WHERE campaign_id = %(campaign)s"

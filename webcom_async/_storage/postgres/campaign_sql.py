"""
SQL statements of the store on PostgreSQL: plan, status and rate.

Text only; see `journal_sql` for how tables are found.
"""

__all__ = [
    "ACKNOWLEDGE",
    "ADD_SHARDS",
    "ADD_TURNS",
    "BATCH_DONE",
    "CHANGE_STATE",
    "CLAIM",
    "COUNT_BATCHES",
    "DROP_LEFT_OUT",
    "FIND_BATCH",
    "FIND_LEASES",
    "FIND_PLAN",
    "FIND_SETTINGS",
    "FIND_SHARD",
    "FIND_STANDING",
    "FINISH",
    "HAND_OUT",
    "LEAVE_OUT",
    "LIST_PLANNED",
    "LIST_SHARDS",
    "LOCK_LEASES",
    "LOCK_PLAN",
    "LOCK_SHARD",
    "NUMBER_OF",
    "OPEN_BATCHES",
    "OPEN_SHARDS_AGAIN",
    "PAGE_OF_LEFT_OUT",
    "PLAN_CAMPAIGN",
    "REVOKE",
    "SHARD_DONE",
    "SHARD_HELD",
    "SHARD_OF_LEASE",
    "STANDING",
    "TURN",
    "WORKERS",
    "WRITE_BATCHES",
]

STANDING: tuple[str, ...] = (
    """
    CREATE TABLE shards (
        campaign_id bigint NOT NULL,
        shard integer NOT NULL,
        recipients bigint NOT NULL,
        generation integer NOT NULL DEFAULT 0,
        done boolean NOT NULL DEFAULT false,
        holder text,                        -- the latest
        PRIMARY KEY (campaign_id, shard)
    )
    """,
    """
    CREATE TABLE batches (
        campaign_id bigint NOT NULL,
        batch integer NOT NULL,
        shard integer NOT NULL,
        recipients integer NOT NULL,
        done_by text,
        accepted integer NOT NULL DEFAULT 0,
        rejected integer NOT NULL DEFAULT 0,
        unknown integer NOT NULL DEFAULT 0,
        not_sent integer NOT NULL DEFAULT 0,
        still_open integer NOT NULL DEFAULT 0,
        content text NOT NULL,              -- JSON
        PRIMARY KEY (campaign_id, batch)
    )
    """,
    "CREATE INDEX batches_shard ON batches (campaign_id, shard)",
    """
    CREATE TABLE left_out (
        campaign_id bigint NOT NULL,
        batch integer NOT NULL,
        place integer NOT NULL,
        result text NOT NULL,               -- JSON
        PRIMARY KEY (campaign_id, batch, place)
    )
    """,
    """
    CREATE TABLE turns (
        campaign_id bigint PRIMARY KEY,
        rate double precision NOT NULL,     -- recipients per second
        burst double precision NOT NULL,    -- seconds by which an even flow may be exceeded after a pause
        claimed timestamptz NOT NULL DEFAULT '-infinity',
        asked timestamptz NOT NULL DEFAULT clock_timestamp()  -- the latest
    ) WITH (fillfactor = 10)
    """,
)

NUMBER_OF = "SELECT campaign_id FROM campaigns WHERE name = %(name)s AND settings IS NOT NULL"

# ---------------------------------------------------------------------------- the plan

# A campaign may have been run without a plan before.
FIND_PLAN = """
SELECT campaign_id, id_bits, fingerprint, settings, recipients, digest FROM campaigns WHERE name = %(name)s
"""
LOCK_PLAN = f"{FIND_PLAN} FOR UPDATE"
PLAN_CAMPAIGN = """
UPDATE campaigns
SET settings = %(settings)s, digest = %(digest)s, recipients = %(recipients)s, state = 'running',
    planned_at = clock_timestamp()
WHERE campaign_id = %(campaign)s
"""
WRITE_BATCHES = """
INSERT INTO batches (campaign_id, batch, shard, recipients, content)
SELECT %(campaign)s, * FROM unnest(%(batches)s::int[], %(shards)s::int[], %(counts)s::int[], %(contents)s::text[])
"""
ADD_SHARDS = """
INSERT INTO shards (campaign_id, shard, recipients)
SELECT campaign_id, shard, sum(recipients) FROM batches WHERE campaign_id = %(campaign)s GROUP BY campaign_id, shard
"""
ADD_TURNS = "INSERT INTO turns (campaign_id, rate, burst) VALUES (%(campaign)s, %(rate)s, %(burst)s)"

FIND_SETTINGS = "SELECT settings FROM campaigns WHERE name = %(name)s AND settings IS NOT NULL"
CLAIM = """
UPDATE campaigns SET account = CASE WHEN %(account)s::text IS NULL THEN NULL ELSE coalesce(account, %(account)s) END
WHERE name = %(name)s AND settings IS NOT NULL RETURNING account
"""
ACKNOWLEDGE = "UPDATE campaigns SET acknowledged = true WHERE campaign_id = %(campaign)s"
LIST_PLANNED = """
SELECT name FROM campaigns WHERE settings IS NOT NULL AND state = ANY (%(states)s) ORDER BY planned_at, campaign_id
"""
FIND_BATCH = """
SELECT content FROM batches JOIN campaigns USING (campaign_id)
WHERE name = %(name)s AND shard = %(shard)s AND batch = %(batch)s
"""

# ---------------------------------------------------------------------------- the status

FIND_STANDING = """
SELECT campaign_id, settings, state, why, recipients, planned_at, ended_at, acknowledged, new_ids > 0,
    (SELECT count(*) FROM shards WHERE shards.campaign_id = campaigns.campaign_id),
    (SELECT count(*) FROM shards WHERE shards.campaign_id = campaigns.campaign_id AND done)
FROM campaigns WHERE name = %(name)s AND settings IS NOT NULL
"""

# Per worker with done batches: recipients, these per outcome, and open ones.
COUNT_BATCHES = """
SELECT done_by, sum(batches.recipients)::bigint, sum(accepted)::bigint, sum(rejected)::bigint, sum(unknown)::bigint,
    sum(not_sent)::bigint, sum(still_open)::bigint
FROM batches JOIN campaigns USING (campaign_id) WHERE name = %(name)s AND done_by IS NOT NULL GROUP BY done_by
"""

# Workers that hold or have held a shard; with a moment in `until` if they hold it now.
WORKERS = """
SELECT coalesce(leases.holder, shards.holder), shard, until
FROM shards JOIN campaigns USING (campaign_id) LEFT JOIN leases USING (campaign_id, shard)
WHERE name = %(name)s AND shards.holder IS NOT NULL ORDER BY shard
"""
LIST_SHARDS = """
SELECT shard, shards.recipients, generation, done, shards.holder, until, coalesce(until <= clock_timestamp(), false)
FROM shards JOIN campaigns USING (campaign_id) LEFT JOIN leases USING (campaign_id, shard)
WHERE name = %(name)s ORDER BY shard
"""
CHANGE_STATE = """
UPDATE campaigns
SET state = %(state)s, why = %(why)s,
    ended_at = CASE WHEN %(state)s IN ('cancelled', 'finished') THEN clock_timestamp() END
WHERE campaign_id = %(campaign)s
"""

# Waits for transactions that are reserving under the old state.
LOCK_LEASES = "SELECT 1 FROM leases WHERE campaign_id = %(campaign)s ORDER BY token FOR UPDATE"
OPEN_SHARDS_AGAIN = """
UPDATE shards SET done = false
WHERE campaign_id = %(campaign)s AND shard IN (
    SELECT shard FROM batches WHERE campaign_id = %(campaign)s AND still_open > 0
)
"""

# ---------------------------------------------------------------------------- shards

HAND_OUT = """
UPDATE shards SET generation = %(generation)s
FROM campaigns
WHERE shards.campaign_id = campaigns.campaign_id AND name = %(name)s AND shard = %(shard)s
    AND generation < %(generation)s
"""
FIND_SHARD = """
SELECT 1 FROM shards JOIN campaigns USING (campaign_id) WHERE name = %(name)s AND shard = %(shard)s
"""
LOCK_SHARD = """
SELECT campaign_id, state = 'running' AND NOT done
FROM shards JOIN campaigns USING (campaign_id) WHERE name = %(name)s AND shard = %(shard)s
FOR UPDATE OF shards FOR KEY SHARE OF campaigns
"""
FIND_LEASES = "SELECT token, holder FROM leases WHERE campaign_id = %(campaign)s AND shard = %(shard)s"

# Waits for a transaction that is reserving under the lease.
REVOKE = """
DELETE FROM leases
WHERE token = %(lease)s AND (holder = %(holder)s OR until <= clock_timestamp())
"""
SHARD_HELD = "UPDATE shards SET holder = %(holder)s WHERE campaign_id = %(campaign)s AND shard = %(shard)s"
OPEN_BATCHES = """
SELECT batch FROM batches JOIN campaigns USING (campaign_id)
WHERE name = %(name)s AND shard = %(shard)s AND (done_by IS NULL OR still_open > 0) ORDER BY batch
"""
SHARD_OF_LEASE = "SELECT campaign_id, shard FROM leases WHERE token = %(lease)s FOR KEY SHARE"
BATCH_DONE = """
UPDATE batches
SET done_by = %(holder)s, accepted = %(accepted)s, rejected = %(rejected)s, unknown = %(unknown)s,
    not_sent = %(not_sent)s, still_open = %(still_open)s
WHERE campaign_id = (SELECT campaign_id FROM leases WHERE token = %(lease)s) AND batch = %(batch)s
    AND shard = %(shard)s
RETURNING 1
"""
DROP_LEFT_OUT = """
DELETE FROM left_out
WHERE campaign_id = (SELECT campaign_id FROM leases WHERE token = %(lease)s) AND batch = %(batch)s
"""
LEAVE_OUT = """
INSERT INTO left_out (campaign_id, batch, place, result)
SELECT batches.campaign_id, batch, place, result
FROM leases JOIN batches USING (campaign_id),
    unnest(%(results)s::text[]) WITH ORDINALITY AS new (result, place)
WHERE token = %(lease)s AND batch = %(batch)s AND batches.shard = %(shard)s
"""
SHARD_DONE = "UPDATE shards SET done = true WHERE campaign_id = %(campaign)s AND shard = %(shard)s"
FINISH = """
UPDATE campaigns SET state = 'finished', why = '', ended_at = clock_timestamp()
WHERE campaign_id = %(campaign)s AND state <> 'cancelled'
    AND NOT EXISTS (SELECT 1 FROM shards WHERE campaign_id = %(campaign)s AND NOT done)
"""

# ---------------------------------------------------------------------------- the rate

# The virtual scheduling of GCRA (ITU-T I.371, annex A), on one row for all workers. If the clock is set back, reserved
# time moves back with it. Intervals are in seconds, because those in days depend on summer time.
TURN = """
UPDATE turns
SET claimed = greatest(
        claimed + least(0, extract(epoch FROM clock_timestamp() - asked))::double precision * interval '1 second',
        clock_timestamp()
    ) + %(recipients)s / rate * interval '1 second',
    asked = clock_timestamp()
FROM campaigns
WHERE turns.campaign_id = campaigns.campaign_id AND name = %(name)s
RETURNING greatest(0, extract(epoch FROM claimed - clock_timestamp()) - burst)::double precision
"""

PAGE_OF_LEFT_OUT = """
SELECT (batch::bigint << 32) + place, result FROM left_out
WHERE campaign_id = %(campaign)s AND (batch, place) > ((%(last)s >> 32)::integer, (%(last)s & 4294967295)::integer)
ORDER BY batch, place LIMIT %(rows)s
"""

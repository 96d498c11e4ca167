-- The tables of version 1, as that version made them.
CREATE TABLE format (application text NOT NULL, version integer NOT NULL);
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
        );
CREATE TABLE messages (
            campaign_id bigint NOT NULL,
            digest uuid NOT NULL,
            content text NOT NULL,              -- JSON, in the vendor's field names
            PRIMARY KEY (campaign_id, digest)
        );
CREATE TABLE recipients (
            recipient_id bigint NOT NULL,       -- the number of the reservation × 2**20 + the place in it
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
        ) WITH (fillfactor = 50);
CREATE UNIQUE INDEX recipients_client_id_sms ON recipients (client_id_sms, campaign_id);
CREATE SEQUENCE reservations INCREMENT BY 1024;
CREATE TABLE answers (
            id_sms text COLLATE "C" PRIMARY KEY,    -- of all campaigns: the gateway's numbers are its own
            client_id_sms bigint NOT NULL
        );
CREATE TABLE leases (
            token bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            campaign_id bigint NOT NULL,
            shard integer,                      -- NULL for a run that sends without a plan
            holder text NOT NULL,
            seconds double precision NOT NULL,
            until timestamptz NOT NULL
        );
CREATE UNIQUE INDEX leases_shard ON leases (campaign_id, shard);
CREATE TABLE shards (
        campaign_id bigint NOT NULL,
        shard integer NOT NULL,
        recipients bigint NOT NULL,
        generation integer NOT NULL DEFAULT 0,
        done boolean NOT NULL DEFAULT false,
        holder text,                        -- the latest
        PRIMARY KEY (campaign_id, shard)
    );
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
    );
CREATE INDEX batches_shard ON batches (campaign_id, shard);
CREATE TABLE left_out (
        campaign_id bigint NOT NULL,
        batch integer NOT NULL,
        place integer NOT NULL,
        result text NOT NULL,               -- JSON
        PRIMARY KEY (campaign_id, batch, place)
    );
CREATE TABLE turns (
        campaign_id bigint PRIMARY KEY,
        rate double precision NOT NULL,     -- recipients per second
        burst double precision NOT NULL,    -- seconds by which an even flow may be exceeded after a pause
        claimed timestamptz NOT NULL DEFAULT '-infinity',
        asked timestamptz NOT NULL DEFAULT clock_timestamp()  -- the latest
    ) WITH (fillfactor = 10);

"""
SQL about delivery, in journals and in files of reports.

Text only, like `journal_sql`. Which state may follow which is decided in Python: rows are read, advanced, and written
back in one transaction.
"""

__all__ = [
    "ADD_DELIVERIES",
    "COUNT_DELIVERIES",
    "DELIVERIES",
    "FIND_DELIVERIES",
    "FIND_PRICES",
    "FIND_REPORTS",
    "LAST_RECIPIENT",
    "LATEST",
    "NEXT_DUE",
    "NEXT_NUMBERS",
    "PAGE_OF_DELIVERIES",
    "PAGE_OF_DUE",
    "PAGE_OF_OPEN",
    "PAGE_OF_REPORTS",
    "PURGE_DELIVERIES",
    "PURGE_REPORTS",
    "REOPEN_OVERDUE",
    "REPORTS",
    "REPORTS_ID",
    "STORE_REPORTS",
    "WRITE_DELIVERIES",
]

# ---------------------------------------------------------------------------- a journal's own

# Accepted SMS of a journal. `due_at` is when to ask for the SMS; NULL once it is no longer tracked.
DELIVERIES: tuple[str, ...] = (
    """
    CREATE TABLE deliveries (
        recipient_id INTEGER PRIMARY KEY REFERENCES recipients,
        campaign_id INTEGER NOT NULL REFERENCES campaigns,
        state TEXT NOT NULL DEFAULT 'send',
        said TEXT NOT NULL DEFAULT 'send',
        changed_at INTEGER,
        num_parts INTEGER,
        price TEXT,                     -- decimal digits
        asked INTEGER NOT NULL DEFAULT 0,
        until INTEGER NOT NULL,         -- when it is not followed any more
        due_at INTEGER
    )
    """,
    "CREATE INDEX deliveries_due ON deliveries (campaign_id, due_at) WHERE due_at IS NOT NULL",
)

# Add a page of accepted SMS, :5 of them after :2. An SMS is asked for :3 milliseconds after it was accepted, and
# tracked for :4.
ADD_DELIVERIES = """
INSERT OR IGNORE INTO deliveries (recipient_id, campaign_id, until, due_at)
SELECT recipient_id, campaign_id, settled_at + :4, settled_at + min(:3, :4)
FROM recipients
WHERE recipient_id > :2 AND recipient_id <= :2 + :5 AND campaign_id = :1 AND state = 'accepted' AND id_sms IS NOT NULL
"""

# The end of the pages of a campaign's recipients.
LAST_RECIPIENT = "SELECT max(recipient_id) FROM recipients WHERE campaign_id = :1"

# Track overdue SMS again whose new deadline is in the future.
REOPEN_OVERDUE = """
UPDATE deliveries
SET until = recipients.settled_at + :3, due_at = :2
FROM recipients
WHERE recipients.recipient_id = deliveries.recipient_id AND deliveries.campaign_id = :1 AND due_at IS NULL
    AND deliveries.state NOT IN (SELECT value FROM json_each(:4)) AND recipients.settled_at + :3 > :2
"""

# The rows of these `id_sms` in a campaign.
FIND_DELIVERIES = """
SELECT recipient_id, client_id_sms, phone, id_sms, deliveries.state, said, changed_at, num_parts, price, asked, until,
    due_at
FROM recipients JOIN deliveries USING (recipient_id)
WHERE id_sms IN (SELECT value FROM json_each(:2)) AND recipients.campaign_id = :1
"""

# Rows: recipient_id, state, said, changed_at, num_parts, price, asked, due_at.
WRITE_DELIVERIES = """
UPDATE deliveries
SET state = json_extract(value, '$[1]'),
    said = json_extract(value, '$[2]'),
    changed_at = json_extract(value, '$[3]'),
    num_parts = json_extract(value, '$[4]'),
    price = json_extract(value, '$[5]'),
    asked = json_extract(value, '$[6]'),
    due_at = json_extract(value, '$[7]')
FROM json_each(:1)
WHERE recipient_id = json_extract(value, '$[0]')
"""

# SMS that are due, the longest waiting first.
PAGE_OF_DUE = """
SELECT id_sms FROM deliveries JOIN recipients USING (recipient_id)
WHERE deliveries.campaign_id = :1 AND due_at <= :2 ORDER BY due_at LIMIT :3
"""

# When the next SMS is due.
NEXT_DUE = "SELECT min(due_at) FROM deliveries WHERE campaign_id = :1 AND due_at IS NOT NULL"

# SMS that a report may still change, page by page. Third parameter: the states that no other follows.
PAGE_OF_OPEN = """
SELECT recipient_id, id_sms FROM deliveries JOIN recipients USING (recipient_id)
WHERE recipient_id > :1 AND deliveries.campaign_id = :2 AND deliveries.state NOT IN (SELECT value FROM json_each(:3))
ORDER BY recipient_id LIMIT :4
"""

# All deliveries of a campaign, page by page.
PAGE_OF_DELIVERIES = """
SELECT recipient_id, client_id_sms, phone, id_sms, deliveries.state, said, changed_at, num_parts, price, asked, until,
    due_at
FROM deliveries JOIN recipients USING (recipient_id)
WHERE recipient_id > :1 AND deliveries.campaign_id = :2 ORDER BY recipient_id LIMIT :3
"""

# Prices of parts, in all campaigns.
FIND_PRICES = "SELECT DISTINCT price FROM deliveries WHERE price IS NOT NULL"

# SMS per state, parts, price, and whether they are no longer tracked.
COUNT_DELIVERIES = """
SELECT state, num_parts, price, due_at IS NULL, count(*) FROM deliveries WHERE campaign_id = :1 GROUP BY 1, 2, 3, 4
"""

# Before a campaign's recipients are purged.
PURGE_DELIVERIES = "DELETE FROM deliveries WHERE campaign_id = :1"

# ---------------------------------------------------------------------------- a file of reports

REPORTS_ID = 0x57625272  # "WbRr", in the header of every file of reports

# `number` grows with every change, so that readers continue after the last one they have read.
REPORTS: tuple[str, ...] = (
    """
    CREATE TABLE IF NOT EXISTS reports (
        id_sms TEXT PRIMARY KEY,
        number INTEGER NOT NULL,
        state TEXT NOT NULL,
        said TEXT NOT NULL,
        changed_at INTEGER,             -- times are milliseconds since 1970, UTC
        num_parts INTEGER,
        price TEXT,
        received_at INTEGER NOT NULL
    )
    """,
    "CREATE UNIQUE INDEX IF NOT EXISTS reports_number ON reports (number)",
    "CREATE TABLE IF NOT EXISTS numbers (latest INTEGER NOT NULL)",
    "INSERT INTO numbers SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM numbers)",
)

# Take numbers for so many reports.
NEXT_NUMBERS = "UPDATE numbers SET latest = latest + :1"

# The number of the latest report.
LATEST = "SELECT latest FROM numbers"

# The reports of these `id_sms`.
FIND_REPORTS = """
SELECT id_sms, state, said, changed_at, num_parts, price FROM reports
WHERE id_sms IN (SELECT value FROM json_each(:1))
"""

# Rows: id_sms, state, said, changed_at, num_parts, price.
STORE_REPORTS = """
INSERT INTO reports (id_sms, state, said, changed_at, num_parts, price, number, received_at)
SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]'),
    json_extract(value, '$[3]'), json_extract(value, '$[4]'), json_extract(value, '$[5]'), :2 + 1 + key, :3
FROM json_each(:1) WHERE true
ON CONFLICT (id_sms) DO UPDATE SET
    state = excluded.state, said = excluded.said, changed_at = excluded.changed_at, num_parts = excluded.num_parts,
    price = excluded.price, number = excluded.number, received_at = excluded.received_at
"""

# Reports after a number, in order.
PAGE_OF_REPORTS = """
SELECT number, id_sms, state, said, changed_at, num_parts, price FROM reports WHERE number > :1 ORDER BY number LIMIT :2
"""

# Reports received before a moment.
PURGE_REPORTS = "DELETE FROM reports WHERE received_at < :1"

-- Times are microseconds since the Unix epoch; ids are 16 bytes, big endian, so they sort as
-- the ids do. Tables of the hot path keep integer keys and as few indexes as their reads allow.

CREATE TABLE organization (
    key     INTEGER PRIMARY KEY,
    id      BLOB NOT NULL UNIQUE,
    created INTEGER NOT NULL
) STRICT;

CREATE TABLE api_key (
    id           BLOB PRIMARY KEY,
    organization INTEGER NOT NULL,
    name         TEXT NOT NULL,
    hash         BLOB NOT NULL UNIQUE,
    scope        TEXT NOT NULL,
    created      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- AUTOINCREMENT: a key that was erased must never name something else.
CREATE TABLE application (
    key             INTEGER PRIMARY KEY AUTOINCREMENT,
    organization    INTEGER NOT NULL,
    id              BLOB NOT NULL UNIQUE,
    uid             TEXT,
    name            TEXT NOT NULL,
    throttle_rate   INTEGER,
    metadata        TEXT NOT NULL,
    routing_version INTEGER NOT NULL,
    created         INTEGER NOT NULL,
    updated         INTEGER NOT NULL,
    deleted         INTEGER
) STRICT;
CREATE UNIQUE INDEX application_live ON application (organization, id) WHERE deleted IS NULL;
CREATE UNIQUE INDEX application_uid ON application (organization, uid)
    WHERE uid IS NOT NULL AND deleted IS NULL;
CREATE INDEX application_deleted ON application (deleted) WHERE deleted IS NOT NULL;

-- `generation` is drawn from the counter of that name whenever pending deliveries are canceled:
-- rows of an earlier generation are canceled without being written.
CREATE TABLE endpoint (
    key              INTEGER PRIMARY KEY AUTOINCREMENT,
    application      INTEGER NOT NULL,
    id               BLOB NOT NULL UNIQUE,
    uid              TEXT,
    url              INTEGER NOT NULL,
    description      TEXT NOT NULL,
    disabled         TEXT,
    paused           INTEGER NOT NULL,
    event_types      TEXT,
    channels         TEXT,
    throttle_rate    INTEGER,
    metadata         TEXT NOT NULL,
    headers          BLOB,
    canceled_through INTEGER,
    generation       INTEGER NOT NULL,
    version          INTEGER NOT NULL,
    created          INTEGER NOT NULL,
    updated          INTEGER NOT NULL,
    deleted          INTEGER
) STRICT;
CREATE UNIQUE INDEX endpoint_live ON endpoint (application, id) WHERE deleted IS NULL;
CREATE UNIQUE INDEX endpoint_uid ON endpoint (application, uid)
    WHERE uid IS NOT NULL AND deleted IS NULL;
CREATE INDEX endpoint_deleted ON endpoint (deleted) WHERE deleted IS NOT NULL;
CREATE INDEX endpoint_canceled ON endpoint (generation) WHERE generation > 0;

CREATE TABLE endpoint_secret (
    endpoint INTEGER NOT NULL,
    number   INTEGER NOT NULL,
    sealed   BLOB NOT NULL,
    expires  INTEGER,
    PRIMARY KEY (endpoint, number)
) STRICT, WITHOUT ROWID;

-- Every URL that an endpoint has had; attempts point at the one that they used.
CREATE TABLE endpoint_url (
    key      INTEGER PRIMARY KEY AUTOINCREMENT,
    endpoint INTEGER NOT NULL,
    url      TEXT NOT NULL
) STRICT;
CREATE INDEX endpoint_url_endpoint ON endpoint_url (endpoint);

CREATE TABLE endpoint_minute (
    endpoint INTEGER NOT NULL,
    minute   INTEGER NOT NULL,
    success  INTEGER NOT NULL,
    fail     INTEGER NOT NULL,
    duration INTEGER NOT NULL,
    PRIMARY KEY (endpoint, minute)
) STRICT, WITHOUT ROWID;

CREATE TABLE event_type (
    organization INTEGER NOT NULL,
    name         TEXT NOT NULL,
    description  TEXT NOT NULL,
    archived     INTEGER NOT NULL,
    deprecated   INTEGER NOT NULL,
    feature_flag TEXT,
    schemas      TEXT,
    created      INTEGER NOT NULL,
    updated      INTEGER NOT NULL,
    PRIMARY KEY (organization, name)
) STRICT, WITHOUT ROWID;

-- `key` is the first 63 bits of the id that matter, so rows lie in the order of publishing and
-- need no index for it; `rest` holds the other bits. The payload comes last and is NULL once it
-- is erased.
CREATE TABLE message (
    key          INTEGER PRIMARY KEY,
    rest         INTEGER NOT NULL,
    application  INTEGER NOT NULL,
    event_type   TEXT NOT NULL,
    event_id     TEXT,
    channels     TEXT,
    tags         TEXT,
    at           INTEGER NOT NULL,
    deliver_at   INTEGER,
    expires      INTEGER NOT NULL,
    content_type TEXT,
    payload      BLOB
) STRICT;
CREATE INDEX message_application ON message (application, key);
CREATE UNIQUE INDEX message_event_id ON message (application, event_id)
    WHERE event_id IS NOT NULL;

-- Which keys to look at for payloads that expire in an hour: a range per hour of publishing.
-- A few rows per hour instead of an index over all messages.
CREATE TABLE expiry (
    hour      INTEGER NOT NULL,
    published INTEGER NOT NULL,
    first     INTEGER NOT NULL,
    last      INTEGER NOT NULL,
    PRIMARY KEY (hour, published)
) STRICT, WITHOUT ROWID;

-- Unfinished, failed and canceled deliveries. A success erases the row: its attempt tells.
-- `back` is what a manual attempt returns to when it fails: 0 to no row, otherwise a state;
-- it is NULL unless a manual attempt is due.
CREATE TABLE delivery (
    message    INTEGER NOT NULL,
    endpoint   INTEGER NOT NULL,
    state      INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    due        INTEGER NOT NULL,
    first_due  INTEGER,
    attempts   INTEGER NOT NULL,
    scheduled  INTEGER NOT NULL,
    back       INTEGER,
    back_due   INTEGER,
    reason     INTEGER,
    PRIMARY KEY (message, endpoint)
) STRICT, WITHOUT ROWID;
CREATE INDEX delivery_due ON delivery (endpoint, generation, due, message) WHERE state = 1;
CREATE INDEX delivery_ended ON delivery (endpoint, state, message) WHERE state <> 1;

CREATE TABLE fan_out (
    message    INTEGER PRIMARY KEY,
    cursor     INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    due        INTEGER NOT NULL
) STRICT;

-- Apart from `fan_out`, so that moving the cursor does not rewrite the list.
CREATE TABLE fan_out_destinations (
    message      INTEGER PRIMARY KEY,
    destinations BLOB NOT NULL
) STRICT;

-- The id is derived from the row, never stored. `status` is 0 for success and 2 for failure.
CREATE TABLE attempt (
    message      INTEGER NOT NULL,
    endpoint     INTEGER NOT NULL,
    number       INTEGER NOT NULL,
    at           INTEGER NOT NULL,
    manual       INTEGER NOT NULL,
    status       INTEGER NOT NULL,
    url          INTEGER NOT NULL,
    duration     INTEGER NOT NULL,
    http_status  INTEGER,
    phases       BLOB,
    error        TEXT,
    error_detail TEXT,
    response     BLOB,
    PRIMARY KEY (message, endpoint, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX attempt_time ON attempt (endpoint, at, message, number);

CREATE TABLE idempotency (
    kind        INTEGER NOT NULL,
    bucket      INTEGER NOT NULL,
    key         BLOB NOT NULL,
    fingerprint BLOB NOT NULL,
    effect      BLOB NOT NULL,
    PRIMARY KEY (kind, bucket, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE shard (
    id    INTEGER PRIMARY KEY,
    epoch INTEGER NOT NULL
) STRICT;
WITH RECURSIVE number (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM number WHERE n < 63)
INSERT INTO shard (id, epoch) SELECT n, 0 FROM number;

CREATE TABLE counter (
    name  TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO counter (name, value) VALUES ('generation', 0);

-- Written and erased again by the readiness check.
CREATE TABLE probe (
    id   INTEGER PRIMARY KEY,
    at   INTEGER NOT NULL,
    body BLOB
) STRICT;
INSERT INTO probe (id, at) VALUES (1, 0);

-- Endpoints that have failed since their last success, and what an operator is told of. Both have
-- rows only for what goes wrong or is changed by hand; a success of an endpoint that does not
-- fail touches neither.
ALTER TABLE endpoint ADD COLUMN disabled_at INTEGER;
ALTER TABLE endpoint ADD COLUMN failing_since INTEGER;

CREATE TABLE endpoint_failing (
    endpoint  INTEGER PRIMARY KEY,
    since     INTEGER NOT NULL,
    exhausted INTEGER NOT NULL,
    announced INTEGER NOT NULL
) STRICT;
CREATE INDEX endpoint_failing_since ON endpoint_failing (since) WHERE exhausted = 1;

-- Ids and names as they were then: what they belong to may be gone by the time it is told.
CREATE TABLE announcement (
    number          INTEGER PRIMARY KEY AUTOINCREMENT,
    at              INTEGER NOT NULL,
    what            TEXT NOT NULL,
    organization    INTEGER NOT NULL,
    application     BLOB NOT NULL,
    application_uid TEXT,
    endpoint        BLOB NOT NULL,
    endpoint_uid    TEXT,
    disabled        TEXT,
    since           INTEGER,
    message         INTEGER,
    rest            INTEGER,
    event_id        TEXT,
    attempt         INTEGER,
    attempt_at      INTEGER,
    http_status     INTEGER
) STRICT;

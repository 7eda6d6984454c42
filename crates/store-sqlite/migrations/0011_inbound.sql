-- Sources: inbound URLs with a verification scheme. `settings` is JSON of the service's.
CREATE TABLE source (
    key           INTEGER PRIMARY KEY AUTOINCREMENT,
    application   INTEGER NOT NULL,
    id            BLOB NOT NULL UNIQUE,
    uid           TEXT,
    name          TEXT NOT NULL,
    provider      TEXT NOT NULL,
    settings      TEXT NOT NULL,
    paused        INTEGER NOT NULL,
    awaits        INTEGER,
    token_hash    BLOB NOT NULL,
    token         BLOB NOT NULL,
    earlier_hash  BLOB,
    earlier_until INTEGER,
    secrets_ever  INTEGER NOT NULL,
    version       INTEGER NOT NULL,
    created       INTEGER NOT NULL,
    updated       INTEGER NOT NULL,
    deleted       INTEGER
) STRICT;
CREATE UNIQUE INDEX source_live ON source (application, id) WHERE deleted IS NULL;
CREATE UNIQUE INDEX source_uid ON source (application, uid)
    WHERE uid IS NOT NULL AND deleted IS NULL;
CREATE UNIQUE INDEX source_token ON source (token_hash) WHERE deleted IS NULL;
CREATE INDEX source_deleted ON source (deleted) WHERE deleted IS NOT NULL;

CREATE TABLE source_secret (
    source  INTEGER NOT NULL,
    number  INTEGER NOT NULL,
    sealed  BLOB NOT NULL,
    created INTEGER NOT NULL,
    expires INTEGER,
    PRIMARY KEY (source, number)
) STRICT, WITHOUT ROWID;

-- What sources received. `key` and `rest` are the id, as a message's are. The body is NULL where
-- it is the payload of the request's only message. `first` is the request that a duplicate repeats.
CREATE TABLE request (
    key          INTEGER PRIMARY KEY,
    rest         INTEGER NOT NULL,
    application  INTEGER NOT NULL,
    source       INTEGER NOT NULL,
    verdict      INTEGER NOT NULL,
    reason       TEXT,
    diagnosis    TEXT,
    marks        INTEGER NOT NULL,
    message      INTEGER,
    message_rest INTEGER,
    messages     INTEGER NOT NULL,
    first        INTEGER,
    first_rest   INTEGER,
    method       TEXT NOT NULL,
    path         TEXT NOT NULL,
    peer         TEXT NOT NULL,
    provider_id  TEXT,
    headers      BLOB NOT NULL,
    credentials  BLOB,
    body_len     INTEGER NOT NULL,
    body         BLOB
) STRICT;
CREATE INDEX request_application ON request (application, key);

-- What requests are deduplicated by: hashes of ids, and of signatures with bodies.
CREATE TABLE deduplication (
    source       INTEGER NOT NULL,
    id           BLOB NOT NULL,
    body         BLOB NOT NULL,
    until        INTEGER NOT NULL,
    message      INTEGER NOT NULL,
    message_rest INTEGER NOT NULL,
    request      INTEGER NOT NULL,
    request_rest INTEGER NOT NULL,
    PRIMARY KEY (source, id)
) STRICT, WITHOUT ROWID;

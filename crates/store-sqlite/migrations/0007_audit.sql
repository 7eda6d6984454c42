-- One chain per organization; `number` counts without gaps.
CREATE TABLE audit (
    organization INTEGER NOT NULL,
    number       INTEGER NOT NULL,
    at           INTEGER NOT NULL,
    key          BLOB,
    request      TEXT,
    action       TEXT NOT NULL,
    target       TEXT NOT NULL,
    application  BLOB,
    before       BLOB,
    after        BLOB,
    changes      TEXT NOT NULL,
    hash         BLOB NOT NULL,
    PRIMARY KEY (organization, number)
) STRICT, WITHOUT ROWID;

-- The last entry that retention has erased, and the newest: one that was cut off shows.
CREATE TABLE audit_end (
    organization INTEGER PRIMARY KEY,
    erased       INTEGER NOT NULL,
    erased_hash  BLOB NOT NULL,
    newest       INTEGER NOT NULL,
    newest_hash  BLOB NOT NULL
) STRICT;

-- What entries of the trail say about values, beside the chain, so that it can be erased with the
-- application; the chain holds a salted digest. Entries of before were made of the values
-- themselves: they go as if retention had erased them, and what follows them verifies.
CREATE TABLE audit_values (
    organization INTEGER NOT NULL,
    number       INTEGER NOT NULL,
    application  BLOB,
    salt         BLOB NOT NULL,
    before       BLOB,
    after        BLOB,
    changes      TEXT NOT NULL,
    PRIMARY KEY (organization, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX audit_values_application ON audit_values (application)
    WHERE application IS NOT NULL;

DROP TABLE audit;
CREATE TABLE audit (
    organization INTEGER NOT NULL,
    number       INTEGER NOT NULL,
    at           INTEGER NOT NULL,
    key          BLOB,
    request      TEXT,
    action       TEXT NOT NULL,
    target       TEXT NOT NULL,
    application  BLOB,
    digest       BLOB NOT NULL,
    hash         BLOB NOT NULL,
    PRIMARY KEY (organization, number)
) STRICT, WITHOUT ROWID;
UPDATE audit_end SET erased = newest, erased_hash = newest_hash;

-- Takes the pages that are free while they are overwritten after an erasure. What is left to do
-- of that is in the counter `scrub`: 0 nothing, 1 free pages to take, 2 all other
-- pages to clear, 3 the free ones to give back, 4 the log to cut.
CREATE TABLE scrub (
    id   INTEGER PRIMARY KEY,
    body BLOB NOT NULL
) STRICT;
INSERT INTO counter (name, value) VALUES ('scrub', 0);

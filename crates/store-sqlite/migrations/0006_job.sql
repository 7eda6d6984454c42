-- Jobs: what is done to many deliveries or messages in small steps. `state` is 1 running,
-- 2 paused, 3 finished, 4 canceled; `endpoint` is the public id when the job is about only one.
CREATE TABLE job (
    key          INTEGER PRIMARY KEY AUTOINCREMENT,
    id           BLOB NOT NULL UNIQUE,
    organization INTEGER NOT NULL,
    application  INTEGER NOT NULL,
    kind         TEXT NOT NULL,
    state        INTEGER NOT NULL,
    endpoint     BLOB,
    since        INTEGER,
    until        INTEGER NOT NULL,
    event_types  TEXT,
    channel      TEXT,
    tag          TEXT,
    replay_of    TEXT NOT NULL,
    status_class INTEGER,
    rate         INTEGER,
    targets      INTEGER NOT NULL,
    targets_done INTEGER NOT NULL,
    examined     INTEGER NOT NULL,
    done         INTEGER NOT NULL,
    created      INTEGER NOT NULL,
    updated      INTEGER NOT NULL
) STRICT;
CREATE INDEX job_organization ON job (organization, id);
CREATE INDEX job_application ON job (application, id);
CREATE INDEX job_unended ON job (state, key) WHERE state <= 2;

-- Where a job stands at each of its targets; a row goes when its target is done. Endpoint 0 stands
-- for the messages of the application, whatever their endpoints.
CREATE TABLE job_target (
    job      INTEGER NOT NULL,
    endpoint INTEGER NOT NULL,
    cursor   INTEGER NOT NULL,
    PRIMARY KEY (job, endpoint)
) STRICT, WITHOUT ROWID;

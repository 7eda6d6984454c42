-- Order per key. A delivery that waits for an earlier one has the state 5, which keeps it outside
-- of the index of what is due. `line` has a row for each unfinished delivery of a message with a
-- key, the head included; messages without a key have none.
ALTER TABLE message ADD COLUMN ordering_key TEXT;

CREATE TABLE line (
    endpoint   INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    key        TEXT NOT NULL,
    place      INTEGER NOT NULL,
    message    INTEGER NOT NULL,
    PRIMARY KEY (endpoint, generation, key, place)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX line_message ON line (message, endpoint);

-- A message with a key waits with its fan-out for those before it.
ALTER TABLE fan_out ADD COLUMN application INTEGER;
ALTER TABLE fan_out ADD COLUMN ordering_key TEXT;
CREATE INDEX fan_out_ordered ON fan_out (application, ordering_key, message)
    WHERE ordering_key IS NOT NULL;

-- Deliveries that go straight to a lane have no row of their own at first: the message names
-- them in `fresh`, until an attempt tells of a success, or they are given a row for any other
-- reason. No message with a key up to the counter has deliveries without a row.
ALTER TABLE message ADD COLUMN fresh BLOB;
INSERT INTO counter (name, value) SELECT 'settled', coalesce(max(key), 0) FROM message;

-- CRC-32 of what is sent to endpoints, as a signed number: damage on the disk must not be
-- delivered. NULL is from before, and is not checked.
ALTER TABLE message ADD COLUMN checksum INTEGER;
ALTER TABLE request ADD COLUMN checksum INTEGER;

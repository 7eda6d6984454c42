-- The request that brought a message, for those who get its deliveries; and in which form an
-- endpoint gets what sources received, with which headers. NULL is a message signed by us, and
-- every header that may be passed on.
ALTER TABLE message ADD COLUMN request INTEGER;
ALTER TABLE endpoint ADD COLUMN deliver_as TEXT;
ALTER TABLE endpoint ADD COLUMN forward_headers TEXT;

-- How an endpoint asked to be called; NULL leaves a matter to the server's settings. The schedule
-- is its waits in microseconds, joined by commas.
ALTER TABLE endpoint ADD COLUMN retry_schedule TEXT;
ALTER TABLE endpoint ADD COLUMN timeout INTEGER;
ALTER TABLE endpoint ADD COLUMN concurrency INTEGER;

-- Jobs that put requests in again: which and how, as JSON, and what became of them beside those
-- that became messages (`done`).
ALTER TABLE job ADD COLUMN requests TEXT;
ALTER TABLE job ADD COLUMN duplicates INTEGER NOT NULL DEFAULT 0;
ALTER TABLE job ADD COLUMN refused INTEGER NOT NULL DEFAULT 0;

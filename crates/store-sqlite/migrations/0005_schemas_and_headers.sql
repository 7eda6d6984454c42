-- Whether messages must match the event type's schema, and whether an endpoint gets its messages
-- with headers under their older names beside the standard ones.
ALTER TABLE event_type ADD COLUMN enforced INTEGER NOT NULL DEFAULT 0;
ALTER TABLE endpoint ADD COLUMN svix_headers INTEGER NOT NULL DEFAULT 0;

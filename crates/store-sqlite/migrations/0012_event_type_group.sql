-- What an event type is listed under. `feature_flag` now holds any number, joined by commas.
ALTER TABLE event_type ADD COLUMN group_name TEXT;

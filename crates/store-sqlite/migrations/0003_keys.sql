-- `quota` columns: NULL is what the settings say, 0 is no limit. `capabilities`, `flags` and
-- `session` are those of portal tokens, which are keys that no list shows.
ALTER TABLE api_key ADD COLUMN application INTEGER;
ALTER TABLE api_key ADD COLUMN prefix TEXT NOT NULL DEFAULT '';
ALTER TABLE api_key ADD COLUMN expires INTEGER;
ALTER TABLE api_key ADD COLUMN used INTEGER;
ALTER TABLE api_key ADD COLUMN requests_per_second INTEGER;
ALTER TABLE api_key ADD COLUMN burst INTEGER;
ALTER TABLE api_key ADD COLUMN messages_per_day INTEGER;
ALTER TABLE api_key ADD COLUMN capabilities TEXT;
ALTER TABLE api_key ADD COLUMN flags TEXT;
ALTER TABLE api_key ADD COLUMN session TEXT;

CREATE INDEX api_key_list ON api_key (organization, id) WHERE scope <> 'portal';
CREATE INDEX api_key_application ON api_key (application) WHERE application IS NOT NULL;
CREATE INDEX api_key_expiry ON api_key (expires) WHERE scope = 'portal';

-- Remember an applied migration.
-- $1 version, $2 name, $3 SHA-256 of its text
INSERT INTO sandsweep.schema_migrations (version, name, sha256) VALUES ($1::integer, $2, $3)

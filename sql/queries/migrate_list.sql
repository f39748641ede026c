-- The migrations that were applied.
SELECT m.version, m.name, m.sha256 FROM sandsweep.schema_migrations m ORDER BY m.version

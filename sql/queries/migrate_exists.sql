-- Has this database ever been migrated?
SELECT to_regclass('sandsweep.schema_migrations') IS NOT NULL AS there

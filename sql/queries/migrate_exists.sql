-- Has this database ever been migrated? And may we know?
SELECT count(*) > 0 AS there,
       coalesce(bool_and(has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')), true) AS readable
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'sandsweep' AND c.relname = 'schema_migrations'

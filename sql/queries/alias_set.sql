-- Point an alias at a revision.
-- $1 team, $2 the text of the path, $3 the same as a UUID or NULL, $4 alias, $5 revision number,
-- $6 principal, $7 request id, $8 versions of which the alias must be one or NULL, $9 whether it must be
-- there, $10 idempotency key or NULL, $11 its fingerprint
WITH pointed AS MATERIALIZED (
    SELECT * FROM sandsweep.set_alias($1::uuid, $2, $3::uuid, $4, $5::integer, $6::uuid, $8::bigint[], $9::boolean)
), audited AS (
    INSERT INTO sandsweep.audit_log (team_id, actor, action, function_id, request_id, details)
    SELECT $1::uuid, $6, 'alias.set', (p.alias).function_id, $7,
           jsonb_build_object('alias', $4::text, 'revision_number', p.number)
    FROM pointed p WHERE p.outcome = 'set'
), answer AS (
    SELECT (p.alias).function_id, (p.alias).alias, (p.alias).revision_id, p.number AS revision_number,
           (p.alias).updated_by, (p.alias).updated_at
    FROM pointed p WHERE p.outcome = 'set'
), kept AS (
    INSERT INTO sandsweep.idempotency_keys (team_id, key, fingerprint, result)
    SELECT $1::uuid, $10, $11, to_jsonb(a) FROM answer a WHERE $10::text IS NOT NULL
)
SELECT p.outcome, a.function_id, a.alias, a.revision_id, a.revision_number, a.updated_by, a.updated_at
FROM pointed p LEFT JOIN answer a ON true

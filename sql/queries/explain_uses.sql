-- Every revision that names a thing, and as what.
-- $1 the platform's id
WITH uses AS (
    SELECT 'mapping' AS role, r.* FROM shared_gateway.functions_revisions r WHERE r.runtime_sandbox_id = $1
    UNION ALL
    SELECT 'source_sandbox', r.* FROM shared_gateway.functions_revisions r WHERE r.source_sandbox_id = $1
    UNION ALL
    SELECT k.role, r.*
    FROM (VALUES ('volume', 'sandboxvolume_id'), ('source_volume', 'source_sandboxvolume_id'),
                 ('snapshot', 'snapshot_id')) k (role, key)
    JOIN shared_gateway.functions_revisions r
        ON r.restore_mounts @> jsonb_build_array(jsonb_build_object(k.key, $1::text))
)
SELECT u.role, u.team_id, u.function_id, u.id AS revision_id, u.revision_number, f.slug, f.enabled,
       f.deleted_at AS function_deleted_at, coalesce(f.active_revision_id = u.id, false) AS active,
       CASE u.role WHEN 'mapping' THEN u.runtime_updated_at ELSE u.created_at END AS since
FROM uses u JOIN shared_gateway.functions f ON f.id = u.function_id
ORDER BY u.role, u.created_at, u.id
LIMIT 1000

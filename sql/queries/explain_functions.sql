-- A function by id, or every team's by its slug.
-- $1 the id or NULL, $2 the slug
SELECT f.id, f.team_id, f.slug, f.enabled, f.deleted_at, coalesce(a.revision_number, 0) AS active_number,
       a.runtime_sandbox_id AS sandbox_id,
       (SELECT count(*) FROM shared_gateway.functions_revisions r WHERE r.function_id = f.id) AS revisions
FROM shared_gateway.functions f
LEFT JOIN shared_gateway.functions_revisions a ON a.id = f.active_revision_id
WHERE f.id = $1::uuid OR f.slug = $2
ORDER BY f.team_id, f.id
LIMIT 1000

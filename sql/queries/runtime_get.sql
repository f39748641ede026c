-- The runtime of a function's active revision.
-- $1 team, $2 the text of the path, $3 the same as a UUID, or NULL
SELECT f.id AS function_id, r.id AS revision_id, coalesce(r.revision_number, 0) AS revision_number,
       f.enabled, r.runtime_sandbox_id AS sandbox_id, r.runtime_context_id AS context_id,
       r.runtime_updated_at,
       coalesce((f.autoscaling ->> 'min_warm')::bigint, 0) AS min_warm,
       coalesce((f.autoscaling ->> 'max_active')::bigint, 20) AS max_active,
       coalesce((f.autoscaling ->> 'target_concurrency')::bigint, 80) AS target_concurrency,
       coalesce((f.autoscaling ->> 'scale_down_after_seconds')::bigint, 300) AS scale_down_after_seconds
FROM shared_gateway.functions f
LEFT JOIN shared_gateway.functions_revisions r ON r.id = f.active_revision_id
WHERE f.team_id = $1::uuid AND f.deleted_at IS NULL AND (f.id = $3::uuid OR f.slug = $2)
ORDER BY f.id = $3::uuid DESC NULLS LAST
LIMIT 1

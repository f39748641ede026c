-- One function by id or slug; the id wins where both match.
-- $1 team, $2 the text of the path, $3 the same as a UUID, or NULL
SELECT f.id, f.team_id, f.active_revision_id, f.created_by, f.name, f.slug, f.domain_label, f.enabled,
       f.created_at, f.updated_at, f.deleted_at,
       f.autoscaling ->> 'min_warm' AS min_warm,
       f.autoscaling ->> 'max_active' AS max_active,
       f.autoscaling ->> 'target_concurrency' AS target_concurrency,
       f.autoscaling ->> 'scale_down_after_seconds' AS scale_down_after_seconds
FROM shared_gateway.functions f
WHERE f.team_id = $1::uuid AND f.deleted_at IS NULL AND (f.id = $3::uuid OR f.slug = $2)
ORDER BY f.id = $3::uuid DESC NULLS LAST
LIMIT 1

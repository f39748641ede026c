-- One page of a team's functions, newest first: where a function stands does not change with it.
-- (No coalesce: under row-level security it would keep the comparison out of the index.)
-- $1 team, $2 created_at in microseconds and $3 id of the last one before, or NULL: the first page, $4 how many
SELECT f.id, f.team_id, f.active_revision_id, f.created_by, f.name, f.slug, f.domain_label, f.enabled, f.created_at,
       f.updated_at, f.deleted_at, f.autoscaling ->> 'min_warm' AS min_warm,
       f.autoscaling ->> 'max_active' AS max_active,
       f.autoscaling ->> 'target_concurrency' AS target_concurrency,
       f.autoscaling ->> 'scale_down_after_seconds' AS scale_down_after_seconds
FROM shared_gateway.functions f
WHERE f.team_id = $1::uuid AND f.deleted_at IS NULL
  AND (f.created_at, f.id) <
      (CASE WHEN $2::bigint IS NULL THEN 'infinity' ELSE timestamptz 'epoch' + $2::bigint * interval '1 microsecond' END,
       CASE WHEN $3::uuid IS NULL THEN 'ffffffff-ffff-ffff-ffff-ffffffffffff' ELSE $3::uuid END)
ORDER BY f.created_at DESC, f.id DESC
LIMIT $4::bigint

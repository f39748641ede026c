-- One page of a team's functions, newest first: where a function stands does not change with it.
-- (No coalesce: under row-level security it would keep the comparison out of the index.)
-- $1 team, $2 created_at in microseconds and $3 id of the last one before, or NULL: the first page, $4 how many
SELECT f.id, f.team_id, f.active_revision_id, f.created_by, f.name, f.slug, f.domain_label, f.enabled, f.created_at,
       f.updated_at, f.deleted_at, coalesce((f.autoscaling ->> 'min_warm')::bigint, 0) AS min_warm,
       coalesce((f.autoscaling ->> 'max_active')::bigint, 20) AS max_active,
       coalesce((f.autoscaling ->> 'target_concurrency')::bigint, 80) AS target_concurrency,
       coalesce((f.autoscaling ->> 'scale_down_after_seconds')::bigint, 300) AS scale_down_after_seconds
FROM shared_gateway.functions f
WHERE f.team_id = $1::uuid AND f.deleted_at IS NULL
  AND (f.created_at, f.id) <
      (CASE WHEN $2::bigint IS NULL THEN 'infinity' ELSE timestamptz 'epoch' + $2::bigint * interval '1 microsecond' END,
       CASE WHEN $3::uuid IS NULL THEN 'ffffffff-ffff-ffff-ffff-ffffffffffff' ELSE $3::uuid END)
ORDER BY f.created_at DESC, f.id DESC
LIMIT $4::bigint

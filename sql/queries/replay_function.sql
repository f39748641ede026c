-- What was answered to a change of a function under this key, if anything; an error when it was another request.
-- $1 team, $2 key, $3 fingerprint
SELECT x.id, x.team_id, x.active_revision_id, x.created_by, x.name, x.slug, x.domain_label, x.enabled, x.created_at,
       x.updated_at, x.deleted_at, x.min_warm, x.max_active, x.target_concurrency, x.scale_down_after_seconds
FROM sandsweep.idempotency_result($1::uuid, $2, $3) AS k (result),
     jsonb_to_record(k.result) AS x (
         id uuid, team_id uuid, active_revision_id uuid, created_by uuid, name text, slug text, domain_label text,
         enabled boolean, created_at timestamptz, updated_at timestamptz, deleted_at timestamptz, min_warm text,
         max_active text, target_concurrency text, scale_down_after_seconds text)
WHERE k.result IS NOT NULL

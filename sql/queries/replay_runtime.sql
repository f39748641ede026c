-- What was answered to a restart or a recycle under this key, if anything; an error when it was another request.
-- $1 team, $2 key, $3 fingerprint
SELECT x.function_id, x.revision_id, x.revision_number, x.enabled, x.sandbox_id, x.context_id, x.runtime_updated_at,
       x.team_id, x.mapped_at, x.recent_events, x.min_warm, x.max_active, x.target_concurrency, x.scale_down_after_seconds
FROM sandsweep.idempotency_result($1::uuid, $2, $3) AS k (result),
     jsonb_to_record(k.result) AS x (
         function_id uuid, revision_id uuid, revision_number integer, enabled boolean, sandbox_id text,
         context_id text, runtime_updated_at timestamptz, team_id uuid, mapped_at timestamptz, recent_events jsonb, min_warm text, max_active text,
         target_concurrency text, scale_down_after_seconds text)
WHERE k.result IS NOT NULL

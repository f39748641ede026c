-- Mapped, and not in the listing of its team: to be proved by looking. Where nothing was listed nothing
-- is concluded.
-- $1 grace in ms
WITH ran AS (
    INSERT INTO pg_temp.ran VALUES ('stale_mapping', make_interval(secs => $1::bigint / 1000.0)) RETURNING grace
), unseen AS MATERIALIZED (
    -- (Materialized: few are left by this, of which the rest is asked.)
    SELECT r.runtime_sandbox_id, r.team_id, r.function_id, r.id, coalesce(r.runtime_updated_at, r.created_at) AS since
    FROM shared_gateway.functions_revisions r
    WHERE r.runtime_sandbox_id <> ''
      AND r.team_id IN (SELECT l.team_id FROM pg_temp.listings l)
      AND NOT EXISTS (SELECT FROM pg_temp.seen s
                      WHERE s.kind = 'sandbox' AND s.team_id = r.team_id AND s.id = r.runtime_sandbox_id)
), drifted AS (
    SELECT r.runtime_sandbox_id AS id, r.team_id, r.function_id, r.id AS revision_id, l.complete, l.reason, r.since
    FROM unseen r
    JOIN pg_temp.listings l ON l.team_id = r.team_id AND l.kind = 'sandbox'
    JOIN shared_gateway.functions f ON f.id = r.function_id AND f.deleted_at IS NULL
    CROSS JOIN pg_temp.this_run t
    WHERE r.since <= t.t0
      AND (t.team_id IS NULL OR r.team_id = t.team_id) AND (t.function_id IS NULL OR r.function_id = t.function_id)
), found AS (
    INSERT INTO pg_temp.findings (class, kind, resource_id, team_id, function_id, revision_id, since, proof, action,
        verdict, evidence)
    SELECT 'stale_mapping', 'sandbox', d.id, d.team_id, d.function_id, d.revision_id, d.since, 'absent', 'clear',
           CASE WHEN d.since > t.t0 - ran.grace THEN 'young' END,
           jsonb_build_object('rule', 'a mapping names a sandbox that exists', 'mapped_at', d.since, 'listed_from', t.t0,
               'listing_complete', d.complete, 'listing_flaw', d.reason)
    FROM drifted d CROSS JOIN pg_temp.this_run t CROSS JOIN ran
    ON CONFLICT (kind, resource_id) DO NOTHING
    RETURNING 1
)
SELECT count(*) AS found FROM found

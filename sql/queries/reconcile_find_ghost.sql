-- Given up by the worker, and the platform has nothing: tried again, so that its absence is recorded. And
-- volumes that a live function should have and the platform does not show: for people to know.
-- $1 grace in ms
WITH ran AS (
    INSERT INTO pg_temp.ran VALUES ('ghost', make_interval(secs => $1::bigint / 1000.0)) RETURNING grace
), unseen AS MATERIALIZED (
    -- (Materialized: few are left by this, of which the rest is asked.)
    SELECT o.*, CASE WHEN o.state = 'dead' THEN o.ended_at ELSE o.created_at END AS since
    FROM sandsweep.owned_resources o
    WHERE (o.stage = 'dead' OR o.stage = 'in_use' AND o.kind = 'volume')
      AND o.team_id IN (SELECT l.team_id FROM pg_temp.listings l)
      AND NOT EXISTS (SELECT FROM pg_temp.seen s
                      WHERE s.kind = o.kind AND s.team_id = o.team_id AND s.id = o.resource_id)
), drifted AS (
    SELECT o.*, l.complete, l.reason
    FROM unseen o
    JOIN pg_temp.listings l ON l.team_id = o.team_id AND l.kind = o.kind
    CROSS JOIN pg_temp.this_run t
    WHERE o.since <= t.t0
      AND (t.team_id IS NULL OR o.team_id = t.team_id) AND (t.function_id IS NULL OR o.function_id = t.function_id)
      AND (o.state = 'dead'
           OR EXISTS (SELECT FROM shared_gateway.functions f WHERE f.id = o.function_id AND f.deleted_at IS NULL)
              AND EXISTS (SELECT FROM shared_gateway.functions_revisions r WHERE r.id = o.revision_id))
), found AS (
    INSERT INTO pg_temp.findings (class, kind, resource_id, team_id, function_id, revision_id, since, proof, action,
        verdict, evidence)
    SELECT 'ghost', d.kind, d.resource_id, d.team_id, d.function_id, d.revision_id, d.since, 'absent',
           CASE WHEN d.state = 'dead' THEN 'doom' ELSE 'note' END,
           CASE WHEN d.since > t.t0 - ran.grace THEN 'young' END,
           jsonb_build_object('rule', 'what the ledger holds exists', 'state', d.state, 'attempts', d.attempts,
               'last_error', d.last_error, 'listed_from', t.t0, 'listing_complete', d.complete, 'listing_flaw', d.reason)
    FROM drifted d CROSS JOIN pg_temp.this_run t CROSS JOIN ran
    ON CONFLICT (kind, resource_id) DO NOTHING
    RETURNING 1
)
SELECT count(*) AS found FROM found

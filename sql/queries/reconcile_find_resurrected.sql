-- The ledger says gone, and the listing shows it: to be proved by looking.
-- $1 grace in ms
WITH ran AS (
    INSERT INTO pg_temp.ran VALUES ('resurrected', make_interval(secs => $1::bigint / 1000.0)) RETURNING grace
), drifted AS (
    SELECT o.*, s.status, s.created_at AS live_since
    FROM pg_temp.seen s
    JOIN sandsweep.owned_resources o ON o.kind = s.kind AND o.resource_id = s.id AND o.team_id = s.team_id
    CROSS JOIN pg_temp.this_run t
    WHERE o.state = 'gone' AND o.ended_at <= t.t0
      AND (t.team_id IS NULL OR o.team_id = t.team_id) AND (t.function_id IS NULL OR o.function_id = t.function_id)
), found AS (
    INSERT INTO pg_temp.findings (class, kind, resource_id, team_id, function_id, revision_id, since, proof, action,
        verdict, evidence)
    SELECT 'resurrected', d.kind, d.resource_id, d.team_id, d.function_id, d.revision_id, d.ended_at, 'present', 'doom',
           CASE WHEN d.ended_at > t.t0 - ran.grace THEN 'young' END,
           jsonb_build_object('rule', 'what is gone is not shown', 'gone_at', d.ended_at, 'status', d.status,
               'live_since', d.live_since, 'listed_from', t.t0)
    FROM (SELECT DISTINCT ON (kind, resource_id) * FROM drifted) d CROSS JOIN pg_temp.this_run t CROSS JOIN ran
    ON CONFLICT (kind, resource_id) DO NOTHING
    RETURNING 1
)
SELECT count(*) AS found FROM found

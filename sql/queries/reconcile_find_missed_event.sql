-- Released, and no event doomed it in time; or refused by the check at claim time for a cause that has
-- passed. (What a person refused stays refused.)
-- $1 grace in ms
WITH ran AS (
    INSERT INTO pg_temp.ran VALUES ('missed_event', make_interval(secs => $1::bigint / 1000.0)) RETURNING grace
), drifted AS (
    SELECT o.*, coalesce(o.ended_at, o.released_at) AS since
    FROM sandsweep.owned_resources o
    CROSS JOIN pg_temp.this_run t
    WHERE (o.state = 'released'
           OR o.state = 'refused' AND o.error_class IN ('mapped', 'source_sandbox', 'referenced', 'source_volume')
              AND sandsweep.in_use_because(o.kind, o.resource_id) IS NULL)
      AND coalesce(o.ended_at, o.released_at) <= t.t0
      AND (t.team_id IS NULL OR o.team_id = t.team_id) AND (t.function_id IS NULL OR o.function_id = t.function_id)
), found AS (
    INSERT INTO pg_temp.findings (class, kind, resource_id, parent_id, team_id, function_id, revision_id, since, proof,
        action, verdict, evidence)
    SELECT 'missed_event', d.kind, d.resource_id, d.parent_id, d.team_id, d.function_id, d.revision_id, d.since, 'none',
           'doom', CASE WHEN d.since > t.t0 - ran.grace THEN 'young' ELSE 'proved' END,
           jsonb_build_object('rule', 'what is released is doomed within its grace', 'state', d.state,
               'released_at', d.released_at, 'release_reason', d.release_reason, 'refused_for', d.error_class)
    FROM drifted d CROSS JOIN pg_temp.this_run t CROSS JOIN ran
    ON CONFLICT (kind, resource_id) DO NOTHING
    RETURNING 1
)
SELECT count(*) AS found FROM found

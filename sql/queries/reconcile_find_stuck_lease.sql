-- Being deleted by a worker whose lease ran out long ago, and taken over by none; or doomed, and missing from
-- the queue, so that no claim would ever see it.
-- $1 grace in ms
WITH ran AS (
    INSERT INTO pg_temp.ran VALUES ('stuck_lease', make_interval(secs => $1::bigint / 1000.0)) RETURNING grace
), found AS (
    INSERT INTO pg_temp.findings (class, kind, resource_id, parent_id, team_id, function_id, revision_id, since, proof,
        action, verdict, evidence)
    SELECT 'stuck_lease', o.kind, o.resource_id, o.parent_id, o.team_id, o.function_id, o.revision_id, o.due_at, 'none',
           'doom', CASE WHEN o.due_at > t.t0 - ran.grace THEN 'young' ELSE 'proved' END,
           jsonb_build_object('rule', 'a lease that ran out is taken over', 'lease_owner', o.lease_owner,
               'lease_until', o.due_at, 'claimed_at', o.deleting_at, 'attempts', o.attempts)
    FROM sandsweep.owned_resources o CROSS JOIN pg_temp.this_run t CROSS JOIN ran
    WHERE o.stage = 'released' AND o.due_at <= t.t0
      AND (o.state = 'deleting'
           OR o.state = 'doomed' AND NOT EXISTS (SELECT FROM sandsweep.due q
                                                 WHERE (q.team_id, q.due_at, q.id) = (o.team_id, o.due_at, o.id)))
      AND (t.team_id IS NULL OR o.team_id = t.team_id) AND (t.function_id IS NULL OR o.function_id = t.function_id)
    ON CONFLICT (kind, resource_id) DO NOTHING
    RETURNING 1
)
SELECT count(*) AS found FROM found

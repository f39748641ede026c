-- Released, and no event doomed it in time; or refused by the check at claim time for a cause that has
-- passed. (What a person refused stays refused.) Where the event is known that should have done it, and
-- is not waiting to be published still, it is written down, to be sent again as it was.
-- $1 grace in ms
WITH ran AS (
    INSERT INTO pg_temp.ran VALUES ('missed_event', make_interval(secs => $1::bigint / 1000.0)) RETURNING grace
), candidates AS MATERIALIZED (
    -- (Materialized: what is cheap to tell comes before what is not.)
    SELECT o.*, coalesce(o.ended_at, o.released_at) AS since,
           coalesce(o.ended_at, o.released_at) > t.t0 - ran.grace AS young
    FROM sandsweep.owned_resources o
    CROSS JOIN pg_temp.this_run t
    CROSS JOIN ran
    WHERE (o.stage = 'released' AND o.state = 'released'
           OR o.stage = 'refused' AND o.error_class IN ('mapped', 'source_sandbox', 'referenced', 'source_volume'))
      AND coalesce(o.ended_at, o.released_at) <= t.t0
      AND (t.team_id IS NULL OR o.team_id = t.team_id) AND (t.function_id IS NULL OR o.function_id = t.function_id)
), drifted AS (
    SELECT c.*, e.event
    FROM candidates c
    LEFT JOIN LATERAL (
        SELECT jsonb_build_object('id', a.details -> 'event_id', 'type', a.details -> 'event_type',
                   'data', jsonb_strip_nulls(jsonb_build_object('team_id', a.team_id, 'function_id', a.function_id,
                       'revision_id', a.details -> 'revision_id', 'sandbox_id', a.details -> 'sandbox_id',
                       'actor', a.actor))) AS event
        FROM sandsweep.audit_log a
        WHERE c.state = 'released' AND NOT c.young AND a.function_id = c.function_id AND a.team_id = c.team_id
          -- Both times are of one statement.
          AND a.at BETWEEN c.released_at - interval '10 minutes' AND c.released_at + interval '10 minutes'
          AND a.details ? 'event_id'
          AND (c.kind = 'sandbox' AND a.details ->> 'sandbox_id' = c.resource_id
               OR a.action = 'function.delete' AND c.release_reason = 'function_deleted'
               OR a.action = 'function.update' AND c.release_reason = 'function_disabled')
        ORDER BY abs(extract(epoch FROM a.at - c.released_at))
        LIMIT 1) e ON true
    WHERE c.state = 'released' OR sandsweep.in_use_because(c.kind, c.resource_id) IS NULL
), found AS (
    INSERT INTO pg_temp.findings (class, kind, resource_id, parent_id, team_id, function_id, revision_id, since, proof,
        action, verdict, evidence)
    SELECT 'missed_event', d.kind, d.resource_id, d.parent_id, d.team_id, d.function_id, d.revision_id, d.since, 'none',
           'doom', CASE WHEN d.young THEN 'young' ELSE 'proved' END,
           jsonb_build_object('rule', 'what is released is doomed within its grace', 'state', d.state,
               'released_at', d.released_at, 'release_reason', d.release_reason, 'refused_for', d.error_class)
           || CASE WHEN d.event IS NULL THEN '{}'
                   WHEN b.event_id IS NULL THEN jsonb_build_object('event', d.event)
                   ELSE jsonb_build_object('event_waits', b.event_id) END
    FROM drifted d
    LEFT JOIN (SELECT DISTINCT event_id FROM sandsweep.outbox) b ON b.event_id = (d.event ->> 'id')::uuid
    ON CONFLICT (kind, resource_id) DO NOTHING
    RETURNING 1
)
SELECT count(*) AS found FROM found

-- What became of claimed rows. Fenced: a row whose lease was taken over meanwhile is left alone.
-- $1 ids, $2 leases, $3 outcomes (gone, fail, later), $4 ms until the next try, $5 HTTP statuses,
-- $6 error classes, $7 error texts, $8 whether the platform took the DELETE; arrays of one length;
-- $9 attempts after which a failed row is dead
-- (A state is compared as text where the row is found by its id: the planner must not take one of the
-- partial indexes by state instead, which it believes to be small.)
WITH results AS (
    SELECT r.* FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::bigint[], $5::integer[],
                           $6::text[], $7::text[], $8::boolean[])
        AS r (id, lease, outcome, wait_ms, status, error_class, error, accepted)
), recorded AS (
    UPDATE sandsweep.owned_resources o
    SET state = CASE WHEN r.outcome = 'gone' THEN 'gone'
                     WHEN r.outcome = 'fail' AND o.attempts + 1 >= $9::bigint THEN 'dead'
                     ELSE 'doomed' END::sandsweep.resource_state,
        attempts = o.attempts + (r.outcome = 'fail')::integer,
        due_at = now() + make_interval(secs => r.wait_ms / 1000.0),
        ended_at = CASE WHEN r.outcome = 'gone' OR r.outcome = 'fail' AND o.attempts + 1 >= $9::bigint
                        THEN clock_timestamp() END,
        accepted_at = CASE WHEN r.accepted THEN coalesce(o.accepted_at, clock_timestamp()) END,
        last_status = coalesce(r.status, o.last_status),
        error_class = CASE WHEN r.outcome <> 'gone' THEN coalesce(r.error_class, o.error_class) END,
        last_error = CASE WHEN r.outcome <> 'gone' THEN coalesce(r.error, o.last_error) END,
        lease = NULL, lease_owner = NULL
    FROM results r
    WHERE o.id = r.id AND o.lease = r.lease AND o.state::text = 'deleting'
    RETURNING o.id, o.team_id, o.function_id, o.revision_id, o.kind, o.resource_id, o.state, o.attempts,
              o.error_class, o.last_error, o.traceparent
), waiting AS (
    -- What waited for a row that is gone now. A locked one is being claimed: it looks again soon.
    SELECT w.id FROM (SELECT DISTINCT function_id, revision_id FROM recorded
                      WHERE state = 'gone' AND kind <> 'snapshot') g
    JOIN sandsweep.owned_resources w ON w.function_id = g.function_id AND w.revision_id = g.revision_id
        AND (w.function_id, w.revision_id, w.kind) > (g.function_id, g.revision_id, 'sandbox')
    WHERE w.state <> 'gone' AND w.state::text = 'doomed' AND w.due_at > now()
      AND (w.error_class IS NULL OR w.error_class = 'conflict')
    FOR NO KEY UPDATE OF w SKIP LOCKED
), woken AS (
    UPDATE sandsweep.owned_resources o SET due_at = now() FROM waiting w WHERE o.id = w.id
), told AS (
    INSERT INTO sandsweep.outbox (team_id, function_id, channel, type, traceparent, data)
    SELECT r.team_id, r.function_id, 'results', 'io.sandsweep.resource.' || r.state, r.traceparent,
           jsonb_strip_nulls(jsonb_build_object('team_id', r.team_id, 'function_id', r.function_id,
               'revision_id', r.revision_id, 'kind', r.kind, 'resource_id', r.resource_id,
               'attempts', r.attempts, 'error_class', r.error_class, 'error', r.last_error))
    FROM recorded r
    WHERE r.state IN ('gone', 'dead')
)
SELECT id, state::text AS state FROM recorded

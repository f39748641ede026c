-- What became of claimed rows. Fenced: a row whose lease was taken over meanwhile is left alone.
-- $1 ids, $2 leases, $3 outcomes (gone, fail, later), $4 ms until the next try, $5 HTTP statuses,
-- $6 error classes, $7 error texts, $8 whether the platform took the DELETE; arrays of one length;
-- $9 attempts after which a failed row is dead
WITH results AS (
    -- With the place in the queue of what may stay in it; a row that is gone keeps its due_at.
    SELECT r.*, w.queued_at
    FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::bigint[], $5::integer[], $6::text[],
                $7::text[], $8::boolean[])
        AS r (id, lease, outcome, wait_ms, status, error_class, error, accepted)
    LEFT JOIN sandsweep.owned_resources w ON w.id = CASE WHEN r.outcome <> 'gone' THEN r.id END
), recorded AS (
    UPDATE sandsweep.owned_resources o
    SET state = CASE WHEN r.outcome = 'gone' THEN 'gone'
                     WHEN r.outcome = 'fail' AND o.attempts + 1 >= $9::bigint THEN 'dead'
                     ELSE 'doomed' END::sandsweep.resource_state,
        attempts = o.attempts + (r.outcome = 'fail')::integer,
        due_at = CASE WHEN r.outcome = 'gone' THEN o.due_at ELSE now() + r.wait_ms * interval '1 ms' END,
        queued_at = CASE WHEN r.outcome = 'later' OR r.outcome = 'fail' AND o.attempts + 1 < $9::bigint
                         THEN now() + r.wait_ms * interval '1 ms' END,
        ended_at = CASE WHEN r.outcome = 'gone' OR r.outcome = 'fail' AND o.attempts + 1 >= $9::bigint
                        THEN clock_timestamp() END,
        accepted_at = CASE WHEN r.accepted THEN coalesce(o.accepted_at, clock_timestamp()) END,
        last_status = coalesce(r.status, o.last_status),
        error_class = CASE WHEN r.outcome <> 'gone' THEN coalesce(r.error_class, o.error_class) END,
        last_error = CASE WHEN r.outcome <> 'gone' THEN coalesce(r.error, o.last_error) END,
        lease = NULL, lease_owner = NULL
    FROM results r
    WHERE o.id = r.id AND o.lease = r.lease AND o.state = 'deleting'
    RETURNING o.id, o.team_id, o.function_id, o.revision_id, o.kind, o.resource_id, o.state, o.attempts,
              o.error_class, o.last_error, o.traceparent, o.due_at,
              coalesce(r.queued_at, o.due_at) AS was_due_at
), unqueued AS (
    -- (Each found by a look-up of its own, whatever the planner believes of the length of the queue.)
    DELETE FROM sandsweep.due q WHERE q.ctid = ANY (ARRAY(
        SELECT (SELECT x.ctid FROM sandsweep.due x
                WHERE x.team_id = r.team_id AND x.due_at = r.was_due_at AND x.id = r.id) FROM recorded r))
), requeued AS (
    INSERT INTO sandsweep.due (team_id, due_at, id)
    SELECT r.team_id, r.due_at, r.id FROM recorded r WHERE r.state = 'doomed'
), waiting AS (
    -- What waited for a row that is gone now. A locked one is being claimed: it looks again soon.
    SELECT w.id, w.team_id, w.queued_at FROM (SELECT DISTINCT function_id, revision_id FROM recorded
                      WHERE state = 'gone' AND kind <> 'snapshot') g
    JOIN sandsweep.owned_resources w ON w.function_id = g.function_id AND w.revision_id = g.revision_id
        AND (w.function_id, w.revision_id, w.kind) > (g.function_id, g.revision_id, 'sandbox')
    WHERE w.stage <> 'gone' AND w.state = 'doomed' AND w.due_at > now()
      AND (w.error_class IS NULL OR w.error_class = 'conflict')
    FOR NO KEY UPDATE OF w SKIP LOCKED
), brought_forward AS (
    -- The lock shows the row as it is now, this statement the queue as it was when it began: a place that
    -- another claim has changed in between is not found, and must not be written down as found.
    UPDATE sandsweep.due q SET due_at = now() WHERE q.ctid = ANY (ARRAY(
        SELECT (SELECT x.ctid FROM sandsweep.due x
                WHERE x.team_id = w.team_id AND x.due_at = w.queued_at AND x.id = w.id) FROM waiting w))
    RETURNING q.id
), woken AS (
    UPDATE sandsweep.owned_resources o SET due_at = now(), queued_at = now()
    FROM brought_forward b WHERE o.id = b.id
), told AS (
    INSERT INTO sandsweep.outbox (team_id, function_id, channel, type, traceparent, data)
    SELECT r.team_id, r.function_id, 'results', 'io.sandsweep.resource.' || r.state, r.traceparent,
           CASE r.state
           WHEN 'gone' THEN -- as text, at a third of the price: there is one for every row
               ('{"team_id":"' || r.team_id || '","function_id":"' || r.function_id || '","revision_id":"'
                || r.revision_id || '","kind":"' || r.kind || '","resource_id":' || to_json(r.resource_id)
                || ',"attempts":' || r.attempts || '}')::json
           ELSE json_build_object('team_id', r.team_id, 'function_id', r.function_id,
               'revision_id', r.revision_id, 'kind', r.kind, 'resource_id', r.resource_id,
               'attempts', r.attempts, 'error_class', r.error_class, 'error', r.last_error)
           END
    FROM recorded r
    WHERE r.state IN ('gone', 'dead')
)
SELECT count(*) AS recorded, count(*) FILTER (WHERE r.state = 'dead') AS dead FROM recorded r

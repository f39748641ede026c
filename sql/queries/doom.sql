-- A batch of events: doom what they name. Answers with what was refused, each by its place in the
-- batch, and at the end (place 0) with the number of rows doomed.
-- Only released rows are doomed, and a released sandbox is never mapped again (S3), so an event can
-- be late, early, repeated or wrong without harm.
-- $1 event ids, $2 scopes (sandbox, disabled, deleted), $3 teams, $4 functions, $5 revisions,
-- $6 sandbox ids, $7 traceparents; arrays of one length
WITH events AS (
    SELECT e.* FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::uuid[], $5::uuid[], $6::text[],
                           $7::text[]) WITH ORDINALITY
        AS e (event_id, scope, team_id, function_id, revision_id, sandbox_id, traceparent, at)
), judged AS (
    SELECT e.*, o.id AS row_id,
           CASE WHEN o.id IS NULL THEN 'unknown_resource'
                WHEN (o.team_id, o.function_id, o.revision_id)
                     <> (e.team_id, e.function_id, e.revision_id) THEN 'not_owner'
                WHEN o.state = 'in_use' THEN 'in_use'
                ELSE '' END AS refusal
    FROM events e
    LEFT JOIN sandsweep.owned_resources o ON o.kind = 'sandbox' AND o.resource_id = e.sandbox_id
    WHERE e.scope = 'sandbox'
    UNION ALL
    SELECT e.*, NULL,
           CASE WHEN f.id IS NULL AND NOT EXISTS (
                    SELECT FROM sandsweep.owned_resources o
                    WHERE o.function_id = e.function_id AND o.team_id = e.team_id
                      AND o.stage <> 'gone') THEN 'unknown_function'
                WHEN f.team_id <> e.team_id THEN 'not_owner'
                WHEN e.scope = 'deleted' AND f.id IS NOT NULL AND f.deleted_at IS NULL THEN 'not_deleted'
                ELSE '' END
    FROM events e
    LEFT JOIN shared_gateway.functions f ON f.id = e.function_id
    WHERE e.scope <> 'sandbox'
), named AS (
    SELECT j.row_id, j.event_id, j.scope, j.traceparent, j.at
    FROM judged j
    WHERE j.refusal = '' AND j.scope = 'sandbox'
    UNION ALL
    SELECT o.id, j.event_id, j.scope, j.traceparent, j.at
    FROM judged j
    JOIN sandsweep.owned_resources o ON o.function_id = j.function_id AND o.team_id = j.team_id
    WHERE j.refusal = '' AND j.scope <> 'sandbox' AND o.stage <> 'gone' AND o.state = 'released'
      AND (j.scope = 'deleted' OR o.kind = 'sandbox')
), doomed AS (
    -- One look-up for each row, in the order of id, so that two batches that name the same rows wait
    -- instead of deadlocking.
    UPDATE sandsweep.owned_resources o
    SET state = 'doomed', doomed_at = clock_timestamp(), due_at = now(), queued_at = now(),
        event_id = n.event_id, traceparent = n.traceparent,
        doom_reason = CASE n.scope WHEN 'sandbox' THEN 'event:runtime'
                                   ELSE 'event:function_' || n.scope END
    FROM (SELECT DISTINCT ON (row_id) * FROM named ORDER BY row_id, at) n
    WHERE o.id = n.row_id AND o.state = 'released'
    RETURNING o.id, o.team_id, o.due_at
), queued AS (
    INSERT INTO sandsweep.due (team_id, due_at, id) SELECT d.team_id, d.due_at, d.id FROM doomed d
)
(SELECT j.at, j.refusal, 0::bigint AS doomed FROM judged j WHERE j.refusal <> '' ORDER BY j.at)
UNION ALL
SELECT 0, '', (SELECT count(*) FROM doomed)

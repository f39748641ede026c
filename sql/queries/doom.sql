-- A batch of events: doom what they name, say for each what became of it.
-- Only released rows are doomed, and a released sandbox is never mapped again (S3), so an event can
-- be late, early, repeated or wrong without harm.
-- $1 event ids, $2 scopes (sandbox, disabled, deleted), $3 teams, $4 functions, $5 revisions,
-- $6 sandbox ids, $7 traceparents; arrays of one length
-- (A state is compared as text where the row is found by its id: the planner must not take one of the
-- partial indexes by state instead, which it believes to be small.)
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
                      AND o.state <> 'gone') THEN 'unknown_function'
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
    WHERE j.refusal = '' AND j.scope <> 'sandbox' AND o.state <> 'gone' AND o.state::text = 'released'
      AND (j.scope = 'deleted' OR o.kind = 'sandbox')
), locked AS (
    -- In the order of id, so that two batches that name the same rows wait instead of deadlocking.
    SELECT o.id, n.event_id, n.scope, n.traceparent
    FROM (SELECT DISTINCT ON (row_id) * FROM named ORDER BY row_id, at) n
    JOIN sandsweep.owned_resources o ON o.id = n.row_id
    WHERE o.state::text = 'released'
    ORDER BY o.id
    FOR NO KEY UPDATE OF o
), doomed AS (
    UPDATE sandsweep.owned_resources o
    SET state = 'doomed', doomed_at = clock_timestamp(), due_at = now(), event_id = l.event_id,
        traceparent = l.traceparent,
        doom_reason = CASE l.scope WHEN 'sandbox' THEN 'event:runtime'
                                   ELSE 'event:function_' || l.scope END
    FROM locked l
    WHERE o.id = l.id
    RETURNING o.id
)
SELECT j.at, j.refusal, (SELECT count(*) FROM doomed) AS doomed
FROM judged j
ORDER BY j.at

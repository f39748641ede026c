-- What of a function, deleted or not, is still to be removed: the function on every row, counts over all
-- of it, and the oldest ones. A function of which nothing is left gives one row without a resource.
-- $1 team, $2 the text of the path, $3 the same as a UUID or NULL, $4 how many resources at most
WITH target AS (
    SELECT f.id, f.deleted_at
    FROM shared_gateway.functions f
    WHERE f.team_id = $1::uuid AND (f.id = $3::uuid OR f.slug = $2 AND f.deleted_at IS NULL)
    ORDER BY f.id = $3::uuid DESC NULLS LAST
    LIMIT 1
), remaining AS MATERIALIZED (
    SELECT o.*
    FROM target t JOIN sandsweep.owned_resources o ON o.function_id = t.id AND o.team_id = $1::uuid
    WHERE o.stage <> 'gone' AND o.state <> 'in_use'
), counts AS (
    SELECT count(*) FILTER (WHERE state = 'released') AS released, count(*) FILTER (WHERE state = 'doomed') AS doomed,
           count(*) FILTER (WHERE state = 'deleting') AS deleting, count(*) FILTER (WHERE state = 'dead') AS dead,
           count(*) FILTER (WHERE state = 'refused') AS refused
    FROM remaining
), shown AS (
    SELECT * FROM remaining ORDER BY released_at, id LIMIT $4::bigint
)
SELECT t.id AS function_id, t.deleted_at, c.released, c.doomed, c.deleting, c.dead, c.refused,
       s.kind::text AS kind, s.resource_id, s.revision_id, s.state::text AS state, s.release_reason, s.attempts,
       s.last_status, s.error_class, s.last_error, s.released_at, s.doomed_at,
       CASE s.state WHEN 'doomed' THEN s.due_at END AS next_attempt_at
FROM target t CROSS JOIN counts c LEFT JOIN shown s ON true
ORDER BY s.released_at, s.id

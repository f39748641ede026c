-- What is on its way for longer than it should be, and since when.
-- $1 grace in ms
WITH late AS (
    SELECT now() - make_interval(secs => $1::bigint / 1000.0) AS before, t.team_id, t.function_id
    FROM pg_temp.this_run t
), waiting AS (
    SELECT count(*) AS n, min(b.created_at) AS since
    FROM sandsweep.outbox b CROSS JOIN late
    WHERE b.created_at < late.before
      AND (late.team_id IS NULL OR b.team_id = late.team_id)
      AND (late.function_id IS NULL OR b.function_id = late.function_id)
), rows AS (
    SELECT count(*) FILTER (WHERE o.state = 'released' AND o.released_at < late.before) AS undoomed,
           min(o.released_at) FILTER (WHERE o.state = 'released' AND o.released_at < late.before) AS undoomed_since,
           count(*) FILTER (WHERE o.state = 'doomed' AND o.deleting_at IS NULL AND o.due_at < late.before) AS untried,
           min(o.due_at) FILTER (WHERE o.state = 'doomed' AND o.deleting_at IS NULL AND o.due_at < late.before)
               AS untried_since,
           count(*) FILTER (WHERE o.state = 'dead') AS dead,
           min(o.ended_at) FILTER (WHERE o.state = 'dead') AS dead_since,
           count(*) FILTER (WHERE o.state = 'refused') AS refused
    FROM sandsweep.owned_resources o CROSS JOIN late
    WHERE o.stage IN ('released', 'dead', 'refused')
      AND (late.team_id IS NULL OR o.team_id = late.team_id)
      AND (late.function_id IS NULL OR o.function_id = late.function_id)
)
SELECT w.n AS unpublished, w.since AS unpublished_since, r.undoomed, r.undoomed_since, r.untried, r.untried_since,
       r.dead, r.dead_since, r.refused
FROM waiting w CROSS JOIN rows r

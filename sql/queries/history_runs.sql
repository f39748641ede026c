-- Runs of the reconciler, the newest first, with how many of the things that each was the last to see
-- while observing were used again later.
-- $1 one run or NULL, $2 only ids below this one or NULL, $3 at most so many
SELECT r.id, r.started_at, r.finished_at, r.actor, r.holder, r.shard, r.term, r.mode, r.dry, r.team_id,
       r.function_id, coalesce(r.outcome, 'running') AS outcome, c.found, c.acted, d.reused, r.counts
FROM sandsweep.reconcile_runs r
CROSS JOIN LATERAL (
    SELECT coalesce(sum((k.value ->> 'found')::bigint), 0)::bigint AS found,
           coalesce(sum((k.value ->> 'acted')::bigint), 0)::bigint AS acted
    FROM jsonb_each(CASE jsonb_typeof(r.counts -> 'classes') WHEN 'object' THEN r.counts -> 'classes' ELSE '{}' END) k
) c
CROSS JOIN LATERAL (
    SELECT count(*) AS reused FROM sandsweep.drift w
    WHERE w.run_id = r.id AND w.observed AND w.outcome = 'reused'
) d
WHERE ($1::bigint IS NULL OR r.id = $1::bigint) AND ($2::bigint IS NULL OR r.id < $2::bigint)
ORDER BY r.id DESC
LIMIT $3::bigint

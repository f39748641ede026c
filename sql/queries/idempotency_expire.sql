-- Forget what was answered long ago, a portion at a time.
-- $1 for how long it is remembered, in milliseconds
DELETE FROM sandsweep.idempotency_keys k
WHERE (k.team_id, k.key) IN (
    SELECT o.team_id, o.key FROM sandsweep.idempotency_keys o
    WHERE o.created_at < now() - $1::bigint * interval '1 millisecond'
    ORDER BY o.created_at LIMIT 1000)

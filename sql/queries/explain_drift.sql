-- The drift that is, or was, known of a thing.
-- $1 the platform's id
SELECT d.class, d.kind::text AS kind, d.since, d.first_seen_at, d.last_seen_at, d.run_id, d.action, d.observed,
       d.closed_at, d.outcome
FROM sandsweep.drift d
WHERE d.resource_id = $1
ORDER BY d.first_seen_at, d.class

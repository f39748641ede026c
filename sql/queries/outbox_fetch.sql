-- The next outbox rows.
-- $1 only ids above this one, $2 at most so many
SELECT o.id, o.event_id, o.function_id, o.created_at, o.channel, o.type,
       coalesce(o.traceparent, '') AS traceparent, o.data::text AS data
FROM sandsweep.outbox o
WHERE o.id > $1::bigint
ORDER BY o.id
LIMIT $2::bigint

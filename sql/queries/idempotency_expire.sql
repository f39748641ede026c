-- Forget what was answered long ago, a portion at a time.
-- $1 for how long it is remembered, in milliseconds
SELECT sandsweep.idempotency_expire($1::bigint * interval '1 millisecond')

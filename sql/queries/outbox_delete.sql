-- Published rows go.
-- $1 ids
DELETE FROM sandsweep.outbox WHERE id = ANY ($1::bigint[])

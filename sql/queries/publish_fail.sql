-- A publish ends without a revision: what it made is doomed.
-- $1 the trace's id, $2 whether its last step is known to have made nothing
SELECT sandsweep.publish_fail($1::uuid, $2::boolean)

-- A publish ends without a revision: what it made is doomed.
-- $1 team, $2 the trace's id, $3 whether its last step is known to have made nothing
SELECT sandsweep.publish_fail($2::uuid, $3::boolean)
FROM (SELECT $1::uuid) team

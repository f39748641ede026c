-- What the last call of a publish made, and what the next one will ask for.
-- $1 team, $2 the trace's id, $3 the last step's number, 0: none, $4 what it made, $5 by whom, or NULL,
-- $6 kind of the next, or NULL: none, $7 what it is made from
SELECT sandsweep.publish_step($2::uuid, $3::integer, $4, $5, $6::sandsweep.resource_kind, $7) AS open
FROM (SELECT $1::uuid) team

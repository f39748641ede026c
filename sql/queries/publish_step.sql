-- What the last call of a publish made, and what the next one will ask for.
-- $1 the trace's id, $2 the last step's number, 0: none, $3 what it made, $4 by whom, or NULL,
-- $5 kind of the next, or NULL: none, $6 what it is made from
SELECT sandsweep.publish_step($1::uuid, $2::integer, $3, $4, $5::sandsweep.resource_kind, $6) AS open

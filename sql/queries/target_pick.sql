-- Rows that a redrive would take: dead or refused, by class, team or ids.
-- $1 state (dead, refused), $2 error class or NULL, $3 team or NULL, $4 ids or NULL (all),
-- $5 only ids above this one, $6 at most so many
SELECT o.id FROM sandsweep.owned_resources o
WHERE o.stage = $1
  AND ($2::text IS NULL OR o.error_class = $2)
  AND ($3::uuid IS NULL OR o.team_id = $3::uuid)
  AND ($4::bigint[] IS NULL OR o.id = ANY ($4::bigint[]))
  AND o.id > $5::bigint
ORDER BY o.id
LIMIT $6::bigint

-- Ledger rows for a person to look at, in the order of id.
-- $1 state or NULL, $2 kind or NULL, $3 error class or NULL, $4 team or NULL, $5 function or NULL,
-- $6 only ids above this one, $7 at most so many
SELECT o.id, o.kind::text AS kind, o.resource_id, o.state::text AS state, o.attempts::bigint AS attempts,
       coalesce(o.last_status, 0)::bigint AS last_status, o.error_class, o.last_error, o.team_id,
       o.function_id, o.revision_id, o.parent_id, o.release_reason, o.doom_reason, o.lease_owner,
       o.created_at, o.released_at, o.doomed_at, o.deleting_at, o.ended_at, o.due_at, o.evidence
FROM sandsweep.owned_resources o
WHERE ($1::sandsweep.resource_state IS NULL OR o.state = $1::sandsweep.resource_state)
  AND ($2::sandsweep.resource_kind IS NULL OR o.kind = $2::sandsweep.resource_kind)
  AND ($3::text IS NULL OR o.error_class = $3)
  AND ($4::uuid IS NULL OR o.team_id = $4::uuid)
  AND ($5::uuid IS NULL OR o.function_id = $5::uuid)
  AND o.id > $6::bigint
ORDER BY o.id
LIMIT $7::bigint

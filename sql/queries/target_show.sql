-- One resource by the platform's id (every kind), or by its number in the ledger.
-- $1 the platform's id, $2 the number or NULL
SELECT o.id, o.kind::text AS kind, o.resource_id, o.state::text AS state, o.attempts::bigint AS attempts,
       coalesce(o.last_status, 0)::bigint AS last_status, o.error_class, o.last_error, o.team_id,
       o.function_id, o.revision_id, o.parent_id, o.release_reason, o.doom_reason, o.lease_owner,
       o.created_at, o.released_at, o.doomed_at, o.deleting_at, o.ended_at, o.due_at, o.evidence
FROM sandsweep.owned_resources o
WHERE (o.kind IN ('sandbox', 'volume', 'snapshot') AND o.resource_id = $1) OR o.id = $2::bigint
ORDER BY o.id

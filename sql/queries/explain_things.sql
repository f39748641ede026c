-- What a function has that is not gone, the oldest first.
-- $1 the function, $2 at most so many
SELECT o.id, o.kind::text AS kind, o.resource_id, o.parent_id, o.state::text AS state, o.team_id, o.function_id,
       o.revision_id, f.slug, f.deleted_at AS function_deleted_at, coalesce(f.enabled, false) AS enabled,
       coalesce(f.active_revision_id = o.revision_id, false) AS active, coalesce(r.revision_number, 0) AS revision_number,
       o.created_at, o.released_at, o.doomed_at, o.deleting_at, o.ended_at, o.due_at, o.release_reason, o.doom_reason,
       o.event_id, o.attempts, coalesce(o.last_status, 0) AS last_status, o.error_class, o.last_error, o.lease_owner,
       sandsweep.in_use_because(o.kind, o.resource_id) AS in_use_because, o.evidence, o.finding
FROM sandsweep.owned_resources o
LEFT JOIN shared_gateway.functions f ON f.id = o.function_id
LEFT JOIN shared_gateway.functions_revisions r ON r.id = o.revision_id
WHERE o.function_id = $1::uuid AND o.stage <> 'gone'
ORDER BY o.id
LIMIT $2::bigint

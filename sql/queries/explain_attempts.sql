-- Restores that brought a sandbox, or the one whose marker this is.
-- $1 the platform's id, $2 the marker or NULL
SELECT a.id, a.team_id, a.function_id, a.revision_id, a.template_id, a.started_at, a.closed_at, a.outcome, a.sandbox_id
FROM sandsweep.restore_attempts a
WHERE a.sandbox_id = $1 OR a.id = $2::uuid
ORDER BY a.started_at
LIMIT 1000

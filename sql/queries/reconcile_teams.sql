-- The gathered teams, in the order of id.
-- $1 only ids above this one or NULL, $2 at most so many
SELECT t.team_id, t.sandboxes, t.volumes
FROM pg_temp.teams t
WHERE $1::uuid IS NULL OR t.team_id > $1::uuid
ORDER BY t.team_id
LIMIT $2::bigint

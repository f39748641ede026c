-- Where a publish goes, and the trace of it that a crash leaves.
-- $1 team, $2 the text of the path, $3 the same as a UUID or NULL; for a new function $2 is NULL, and
-- $4 its id, $5 its slug, $6 its domain label;
-- $7 revision id, $8 id of the trace, or NULL: the platform will not be asked for anything
WITH target AS (
    SELECT f.id
    FROM shared_gateway.functions f
    WHERE f.team_id = $1::uuid AND f.deleted_at IS NULL AND (f.id = $3::uuid OR f.slug = $2)
    ORDER BY f.id = $3::uuid DESC NULLS LAST
    LIMIT 1
), place AS (
    SELECT coalesce($4::uuid, (SELECT id FROM target)) AS function_id,
           EXISTS (SELECT FROM shared_gateway.functions f WHERE f.team_id = $1::uuid AND f.slug = $5)
               OR EXISTS (SELECT FROM shared_gateway.functions f WHERE f.domain_label = $6) AS taken
), opened AS (
    INSERT INTO sandsweep.publish_attempts (id, team_id, function_id, revision_id)
    SELECT $8::uuid, $1::uuid, p.function_id, $7::uuid
    FROM place p WHERE $8::uuid IS NOT NULL AND p.function_id IS NOT NULL AND NOT p.taken
)
SELECT p.function_id, p.taken FROM place p

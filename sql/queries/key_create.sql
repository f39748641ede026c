-- A new API key; without a principal its own id stands for it.
-- $1 SHA-256 in hex, $2 name, $3 region, $4 team or NULL (scope platform), $5 principal or NULL,
-- $6 permissions (text array), $7 seconds until it expires or NULL, $8 requests per second or NULL
WITH fresh AS (SELECT gen_random_uuid() AS id)
INSERT INTO sandsweep.api_keys
    (id, sha256, name, region, scope, team_id, principal, permissions, expires_at, rate_per_second)
SELECT fresh.id, $1, $2, $3, CASE WHEN $4::uuid IS NULL THEN 'platform' ELSE 'team' END, $4::uuid,
       coalesce($5::uuid, fresh.id), $6::text[], now() + make_interval(secs => $7::bigint), $8::bigint
FROM fresh
RETURNING id

-- All API keys, without what could be used.
SELECT k.id, k.team_id, k.name, k.region, k.scope, array_to_string(k.permissions, ',') AS permissions,
       k.created_at, k.expires_at, k.revoked_at
FROM sandsweep.api_keys k
ORDER BY k.created_at, k.id

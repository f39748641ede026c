-- An API key that is neither revoked nor expired.
-- $1 SHA-256 of the key, in hex
SELECT k.id, k.team_id, k.principal, k.sha256, k.scope = 'platform' AS platform_scope,
       k.permissions && ARRAY['*', '*:*', 'function:*', 'function:read'] AS may_read,
       k.permissions && ARRAY['*', '*:*', 'function:*', 'function:create'] AS may_create,
       k.permissions && ARRAY['*', '*:*', 'function:*', 'function:write'] AS may_write,
       k.permissions && ARRAY['*', '*:*', 'function:*', 'function:delete'] AS may_delete,
       k.expires_at, coalesce(k.rate_per_second, 0) AS rate_per_second
FROM sandsweep.find_key($1) k
WHERE k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now())

-- Revoke a key and tell the fronts at once; a second time keeps the first date.
-- $1 the key's id
WITH revoked AS (
    UPDATE sandsweep.api_keys SET revoked_at = coalesce(revoked_at, now())
    WHERE id = $1::uuid
    RETURNING id
)
SELECT id, pg_notify('sandsweep_keys', '') IS NOT NULL AS told FROM revoked

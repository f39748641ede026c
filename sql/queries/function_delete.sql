-- Soft-delete a function. Its trigger takes every mapping and releases sandboxes, volumes, snapshots.
-- $1 team, $2 the text of the path, $3 the same as a UUID or NULL, $4 principal, $5 request id,
-- $6 traceparent, $7 versions (updated_at in microseconds) of which it must be one, or NULL,
-- $8 idempotency key or NULL, $9 its fingerprint
WITH known AS (
    SELECT f.id, f.updated_at
    FROM shared_gateway.functions f
    WHERE f.team_id = $1::uuid AND f.deleted_at IS NULL AND (f.id = $3::uuid OR f.slug = $2)
    ORDER BY f.id = $3::uuid DESC NULLS LAST
    LIMIT 1
    FOR NO KEY UPDATE
), target AS (
    SELECT k.id
    FROM known k
    WHERE $7::bigint[] IS NULL OR (extract(epoch FROM k.updated_at) * 1000000)::bigint = ANY ($7::bigint[])
), deleted AS (
    UPDATE shared_gateway.functions f
    SET enabled = false, deleted_at = now()
    FROM target t
    WHERE f.id = t.id
    RETURNING f.*
), told AS (
    INSERT INTO sandsweep.outbox (team_id, function_id, channel, type, traceparent, data)
    SELECT $1::uuid, d.id, 'events', 'io.sandsweep.function.deleted', $6,
           jsonb_build_object('team_id', $1::uuid, 'function_id', d.id, 'actor', $4::text)
    FROM deleted d
    RETURNING event_id, type
), audited AS (
    INSERT INTO sandsweep.audit_log (team_id, actor, action, function_id, request_id, details)
    SELECT $1::uuid, $4, 'function.delete', d.id, $5,
           coalesce((SELECT jsonb_build_object('event_id', w.event_id, 'event_type', w.type) FROM told w), '{}')
    FROM deleted d
), answer AS (
    SELECT d.id, d.team_id, d.active_revision_id, d.created_by, d.name, d.slug, d.domain_label, d.enabled,
           d.created_at, d.updated_at, d.deleted_at,
           d.autoscaling ->> 'min_warm' AS min_warm,
           d.autoscaling ->> 'max_active' AS max_active,
           d.autoscaling ->> 'target_concurrency' AS target_concurrency,
           d.autoscaling ->> 'scale_down_after_seconds' AS scale_down_after_seconds
    FROM deleted d
), kept AS (
    INSERT INTO sandsweep.idempotency_keys (team_id, key, fingerprint, result)
    SELECT $1::uuid, $8, $9, to_jsonb(a) FROM answer a WHERE $8::text IS NOT NULL
)
SELECT * FROM answer

-- Change a function. Disabling takes every mapping (the triggers release the sandboxes) and tells it.
-- $1 team, $2 the text of the path, $3 the same as a UUID or NULL,
-- $4 name or NULL, $5 enabled or NULL, $6 autoscaling (jsonb) or NULL,
-- $7 principal, $8 request id, $9 traceparent,
-- $10 versions (updated_at in microseconds) of which it must be one, or NULL,
-- $11 idempotency key or NULL, $12 its fingerprint
WITH known AS (
    SELECT f.id, f.enabled, f.updated_at, set_config('sandsweep.reason', 'function_disabled', true)
    FROM shared_gateway.functions f
    WHERE f.team_id = $1::uuid AND f.deleted_at IS NULL AND (f.id = $3::uuid OR f.slug = $2)
    ORDER BY f.id = $3::uuid DESC NULLS LAST
    LIMIT 1
    FOR NO KEY UPDATE
), target AS (
    SELECT k.id, k.enabled
    FROM known k
    WHERE $10::bigint[] IS NULL OR (extract(epoch FROM k.updated_at) * 1000000)::bigint = ANY ($10::bigint[])
), changed AS (
    UPDATE shared_gateway.functions f
    SET name = coalesce($4, f.name), enabled = coalesce($5::boolean, f.enabled),
        autoscaling = coalesce($6::jsonb, f.autoscaling)
    FROM target t
    WHERE f.id = t.id
    RETURNING f.*
), cleared AS (
    UPDATE shared_gateway.functions_revisions r
    SET runtime_sandbox_id = NULL, runtime_context_id = NULL, runtime_updated_at = NULL
    FROM target t
    WHERE NOT $5::boolean AND r.function_id = t.id AND r.runtime_sandbox_id IS NOT NULL
    RETURNING r.id
), told AS (
    INSERT INTO sandsweep.outbox (team_id, function_id, channel, type, traceparent, data)
    SELECT $1::uuid, t.id, 'events', 'io.sandsweep.function.disabled', $9,
           jsonb_build_object('team_id', $1::uuid, 'function_id', t.id, 'actor', $7::text)
    FROM target t
    WHERE NOT $5::boolean AND (t.enabled OR EXISTS (SELECT FROM cleared))
    RETURNING event_id, type
), audited AS (
    INSERT INTO sandsweep.audit_log (team_id, actor, action, function_id, request_id, details)
    SELECT $1::uuid, $7, 'function.update', t.id, $8,
           jsonb_strip_nulls(jsonb_build_object('name', $4::text, 'enabled', $5::boolean,
               'autoscaling', $6::jsonb, 'runtimes_released', (SELECT count(*) FROM cleared)))
           || coalesce((SELECT jsonb_build_object('event_id', w.event_id, 'event_type', w.type) FROM told w), '{}')
    FROM target t
), answer AS (
    SELECT c.id, c.team_id, c.active_revision_id, c.created_by, c.name, c.slug, c.domain_label, c.enabled,
           c.created_at, c.updated_at, c.deleted_at,
           c.autoscaling ->> 'min_warm' AS min_warm,
           c.autoscaling ->> 'max_active' AS max_active,
           c.autoscaling ->> 'target_concurrency' AS target_concurrency,
           c.autoscaling ->> 'scale_down_after_seconds' AS scale_down_after_seconds
    FROM changed c
), kept AS (
    INSERT INTO sandsweep.idempotency_keys (team_id, key, fingerprint, result)
    SELECT $1::uuid, $11, $12, to_jsonb(a) FROM answer a WHERE $11::text IS NOT NULL
)
SELECT * FROM answer

-- Recycle or restart: take the mapping of the active revision (the trigger releases its sandbox),
-- tell it, write it down. The lock on the revision is the compare-and-set: what is cleared is what
-- was there when the lock was granted, and that is what the event names. (The audit row keeps the event's
-- id: by it a reconciliation sends it again, should it get lost.)
-- $1 team, $2 the text of the path, $3 the same as a UUID or NULL, $4 the CloudEvents type,
-- $5 the reason (recycled, restarted), $6 principal, $7 request id, $8 traceparent,
-- $9 idempotency key or NULL, $10 its fingerprint
WITH target AS (
    SELECT f.id, f.enabled, f.active_revision_id, f.autoscaling,
           set_config('sandsweep.reason', $5, true)
    FROM shared_gateway.functions f
    WHERE f.team_id = $1::uuid AND f.deleted_at IS NULL AND (f.id = $3::uuid OR f.slug = $2)
    ORDER BY f.id = $3::uuid DESC NULLS LAST
    LIMIT 1
), mapped AS (
    SELECT r.id, r.runtime_sandbox_id
    FROM shared_gateway.functions_revisions r
    WHERE r.id = (SELECT active_revision_id FROM target) AND r.runtime_sandbox_id IS NOT NULL
    FOR NO KEY UPDATE
), cleared AS (
    UPDATE shared_gateway.functions_revisions r
    SET runtime_sandbox_id = NULL, runtime_context_id = NULL, runtime_updated_at = NULL
    FROM mapped m
    WHERE r.id = m.id
    RETURNING r.id, m.runtime_sandbox_id
), told AS (
    INSERT INTO sandsweep.outbox (team_id, function_id, channel, type, traceparent, data)
    SELECT $1::uuid, t.id, 'events', $4, $8,
           jsonb_build_object('team_id', $1::uuid, 'function_id', t.id, 'revision_id', c.id,
                              'sandbox_id', c.runtime_sandbox_id, 'actor', $6::text)
    FROM target t, cleared c
    WHERE c.runtime_sandbox_id <> ''
    RETURNING event_id, type
), audited AS (
    INSERT INTO sandsweep.audit_log (team_id, actor, action, function_id, request_id, details)
    SELECT $1::uuid, $6, 'runtime.' || $5, t.id, $7,
           jsonb_build_object('revision_id', t.active_revision_id,
                              'sandbox_id', (SELECT runtime_sandbox_id FROM cleared))
           || coalesce((SELECT jsonb_build_object('event_id', w.event_id, 'event_type', w.type) FROM told w), '{}')
    FROM target t
), answer AS (
    SELECT t.id AS function_id, r.id AS revision_id, coalesce(r.revision_number, 0) AS revision_number,
           t.enabled, NULL::text AS sandbox_id, NULL::text AS context_id,
           NULL::timestamptz AS runtime_updated_at, $1::uuid AS team_id, NULL::timestamptz AS mapped_at,
           NULL::jsonb AS recent_events,
           t.autoscaling ->> 'min_warm' AS min_warm,
           t.autoscaling ->> 'max_active' AS max_active,
           t.autoscaling ->> 'target_concurrency' AS target_concurrency,
           t.autoscaling ->> 'scale_down_after_seconds' AS scale_down_after_seconds
    FROM target t
    LEFT JOIN shared_gateway.functions_revisions r ON r.id = t.active_revision_id
), kept AS (
    INSERT INTO sandsweep.idempotency_keys (team_id, key, fingerprint, result)
    SELECT $1::uuid, $9, $10, to_jsonb(a) FROM answer a WHERE $9::text IS NOT NULL
)
SELECT * FROM answer

-- The runtime of a function's active revision, and what became of the last ones: $4 events at most, as their
-- clients know them.
-- $1 team, $2 the text of the path, $3 the same as a UUID, or NULL, $4 how many events
WITH target AS (
    SELECT f.id, f.team_id, f.active_revision_id, f.enabled, f.autoscaling
    FROM shared_gateway.functions f
    WHERE f.team_id = $1::uuid AND f.deleted_at IS NULL AND (f.id = $3::uuid OR f.slug = $2)
    ORDER BY f.id = $3::uuid DESC NULLS LAST
    LIMIT 1
), runtimes AS MATERIALIZED (
    SELECT o.resource_id, o.created_at, o.released_at, o.release_reason,
           CASE o.state WHEN 'gone' THEN o.ended_at END AS gone_at
    FROM target t JOIN sandsweep.owned_resources o
        ON o.kind = 'sandbox' AND o.revision_id = t.active_revision_id AND o.team_id = t.team_id
    ORDER BY o.created_at DESC LIMIT $4::bigint
), events AS (
    SELECT jsonb_agg(jsonb_strip_nulls(jsonb_build_object(
               'id', md5('sandsweep ' || l.reason || ' ' || l.resource_id)::uuid,
               'team_id', t.team_id, 'function_id', t.id, 'revision_id', t.active_revision_id,
               'runtime_sandbox_id', l.resource_id, 'phase', l.phase, 'readiness_state', l.readiness,
               'reason', l.reason, 'message', l.message,
               'created_at', to_char(l.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')))
               ORDER BY l.at DESC, l.reason) AS list
    FROM target t CROSS JOIN (
        SELECT r.resource_id, e.*
        FROM runtimes r CROSS JOIN LATERAL (VALUES
            ('ready', 'ready', 'runtime_ready', NULL, r.created_at),
            ('idle', 'unknown', 'runtime_cleared', r.release_reason, r.released_at),
            ('idle', 'unknown', 'runtime_deleted', NULL, r.gone_at)) AS e (phase, readiness, reason, message, at)
        WHERE e.at IS NOT NULL
        ORDER BY e.at DESC, e.reason LIMIT $4::bigint) l
)
SELECT t.id AS function_id, r.id AS revision_id, coalesce(r.revision_number, 0) AS revision_number,
       t.enabled, r.runtime_sandbox_id AS sandbox_id, r.runtime_context_id AS context_id,
       r.runtime_updated_at, t.team_id,
       (SELECT m.created_at FROM runtimes m WHERE m.resource_id = r.runtime_sandbox_id) AS mapped_at,
       (SELECT list FROM events) AS recent_events,
       t.autoscaling ->> 'min_warm' AS min_warm,
       t.autoscaling ->> 'max_active' AS max_active,
       t.autoscaling ->> 'target_concurrency' AS target_concurrency,
       t.autoscaling ->> 'scale_down_after_seconds' AS scale_down_after_seconds
FROM target t
LEFT JOIN shared_gateway.functions_revisions r ON r.id = t.active_revision_id

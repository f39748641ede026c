-- Ours, of a function that is deleted, or made by a publish that never ended. And what is live in the
-- window of an open publish and known to nobody: nothing proves whose it is, so people are told.
-- $1 grace in ms; also how long a publish may take
WITH ran AS (
    INSERT INTO pg_temp.ran VALUES ('orphan_volume', make_interval(secs => $1::bigint / 1000.0)) RETURNING grace
), candidates AS MATERIALIZED (
    -- (Materialized: what is cheap to tell comes before what is not.)
    SELECT o.*, p.id AS publish_id, p.outcome AS publish_outcome,
           CASE WHEN f.deleted_at IS NOT NULL THEN 'function_deleted' WHEN r.id IS NULL THEN 'never_published'
                END AS cause,
           coalesce(f.deleted_at, p.started_at, o.created_at) AS since
    FROM sandsweep.owned_resources o
    LEFT JOIN shared_gateway.functions f ON f.id = o.function_id
    LEFT JOIN shared_gateway.functions_revisions r ON r.id = o.revision_id
    LEFT JOIN sandsweep.publish_attempts p ON p.revision_id = o.revision_id
    CROSS JOIN pg_temp.this_run t
    WHERE o.kind = 'volume' AND o.stage = 'in_use' AND o.created_at <= t.t0
      AND (f.deleted_at IS NOT NULL OR r.id IS NULL)
      AND (t.team_id IS NULL OR o.team_id = t.team_id) AND (t.function_id IS NULL OR o.function_id = t.function_id)
), drifted AS (
    SELECT c.* FROM candidates c WHERE sandsweep.in_use_because(c.kind, c.resource_id) IS NULL
), unknown AS (
    SELECT DISTINCT ON (s.id) s.id, s.team_id, p.function_id, p.revision_id, p.id AS publish_id, s.created_at,
           s.source_volume_id
    FROM sandsweep.publish_attempts p
    CROSS JOIN ran
    CROSS JOIN pg_temp.this_run t
    JOIN pg_temp.seen s ON s.kind = 'volume' AND s.team_id = p.team_id
        AND s.created_at BETWEEN p.started_at - interval '1 minute' AND p.started_at + ran.grace
    WHERE p.closed_at IS NULL AND (t.team_id IS NULL OR p.team_id = t.team_id)
      AND (t.function_id IS NULL OR p.function_id = t.function_id)
      AND NOT EXISTS (SELECT FROM sandsweep.owned_resources o WHERE o.kind = 'volume' AND o.resource_id = s.id)
    ORDER BY s.id, p.started_at
), found AS (
    INSERT INTO pg_temp.findings (class, kind, resource_id, team_id, function_id, revision_id, since, proof, action,
        verdict, evidence)
    SELECT 'orphan_volume', d.kind, d.resource_id, d.team_id, d.function_id, d.revision_id, d.since, 'none', 'doom',
           CASE WHEN d.since > t.t0 - ran.grace THEN 'young' ELSE 'proved' END,
           jsonb_build_object('rule', 'a volume of ours belongs to a revision of a live function', 'cause', d.cause,
               'publish', d.publish_id, 'publish_outcome', d.publish_outcome, 'in_use_since', d.created_at)
    FROM drifted d CROSS JOIN pg_temp.this_run t CROSS JOIN ran
    UNION ALL
    SELECT 'orphan_volume', 'volume', u.id, u.team_id, u.function_id, u.revision_id, u.created_at, 'none', 'note',
           CASE WHEN u.created_at > t.t0 - ran.grace THEN 'young' ELSE 'proved' END,
           jsonb_build_object('rule', 'nothing proves that this volume was made by the publish', 'publish', u.publish_id,
               'created_at', u.created_at, 'source_volume', u.source_volume_id)
    FROM unknown u CROSS JOIN pg_temp.this_run t CROSS JOIN ran
    ON CONFLICT (kind, resource_id) DO NOTHING
    RETURNING 1
)
SELECT count(*) AS found FROM found

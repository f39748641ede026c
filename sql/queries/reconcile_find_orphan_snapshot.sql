-- Ours, of a function that is deleted, or made by a publish that never ended. (Snapshots are not listed.)
-- $1 grace in ms; also how long a publish may take
WITH ran AS (
    INSERT INTO pg_temp.ran VALUES ('orphan_snapshot', make_interval(secs => $1::bigint / 1000.0)) RETURNING grace
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
    WHERE o.kind = 'snapshot' AND o.stage = 'in_use' AND o.created_at <= t.t0
      AND (f.deleted_at IS NOT NULL OR r.id IS NULL)
      AND (t.team_id IS NULL OR o.team_id = t.team_id) AND (t.function_id IS NULL OR o.function_id = t.function_id)
), drifted AS (
    SELECT c.* FROM candidates c WHERE sandsweep.in_use_because(c.kind, c.resource_id) IS NULL
), found AS (
    INSERT INTO pg_temp.findings (class, kind, resource_id, parent_id, team_id, function_id, revision_id, since, proof,
        action, verdict, evidence)
    SELECT 'orphan_snapshot', d.kind, d.resource_id, d.parent_id, d.team_id, d.function_id, d.revision_id, d.since,
           'none', 'doom', CASE WHEN d.since > t.t0 - ran.grace THEN 'young' ELSE 'proved' END,
           jsonb_build_object('rule', 'a snapshot of ours belongs to a revision of a live function', 'cause', d.cause,
               'publish', d.publish_id, 'publish_outcome', d.publish_outcome, 'in_use_since', d.created_at)
    FROM drifted d CROSS JOIN pg_temp.this_run t CROSS JOIN ran
    ON CONFLICT (kind, resource_id) DO NOTHING
    RETURNING 1
)
SELECT count(*) AS found FROM found

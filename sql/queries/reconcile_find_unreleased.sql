-- Mapped, though its function is deleted, disabled, or serves another revision by now; or in use by the
-- ledger's word, and mapped by nobody. Nothing of the platform is needed to know it.
-- $1 grace in ms, $2 which half: mapped, unmapped (two statements, so that neither holds the session for long)
WITH ran AS (
    INSERT INTO pg_temp.ran VALUES ('unreleased', make_interval(secs => $1::bigint / 1000.0))
    ON CONFLICT (class) DO UPDATE SET grace = EXCLUDED.grace
    RETURNING grace
), mapped AS (
    SELECT r.runtime_sandbox_id AS id, r.team_id, r.function_id, r.id AS revision_id, r.runtime_updated_at,
           CASE WHEN f.deleted_at IS NOT NULL THEN 'function_deleted'
                WHEN NOT f.enabled THEN 'function_disabled'
                ELSE 'revision_superseded' END AS cause,
           greatest(coalesce(f.deleted_at, f.updated_at), coalesce(r.runtime_updated_at, r.created_at)) AS changed
    FROM shared_gateway.functions_revisions r
    JOIN shared_gateway.functions f ON f.id = r.function_id
    CROSS JOIN pg_temp.this_run t
    WHERE $2 = 'mapped' AND r.runtime_sandbox_id <> ''
      AND (f.deleted_at IS NOT NULL OR NOT f.enabled OR f.active_revision_id IS DISTINCT FROM r.id)
      AND coalesce(r.runtime_updated_at, r.created_at) <= t.t0
      AND (t.team_id IS NULL OR r.team_id = t.team_id) AND (t.function_id IS NULL OR r.function_id = t.function_id)
), unmapped AS (
    SELECT o.resource_id AS id, o.team_id, o.function_id, o.revision_id, o.created_at
    FROM sandsweep.owned_resources o
    CROSS JOIN pg_temp.this_run t
    WHERE $2 = 'unmapped' AND o.kind = 'sandbox' AND o.stage = 'in_use' AND o.created_at <= t.t0
      AND (t.team_id IS NULL OR o.team_id = t.team_id) AND (t.function_id IS NULL OR o.function_id = t.function_id)
      AND NOT EXISTS (SELECT FROM shared_gateway.functions_revisions r WHERE r.runtime_sandbox_id = o.resource_id)
), drifted AS (
    SELECT m.id, m.team_id, m.function_id, m.revision_id, 'clear' AS action, m.changed,
           jsonb_build_object('rule', 'a mapping is kept only by the active revision of a live, enabled function',
               'cause', m.cause, 'mapped_at', m.runtime_updated_at, 'changed_at', m.changed) AS evidence
    FROM mapped m
    UNION ALL
    SELECT u.id, u.team_id, u.function_id, u.revision_id, 'doom', u.created_at,
           jsonb_build_object('rule', 'a sandbox is in use only while a revision maps it', 'cause', 'unmapped',
               'in_use_since', u.created_at)
    FROM unmapped u
), aged AS (
    -- A function that is changed again and again must not look young for ever.
    SELECT d.*, least(d.changed, k.first_seen_at) AS since
    FROM drifted d
    LEFT JOIN sandsweep.drift k ON k.class = 'unreleased' AND k.kind = 'sandbox' AND k.resource_id = d.id
        AND k.closed_at IS NULL
), found AS (
    INSERT INTO pg_temp.findings (class, kind, resource_id, team_id, function_id, revision_id, since, proof, action,
        verdict, evidence)
    SELECT 'unreleased', 'sandbox', a.id, a.team_id, a.function_id, a.revision_id, a.since, 'none', a.action,
           CASE WHEN a.since > t.t0 - ran.grace OR a.changed > t.t0 THEN 'young' ELSE 'proved' END, a.evidence
    FROM aged a CROSS JOIN pg_temp.this_run t CROSS JOIN ran
    ON CONFLICT (kind, resource_id) DO NOTHING
    RETURNING 1
)
SELECT count(*) AS found FROM found

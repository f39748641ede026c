-- Live and known to nobody, where a restore was begun and not ended in whose window it was created: may
-- be ours, and must be proved so by its marker or its mounts. All others are none of our business.
-- A restore that was given up counts too: the listing that showed nothing of it may have lacked a cluster,
-- or another sandbox was taken for its own. What was looked at for it once is not looked at again.
-- (The window opens an hour early: a platform that takes sandboxes from a pool may have made this one before
-- it was asked for it.)
-- $1 grace in ms; also how long after its beginning a restore may still get its sandbox
WITH ran AS (
    INSERT INTO pg_temp.ran VALUES ('orphan_sandbox', make_interval(secs => $1::bigint / 1000.0)) RETURNING grace
), drifted AS (
    SELECT s.id, s.team_id, s.template_id, s.status, s.created_at, max(a.started_at) AS since,
           jsonb_agg(a.id ORDER BY a.started_at) AS attempts
    FROM sandsweep.restore_attempts a
    CROSS JOIN ran
    CROSS JOIN pg_temp.this_run t
    JOIN pg_temp.seen s ON s.kind = 'sandbox' AND s.team_id = a.team_id AND s.template_id = a.template_id
        AND s.created_at BETWEEN a.started_at - interval '1 hour' AND a.started_at + ran.grace + interval '1 minute'
    WHERE (a.closed_at IS NULL OR a.outcome = 'abandoned') AND (t.team_id IS NULL OR a.team_id = t.team_id)
      AND (t.function_id IS NULL OR a.function_id = t.function_id)
      AND NOT EXISTS (SELECT FROM sandsweep.owned_resources o WHERE o.kind = 'sandbox' AND o.resource_id = s.id)
      AND NOT EXISTS (SELECT FROM shared_gateway.functions_revisions r WHERE r.runtime_sandbox_id = s.id)
      AND NOT EXISTS (SELECT FROM shared_gateway.functions_revisions r WHERE r.source_sandbox_id = s.id)
      AND (a.closed_at IS NULL
           OR NOT EXISTS (SELECT FROM sandsweep.reconcile_findings k
                          WHERE k.resource_id = s.id AND k.class = 'orphan_sandbox' AND k.verdict = 'disproved' AND k.evidence ->> 'looked' = 'present'
                            AND k.evidence -> 'attempts' ? a.id::text))
    GROUP BY s.id, s.team_id, s.template_id, s.status, s.created_at
), found AS (
    INSERT INTO pg_temp.findings (class, kind, resource_id, team_id, since, proof, action, verdict, evidence)
    SELECT 'orphan_sandbox', 'sandbox', d.id, d.team_id, greatest(d.since, d.created_at), 'owner', 'adopt',
           CASE WHEN greatest(d.since, d.created_at) > t.t0 - ran.grace THEN 'young' END,
           jsonb_build_object('rule', 'what a restore claimed is mapped or deleted', 'attempts', d.attempts,
               'template', d.template_id, 'created_at', d.created_at, 'status', d.status, 'listed_from', t.t0)
    FROM drifted d CROSS JOIN pg_temp.this_run t CROSS JOIN ran
    ON CONFLICT (kind, resource_id) DO NOTHING
    RETURNING 1
)
SELECT count(*) AS found FROM found

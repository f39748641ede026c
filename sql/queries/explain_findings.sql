-- What runs found about one thing, the newest first.
-- $1 the platform's id, $2 at most so many
SELECT f.number, f.class, f.kind::text AS kind, f.resource_id, f.parent_id, f.team_id, f.function_id,
       f.revision_id, f.since, f.proof, f.action, f.verdict, f.result, f.why, f.evidence, f.run_id, f.at
FROM sandsweep.reconcile_findings f
WHERE f.resource_id = $1
ORDER BY f.run_id DESC, f.number DESC
LIMIT $2::bigint

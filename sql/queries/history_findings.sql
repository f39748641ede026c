-- What one run found, in the order of finding.
-- $1 the run, $2 only numbers above this one, $3 at most so many
SELECT f.number, f.class, f.kind::text AS kind, f.resource_id, f.parent_id, f.team_id, f.function_id,
       f.revision_id, f.since, f.proof, f.action, f.verdict, f.result, f.why, f.evidence, f.run_id, f.at
FROM sandsweep.reconcile_findings f
WHERE f.run_id = $1::bigint AND f.number > $2::bigint
ORDER BY f.number
LIMIT $3::bigint

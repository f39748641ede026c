-- Findings, in the order of finding.
-- $1 which (all, to_prove, to_act), $2 only numbers above this one, $3 at most so many
SELECT f.id, f.class, f.kind::text AS kind, f.resource_id, f.parent_id, f.team_id, f.function_id, f.revision_id,
       f.since, f.proof, f.action, f.verdict, f.result, f.why, f.evidence
FROM pg_temp.findings f
WHERE f.id > $2::bigint
  AND CASE $1::text
      WHEN 'to_prove' THEN f.verdict IS NULL AND f.proof <> 'none'
      WHEN 'to_act' THEN f.verdict = 'proved' AND f.action <> 'note' AND f.result IS NULL
      ELSE true END
ORDER BY f.id
LIMIT $3::bigint

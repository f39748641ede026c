-- The findings of a plan, in its order. What the database alone proves is proved by the act; all else must
-- be proved again.
-- $1 classes, $2 kinds, $3 resources, $4 parents, $5 teams, $6 functions, $7 revisions, $8 since, $9 proofs,
-- $10 actions, $11 evidence (jsonb); arrays of one length
INSERT INTO pg_temp.findings (class, kind, resource_id, parent_id, team_id, function_id, revision_id, since, proof,
    action, verdict, evidence)
SELECT p.class, p.kind, p.resource_id, p.parent_id, p.team_id, p.function_id, p.revision_id, p.since, p.proof, p.action,
       CASE p.proof WHEN 'none' THEN 'proved' END, p.evidence
FROM unnest($1::text[], $2::sandsweep.resource_kind[], $3::text[], $4::text[], $5::uuid[], $6::uuid[], $7::uuid[],
            $8::timestamptz[], $9::text[], $10::text[], $11::jsonb[]) WITH ORDINALITY
    AS p (class, kind, resource_id, parent_id, team_id, function_id, revision_id, since, proof, action, evidence, at)
ORDER BY p.at

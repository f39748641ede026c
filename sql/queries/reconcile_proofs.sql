-- What looking at single things showed. A sandbox that nobody knows is ours only by the marker of an open
-- (or given up) restore of its team and template, or by a mount of a volume that the ledger holds for that restore's
-- revision and that is not older than the restore (a user may have mounted it before).
-- $1 findings, $2 seen (absent, present, unknown), $3 why or NULL, $4 details (jsonb); arrays of one length
WITH looked AS (
    SELECT l.* FROM unnest($1::bigint[], $2::text[], $3::text[], $4::jsonb[]) AS l (id, seen, why, details)
), owner AS (
    SELECT DISTINCT ON (f.id) f.id, a.id AS attempt_id, a.function_id, a.revision_id,
           CASE WHEN l.details ->> 'marker' = a.id::text THEN 'marker' ELSE 'mount' END AS by
    FROM looked l
    JOIN pg_temp.findings f ON f.id = l.id AND f.proof = 'owner'
    JOIN sandsweep.restore_attempts a ON (a.closed_at IS NULL OR a.outcome = 'abandoned') AND a.team_id = f.team_id
        AND a.template_id = f.evidence ->> 'template' AND f.evidence -> 'attempts' ? a.id::text
    WHERE l.seen = 'present'
      AND (l.details ->> 'marker' = a.id::text
           OR coalesce(l.details ->> 'marker', '') = ''
              AND (f.evidence ->> 'created_at')::timestamptz >= a.started_at - interval '1 minute' AND EXISTS (
               SELECT FROM sandsweep.owned_resources v
               WHERE v.kind = 'volume' AND v.revision_id = a.revision_id AND v.team_id = a.team_id
                 AND l.details -> 'mounts' ? v.resource_id))
    ORDER BY f.id, l.details ->> 'marker' = a.id::text DESC, a.started_at
)
UPDATE pg_temp.findings f
SET verdict = CASE WHEN l.seen = 'unknown' THEN 'unproved'
                   WHEN f.proof = 'owner' THEN CASE WHEN o.id IS NOT NULL THEN 'proved' ELSE 'disproved' END
                   WHEN f.proof = l.seen THEN 'proved'
                   ELSE 'disproved' END,
    why = CASE WHEN l.seen = 'unknown' THEN l.why
               WHEN f.proof = 'absent' AND l.seen = 'present' THEN 'it is there'
               WHEN l.seen = 'absent' AND f.proof <> 'absent' THEN 'it is not there any more'
               WHEN f.proof = 'owner' AND o.id IS NULL THEN 'nothing on it shows that it is ours' END,
    attempt_id = o.attempt_id,
    function_id = coalesce(o.function_id, f.function_id),
    revision_id = coalesce(o.revision_id, f.revision_id),
    evidence = f.evidence || jsonb_build_object('looked', l.seen, 'proof', l.details)
               || CASE WHEN o.id IS NULL THEN '{}'::jsonb ELSE jsonb_build_object('owned_by', o.by, 'attempt', o.attempt_id) END
FROM looked l
LEFT JOIN owner o ON o.id = l.id
WHERE f.id = l.id AND f.verdict IS NULL

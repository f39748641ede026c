-- What looking at single things showed. A sandbox that nobody knows is ours only by the marker of an open
-- (or given up) restore of its team and template, or by a mount of a volume that the ledger holds for that restore's
-- revision and that is not older than the restore (a user may have mounted it before).
-- A volume that nobody knows is ours only if Sandsweep's own user made it, when the listing said, for a call of
-- a publish that is without an answer still; and is left alone if a sandbox that was looked at mounts it.
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
), maker AS (
    SELECT f.id, p.id AS attempt_id, p.function_id, p.revision_id,
           CASE WHEN NOT t.adopt THEN 'reconcile.adopt_volumes is off'
                WHEN p.id IS NULL THEN 'the call of its publish is answered'
                WHEN (l.details ->> 'user' = f.evidence ->> 'user' AND l.details ->> 'user' = sandsweep.own_user('infinity'))
                    IS NOT TRUE THEN 'it is not of Sandsweep''s own user'
                WHEN ((l.details ->> 'created_at')::timestamptz = (f.evidence ->> 'created_at')::timestamptz) IS NOT TRUE
                    THEN 'it is not the one that was listed'
                WHEN EXISTS (SELECT FROM looked m WHERE m.details -> 'mounts' ? f.resource_id)
                    OR EXISTS (SELECT FROM pg_temp.findings m
                               WHERE m.kind = 'sandbox' AND m.evidence #> '{proof,mounts}' ? f.resource_id)
                    THEN 'a sandbox mounts it' END AS objection
    FROM looked l
    JOIN pg_temp.findings f ON f.id = l.id AND f.proof = 'maker'
    CROSS JOIN pg_temp.this_run t
    LEFT JOIN (sandsweep.publish_steps s JOIN sandsweep.publish_attempts p
                   ON p.id = s.attempt_id AND p.outcome IS DISTINCT FROM 'published')
        ON s.answered_at IS NULL AND s.kind = 'volume' AND s.team_id = f.team_id
        AND s.attempt_id::text = f.evidence ->> 'publish'
    WHERE l.seen = 'present'
)
UPDATE pg_temp.findings f
SET verdict = CASE WHEN l.seen = 'unknown' THEN 'unproved'
                   WHEN f.proof = 'owner' THEN CASE WHEN o.id IS NOT NULL THEN 'proved' ELSE 'disproved' END
                   WHEN f.proof = 'maker' THEN CASE WHEN m.id IS NOT NULL AND m.objection IS NULL THEN 'proved'
                                                    ELSE 'disproved' END
                   WHEN f.proof = l.seen THEN 'proved'
                   ELSE 'disproved' END,
    why = CASE WHEN l.seen = 'unknown' THEN l.why
               WHEN f.proof = 'absent' AND l.seen = 'present' THEN 'it is there'
               WHEN l.seen = 'absent' AND f.proof <> 'absent' THEN 'it is not there any more'
               WHEN f.proof = 'owner' AND o.id IS NULL THEN 'nothing on it shows that it is ours'
               ELSE m.objection END,
    attempt_id = coalesce(o.attempt_id, m.attempt_id),
    function_id = coalesce(o.function_id, m.function_id, f.function_id),
    revision_id = coalesce(o.revision_id, m.revision_id, f.revision_id),
    evidence = f.evidence || jsonb_build_object('looked', l.seen, 'proof', l.details)
               || CASE WHEN o.id IS NULL THEN '{}'::jsonb ELSE jsonb_build_object('owned_by', o.by, 'attempt', o.attempt_id) END
FROM looked l
LEFT JOIN owner o ON o.id = l.id
LEFT JOIN maker m ON m.id = l.id
WHERE f.id = l.id AND f.verdict IS NULL

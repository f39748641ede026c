-- Ours, of a function that is deleted, or made by a publish that never ended. And what is live, known to
-- nobody, and was made when a publish had asked for a volume and never heard of it, by Sandsweep's own user (any
-- user, while nothing has told which one that is): where every one of those that were made in overlapping times
-- finds a call of its own, they are looked at and adopted; otherwise people are told.
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
), asked AS (
    SELECT s.attempt_id, s.number, s.parent_id, s.team_id, s.asked_at, p.function_id, p.revision_id, p.outcome,
           sandsweep.own_user(s.asked_at) AS own_user
    FROM sandsweep.publish_steps s
    JOIN sandsweep.publish_attempts p ON p.id = s.attempt_id AND p.outcome IS DISTINCT FROM 'published'
    CROSS JOIN pg_temp.this_run t
    WHERE s.answered_at IS NULL AND s.kind = 'volume' AND (t.team_id IS NULL OR s.team_id = t.team_id)
), parted AS (
    SELECT a.*, CASE WHEN a.asked_at - lag(a.asked_at) OVER own <= ran.grace + interval '1 minute' THEN 0 ELSE 1 END AS parts
    FROM asked a CROSS JOIN ran
    WINDOW own AS (PARTITION BY a.team_id, a.own_user ORDER BY a.asked_at, a.attempt_id)
), grouped AS (
    -- A part: calls of one team whose times overlap, one after the other.
    SELECT p.*, sum(p.parts) OVER (ORDER BY p.team_id, p.own_user, p.asked_at, p.attempt_id) AS part FROM parted p
), calls AS MATERIALIZED (
    SELECT g.*, row_number() OVER (together ORDER BY g.asked_at, g.attempt_id) AS place, count(*) OVER together AS unanswered,
           min(g.asked_at) OVER together AS asked_from, max(g.asked_at) OVER together AS asked_to
    FROM grouped g
    WINDOW together AS (PARTITION BY g.part)
), near AS MATERIALIZED (
    -- Its own calls are those from `first` to `last` of its part.
    SELECT s.id, s.team_id, min(s.created_at) AS created_at, min(s.user_id) AS user_id,
           min(s.source_volume_id) AS source_volume_id, min(c.part) AS part, min(c.place) AS first, max(c.place) AS last
    FROM calls c
    CROSS JOIN ran
    JOIN pg_temp.seen s ON s.kind = 'volume' AND s.team_id = c.team_id
        AND s.created_at BETWEEN c.asked_at - interval '1 minute' AND c.asked_at + ran.grace
        AND (c.own_user IS NULL OR s.user_id = c.own_user)
    GROUP BY s.team_id, s.id
), unowned AS MATERIALIZED (
    SELECT n.* FROM near n
    WHERE NOT EXISTS (SELECT FROM sandsweep.owned_resources o WHERE o.kind = 'volume' AND o.resource_id = n.id)
), numbered AS MATERIALIZED (
    SELECT u.*, row_number() OVER (together ORDER BY u.created_at, u.id) AS place, count(*) OVER together AS candidates
    FROM unowned u
    WHERE NOT sandsweep.is_named(u.id)
    WINDOW together AS (PARTITION BY u.part)
), matched AS (
    -- From the last one on, each to the last of its calls that is left: if that is not one of its own, no other
    -- way to share them out gives every one its call.
    SELECT n.*, n.place + min(n.last - n.place) OVER (PARTITION BY n.part ORDER BY n.place DESC) AS call
    FROM numbered n
), judged AS MATERIALIZED (
    SELECT m.*, bool_and(m.call >= m.first) OVER (PARTITION BY m.part) AS fits FROM matched m
), lost AS (
    SELECT j.id, j.team_id, j.created_at, j.user_id, j.source_volume_id, j.candidates, c.attempt_id, c.number, c.parent_id,
           c.asked_at, c.function_id, c.revision_id, c.outcome, c.unanswered, c.asked_from, c.asked_to,
           CASE WHEN c.own_user IS NULL THEN 'no publish has been told yet which user its volumes are of'
                WHEN c.own_user <> sandsweep.own_user('infinity') THEN 'the platform knows Sandsweep as another user since'
                WHEN NOT t.adopt THEN 'reconcile.adopt_volumes is off'
                WHEN NOT j.fits THEN 'there are more such volumes than calls without an answer' END AS doubt
    FROM judged j
    CROSS JOIN pg_temp.this_run t
    JOIN calls c ON c.part = j.part AND c.place = CASE WHEN j.fits THEN j.call ELSE j.last END
    WHERE t.function_id IS NULL OR c.function_id = t.function_id
), found AS (
    INSERT INTO pg_temp.findings (class, kind, resource_id, team_id, function_id, revision_id, since, proof, action,
        verdict, why, evidence)
    SELECT 'orphan_volume', d.kind, d.resource_id, d.team_id, d.function_id, d.revision_id, d.since, 'none', 'doom',
           CASE WHEN d.since > t.t0 - ran.grace THEN 'young' ELSE 'proved' END, NULL,
           jsonb_build_object('rule', 'a volume of ours belongs to a revision of a live function', 'cause', d.cause,
               'publish', d.publish_id, 'publish_outcome', d.publish_outcome, 'in_use_since', d.created_at)
    FROM drifted d CROSS JOIN pg_temp.this_run t CROSS JOIN ran
    UNION ALL
    SELECT 'orphan_volume', 'volume', u.id, u.team_id, u.function_id, u.revision_id, w.since,
           CASE WHEN u.doubt IS NULL THEN 'maker' ELSE 'none' END, CASE WHEN u.doubt IS NULL THEN 'adopt' ELSE 'note' END,
           CASE WHEN w.young THEN 'young' WHEN u.doubt IS NOT NULL THEN 'proved' WHEN NOT w.whole THEN 'unproved' END,
           CASE WHEN u.doubt IS NOT NULL THEN u.doubt
                WHEN NOT w.young AND NOT w.whole THEN 'the listing of volumes is not complete: there may be more such' END,
           jsonb_build_object('rule', 'what a publish asked for is its revision''s, or deleted', 'publish', u.attempt_id,
               'publish_outcome', u.outcome, 'step', u.number, 'asked_at', u.asked_at, 'made_from', u.parent_id,
               'created_at', u.created_at, 'user', u.user_id, 'source_volume', u.source_volume_id,
               'candidates', u.candidates, 'unanswered', u.unanswered, 'asked_from', u.asked_from, 'asked_to', u.asked_to,
               'listed_from', t.t0)
    FROM lost u CROSS JOIN pg_temp.this_run t CROSS JOIN ran
    CROSS JOIN LATERAL (
        SELECT greatest(u.asked_at, u.created_at) AS since, greatest(u.asked_at, u.created_at) > t.t0 - ran.grace AS young,
               EXISTS (SELECT FROM pg_temp.listings l
                       WHERE l.team_id = u.team_id AND l.kind = 'volume' AND l.complete) AS whole) w
    ON CONFLICT (kind, resource_id) DO NOTHING
    RETURNING 1
)
SELECT count(*) AS found FROM found

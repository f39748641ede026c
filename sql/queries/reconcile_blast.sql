-- How much a run would do, beside how much there is: the run as a whole (no team) first, then each team
-- that something would be done to.
-- $1 at most so many teams
WITH acts AS (
    SELECT f.team_id, count(*) AS n
    FROM pg_temp.findings f
    WHERE f.verdict = 'proved' AND f.action <> 'note' AND f.result IS NULL
    GROUP BY f.team_id
), owned AS (
    SELECT o.team_id, count(*) AS n
    FROM sandsweep.owned_resources o
    WHERE o.stage <> 'gone'
      AND NOT EXISTS (SELECT FROM pg_temp.this_run t
                      WHERE (t.team_id IS NOT NULL OR t.function_id IS NOT NULL)
                        AND o.team_id NOT IN (SELECT team_id FROM pg_temp.teams))
    GROUP BY o.team_id
), each AS (
    SELECT a.team_id, a.n AS acts, coalesce(o.n, 0) AS owned
    FROM acts a LEFT JOIN owned o ON o.team_id = a.team_id
    ORDER BY a.n DESC, a.team_id
    LIMIT $1::bigint
)
SELECT NULL::uuid AS team_id, coalesce((SELECT sum(n) FROM acts), 0)::bigint AS acts,
       coalesce((SELECT sum(n) FROM owned), 0)::bigint AS owned
UNION ALL
(SELECT e.team_id, e.acts, e.owned FROM each e ORDER BY e.acts DESC, e.team_id)

-- A listing that showed an id twice is not complete: what was repeated has pushed something else out.
-- (Only what may have come before is looked at: the lister has sorted out the rest.)
-- Answers every listing that is not complete.
WITH repeated AS (
    SELECT DISTINCT s.team_id, s.kind
    FROM (SELECT team_id, kind FROM pg_temp.seen
          WHERE (team_id, kind, id) IN (SELECT team_id, kind, id FROM pg_temp.seen WHERE again)
          GROUP BY team_id, kind, id HAVING count(*) > 1) s
), marked AS (
    UPDATE pg_temp.listings l SET complete = false, reason = 'repeat'
    FROM repeated r
    WHERE l.team_id = r.team_id AND l.kind = r.kind AND l.complete
    RETURNING l.team_id, l.kind, l.complete, l.reason, l.rows, l.pages
)
SELECT l.team_id, l.kind::text AS kind, l.complete, l.reason, l.rows, l.pages FROM pg_temp.listings l WHERE NOT l.complete
UNION ALL
SELECT m.team_id, m.kind::text, m.complete, m.reason, m.rows, m.pages FROM marked m

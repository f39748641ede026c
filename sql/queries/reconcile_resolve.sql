-- Which functions a text names: the one with this id (deleted, or known to the ledger only, too), else those
-- with this slug.
-- $1 the text, $2 the same as a UUID or NULL, $3 team or NULL
WITH named AS (
    SELECT f.id, f.team_id, 0 AS rank FROM shared_gateway.functions f WHERE f.id = $2::uuid
    UNION
    SELECT o.function_id, o.team_id, 0 FROM sandsweep.owned_resources o
    WHERE o.function_id = $2::uuid AND o.stage <> 'gone'
    UNION
    SELECT f.id, f.team_id, 1 FROM shared_gateway.functions f WHERE f.slug = $1
), wanted AS (
    SELECT n.* FROM named n WHERE $3::uuid IS NULL OR n.team_id = $3::uuid
)
SELECT w.id AS function_id, w.team_id FROM wanted w
WHERE w.rank = (SELECT min(rank) FROM wanted)
LIMIT 2

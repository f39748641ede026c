-- How a canary is doing: how many of these rows are gone, and how many failed at least once.
-- $1 ids
SELECT count(*) AS total,
       count(*) FILTER (WHERE o.state = 'gone') AS gone,
       count(*) FILTER (WHERE o.state IN ('dead', 'refused') OR o.state <> 'gone' AND o.attempts > 0) AS failed
FROM sandsweep.owned_resources o
WHERE o.id = ANY ($1::bigint[])

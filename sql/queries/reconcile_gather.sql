-- Which teams there are to list: those with a function that is not deleted, with anything in the ledger, or
-- with an attempt that is open, or a volume that a publish asked for and never heard of. And whether the ledger holds something live of each kind, without which
-- an empty listing is believable.
WITH scope AS (
    SELECT t.team_id AS id FROM pg_temp.this_run t WHERE t.team_id IS NOT NULL AND t.function_id IS NULL
    UNION
    SELECT f.team_id FROM pg_temp.this_run t JOIN shared_gateway.functions f ON f.id = t.function_id
    WHERE t.team_id IS NULL OR f.team_id = t.team_id
    UNION
    -- (What is left of a function that was removed altogether.)
    SELECT o.team_id FROM pg_temp.this_run t JOIN sandsweep.owned_resources o
        ON o.function_id = t.function_id AND o.stage <> 'gone'
    WHERE t.team_id IS NULL OR o.team_id = t.team_id
), everything AS (
    SELECT o.team_id, bool_or(o.kind = 'sandbox' AND o.state = 'in_use') AS sandboxes,
           bool_or(o.kind = 'volume' AND o.state = 'in_use') AS volumes
    FROM sandsweep.owned_resources o
    GROUP BY o.team_id
    UNION ALL
    SELECT DISTINCT f.team_id, false, false FROM shared_gateway.functions f WHERE f.deleted_at IS NULL
    UNION ALL
    SELECT DISTINCT a.team_id, false, false FROM sandsweep.restore_attempts a WHERE a.closed_at IS NULL OR a.outcome = 'abandoned'
    UNION ALL
    SELECT DISTINCT p.team_id, false, false FROM sandsweep.publish_attempts p WHERE p.closed_at IS NULL
    UNION ALL
    SELECT DISTINCT s.team_id, false, false FROM sandsweep.publish_steps s WHERE s.answered_at IS NULL AND s.kind = 'volume'
)
INSERT INTO pg_temp.teams (team_id, sandboxes, volumes)
SELECT e.team_id, bool_or(e.sandboxes), bool_or(e.volumes)
FROM everything e
WHERE e.team_id IN (SELECT id FROM scope)
   OR EXISTS (SELECT FROM pg_temp.this_run t WHERE t.team_id IS NULL AND t.function_id IS NULL)
GROUP BY e.team_id
ON CONFLICT (team_id) DO NOTHING

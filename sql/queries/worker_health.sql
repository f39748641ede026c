-- The figures that tell whether cleaning keeps up. Counts stop at 10000.
SELECT (SELECT o.released_at FROM sandsweep.owned_resources o
        WHERE o.stage = 'released'
        ORDER BY o.released_at LIMIT 1) AS oldest_released_at,
       (SELECT o.created_at FROM sandsweep.outbox o ORDER BY o.id LIMIT 1) AS oldest_outbox_at,
       (SELECT count(*) FROM (SELECT FROM sandsweep.owned_resources o
                              WHERE o.stage = 'dead' LIMIT 10000) d) AS dead,
       (SELECT count(*) FROM (SELECT FROM sandsweep.owned_resources o
                              WHERE o.stage = 'refused' LIMIT 10000) r) AS refused,
       (SELECT count(*) FROM sandsweep.delete_budgets b
        WHERE b.empty_since IS NOT NULL
          AND EXISTS (SELECT FROM sandsweep.due q WHERE q.team_id = b.team_id AND q.due_at <= now())) AS paused,
       (SELECT d.since FROM sandsweep.drift d WHERE d.closed_at IS NULL AND NOT d.young
        ORDER BY d.since LIMIT 1) AS oldest_drift_at,
       (SELECT r.finished_at FROM sandsweep.reconcile_runs r
        WHERE r.outcome IN ('in_sync', 'repaired', 'drift') ORDER BY r.id DESC LIMIT 1) AS last_reconciled_at,
       now() AS at

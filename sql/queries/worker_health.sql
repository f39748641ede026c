-- The figures that tell whether cleaning keeps up. Counts stop at 10000.
SELECT (SELECT o.released_at FROM sandsweep.owned_resources o
        WHERE o.stage = 'released'
        ORDER BY o.released_at LIMIT 1) AS oldest_released_at,
       (SELECT o.created_at FROM sandsweep.outbox o ORDER BY o.id LIMIT 1) AS oldest_outbox_at,
       (SELECT count(*) FROM (SELECT FROM sandsweep.owned_resources o
                              WHERE o.stage = 'dead' LIMIT 10000) d) AS dead,
       (SELECT count(*) FROM (SELECT FROM sandsweep.owned_resources o
                              WHERE o.stage = 'refused' LIMIT 10000) r) AS refused,
       now() AS at

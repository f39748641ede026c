-- What observing showed so far: of the things that would have been deleted, how many were used again.
SELECT count(*) AS observed, count(*) FILTER (WHERE d.outcome = 'reused') AS reused,
       count(*) FILTER (WHERE d.closed_at IS NULL) AS open
FROM sandsweep.drift d
WHERE d.observed

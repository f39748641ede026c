-- The planner must know how much was listed before it is asked to compare: an estimate that is far too low
-- makes it go through a listing once for every row.
ANALYZE pg_temp.seen, pg_temp.listings

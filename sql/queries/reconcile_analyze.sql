-- The planner must know how much was listed before it is asked to compare.
ANALYZE pg_temp.seen, pg_temp.listings

-- The planner must know how much was listed before it is asked to compare, and with what: an estimate that
-- is far too low makes it go through a listing once for every row. (A sample of each table; one that is not
-- ours to analyze, or is busy, is passed over.)
ANALYZE (SKIP_LOCKED) pg_temp.seen, pg_temp.listings, sandsweep.owned_resources, shared_gateway.functions,
    shared_gateway.functions_revisions

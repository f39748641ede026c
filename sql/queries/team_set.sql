-- The team of the transaction, for row-level security.
-- $1 the team; '' for none
SELECT set_config('sandsweep.team', $1, true)

-- The end of a run.
-- $1 outcome, $2 the summary (jsonb), $3 days that history is kept
SELECT sandsweep.reconcile_finish($1, $2::jsonb, make_interval(days => $3::integer))::text AS finished

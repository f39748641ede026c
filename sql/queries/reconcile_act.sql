-- Acts on the next proved finding: one transaction, one whole act.
-- $1 after this finding, $2 whether a deadlock is the finding's result (or an error, to be tried again)
SELECT coalesce(sandsweep.reconcile_act_next($1::bigint, $2::boolean), 0) AS id

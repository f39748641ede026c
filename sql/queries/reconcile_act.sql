-- Acts on the next proved finding: one transaction, one whole act.
-- $1 after this finding
SELECT coalesce(sandsweep.reconcile_act_next($1::bigint), 0) AS id

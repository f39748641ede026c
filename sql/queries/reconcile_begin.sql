-- Takes the lock of a shard and begins a run.
-- $1 shard, $2 actor, $3 holder, $4 mode, $5 dry, $6 team or NULL, $7 function or NULL, $8 whether volumes of
-- lost calls may be adopted
SELECT b.acquired, b.run_id, b.term, b.t0, b.system_id, b.database, b.holder, b.held_since
FROM sandsweep.reconcile_begin($1, $2, $3, $4, $5::boolean, $6::uuid, $7::uuid, $8::boolean) b

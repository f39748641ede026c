-- An operator says that this row must not be deleted. Not while a worker is at it.
-- $1 number in the ledger, $2 why, $3 the operator's account
WITH refused AS (
    UPDATE sandsweep.owned_resources o
    SET state = 'refused', ended_at = clock_timestamp(), error_class = 'operator', last_error = $2
    WHERE o.id = $1::bigint AND o.state IN ('doomed', 'dead')
    RETURNING o.id, o.team_id, o.function_id, o.revision_id, o.kind, o.resource_id, o.attempts
), told AS (
    INSERT INTO sandsweep.outbox (team_id, function_id, channel, type, data)
    SELECT r.team_id, r.function_id, 'results', 'io.sandsweep.resource.refused',
           jsonb_build_object('team_id', r.team_id, 'function_id', r.function_id,
               'revision_id', r.revision_id, 'kind', r.kind, 'resource_id', r.resource_id,
               'attempts', r.attempts, 'error_class', 'operator', 'error', $2::text)
    FROM refused r
), audited AS (
    INSERT INTO sandsweep.audit_log (team_id, actor, action, function_id, details)
    SELECT r.team_id, $3, 'target.refuse', r.function_id,
           jsonb_build_object('target', r.id, 'reason', $2::text)
    FROM refused r
)
SELECT id FROM refused

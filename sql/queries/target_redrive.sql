-- Doom dead or refused rows anew, spread over time, and write down who asked.
-- $1 ids, $2 microseconds between two rows, $3 the operator's account
WITH redriven AS (
    UPDATE sandsweep.owned_resources o
    SET state = 'doomed', attempts = 0, ended_at = NULL, deleting_at = NULL, accepted_at = NULL,
        doom_reason = 'redrive', due_at = now() + make_interval(secs => (n.at - 1) * $2::bigint / 1e6)
    FROM unnest($1::bigint[]) WITH ORDINALITY n (id, at)
    WHERE o.id = n.id AND o.state IN ('dead', 'refused')
    RETURNING o.id, o.team_id
), audited AS (
    INSERT INTO sandsweep.audit_log (team_id, actor, action, details)
    SELECT r.team_id, $3, 'target.redrive', jsonb_build_object('targets', jsonb_agg(r.id))
    FROM redriven r
    GROUP BY r.team_id
)
SELECT id FROM redriven

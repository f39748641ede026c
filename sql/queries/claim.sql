-- Claim due rows for a worker: a fair share of several teams, each row checked once more against
-- what is in use now (S1, S2), with the evidence written down.
-- The revision of every row is locked against a mapping being set; one that is being changed at
-- this moment leaves its rows for the next round. So nothing here ever waits.
-- (The mounts are counted and the function is a scalar, where EXISTS and a join would be shorter: for
-- those the planner walks a whole table in the hope of an early match.)
-- $1 the worker's name, $2 lease in ms, $3 most rows, $4 most teams looked at, $5 most rows of one team,
-- $6 look at teams after this one, $7 teams to pass over (uuid array),
-- $8 ms until a row that waits for another is looked at again,
-- $9 the budget: first deletions of a team in an hour (0: no budget), $10 and in percent of its live
-- sandboxes, $11 but never less than so many
WITH RECURSIVE teams (team_id, n) AS (
    SELECT $6::uuid, 0
    UNION ALL
    SELECT (SELECT q.team_id FROM sandsweep.due q WHERE q.team_id > t.team_id
            ORDER BY q.team_id LIMIT 1), t.n + 1
    FROM teams t
    WHERE t.team_id IS NOT NULL AND t.n < $4::bigint
), opened AS (
    -- A team's first: what is inserted here cannot be spent from here, so its rows are the next claim's.
    INSERT INTO sandsweep.delete_budgets AS b (team_id)
    SELECT t.team_id FROM teams t
    WHERE $9::bigint > 0 AND t.n > 0 AND t.team_id IS NOT NULL
      AND NOT EXISTS (SELECT FROM sandsweep.delete_budgets h WHERE h.team_id = t.team_id)
    ORDER BY t.team_id
    ON CONFLICT (team_id) DO NOTHING
    RETURNING b.team_id
), held AS MATERIALIZED (
    -- One that another claim holds is passed over: the team is being served.
    SELECT b.team_id, b.spent, b.spent_at, b.live FROM sandsweep.delete_budgets b
    WHERE $9::bigint > 0 AND b.team_id IN (SELECT t.team_id FROM teams t WHERE t.n > 0)
    FOR NO KEY UPDATE SKIP LOCKED
), budgets AS MATERIALIZED (
    -- What was spent drains away evenly within an hour.
    SELECT c.team_id, c.per_hour,
           greatest(0, c.spent - c.per_hour * extract(epoch FROM now() - c.spent_at) / 3600) AS spent
    FROM (SELECT h.*, CASE WHEN h.live IS NULL THEN $9::bigint
                            ELSE least($9::bigint, greatest($11::bigint, h.live * $10::bigint / 100)) END AS per_hour
          FROM held h) c
), due AS MATERIALIZED (
    -- (More may be spent than the budget is: it was lowered, or fewer sandboxes are live.)
    SELECT d.* FROM teams t LEFT JOIN budgets b ON b.team_id = t.team_id, LATERAL (
        SELECT o.id, o.kind, o.resource_id, o.function_id, o.revision_id, q.due_at, o.deleting_at IS NULL AS first
        FROM sandsweep.due q
        JOIN sandsweep.owned_resources o ON o.id = q.id AND o.queued_at = q.due_at
        WHERE q.team_id = t.team_id AND q.due_at <= now()
        ORDER BY q.due_at, q.id
        LIMIT CASE WHEN $9::bigint = 0 THEN $5::bigint
                   ELSE least($5::bigint, greatest(0, floor(coalesce(b.per_hour - b.spent, 0))::bigint)) END
        FOR NO KEY UPDATE OF o SKIP LOCKED) d
    WHERE t.n > 0 AND t.team_id IS NOT NULL AND t.team_id <> ALL ($7::uuid[])
    LIMIT $3::bigint
), guarded AS MATERIALIZED (
    SELECT r.id, r.runtime_sandbox_id FROM shared_gateway.functions_revisions r
    WHERE r.id IN (SELECT revision_id FROM due)
    FOR SHARE SKIP LOCKED
), judged AS MATERIALIZED (
    SELECT d.id, d.due_at, d.first,
           d.revision_id IN (SELECT g.id FROM guarded g)
               OR NOT EXISTS (SELECT FROM shared_gateway.functions_revisions r WHERE r.id = d.revision_id)
               AS settled,
           CASE d.kind
           WHEN 'sandbox' THEN CASE
               WHEN (d.revision_id, d.resource_id) IN (
                       SELECT g.id, g.runtime_sandbox_id FROM guarded g WHERE g.runtime_sandbox_id IS NOT NULL)
                   OR EXISTS (SELECT FROM shared_gateway.functions_revisions r
                              WHERE r.runtime_sandbox_id = d.resource_id) THEN 'mapped'
               WHEN EXISTS (SELECT FROM shared_gateway.functions_revisions r
                            WHERE r.source_sandbox_id = d.resource_id) THEN 'source_sandbox' END
           WHEN 'volume' THEN CASE
               WHEN (SELECT count(*) FROM shared_gateway.functions_revisions r
                     WHERE r.restore_mounts @>
                           jsonb_build_array(jsonb_build_object('sandboxvolume_id', d.resource_id))
                       AND (SELECT f.deleted_at IS NULL FROM shared_gateway.functions f
                            WHERE f.id = r.function_id)) > 0
                   THEN 'referenced'
               WHEN (SELECT count(*) FROM shared_gateway.functions_revisions r
                     WHERE r.restore_mounts @>
                           jsonb_build_array(jsonb_build_object('source_sandboxvolume_id', d.resource_id))) > 0
                   THEN 'source_volume' END
           ELSE CASE
               WHEN (SELECT count(*) FROM shared_gateway.functions_revisions r
                     WHERE r.restore_mounts @>
                           jsonb_build_array(jsonb_build_object('snapshot_id', d.resource_id))
                       AND (SELECT f.deleted_at IS NULL FROM shared_gateway.functions f
                            WHERE f.id = r.function_id)) > 0
                   THEN 'referenced' END
           END AS refusal,
           d.kind <> 'sandbox' AND (
               d.revision_id IN (SELECT g.id FROM guarded g WHERE g.runtime_sandbox_id <> '')
               OR EXISTS (SELECT FROM sandsweep.owned_resources b
                          WHERE b.function_id = d.function_id AND b.revision_id = d.revision_id
                            AND b.kind < d.kind AND b.stage <> 'gone')) AS waits
    FROM due d
), planned AS (
    SELECT j.id, j.due_at, j.first, j.refusal, j.refusal IS NULL AND NOT j.waits AS clear,
           CASE WHEN j.refusal IS NULL AND j.waits
                    THEN now() + $8::bigint * (0.5 + random()) * interval '1 ms'
                WHEN j.refusal IS NULL THEN (SELECT now() + $2::bigint * interval '1 ms') END AS next_at
    FROM judged j
    WHERE j.settled
), moved AS (
    UPDATE sandsweep.owned_resources o
    SET state = CASE WHEN p.clear THEN 'deleting'
                     WHEN p.refusal IS NULL THEN 'doomed'
                     ELSE 'refused' END::sandsweep.resource_state,
        due_at = p.next_at, queued_at = p.next_at,
        lease = CASE WHEN p.clear THEN (SELECT nextval('sandsweep.lease_seq')) END,
        lease_owner = CASE WHEN p.clear THEN $1 END,
        deleting_at = CASE WHEN p.clear THEN coalesce(o.deleting_at, clock_timestamp()) ELSE o.deleting_at END,
        ended_at = CASE WHEN p.refusal IS NOT NULL THEN clock_timestamp() END,
        error_class = coalesce(p.refusal, o.error_class),
        last_error = CASE p.refusal
            WHEN 'mapped' THEN 'a revision maps this sandbox'
            WHEN 'source_sandbox' THEN 'a revision was published from this sandbox'
            WHEN 'referenced' THEN 'a revision of a live function still names it'
            WHEN 'source_volume' THEN 'a revision was published from this volume'
            ELSE o.last_error END,
        evidence = CASE WHEN p.clear THEN jsonb_build_object(
            'rule', 'released, not mapped, not referenced, no source',
            'checked_at', clock_timestamp(), 'release_reason', o.release_reason,
            'by', $1::text) ELSE o.evidence END
    FROM planned p
    WHERE o.id = p.id
    RETURNING o.id, o.lease, o.kind, o.resource_id, o.parent_id, o.team_id, o.function_id, o.revision_id, o.state,
              o.attempts, o.accepted_at, o.traceparent, o.error_class, o.last_error, o.due_at,
              p.due_at AS was_due_at, p.clear AND p.first AS spends
), unqueued AS (
    -- (Each found by a look-up of its own, whatever the planner believes of the length of the queue.)
    DELETE FROM sandsweep.due q WHERE q.ctid = ANY (ARRAY(
        SELECT (SELECT x.ctid FROM sandsweep.due x
                WHERE x.team_id = m.team_id AND x.due_at = m.was_due_at AND x.id = m.id) FROM moved m))
), requeued AS (
    INSERT INTO sandsweep.due (team_id, due_at, id)
    SELECT m.team_id, m.due_at, m.id FROM moved m WHERE m.state <> 'refused'
), charged AS (
    UPDATE sandsweep.delete_budgets b
    SET spent = c.spent + c.n, spent_at = now(),
        empty_since = CASE WHEN c.per_hour - c.spent - c.n < 1 THEN coalesce(b.empty_since, now()) END
    FROM (SELECT u.team_id, u.spent, u.per_hour, count(m.id) AS n
          FROM budgets u LEFT JOIN moved m ON m.team_id = u.team_id AND m.spends
          GROUP BY u.team_id, u.spent, u.per_hour) c
    WHERE b.team_id = c.team_id
      AND (c.n > 0 OR (b.empty_since IS NULL) = (c.per_hour - c.spent < 1))
), told AS (
    INSERT INTO sandsweep.outbox (team_id, function_id, channel, type, traceparent, data)
    SELECT m.team_id, m.function_id, 'results', 'io.sandsweep.resource.refused', m.traceparent,
           json_build_object('team_id', m.team_id, 'function_id', m.function_id,
               'revision_id', m.revision_id, 'kind', m.kind, 'resource_id', m.resource_id,
               'attempts', m.attempts, 'error_class', m.error_class, 'error', m.last_error)
    FROM moved m
    WHERE m.state = 'refused'
)
SELECT coalesce(m.id, 0) AS id, coalesce(m.lease, 0) AS lease, m.kind::text AS kind, m.resource_id,
       m.parent_id, m.team_id, coalesce(m.attempts, 0) AS attempts, m.accepted_at,
       coalesce(m.traceparent, '') AS traceparent,
       v.team_id AS last_team, v.n >= $4::bigint AS more_teams,
       (SELECT count(*) FROM due) + (SELECT count(*) FROM opened) AS looked_at
FROM (SELECT t.team_id, t.n FROM teams t WHERE t.team_id IS NOT NULL ORDER BY t.n DESC LIMIT 1) v
LEFT JOIN moved m ON m.state = 'deleting'

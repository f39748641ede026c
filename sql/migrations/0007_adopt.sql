-- Volumes that a publish made and never heard of: whose they are, and how they come into the ledger.

-- At most one call of a publish is without an answer.
CREATE UNIQUE INDEX publish_steps_unanswered ON sandsweep.publish_steps (attempt_id) WHERE answered_at IS NULL;
CREATE INDEX publish_steps_volumes ON sandsweep.publish_steps (team_id, asked_at) WHERE kind = 'volume';
CREATE INDEX publish_steps_sources ON sandsweep.publish_steps (parent_id) WHERE kind = 'snapshot';
CREATE INDEX publish_steps_told ON sandsweep.publish_steps (asked_at)
    WHERE kind = 'volume' AND user_id IS NOT NULL;

-- Sandsweep's own user of the platform at that time: by the platform's word, whose volume a publish had
-- made last; before the first, whose it made next. NULL: it has never said.
CREATE FUNCTION sandsweep.own_user(at timestamptz) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT coalesce(
        (SELECT s.user_id FROM sandsweep.publish_steps s
         WHERE s.kind = 'volume' AND s.user_id IS NOT NULL AND s.asked_at <= at
         ORDER BY s.asked_at DESC LIMIT 1),
        (SELECT s.user_id FROM sandsweep.publish_steps s
         WHERE s.kind = 'volume' AND s.user_id IS NOT NULL AND s.asked_at > at
         ORDER BY s.asked_at LIMIT 1))
$$;

-- Whether any revision, of a deleted function too, or any publish names this volume. (A run's own session
-- lets the planner walk whole tables.)
CREATE FUNCTION sandsweep.is_named(volume text) RETURNS boolean LANGUAGE sql STABLE COST 10000
    SET enable_seqscan = off AS $$
    SELECT EXISTS (SELECT FROM shared_gateway.functions_revisions r
                   WHERE r.restore_mounts @> jsonb_build_array(jsonb_build_object('sandboxvolume_id', volume))
                      OR r.restore_mounts @> jsonb_build_array(jsonb_build_object('source_sandboxvolume_id', volume))
                      OR r.restore_mounts @> jsonb_build_array(jsonb_build_object('snapshot_id', volume)))
        OR EXISTS (SELECT FROM sandsweep.publish_steps s WHERE s.kind = 'snapshot' AND s.parent_id = volume)
$$;

-- The part of reconcile_act that is about a volume of a lost call: it enters the ledger for the publish
-- in_attempt, whose call is answered by it. NULL: done; otherwise why it came too late, and nothing is changed.
-- The publish is locked before the ledger row, as by publish_step: of the two the second finds the call
-- answered, or the volume known.
CREATE FUNCTION sandsweep.adopt_volume(res_id text, res_team uuid, in_attempt uuid, in_t0 timestamptz, in_evidence jsonb)
    RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    attempt sandsweep.publish_attempts;
    step sandsweep.publish_steps;
    made timestamptz := in_evidence ->> 'created_at';
    own text := in_evidence -> 'proof' ->> 'user';
    -- (A plan has none: its windows were closed when it was made.)
    grace interval := (SELECT r.grace FROM pg_temp.ran r WHERE r.class = 'orphan_volume');
    unanswered bigint;
    adopted bigint;
BEGIN
    SELECT * INTO attempt FROM sandsweep.publish_attempts WHERE id = in_attempt FOR UPDATE;
    IF attempt.id IS NULL OR attempt.outcome = 'published' THEN
        RETURN 'there is no such publish that died';
    ELSIF attempt.team_id IS DISTINCT FROM res_team THEN
        RETURN 'the publish is another team''s';
    END IF;
    SELECT * INTO step FROM sandsweep.publish_steps
        WHERE attempt_id = attempt.id AND answered_at IS NULL AND kind = 'volume';
    IF step.attempt_id IS NULL THEN
        RETURN 'the call of its publish is answered';
    ELSIF step.asked_at > in_t0 - coalesce(grace, interval '0') THEN
        RETURN 'its publish is going on';
    ELSIF (made BETWEEN step.asked_at - interval '1 minute' AND coalesce(step.asked_at + grace, in_t0)) IS NOT TRUE THEN
        RETURN 'it was not made in the time of that call';
    ELSIF (own = sandsweep.own_user('infinity') AND own = sandsweep.own_user(step.asked_at)) IS NOT TRUE THEN
        RETURN 'it is not of Sandsweep''s own user';
    ELSIF sandsweep.is_named(res_id) THEN
        RETURN 'it is in use now';
    END IF;
    -- As many as were found together, less those that are done, must have a call each still.
    SELECT count(*) FILTER (WHERE s.answered_at IS NULL),
           count(*) FILTER (WHERE o.finding ->> 'asked_from' = in_evidence ->> 'asked_from')
        INTO unanswered, adopted
        FROM sandsweep.publish_steps s
        JOIN sandsweep.publish_attempts p ON p.id = s.attempt_id AND p.outcome IS DISTINCT FROM 'published'
        LEFT JOIN sandsweep.owned_resources o ON o.kind = 'volume' AND o.resource_id = s.resource_id
        WHERE s.team_id = res_team AND s.kind = 'volume' AND sandsweep.own_user(s.asked_at) = own
          AND s.asked_at BETWEEN (in_evidence ->> 'asked_from')::timestamptz AND (in_evidence ->> 'asked_to')::timestamptz;
    IF ((in_evidence ->> 'candidates')::bigint - adopted <= unanswered) IS NOT TRUE THEN
        RETURN 'there are more such volumes than calls without an answer';
    END IF;
    INSERT INTO sandsweep.owned_resources (kind, resource_id, team_id, function_id, revision_id)
        VALUES ('volume', res_id, attempt.team_id, attempt.function_id, attempt.revision_id)
        ON CONFLICT (kind, resource_id) DO NOTHING;
    IF NOT FOUND THEN
        RETURN 'the ledger knows it now';
    END IF;
    -- (Not with its user: what Sandsweep concluded is no word of the platform.)
    UPDATE sandsweep.publish_steps SET answered_at = clock_timestamp(), resource_id = res_id
        WHERE attempt_id = attempt.id AND number = step.number;
    UPDATE sandsweep.publish_attempts SET closed_at = clock_timestamp(), outcome = 'abandoned'
        WHERE id = attempt.id AND closed_at IS NULL;
    RETURN NULL;
END $$;

GRANT UPDATE (answered_at, resource_id) ON sandsweep.publish_steps TO sandsweep_reconcile;

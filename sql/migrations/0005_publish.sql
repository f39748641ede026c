-- Publishing, aliases, and answers that are remembered.

-- ---- what a publish asks the platform for ----
-- Each call that makes something is written down before it is sent, and what it made together with
-- the next one: a crash leaves at most one call of which nobody knows what became of it.
CREATE TABLE sandsweep.publish_steps (
    attempt_id  uuid NOT NULL REFERENCES sandsweep.publish_attempts (id) ON DELETE CASCADE,
    number      integer NOT NULL,         -- from 1
    team_id     uuid NOT NULL,
    kind        sandsweep.resource_kind NOT NULL CHECK (kind <> 'sandbox'),
    parent_id   text NOT NULL,            -- the volume that a snapshot is of, the snapshot that a volume is made from
    asked_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    answered_at timestamptz,              -- NULL: it may have been made, or may yet be
    resource_id text,                     -- NULL once answered: refused, nothing was made
    user_id     text,                     -- of a volume: by the platform's word, whoever made it
    PRIMARY KEY (attempt_id, number),
    CHECK (answered_at IS NOT NULL OR resource_id IS NULL)
);
CREATE INDEX publish_steps_lost ON sandsweep.publish_steps (team_id, asked_at) WHERE answered_at IS NULL;

-- What a publish that is given up has made goes at once: no revision ever names it. (Its team is asked for because
-- the API, which writes a publish down, says of which revision it is.)
CREATE FUNCTION sandsweep.publish_undo(attempt sandsweep.publish_attempts) RETURNS void LANGUAGE sql AS $$
    UPDATE sandsweep.owned_resources
        SET state = 'released', released_at = clock_timestamp(), release_reason = 'publish_failed'
        WHERE function_id = attempt.function_id AND revision_id = attempt.revision_id AND team_id = attempt.team_id
          AND stage = 'in_use';
    UPDATE sandsweep.owned_resources
        SET state = 'doomed', doomed_at = clock_timestamp(), due_at = clock_timestamp(), doom_reason = 'publish_failed'
        WHERE function_id = attempt.function_id AND revision_id = attempt.revision_id AND team_id = attempt.team_id
          AND state = 'released'
$$;

-- The team of the transaction. NULL: none was named, and then nothing is anybody's.
CREATE FUNCTION sandsweep.team() RETURNS uuid LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT nullif(current_setting('sandsweep.team', true), '')::uuid
$$;

-- The two functions below run with their owner's rights, which see every team: who comes as the API is held
-- to the team of its transaction here.
CREATE FUNCTION sandsweep.may_publish(team uuid) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT current_setting('role') <> 'sandsweep_api' OR team IS NOT DISTINCT FROM sandsweep.team()
$$;

-- Step in_number is over and made this (in_number 0: there was none yet); the next asks for in_kind
-- (NULL: there is none). False: the publish was given up meanwhile, and what it made is being deleted. (What it made may
-- also have been taken for another publish's lost one: that stands, and this publish is given up.)
CREATE FUNCTION sandsweep.publish_step(in_attempt uuid, in_number integer, in_made text, in_user text,
        in_kind sandsweep.resource_kind, in_parent text) RETURNS boolean LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    attempt sandsweep.publish_attempts;
BEGIN
    SELECT * INTO attempt FROM sandsweep.publish_attempts WHERE id = in_attempt FOR UPDATE;
    IF attempt.id IS NULL OR NOT sandsweep.may_publish(attempt.team_id) THEN
        RAISE EXCEPTION 'there is no publish %', in_attempt USING ERRCODE = 'SW005';
    END IF;
    IF in_number > 0 THEN
        UPDATE sandsweep.publish_steps SET answered_at = clock_timestamp(), resource_id = in_made, user_id = in_user
            WHERE attempt_id = in_attempt AND number = in_number;
        INSERT INTO sandsweep.owned_resources (kind, resource_id, parent_id, team_id, function_id, revision_id)
            SELECT s.kind, in_made, CASE s.kind WHEN 'snapshot' THEN s.parent_id END, attempt.team_id,
                   attempt.function_id, attempt.revision_id
            FROM sandsweep.publish_steps s WHERE s.attempt_id = in_attempt AND s.number = in_number
            ON CONFLICT (kind, resource_id) DO NOTHING;
        IF NOT FOUND AND attempt.closed_at IS NULL THEN
            UPDATE sandsweep.publish_attempts SET closed_at = clock_timestamp(), outcome = 'abandoned'
                WHERE id = in_attempt
                RETURNING * INTO attempt;
        END IF;
    END IF;
    IF attempt.closed_at IS NOT NULL THEN
        PERFORM sandsweep.publish_undo(attempt);
        RETURN false;
    END IF;
    INSERT INTO sandsweep.publish_steps (attempt_id, number, team_id, kind, parent_id)
        SELECT in_attempt, in_number + 1, attempt.team_id, in_kind, in_parent WHERE in_kind IS NOT NULL;
    RETURN true;
END $$;

-- The publish ends without a revision. in_refused: the last step was answered, and made nothing.
CREATE FUNCTION sandsweep.publish_fail(in_attempt uuid, in_refused boolean) RETURNS void LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    attempt sandsweep.publish_attempts;
BEGIN
    PERFORM FROM sandsweep.publish_attempts p WHERE p.id = in_attempt AND sandsweep.may_publish(p.team_id) FOR UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    UPDATE sandsweep.publish_steps SET answered_at = clock_timestamp()
        WHERE attempt_id = in_attempt AND answered_at IS NULL AND in_refused;
    UPDATE sandsweep.publish_attempts SET closed_at = clock_timestamp(), outcome = 'failed'
        WHERE id = in_attempt AND closed_at IS NULL
        RETURNING * INTO attempt;
    IF FOUND THEN
        PERFORM sandsweep.publish_undo(attempt);
    END IF;
END $$;

DROP FUNCTION sandsweep.prepare_resource(uuid, sandsweep.resource_kind, text, text);

-- ---- functions, revisions, aliases ----

-- A function with its first revision (in_new: name, slug, domain_label, autoscaling) or one more
-- revision of a function (in_new NULL). The function's lock makes one publish wait for another, and for
-- a delete: numbers are dense, and nothing is published into a deleted function.
--   outcome: published; taken, the slug or the label is somebody's; missing, there is no such function
CREATE FUNCTION sandsweep.publish(in_team uuid, in_function uuid, in_revision uuid, in_new jsonb, in_rev jsonb,
        in_promote boolean, in_actor uuid)
    RETURNS TABLE (outcome text, fn shared_gateway.functions, rev shared_gateway.functions_revisions,
                   alias shared_gateway.functions_aliases)
    LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    IF in_new IS NOT NULL THEN
        INSERT INTO shared_gateway.functions AS f (id, team_id, name, slug, domain_label, autoscaling, created_by)
            VALUES (in_function, in_team, in_new ->> 'name', in_new ->> 'slug', in_new ->> 'domain_label',
                    in_new -> 'autoscaling', in_actor)
            ON CONFLICT DO NOTHING;
        outcome := CASE WHEN FOUND THEN 'published' ELSE 'taken' END;
    ELSE
        PERFORM FROM shared_gateway.functions f
            WHERE f.id = in_function AND f.team_id = in_team AND f.deleted_at IS NULL FOR NO KEY UPDATE;
        outcome := CASE WHEN FOUND THEN 'published' ELSE 'missing' END;
    END IF;
    IF outcome <> 'published' THEN
        RETURN NEXT;
        RETURN;
    END IF;
    INSERT INTO shared_gateway.functions_revisions AS r (id, function_id, team_id, revision_number, source_sandbox_id,
            source_service_id, source_template_id, restore_mounts, service_snapshot, created_by, source_type,
            revision_spec, provenance)
        SELECT in_revision, in_function, in_team,
               1 + coalesce((SELECT max(o.revision_number) FROM shared_gateway.functions_revisions o
                             WHERE o.function_id = in_function), 0),
               in_rev ->> 'source_sandbox_id', in_rev ->> 'source_service_id', in_rev ->> 'source_template_id',
               in_rev -> 'restore_mounts', in_rev -> 'service_snapshot', in_actor, in_rev ->> 'source_type',
               in_rev -> 'revision_spec', coalesce(in_rev -> 'provenance', '{}')
        RETURNING r.* INTO rev;
    IF in_promote THEN
        INSERT INTO shared_gateway.functions_aliases AS a (function_id, alias, revision_id, updated_by)
            VALUES (in_function, 'production', in_revision, in_actor)
            ON CONFLICT (function_id, alias) DO UPDATE
            SET revision_id = in_revision, updated_by = in_actor, updated_at = now()
            RETURNING a.* INTO alias;
        UPDATE shared_gateway.functions f SET active_revision_id = in_revision WHERE f.id = in_function
            RETURNING f.* INTO fn;
    END IF;
    RETURN NEXT;
END $$;

-- Points an alias at a revision; production moves the active revision with it.
--   in_match: the versions of the alias (its updated_at in microseconds) of which it must be one; NULL: any
--   in_exists: it must be there
--   outcome: set; no_function, no_revision; changed, the condition does not hold
CREATE FUNCTION sandsweep.set_alias(in_team uuid, in_text text, in_id uuid, in_alias text, in_number integer,
        in_actor uuid, in_match bigint[], in_exists boolean)
    RETURNS TABLE (outcome text, alias shared_gateway.functions_aliases, number integer) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    target uuid;
    revision uuid;
    version bigint;
BEGIN
    number := in_number;
    SELECT f.id INTO target FROM shared_gateway.functions f
        WHERE f.team_id = in_team AND f.deleted_at IS NULL AND (f.id = in_id OR f.slug = in_text)
        ORDER BY f.id = in_id DESC NULLS LAST LIMIT 1
        FOR NO KEY UPDATE;
    SELECT r.id INTO revision FROM shared_gateway.functions_revisions r
        WHERE r.function_id = target AND r.revision_number = in_number;
    SELECT (extract(epoch FROM a.updated_at) * 1000000)::bigint INTO version FROM shared_gateway.functions_aliases a
        WHERE a.function_id = target AND a.alias = in_alias;
    outcome := CASE WHEN target IS NULL THEN 'no_function'
                    WHEN in_match IS NOT NULL AND (version = ANY (in_match)) IS NOT TRUE OR in_exists AND version IS NULL
                        THEN 'changed'
                    WHEN revision IS NULL THEN 'no_revision'
                    ELSE 'set' END;
    IF outcome = 'set' THEN
        INSERT INTO shared_gateway.functions_aliases AS a (function_id, alias, revision_id, updated_by)
            VALUES (target, in_alias, revision, in_actor)
            ON CONFLICT (function_id, alias) DO UPDATE
            SET revision_id = revision, updated_by = in_actor, updated_at = now()
            RETURNING a.* INTO alias;
        IF in_alias = 'production' THEN
            UPDATE shared_gateway.functions f SET active_revision_id = revision WHERE f.id = target;
        END IF;
    END IF;
    RETURN NEXT;
END $$;

-- A revision as its clients know it. One of before its specification was kept shows the one that its
-- other columns amount to.
CREATE FUNCTION sandsweep.revision_spec(rev shared_gateway.functions_revisions) RETURNS jsonb LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF rev.revision_spec ? 'template_id' AND rev.revision_spec ? 'runtime_service' THEN
        RETURN rev.revision_spec;
    END IF;
    RETURN rev.revision_spec
        || jsonb_build_object('template_id', rev.source_template_id, 'runtime_service', rev.service_snapshot)
        || coalesce((
            SELECT jsonb_build_object('mounts', jsonb_agg(jsonb_build_object('mount_point', m -> 'mount_point', 'source',
                jsonb_strip_nulls(jsonb_build_object('type', 'sandbox_volume', 'sandboxvolume_id', m -> 'sandboxvolume_id',
                    'source_sandboxvolume_id', m -> 'source_sandboxvolume_id', 'snapshot_id', m -> 'snapshot_id')))))
            FROM jsonb_array_elements(rev.restore_mounts) m
            HAVING count(*) > 0), '{}');
END $$;

-- ---- what is shown of the past ----
-- The runtimes that a revision has had: never changed once written, so no state change touches it.
CREATE INDEX owned_resources_history ON sandsweep.owned_resources (revision_id, created_at DESC) WHERE kind = 'sandbox';
CREATE INDEX IF NOT EXISTS sandsweep_functions_newest ON shared_gateway.functions (team_id, created_at DESC, id DESC)
    WHERE deleted_at IS NULL;

-- ---- answers to writes that may be sent again ----
-- Written in the transaction of the change: a key that is here was used, one that is not was not.
CREATE TABLE sandsweep.idempotency_keys (
    team_id     uuid NOT NULL,
    key         text NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    fingerprint text NOT NULL,            -- SHA-256 of method, path and body
    result      jsonb NOT NULL,           -- the row that the statement answered
    PRIMARY KEY (team_id, key)
);
CREATE INDEX idempotency_keys_age ON sandsweep.idempotency_keys (created_at);

-- What was answered under this key; NULL: it was not used. Another request's key is an error.
CREATE FUNCTION sandsweep.idempotency_result(in_team uuid, in_key text, in_fingerprint text) RETURNS jsonb
    LANGUAGE plpgsql STABLE AS $$
DECLARE
    known sandsweep.idempotency_keys;
BEGIN
    SELECT * INTO known FROM sandsweep.idempotency_keys k WHERE k.team_id = in_team AND k.key = in_key;
    IF known.fingerprint <> in_fingerprint THEN
        RAISE EXCEPTION 'this key was used for another request' USING ERRCODE = 'SW007';
    END IF;
    RETURN known.result;
END $$;

-- Forgets a portion of what was answered longer ago than that, whosever it is.
CREATE FUNCTION sandsweep.idempotency_expire(age interval) RETURNS void LANGUAGE sql
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    DELETE FROM sandsweep.idempotency_keys k
        WHERE (k.team_id, k.key) IN (
            SELECT o.team_id, o.key FROM sandsweep.idempotency_keys o
            WHERE o.created_at < now() - age
            ORDER BY o.created_at LIMIT 1000)
$$;

-- The reconciler: who may run, what it found and did, what is known to be adrift, and the trace that a
-- publish leaves.

ALTER TABLE sandsweep.owned_resources
    ADD COLUMN finding jsonb,             -- what a reconciliation saw when it doomed the row
    ADD CONSTRAINT doomed_on_evidence CHECK (doom_reason NOT LIKE 'reconcile:%' OR finding IS NOT NULL);

-- One run at a time per shard: an advisory lock is the lock, the term makes it safe. Every act names
-- the term that it was begun under; a run that lost the lock acts no more.
CREATE TABLE sandsweep.reconcile_shards (
    shard      text PRIMARY KEY,
    term       bigint NOT NULL,
    run_id     bigint NOT NULL,
    holder     text NOT NULL,             -- host name and process
    held_since timestamptz NOT NULL
);

ALTER TABLE sandsweep.reconcile_runs
    ADD COLUMN shard    text NOT NULL DEFAULT 'default',
    ADD COLUMN term     bigint NOT NULL DEFAULT 0,
    ADD COLUMN holder   text NOT NULL DEFAULT '',
    ADD COLUMN dry      boolean NOT NULL DEFAULT false,
    ADD COLUMN team_id  uuid,             -- narrowed to a team, to a function
    ADD COLUMN function_id uuid;
CREATE INDEX reconcile_runs_open ON sandsweep.reconcile_runs (shard) WHERE finished_at IS NULL;

CREATE TABLE sandsweep.reconcile_findings (
    run_id      bigint NOT NULL REFERENCES sandsweep.reconcile_runs (id) ON DELETE CASCADE,
    number      bigint NOT NULL,          -- within the run
    at          timestamptz NOT NULL DEFAULT clock_timestamp(),
    since       timestamptz NOT NULL,
    class       text NOT NULL,
    kind        sandsweep.resource_kind NOT NULL,
    resource_id text NOT NULL,
    parent_id   text,
    team_id     uuid,
    function_id uuid,
    revision_id uuid,
    proof       text NOT NULL,
    action      text NOT NULL,
    verdict     text NOT NULL,
    result      text,
    why         text,
    evidence    jsonb NOT NULL,
    PRIMARY KEY (run_id, number),
    -- Nothing was done that was not proved.
    CHECK (result IS DISTINCT FROM 'done' OR verdict = 'proved')
);
CREATE INDEX reconcile_findings_resource ON sandsweep.reconcile_findings (resource_id, run_id);

-- Drift that is known: seen by a run and not repaired by it. Closed when it is gone, with how.
CREATE TABLE sandsweep.drift (
    class         text NOT NULL,
    kind          sandsweep.resource_kind NOT NULL,
    resource_id   text NOT NULL,
    team_id       uuid,
    function_id   uuid,
    revision_id   uuid,
    since         timestamptz NOT NULL,
    first_seen_at timestamptz NOT NULL,
    last_seen_at  timestamptz NOT NULL,
    run_id        bigint NOT NULL,        -- the last that saw it
    action        text NOT NULL,
    young         boolean NOT NULL,       -- within its grace: not drift yet, remembered for its age
    observed      boolean NOT NULL,       -- proved, and left alone because only observing
    closed_at     timestamptz,
    outcome       text CHECK (outcome IN ('repaired', 'passed', 'reused')),
    PRIMARY KEY (class, kind, resource_id),
    CHECK ((closed_at IS NULL) = (outcome IS NULL))
);
CREATE INDEX drift_open ON sandsweep.drift (since) WHERE closed_at IS NULL AND NOT young;

-- How much of its budget of deletions each team has used up, shared by every worker. A claim spends,
-- time drains; empty, the team's rows wait where they are.
CREATE TABLE sandsweep.delete_budgets (
    team_id     uuid PRIMARY KEY,
    spent       double precision NOT NULL DEFAULT 0,  -- at spent_at
    spent_at    timestamptz NOT NULL DEFAULT now(),
    empty_since timestamptz,
    live        bigint                    -- sandboxes, by the last listing that was whole; NULL: not known
) WITH (fillfactor = 50, autovacuum_vacuum_threshold = 1000);
CREATE INDEX delete_budgets_empty ON sandsweep.delete_budgets (empty_since) WHERE empty_since IS NOT NULL;

-- Written before a publish asks the platform for anything, closed by the insert of its revision: what
-- it makes is in the ledger from its first moment, under the id that the revision will have.
CREATE TABLE sandsweep.publish_attempts (
    id          uuid PRIMARY KEY,
    team_id     uuid NOT NULL,
    function_id uuid NOT NULL,
    revision_id uuid NOT NULL UNIQUE,
    started_at  timestamptz NOT NULL DEFAULT now(),
    closed_at   timestamptz,
    outcome     text CHECK (outcome IN ('published', 'failed', 'abandoned')),
    CHECK ((closed_at IS NULL) = (outcome IS NULL))
);
CREATE INDEX publish_attempts_open ON sandsweep.publish_attempts (team_id, started_at) WHERE closed_at IS NULL;

-- A publish writes down what it made, before it goes on.
CREATE FUNCTION sandsweep.prepare_resource(attempt uuid, res_kind sandsweep.resource_kind, res_id text, parent text)
    RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO sandsweep.owned_resources (kind, resource_id, parent_id, team_id, function_id, revision_id)
        SELECT res_kind, res_id, parent, a.team_id, a.function_id, a.revision_id
        FROM sandsweep.publish_attempts a WHERE a.id = attempt AND a.closed_at IS NULL
        FOR SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'publish % is over: % % cannot be prepared for it', attempt, res_kind, res_id
            USING ERRCODE = 'SW005';
    END IF;
END $$;

CREATE FUNCTION sandsweep.on_revision_published() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    attempt sandsweep.publish_attempts;
BEGIN
    SELECT * INTO attempt FROM sandsweep.publish_attempts WHERE revision_id = NEW.id FOR UPDATE;
    IF attempt.outcome IN ('failed', 'abandoned') THEN
        RAISE EXCEPTION 'publish % was given up: what it made is being deleted', attempt.id
            USING ERRCODE = 'SW005';
    END IF;
    UPDATE sandsweep.publish_attempts SET closed_at = now(), outcome = 'published'
        WHERE id = attempt.id AND closed_at IS NULL;
    RETURN NULL;
END $$;
CREATE TRIGGER sandsweep_revision_published AFTER INSERT ON shared_gateway.functions_revisions
    FOR EACH ROW EXECUTE FUNCTION sandsweep.on_revision_published();

-- Why a thing may not be deleted: the claim's own question (S1, S2), for one thing. NULL: it may.
CREATE FUNCTION sandsweep.in_use_because(res_kind sandsweep.resource_kind, res_id text) RETURNS text
    LANGUAGE sql STABLE AS $$
    SELECT CASE
    WHEN res_kind = 'sandbox' THEN CASE
        WHEN EXISTS (SELECT FROM shared_gateway.functions_revisions WHERE runtime_sandbox_id = res_id)
            THEN 'mapped'
        WHEN EXISTS (SELECT FROM shared_gateway.functions_revisions WHERE source_sandbox_id = res_id)
            THEN 'source_sandbox' END
    WHEN EXISTS (SELECT FROM shared_gateway.functions_revisions r
                 JOIN shared_gateway.functions f ON f.id = r.function_id AND f.deleted_at IS NULL
                 WHERE r.restore_mounts @> jsonb_build_array(jsonb_build_object(
                     CASE res_kind WHEN 'volume' THEN 'sandboxvolume_id' ELSE 'snapshot_id' END, res_id)))
        THEN 'referenced'
    WHEN res_kind = 'volume' AND EXISTS (
            SELECT FROM shared_gateway.functions_revisions r
            WHERE r.restore_mounts @> jsonb_build_array(jsonb_build_object('source_sandboxvolume_id', res_id)))
        THEN 'source_volume' END
$$;

-- ---- the session of a run ----

-- Takes the lock and makes what a run keeps until its end: pg_temp.this_run, seen, listings, findings,
-- ran. Not acquired: who holds it, and since when.
CREATE FUNCTION sandsweep.reconcile_begin(in_shard text, in_actor text, in_holder text, in_mode text, in_dry boolean,
                                          in_team uuid, in_function uuid, in_adopt boolean)
    RETURNS TABLE (acquired boolean, run_id bigint, term bigint, t0 timestamptz, system_id bigint,
                   database text, holder text, held_since timestamptz)
    LANGUAGE plpgsql AS $$
DECLARE
    new_run bigint;
    new_term bigint;
    cluster bigint;
BEGIN
    SELECT c.system_identifier INTO cluster FROM pg_control_system() c;
    IF NOT pg_try_advisory_lock(hashtextextended('sandsweep.reconcile ' || in_shard, 0)) THEN
        RETURN QUERY SELECT false, s.run_id, s.term, now(), cluster, current_database()::text, s.holder, s.held_since
            FROM (SELECT 1) one LEFT JOIN sandsweep.reconcile_shards s ON s.shard = in_shard;
        RETURN;
    END IF;
    UPDATE sandsweep.reconcile_runs r SET finished_at = now(), outcome = 'interrupted'
        WHERE r.shard = in_shard AND r.finished_at IS NULL;
    INSERT INTO sandsweep.reconcile_runs AS r (started_at, actor, holder, mode, dry, shard, team_id, function_id)
        VALUES (now(), in_actor, in_holder, in_mode, in_dry, in_shard, in_team, in_function)
        RETURNING r.id INTO new_run;
    INSERT INTO sandsweep.reconcile_shards AS s (shard, term, run_id, holder, held_since)
        VALUES (in_shard, 1, new_run, in_holder, now())
        ON CONFLICT (shard) DO UPDATE
        SET term = s.term + 1, run_id = new_run, holder = in_holder, held_since = now()
        RETURNING s.term INTO new_term;
    UPDATE sandsweep.reconcile_runs r SET term = new_term WHERE r.id = new_run;

    CREATE TEMPORARY TABLE this_run AS
        SELECT new_run AS run_id, new_term AS term, in_shard AS shard, now() AS t0, in_actor AS actor,
               in_mode AS mode, in_dry AS dry, in_team AS team_id, in_function AS function_id, in_adopt AS adopt;
    CREATE TEMPORARY TABLE seen (
        kind sandsweep.resource_kind NOT NULL, team_id uuid NOT NULL, id text NOT NULL, template_id text,
        source_volume_id text, status text, created_at timestamptz NOT NULL, user_id text,
        again boolean NOT NULL DEFAULT true);  -- may have been shown before
    CREATE TEMPORARY TABLE listings (
        team_id uuid NOT NULL, kind sandsweep.resource_kind NOT NULL, complete boolean NOT NULL, reason text,
        rows bigint NOT NULL, pages bigint NOT NULL, PRIMARY KEY (team_id, kind));
    CREATE TEMPORARY TABLE teams (
        team_id uuid PRIMARY KEY, sandboxes boolean NOT NULL, volumes boolean NOT NULL);
    CREATE TEMPORARY TABLE ran (class text PRIMARY KEY, grace interval NOT NULL);
    -- What may be done about each class, and what must be proved before: whoever writes a finding, the
    -- diff or a plan that came from outside, cannot ask for more.
    CREATE TEMPORARY TABLE findings (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        class text NOT NULL, kind sandsweep.resource_kind NOT NULL, resource_id text NOT NULL,
        parent_id text, team_id uuid NOT NULL, function_id uuid, revision_id uuid, attempt_id uuid,
        since timestamptz NOT NULL, proof text NOT NULL, action text NOT NULL,
        verdict text, result text, why text, evidence jsonb NOT NULL,
        UNIQUE (kind, resource_id),
        CHECK ((class, action, proof) IN (
            ('unreleased', 'clear', 'none'), ('unreleased', 'doom', 'none'), ('missed_event', 'doom', 'none'),
            ('stale_mapping', 'clear', 'absent'), ('ghost', 'doom', 'absent'), ('ghost', 'note', 'absent'),
            ('resurrected', 'doom', 'present'), ('stuck_lease', 'doom', 'none'), ('orphan_sandbox', 'adopt', 'owner'),
            ('orphan_volume', 'doom', 'none'), ('orphan_volume', 'note', 'none'), ('orphan_volume', 'adopt', 'maker'),
            ('orphan_snapshot', 'doom', 'none'))),
        CHECK (kind::text = substr(class, 8) OR class NOT LIKE 'orphan%'));
    CREATE TEMPORARY TABLE resent (event_id uuid PRIMARY KEY);
    ANALYZE pg_temp.this_run;    -- every diff joins it: the planner must know that it is one row
    RETURN QUERY SELECT true, new_run, new_term, now(), cluster, current_database()::text, in_holder, now();
END $$;

-- Holds the term until the end of the transaction: the next run's beginning, which raises it, waits for
-- that, and whoever comes here later is refused.
CREATE FUNCTION sandsweep.reconcile_fence(in_shard text, in_term bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM sandsweep.reconcile_shards s WHERE s.shard = in_shard AND s.term = in_term FOR SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'term % of shard % is over: another run holds the lock', in_term, in_shard
            USING ERRCODE = 'SW004';
    END IF;
END $$;

-- One act, in whatever transaction the caller is: everything that it needs is looked at once more,
-- under the locks that the writers of those things take. Answers NULL when it is done, or why it came
-- too late; then nothing is changed. Raises SW004 when the term is over.
--   clear: takes the mapping res_id from revision res_revision, and dooms the sandbox
--   doom:  dooms what the ledger holds; what is still in use there is released first
--   adopt: an unknown sandbox, proved to be of the restore attempt, or an unknown volume, proved to be of a
--          publish's lost call (adopt_volume), enters the ledger and is doomed
--
-- Under READ COMMITTED every statement here sees what was committed before it began. A look is therefore
-- worth something only when it comes after the lock that its writer must take:
--   a mapping is set under the lock of its revision, and only on a sandbox whose ledger row is of that
--     revision and in use: whoever holds the revision knows who is mapped, until the end
--   an unknown sandbox has no revision yet: its mapping's trigger and `adopt` insert the same ledger row,
--     one waits for the other at the unique index, and the second finds a row that it cannot use
--   a restore closes its attempt in the transaction that maps, and must find it open (one row updated):
--     it or `adopt` waits at the attempt, and the second finds it closed
--   a publish closes its attempt in the transaction that inserts its revision, and is refused when the
--     attempt was given up: the same at the publish attempt
-- Locks are taken in the order function, attempt of a restore, revision, attempt of a publish, ledger row,
-- as by the API, the triggers and the hosts; the worker's claim waits for no lock at all. Each act holds
-- one ledger row only, so that batches that lock several in the order of id cannot wait in a circle with
-- it.
-- What no lock orders: another revision that names a released or doomed volume at this very moment.
-- The claim asks again before anything is deleted.
CREATE FUNCTION sandsweep.reconcile_act(in_shard text, in_term bigint, in_run bigint, in_t0 timestamptz,
        in_class text, in_action text, res_kind sandsweep.resource_kind, res_id text,
        res_team uuid, res_function uuid, res_revision uuid, in_attempt uuid, in_evidence jsonb)
    RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    reason text := 'reconcile:' || in_class;
    rev shared_gateway.functions_revisions;
    fn shared_gateway.functions;
    res sandsweep.owned_resources;
    attempt sandsweep.restore_attempts;
    publish sandsweep.publish_attempts;
    found_at jsonb := in_evidence || jsonb_build_object('run', in_run, 'term', in_term, 'class', in_class);
    late text;
BEGIN
    PERFORM sandsweep.reconcile_fence(in_shard, in_term);

    IF in_action = 'clear' THEN
        SELECT * INTO fn FROM shared_gateway.functions WHERE id = res_function FOR SHARE;
        SELECT * INTO rev FROM shared_gateway.functions_revisions WHERE id = res_revision FOR NO KEY UPDATE;
        IF rev.id IS NULL OR rev.runtime_sandbox_id IS DISTINCT FROM res_id THEN
            RETURN 'the mapping is another one now';
        ELSIF rev.team_id IS DISTINCT FROM res_team OR rev.function_id IS DISTINCT FROM res_function THEN
            RETURN 'it is another team''s';
        ELSIF rev.runtime_updated_at > in_t0 OR EXISTS (
                -- Not every writer keeps that time. A sandbox is mapped once: its row is as old as its mapping.
                SELECT FROM sandsweep.owned_resources o
                WHERE o.kind = 'sandbox' AND o.resource_id = res_id AND o.created_at > in_t0) THEN
            RETURN 'it was mapped after the run began';
        ELSIF in_class = 'unreleased' AND fn.deleted_at IS NULL AND fn.enabled AND fn.active_revision_id = rev.id THEN
            RETURN 'it serves a live, enabled function again';
        ELSIF in_class = 'unreleased' AND fn.updated_at > in_t0 THEN
            RETURN 'its function has changed since the run began';
        END IF;
        PERFORM set_config('sandsweep.reason', reason, true);
        UPDATE shared_gateway.functions_revisions
            SET runtime_sandbox_id = NULL, runtime_context_id = NULL, runtime_updated_at = NULL
            WHERE id = rev.id;
        PERFORM set_config('sandsweep.reason', '', true);
        -- Its trigger has released the row. A user's own sandbox that served the revision has none, and one
        -- that is on its way already (or another revision's) is left to that: the mapping was the act.
        SELECT * INTO res FROM sandsweep.owned_resources o
            WHERE o.kind = 'sandbox' AND o.resource_id = res_id FOR NO KEY UPDATE;
        IF res.id IS NULL OR res.state <> 'released' THEN
            RETURN NULL;
        END IF;
    ELSIF in_action = 'adopt' AND res_kind = 'volume' THEN
        late := sandsweep.adopt_volume(res_id, res_team, in_attempt, in_t0, in_evidence);
        IF late IS NOT NULL THEN
            RETURN late;
        END IF;
        SELECT * INTO res FROM sandsweep.owned_resources o WHERE o.kind = 'volume' AND o.resource_id = res_id;
    ELSIF in_action = 'adopt' THEN
        -- One that was given up by an act before (it had two sandboxes) can map no more either.
        SELECT * INTO attempt FROM sandsweep.restore_attempts WHERE id = in_attempt FOR UPDATE;
        IF attempt.id IS NULL OR attempt.closed_at IS NOT NULL AND attempt.outcome <> 'abandoned' THEN
            RETURN 'the restore attempt is closed';
        ELSIF attempt.team_id IS DISTINCT FROM res_team THEN
            RETURN 'the restore attempt is another team''s';
        ELSIF sandsweep.in_use_because('sandbox', res_id) IS NOT NULL THEN
            RETURN 'it is in use now';
        END IF;
        INSERT INTO sandsweep.owned_resources AS o (kind, resource_id, team_id, function_id, revision_id)
            VALUES ('sandbox', res_id, attempt.team_id, attempt.function_id, attempt.revision_id)
            ON CONFLICT (kind, resource_id) DO NOTHING
            RETURNING o.* INTO res;
        IF res.id IS NULL THEN
            RETURN 'the ledger knows it now';
        END IF;
        UPDATE sandsweep.restore_attempts
            SET closed_at = clock_timestamp(), outcome = 'abandoned', sandbox_id = res_id
            WHERE id = attempt.id AND closed_at IS NULL;
    ELSIF in_action = 'doom' THEN
        SELECT * INTO res FROM sandsweep.owned_resources o WHERE o.kind = res_kind AND o.resource_id = res_id;
        IF res.id IS NULL THEN
            RETURN 'the ledger knows nothing of it';
        ELSIF res.team_id IS DISTINCT FROM res_team THEN
            RETURN 'it is another team''s';
        END IF;
        PERFORM FROM shared_gateway.functions_revisions r WHERE r.id = res.revision_id FOR SHARE;
        IF res.state = 'in_use' AND res_kind <> 'sandbox' THEN
            SELECT * INTO publish FROM sandsweep.publish_attempts WHERE revision_id = res.revision_id FOR UPDATE;
        END IF;
        SELECT * INTO res FROM sandsweep.owned_resources o WHERE o.id = res.id FOR NO KEY UPDATE;
        IF (in_class, res.state::text) NOT IN (
                ('unreleased', 'in_use'), ('orphan_volume', 'in_use'), ('orphan_snapshot', 'in_use'),
                ('missed_event', 'released'), ('missed_event', 'refused'), ('ghost', 'dead'),
                ('resurrected', 'gone'), ('stuck_lease', 'deleting'), ('stuck_lease', 'doomed')) THEN
            RETURN 'it is ' || res.state || ' now';
        ELSIF (CASE res.state
                WHEN 'in_use' THEN res.created_at > in_t0
                WHEN 'released' THEN res.released_at > in_t0
                WHEN 'deleting' THEN res.due_at > in_t0
                WHEN 'doomed' THEN res.due_at > in_t0 OR EXISTS (
                    SELECT FROM sandsweep.due q WHERE (q.team_id, q.due_at, q.id) = (res.team_id, res.due_at, res.id))
                ELSE res.ended_at > in_t0 END) THEN
            RETURN 'it has changed since the run began';
        ELSIF res.state = 'refused' AND res.error_class NOT IN (
                'mapped', 'source_sandbox', 'referenced', 'source_volume') THEN
            RETURN 'a person refused it';
        END IF;
        IF publish.closed_at IS NULL AND publish.started_at > in_t0 - coalesce(
                (SELECT grace FROM pg_temp.ran WHERE class = in_class), interval '0') THEN
            RETURN 'its publish is going on';
        END IF;
        IF res.state IN ('in_use', 'refused') AND sandsweep.in_use_because(res_kind, res_id) IS NOT NULL THEN
            RETURN 'it is in use now';
        END IF;
        UPDATE sandsweep.publish_attempts SET closed_at = clock_timestamp(), outcome = 'abandoned'
            WHERE id = publish.id AND closed_at IS NULL;
    ELSE
        RAISE EXCEPTION 'no such act: %', in_action USING ERRCODE = 'SW006';
    END IF;

    IF res.state = 'in_use' THEN
        UPDATE sandsweep.owned_resources o
            SET state = 'released', released_at = clock_timestamp(), release_reason = reason
            WHERE o.id = res.id;
    END IF;
    UPDATE sandsweep.owned_resources o
        SET state = 'doomed', doomed_at = clock_timestamp(), due_at = clock_timestamp(), doom_reason = reason,
            finding = found_at, event_id = NULL, traceparent = NULL, attempts = 0, deleting_at = NULL, ended_at = NULL,
            accepted_at = NULL, lease = NULL, lease_owner = NULL, error_class = NULL, last_error = NULL, last_status = NULL
        WHERE o.id = res.id;
    RETURN NULL;
END $$;

-- The next proved finding after `after`: acts, writes down what became of it, answers its number (NULL:
-- there is none). A failure of the act undoes the act and is its result; a deadlock is raised instead, to
-- be tried again, unless this is the last try.
CREATE FUNCTION sandsweep.reconcile_act_next(after bigint, last_try boolean) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    run record;
    item record;
    event jsonb;
    late text;
BEGIN
    SELECT * INTO run FROM pg_temp.this_run;
    IF run.dry OR run.mode <> 'repair' THEN
        RAISE EXCEPTION 'run % only looks', run.run_id USING ERRCODE = 'SW006';
    END IF;
    SELECT * INTO item FROM pg_temp.findings f
        WHERE f.id > after AND f.verdict = 'proved' AND f.action <> 'note' AND f.result IS NULL
        ORDER BY f.id LIMIT 1;
    IF item.id IS NULL THEN
        RETURN NULL;
    END IF;
    BEGIN
        late := sandsweep.reconcile_act(run.shard, run.term, run.run_id, run.t0, item.class, item.action, item.kind,
            item.resource_id, item.team_id, item.function_id, item.revision_id, item.attempt_id, item.evidence);
        -- Whoever else listens to the topic has missed the event too: the same again, once for all that it named.
        event := item.evidence -> 'event';
        IF late IS NULL AND event IS NOT NULL AND item.class = 'missed_event' THEN
            INSERT INTO pg_temp.resent VALUES ((event ->> 'id')::uuid) ON CONFLICT DO NOTHING;
            IF FOUND THEN
                INSERT INTO sandsweep.outbox (event_id, team_id, function_id, channel, type, data)
                    VALUES ((event ->> 'id')::uuid, item.team_id, item.function_id, 'events', event ->> 'type', event -> 'data');
            END IF;
        END IF;
        UPDATE pg_temp.findings SET result = CASE WHEN late IS NULL THEN 'done' ELSE 'stale' END, why = late
            WHERE id = item.id;
    EXCEPTION
        WHEN SQLSTATE 'SW004' THEN RAISE;
        WHEN query_canceled OR admin_shutdown THEN RAISE;
        WHEN OTHERS THEN
            IF SQLSTATE IN ('40001', '40P01') AND NOT last_try THEN
                RAISE;
            END IF;
            UPDATE pg_temp.findings SET result = 'failed', why = SQLERRM WHERE id = item.id;
    END;
    RETURN item.id;
END $$;

-- The end of a run: history, known drift, restore attempts that led nowhere, retention, the run's row.
CREATE FUNCTION sandsweep.reconcile_finish(in_outcome text, in_counts jsonb, keep interval) RETURNS void
    LANGUAGE plpgsql AS $$
DECLARE
    run record;
BEGIN
    SELECT * INTO run FROM pg_temp.this_run;
    PERFORM sandsweep.reconcile_fence(run.shard, run.term);
    INSERT INTO sandsweep.reconcile_findings (run_id, number, since, class, kind, resource_id, parent_id, team_id,
            function_id, revision_id, proof, action, verdict, result, why, evidence)
        SELECT run.run_id, f.id, f.since, f.class, f.kind, f.resource_id, f.parent_id, f.team_id,
               f.function_id, f.revision_id, f.proof, f.action, coalesce(f.verdict, 'unproved'), f.result, f.why, f.evidence
        FROM pg_temp.findings f;

    -- What the worker's budget of deletions is a share of.
    INSERT INTO sandsweep.delete_budgets AS b (team_id, live)
        SELECT l.team_id, l.rows FROM pg_temp.listings l WHERE l.kind = 'sandbox' AND l.complete
        ORDER BY l.team_id
        ON CONFLICT (team_id) DO UPDATE SET live = EXCLUDED.live WHERE b.live IS DISTINCT FROM EXCLUDED.live;

    -- What an earlier run knew and this one repaired, or looked for and did not find. What shows itself by
    -- being listed is known to be over only where everything was shown; what shows itself by not being
    -- listed, where anything was.
    UPDATE sandsweep.drift d
        SET closed_at = now(), outcome = CASE
            WHEN f.result = 'done' THEN 'repaired'
            WHEN d.kind = 'sandbox' AND d.observed AND EXISTS (
                SELECT FROM shared_gateway.functions_revisions r
                JOIN shared_gateway.functions fn ON fn.id = r.function_id AND fn.deleted_at IS NULL AND fn.enabled
                WHERE r.runtime_sandbox_id = d.resource_id AND fn.active_revision_id = r.id) THEN 'reused'
            ELSE 'passed' END
        FROM sandsweep.drift k
        LEFT JOIN pg_temp.findings f ON f.class = k.class AND f.kind = k.kind AND f.resource_id = k.resource_id
        LEFT JOIN pg_temp.listings l ON l.team_id = k.team_id AND l.kind = k.kind
        WHERE k.closed_at IS NULL AND (d.class, d.kind, d.resource_id) = (k.class, k.kind, k.resource_id)
          AND CASE
              WHEN f.id IS NOT NULL THEN f.result = 'done' OR f.verdict = 'disproved'
              WHEN k.last_seen_at < run.t0 - keep THEN true    -- of a class, or a team, that is looked at no more
              WHEN NOT EXISTS (SELECT FROM pg_temp.ran WHERE ran.class = k.class)
                   OR k.team_id <> run.team_id OR k.function_id IS DISTINCT FROM coalesce(run.function_id, k.function_id)
                  THEN false
              WHEN k.class IN ('orphan_sandbox', 'resurrected', 'orphan_volume') THEN l.complete
              WHEN k.class IN ('stale_mapping', 'ghost') THEN l.team_id IS NOT NULL
              ELSE true END;
    INSERT INTO sandsweep.drift AS d (class, kind, resource_id, team_id, function_id, revision_id, since,
            first_seen_at, last_seen_at, run_id, action, young, observed)
        SELECT f.class, f.kind, f.resource_id, f.team_id, f.function_id, f.revision_id, f.since, run.t0, run.t0,
               run.run_id, f.action, f.verdict IS NOT DISTINCT FROM 'young',
               run.mode = 'observe' AND NOT run.dry AND f.verdict IS NOT DISTINCT FROM 'proved' AND f.action <> 'note'
        FROM pg_temp.findings f
        WHERE f.result IS DISTINCT FROM 'done' AND f.verdict IS DISTINCT FROM 'disproved'
          AND (f.verdict IS DISTINCT FROM 'young' OR f.class = 'unreleased')
        ON CONFLICT (class, kind, resource_id) DO UPDATE
        SET last_seen_at = run.t0, run_id = run.run_id, action = EXCLUDED.action, team_id = EXCLUDED.team_id,
            function_id = EXCLUDED.function_id, revision_id = EXCLUDED.revision_id, young = EXCLUDED.young,
            since = CASE WHEN d.closed_at IS NULL THEN least(d.since, EXCLUDED.since) ELSE EXCLUDED.since END,
            first_seen_at = CASE WHEN d.closed_at IS NULL THEN d.first_seen_at ELSE EXCLUDED.first_seen_at END,
            observed = EXCLUDED.observed OR d.observed AND d.closed_at IS NULL,
            closed_at = NULL, outcome = NULL;

    -- A restore that died before it had a sandbox: nothing of it was shown by a whole listing, long after
    -- its window. A host that comes back after all finds its attempt closed, and does not map. (A sandbox
    -- that was shown, and that looking did not find, may be there still; and one of a cluster that the
    -- listing lacked: what was given up is looked for all the same.)
    UPDATE sandsweep.restore_attempts a SET closed_at = clock_timestamp(), outcome = 'abandoned'
        WHERE a.closed_at IS NULL AND NOT run.dry AND run.mode = 'repair'
          AND (run.team_id IS NULL OR a.team_id = run.team_id)
          AND (run.function_id IS NULL OR a.function_id = run.function_id)
          AND a.started_at < run.t0 - 2 * (SELECT grace FROM pg_temp.ran WHERE class = 'orphan_sandbox')
          AND EXISTS (SELECT FROM pg_temp.listings l WHERE l.team_id = a.team_id AND l.kind = 'sandbox' AND l.complete)
          AND NOT EXISTS (SELECT FROM pg_temp.findings f WHERE f.class = 'orphan_sandbox' AND f.team_id = a.team_id
                          AND f.result IS DISTINCT FROM 'done'
                          AND (f.verdict IS DISTINCT FROM 'disproved' OR f.evidence ->> 'looked' = 'absent'));
    -- A publish that died with nothing in the ledger: what a lost call of it made is looked for all the same.
    UPDATE sandsweep.publish_attempts p SET closed_at = clock_timestamp(), outcome = 'abandoned'
        WHERE p.closed_at IS NULL AND NOT run.dry AND run.mode = 'repair'
          AND (run.team_id IS NULL OR p.team_id = run.team_id)
          AND (run.function_id IS NULL OR p.function_id = run.function_id)
          AND p.started_at < run.t0 - 2 * (SELECT grace FROM pg_temp.ran WHERE class = 'orphan_volume')
          AND NOT EXISTS (SELECT FROM sandsweep.owned_resources o
                          WHERE o.function_id = p.function_id AND o.revision_id = p.revision_id AND o.stage = 'in_use');

    IF NOT run.dry THEN
        DELETE FROM sandsweep.owned_resources o
            WHERE o.id IN (SELECT g.id FROM sandsweep.owned_resources g
                           WHERE g.state = 'gone' AND g.kind <> 'sandbox' AND g.ended_at < run.t0 - keep
                           ORDER BY g.ended_at LIMIT 10000
                           FOR UPDATE SKIP LOCKED);
        DELETE FROM sandsweep.reconcile_runs r WHERE r.finished_at < run.t0 - keep;
        DELETE FROM sandsweep.drift d WHERE d.closed_at < run.t0 - keep;
        -- (But for the one that tells whose volumes Sandsweep makes.)
        DELETE FROM sandsweep.publish_attempts p
            WHERE p.closed_at < run.t0 - keep AND p.id IS DISTINCT FROM (
                SELECT s.attempt_id FROM sandsweep.publish_steps s
                WHERE s.kind = 'volume' AND s.user_id IS NOT NULL
                ORDER BY s.asked_at DESC LIMIT 1);
        DELETE FROM sandsweep.restore_attempts a WHERE a.closed_at < run.t0 - keep;
    END IF;
    INSERT INTO sandsweep.audit_log (team_id, actor, action, function_id, details)
        VALUES (run.team_id, run.actor, CASE WHEN run.dry THEN 'reconcile.plan' ELSE 'reconcile.run' END, run.function_id,
                jsonb_build_object('run', run.run_id, 'mode', run.mode, 'outcome', in_outcome));
    UPDATE sandsweep.reconcile_runs r SET finished_at = clock_timestamp(), outcome = in_outcome, counts = in_counts
        WHERE r.id = run.run_id;
END $$;
-- Restores that were given up may still turn out to have a sandbox.
DROP INDEX sandsweep.restore_attempts_open;
CREATE INDEX restore_attempts_open ON sandsweep.restore_attempts (team_id, template_id, started_at)
    WHERE closed_at IS NULL OR outcome = 'abandoned';
CREATE INDEX owned_resources_ended ON sandsweep.owned_resources (ended_at) WHERE state = 'gone' AND kind <> 'sandbox';

-- The ledger: one row for every sandbox, volume and snapshot that is ours, from the moment it is
-- ours until it is proved gone.

-- The order of the kinds is the order of deletion: what may still use the next comes first.
CREATE TYPE sandsweep.resource_kind AS ENUM ('sandbox', 'volume', 'snapshot');
CREATE TYPE sandsweep.resource_state AS ENUM
    ('in_use', 'released', 'doomed', 'deleting', 'gone', 'dead', 'refused');

CREATE SEQUENCE sandsweep.lease_seq;

CREATE TABLE sandsweep.owned_resources (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    team_id        uuid NOT NULL,
    function_id    uuid NOT NULL,
    revision_id    uuid NOT NULL,
    created_at     timestamptz NOT NULL DEFAULT now(),
    released_at    timestamptz,
    doomed_at      timestamptz,
    deleting_at    timestamptz,            -- first claimed since it was doomed
    ended_at       timestamptz,            -- gone, dead or refused
    due_at         timestamptz,            -- doomed: not before; deleting: when the lease runs out
    queued_at      timestamptz,            -- the due_at under which sandsweep.due has it
    accepted_at    timestamptz,            -- the platform took the DELETE
    lease          bigint,                 -- who may report: the number of the claim
    kind           sandsweep.resource_kind NOT NULL,
    state          sandsweep.resource_state NOT NULL DEFAULT 'in_use',
    attempts       integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    last_status    integer,                -- HTTP status of the last attempt; 0: no answer
    resource_id    text NOT NULL CHECK (length(resource_id) BETWEEN 1 AND 127),
    parent_id      text CHECK (length(parent_id) BETWEEN 1 AND 127),   -- a snapshot's volume
    release_reason text,
    doom_reason    text,
    error_class    text,
    last_error     text,
    lease_owner    text,
    event_id       uuid,                   -- the event that doomed it
    traceparent    text,
    evidence       jsonb,                  -- why it may be deleted, as seen by the claim
    -- What the indexes know of the state: it does not change while the row is on its way to be deleted,
    -- so that doom and claim rewrite the row on its page and touch no index. A text, because comparing
    -- enums is not leakproof: behind row-level security the planner would know nothing of their numbers.
    stage          text COLLATE "C" NOT NULL GENERATED ALWAYS AS
        (CASE state WHEN 'in_use' THEN 'in_use' WHEN 'gone' THEN 'gone' WHEN 'dead' THEN 'dead'
                    WHEN 'refused' THEN 'refused' ELSE 'released' END) STORED,
    UNIQUE (kind, resource_id),
    CHECK ((kind = 'snapshot') = (parent_id IS NOT NULL)),
    -- No delete without evidence that it is ours and not in use.
    CHECK (state <> 'deleting' OR (evidence IS NOT NULL AND lease IS NOT NULL)),
    CHECK (state NOT IN ('doomed', 'deleting') OR due_at IS NOT NULL),
    CHECK (state IN ('in_use', 'released') OR doomed_at IS NOT NULL)
-- A row is born with 130 bytes and ends with 400: its page has room for what it becomes.
) WITH (fillfactor = 33, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 5000,
        autovacuum_vacuum_cost_delay = 0);

-- Release and doom by function; what of a revision is not gone yet.
CREATE INDEX owned_resources_live ON sandsweep.owned_resources (function_id, revision_id, kind)
    WHERE stage <> 'gone';
-- The age of the oldest unfinished intent, and what no event came for.
CREATE INDEX owned_resources_unfinished ON sandsweep.owned_resources (released_at)
    WHERE stage = 'released';
-- What waits for a person.
CREATE INDEX owned_resources_stuck ON sandsweep.owned_resources (stage, error_class, id)
    WHERE stage IN ('dead', 'refused');

-- The queue of the claims: every doomed or deleting row under its due_at, oldest first within its
-- team. An index of the ledger in all but name, kept beside it because a row changes its place here
-- each time that it changes its state. An entry is changed only by who holds the lock of its ledger
-- row; the trigger ledger_due sees to it whoever changes the ledger.
CREATE TABLE sandsweep.due (
    team_id uuid NOT NULL,
    due_at  timestamptz NOT NULL,
    id      bigint NOT NULL,
    PRIMARY KEY (team_id, due_at, id)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 5000,
        autovacuum_vacuum_cost_delay = 0);

-- ---- the state machine ----
-- The WHEN clauses are the whole check; the function only words the refusal, so that a legal
-- change costs no call. They look at updates afterwards: before them, each row would be locked for
-- the look. The same edges stand in sql/ledger.c.
CREATE FUNCTION sandsweep.refuse_ledger_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION '% % is % and cannot leave the ledger', OLD.kind, OLD.resource_id, OLD.state
            USING ERRCODE = 'SW001';
    ELSIF TG_OP = 'INSERT' THEN
        RAISE EXCEPTION '% % cannot enter the ledger as %', NEW.kind, NEW.resource_id, NEW.state
            USING ERRCODE = 'SW001';
    ELSIF OLD.state IS DISTINCT FROM NEW.state THEN
        RAISE EXCEPTION '% % cannot go from % to %', OLD.kind, OLD.resource_id, OLD.state, NEW.state
            USING ERRCODE = 'SW001';
    END IF;
    RAISE EXCEPTION '% % cannot change its identity', OLD.kind, OLD.resource_id
        USING ERRCODE = 'SW002';
END $$;

CREATE TRIGGER ledger_insert BEFORE INSERT ON sandsweep.owned_resources
    FOR EACH ROW WHEN (NEW.state <> 'in_use')
    EXECUTE FUNCTION sandsweep.refuse_ledger_change();
CREATE TRIGGER ledger_edge AFTER UPDATE ON sandsweep.owned_resources
    FOR EACH ROW WHEN (OLD.state <> NEW.state AND (OLD.state, NEW.state) NOT IN (
        ('in_use', 'released'),     -- the mapping left it, or its function was deleted
        ('released', 'doomed'),     -- an event named it, or its grace ran out
        ('doomed', 'deleting'),     -- a worker claimed it
        ('doomed', 'refused'),      -- the check at claim time, or an operator
        ('deleting', 'doomed'),     -- not now: backoff
        ('deleting', 'gone'),       -- proved absent
        ('deleting', 'dead'),       -- the last attempt failed
        ('deleting', 'refused'),    -- the check when a lapsed lease is claimed again
        ('dead', 'doomed'),         -- redrive
        ('dead', 'refused'),        -- an operator
        ('refused', 'doomed'),      -- redrive
        ('gone', 'doomed')))        -- the platform shows it again
    EXECUTE FUNCTION sandsweep.refuse_ledger_change();
CREATE TRIGGER ledger_identity
    AFTER UPDATE OF kind, resource_id, parent_id, team_id, function_id, revision_id
    ON sandsweep.owned_resources FOR EACH ROW WHEN (
        (OLD.kind, OLD.resource_id, OLD.team_id, OLD.function_id, OLD.revision_id)
            <> (NEW.kind, NEW.resource_id, NEW.team_id, NEW.function_id, NEW.revision_id)
        OR OLD.parent_id IS DISTINCT FROM NEW.parent_id)
    EXECUTE FUNCTION sandsweep.refuse_ledger_change();
-- A sandbox's row is also the memory that its id was used up (S3): it never leaves.
CREATE TRIGGER ledger_delete BEFORE DELETE ON sandsweep.owned_resources
    FOR EACH ROW WHEN (OLD.kind = 'sandbox' OR OLD.state NOT IN ('gone', 'refused'))
    EXECUTE FUNCTION sandsweep.refuse_ledger_change();

-- ---- the queue ----
-- The statements that move many rows keep sandsweep.due themselves and say so by queued_at; for all
-- others, and for an operator's own, it is done here, row by row.
CREATE FUNCTION sandsweep.queue_ledger_row() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    place timestamptz := CASE WHEN NEW.state IN ('doomed', 'deleting') THEN NEW.due_at END;
BEGIN
    DELETE FROM sandsweep.due
        WHERE team_id = OLD.team_id AND due_at = OLD.queued_at AND id = OLD.id;
    INSERT INTO sandsweep.due (team_id, due_at, id)
        SELECT NEW.team_id, place, NEW.id WHERE place IS NOT NULL;
    UPDATE sandsweep.owned_resources SET queued_at = place WHERE id = NEW.id;
    RETURN NULL;
END $$;
CREATE TRIGGER ledger_due AFTER UPDATE ON sandsweep.owned_resources
    FOR EACH ROW WHEN (NEW.queued_at IS DISTINCT FROM
                       CASE WHEN NEW.state IN ('doomed', 'deleting') THEN NEW.due_at END)
    EXECUTE FUNCTION sandsweep.queue_ledger_row();

-- ---- birth and release ----
-- These triggers stand on tables that other services write with roles of their own, which need no
-- rights on our schema: the functions run with their owner's, and look nothing up by search path.

-- Volumes and snapshots that the publish of a revision made. Only a mount that carries its source
-- volume and the snapshot between them was made by a publish; a volume that a revision_spec names is
-- the user's, and so is a volume that is the source of any revision.
CREATE FUNCTION sandsweep.published_resources(rev shared_gateway.functions_revisions)
    RETURNS TABLE (kind sandsweep.resource_kind, resource_id text, parent_id text)
    LANGUAGE sql STABLE AS $$
    WITH mounts AS (
        SELECT m ->> 'sandboxvolume_id' AS volume_id, m ->> 'source_sandboxvolume_id' AS source_id,
               m ->> 'snapshot_id' AS snapshot_id
        FROM jsonb_array_elements(
            CASE WHEN jsonb_typeof(rev.restore_mounts) = 'array' THEN rev.restore_mounts ELSE '[]' END) m
        WHERE rev.source_type = 'sandbox_service'
    ), ours AS (
        SELECT * FROM mounts
        WHERE volume_id <> '' AND source_id <> '' AND snapshot_id <> '' AND volume_id <> source_id
          AND NOT EXISTS (
              SELECT FROM shared_gateway.functions_revisions other
              WHERE other.restore_mounts @>
                    jsonb_build_array(jsonb_build_object('source_sandboxvolume_id', mounts.volume_id)))
    )
    SELECT 'volume'::sandsweep.resource_kind, volume_id, NULL FROM ours
    UNION
    SELECT 'snapshot', snapshot_id, source_id FROM ours
$$;

CREATE FUNCTION sandsweep.release_revision(rev_function_id uuid, rev_id uuid, why text) RETURNS void
    LANGUAGE sql AS $$
    UPDATE sandsweep.owned_resources SET state = 'released', released_at = clock_timestamp(),
           release_reason = why
    WHERE function_id = rev_function_id AND revision_id = rev_id AND stage = 'in_use'
$$;

CREATE FUNCTION sandsweep.release_reason(fallback text) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT coalesce(nullif(current_setting('sandsweep.reason', true), ''), fallback)
$$;

-- A mapping was set: its sandbox is ours from now on. One that was released, or that serves another
-- revision, can never be mapped (S3). A source sandbox is the user's and is not written down.
CREATE FUNCTION sandsweep.map_sandbox(rev shared_gateway.functions_revisions) RETURNS void
    LANGUAGE plpgsql AS $$
DECLARE
    known sandsweep.owned_resources;
BEGIN
    IF EXISTS (SELECT FROM shared_gateway.functions_revisions
               WHERE source_sandbox_id = rev.runtime_sandbox_id) THEN
        RETURN;
    END IF;
    INSERT INTO sandsweep.owned_resources (kind, resource_id, team_id, function_id, revision_id)
        VALUES ('sandbox', rev.runtime_sandbox_id, rev.team_id, rev.function_id, rev.id)
        ON CONFLICT (kind, resource_id) DO NOTHING;
    IF FOUND THEN
        RETURN;
    END IF;
    SELECT * INTO known FROM sandsweep.owned_resources
        WHERE kind = 'sandbox' AND resource_id = rev.runtime_sandbox_id;
    IF known.state <> 'in_use' OR known.revision_id <> rev.id THEN
        RAISE EXCEPTION 'sandbox % cannot be mapped again: it is % for revision %',
            rev.runtime_sandbox_id, known.state, known.revision_id USING ERRCODE = 'SW003';
    END IF;
END $$;

CREATE FUNCTION sandsweep.on_revision_insert() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    deleted timestamptz;
BEGIN
    INSERT INTO sandsweep.owned_resources (kind, resource_id, parent_id, team_id, function_id, revision_id)
        SELECT p.kind, p.resource_id, p.parent_id, NEW.team_id, NEW.function_id, NEW.id
        FROM sandsweep.published_resources(NEW) p
        ON CONFLICT (kind, resource_id) DO NOTHING;
    IF NEW.runtime_sandbox_id <> '' THEN
        PERFORM sandsweep.map_sandbox(NEW);
    END IF;
    -- A publish that lost the race against its function's delete: the lock makes one of the two
    -- see the other.
    SELECT deleted_at INTO deleted FROM shared_gateway.functions WHERE id = NEW.function_id FOR SHARE;
    IF deleted IS NOT NULL THEN
        PERFORM sandsweep.release_revision(NEW.function_id, NEW.id, 'function_deleted');
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION sandsweep.on_mapping_change() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF OLD.runtime_sandbox_id <> '' THEN
        UPDATE sandsweep.owned_resources SET state = 'released', released_at = clock_timestamp(),
               release_reason = sandsweep.release_reason(
                   CASE WHEN NEW.runtime_sandbox_id <> '' THEN 'replaced' ELSE 'unmapped' END)
        WHERE kind = 'sandbox' AND resource_id = OLD.runtime_sandbox_id
          AND revision_id = OLD.id AND state = 'in_use';
    END IF;
    IF NEW.runtime_sandbox_id <> '' THEN
        PERFORM sandsweep.map_sandbox(NEW);
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION sandsweep.on_revision_delete() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM sandsweep.release_revision(OLD.function_id, OLD.id, 'revision_removed');
    RETURN NULL;
END $$;

CREATE TRIGGER sandsweep_revision_insert AFTER INSERT ON shared_gateway.functions_revisions
    FOR EACH ROW EXECUTE FUNCTION sandsweep.on_revision_insert();
CREATE TRIGGER sandsweep_mapping_change AFTER UPDATE OF runtime_sandbox_id
    ON shared_gateway.functions_revisions
    FOR EACH ROW WHEN (OLD.runtime_sandbox_id IS DISTINCT FROM NEW.runtime_sandbox_id)
    EXECUTE FUNCTION sandsweep.on_mapping_change();
CREATE TRIGGER sandsweep_revision_delete AFTER DELETE ON shared_gateway.functions_revisions
    FOR EACH ROW EXECUTE FUNCTION sandsweep.on_revision_delete();

-- A soft delete takes every mapping and releases everything, whoever does it.
CREATE FUNCTION sandsweep.on_function_delete() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM set_config('sandsweep.reason', 'function_deleted', true);
    UPDATE shared_gateway.functions_revisions
        SET runtime_sandbox_id = NULL, runtime_context_id = NULL, runtime_updated_at = NULL
        WHERE function_id = NEW.id AND runtime_sandbox_id IS NOT NULL;
    UPDATE sandsweep.owned_resources SET state = 'released', released_at = clock_timestamp(),
           release_reason = 'function_deleted'
        WHERE function_id = NEW.id AND stage = 'in_use';
    RETURN NULL;
END $$;
CREATE TRIGGER sandsweep_function_delete AFTER UPDATE OF deleted_at ON shared_gateway.functions
    FOR EACH ROW WHEN (OLD.deleted_at IS NULL AND NEW.deleted_at IS NOT NULL)
    EXECUTE FUNCTION sandsweep.on_function_delete();

-- ---- what exists already ----
-- A database that Sandsweep joins: write down what its revisions own and map.
INSERT INTO sandsweep.owned_resources (kind, resource_id, parent_id, team_id, function_id, revision_id)
    SELECT p.kind, p.resource_id, p.parent_id, r.team_id, r.function_id, r.id
    FROM shared_gateway.functions_revisions r, sandsweep.published_resources(r) p
    ORDER BY r.created_at, r.id
    ON CONFLICT (kind, resource_id) DO NOTHING;
INSERT INTO sandsweep.owned_resources (kind, resource_id, team_id, function_id, revision_id)
    SELECT 'sandbox', r.runtime_sandbox_id, r.team_id, r.function_id, r.id
    FROM shared_gateway.functions_revisions r
    WHERE r.runtime_sandbox_id <> ''
      AND NOT EXISTS (SELECT FROM shared_gateway.functions_revisions s
                      WHERE s.source_sandbox_id = r.runtime_sandbox_id)
    ORDER BY r.runtime_updated_at, r.id
    ON CONFLICT (kind, resource_id) DO NOTHING;
-- Functions deleted before today left everything behind.
UPDATE shared_gateway.functions_revisions r
    SET runtime_sandbox_id = NULL, runtime_context_id = NULL, runtime_updated_at = NULL
    FROM shared_gateway.functions f
    WHERE f.id = r.function_id AND f.deleted_at IS NOT NULL AND r.runtime_sandbox_id IS NOT NULL;
UPDATE sandsweep.owned_resources o SET state = 'released', released_at = now(),
       release_reason = 'function_deleted'
    FROM shared_gateway.functions f
    WHERE f.id = o.function_id AND f.deleted_at IS NOT NULL AND o.state = 'in_use';

-- Who may do what, and whose rows each may see. Every program runs under a role of its own, which has the
-- rights that its statements need and no others; and what the API does is confined to one team in each
-- transaction, whatever its statements say.
--
-- The roles belong to the whole cluster, not to this database. Whoever migrates owns schema and tables, and
-- makes the roles where it may.
DO $$
DECLARE
    roles text[] := ARRAY['sandsweep_api', 'sandsweep_worker', 'sandsweep_reconcile'];
    -- Since 16 a member may have been denied to become the role.
    become text := CASE WHEN current_setting('server_version_num')::integer >= 160000 THEN 'SET' ELSE 'MEMBER' END;
    role text;
    missing text;
BEGIN
    -- Databases of one cluster may migrate at the same time: another one is first, and that is as good.
    FOREACH role IN ARRAY roles LOOP
        BEGIN
            IF to_regrole(role) IS NULL THEN
                EXECUTE format('CREATE ROLE %I NOLOGIN', role);
            END IF;
        EXCEPTION WHEN duplicate_object OR unique_violation OR insufficient_privilege THEN NULL;
        END;
    END LOOP;
    SELECT string_agg('CREATE ROLE ' || r, '; ') INTO missing FROM unnest(roles) r WHERE to_regrole(r) IS NULL;
    IF missing IS NOT NULL THEN
        RAISE EXCEPTION '% may not create roles: let a database administrator run "%", and migrate again',
            current_user, missing USING ERRCODE = 'insufficient_privilege';
    END IF;
    -- So that one login can be everything. Where logins are apart, it is none of this one's business.
    FOREACH role IN ARRAY roles LOOP
        BEGIN
            IF NOT pg_has_role(role, become) THEN
                EXECUTE format('GRANT %I TO CURRENT_USER', role);
            END IF;
        EXCEPTION WHEN duplicate_object OR unique_violation OR insufficient_privilege THEN NULL;
        END;
    END LOOP;
END $$;

-- A key tells the team, so it is looked up before there is one. Who asks must know the key: nobody can go
-- through the table.
CREATE FUNCTION sandsweep.find_key(hash text) RETURNS SETOF sandsweep.api_keys LANGUAGE plpgsql STABLE
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN QUERY SELECT * FROM sandsweep.api_keys k WHERE k.sha256 = hash;
END $$;

-- Only the owner of a table may analyze it.
CREATE FUNCTION sandsweep.analyze_tables() RETURNS void LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    ANALYZE (SKIP_LOCKED) sandsweep.owned_resources, shared_gateway.functions, shared_gateway.functions_revisions;
END $$;

-- ---- rights ----
-- A row is locked by whoever may update any column of it, even FOR SHARE: where a program only locks, it is
-- given a column that harms nobody.
GRANT USAGE ON SCHEMA sandsweep, shared_gateway TO sandsweep_api, sandsweep_worker, sandsweep_reconcile;
GRANT SELECT ON sandsweep.schema_migrations TO sandsweep_api, sandsweep_worker, sandsweep_reconcile;

GRANT SELECT, INSERT, UPDATE (name, enabled, autoscaling, active_revision_id, deleted_at)
    ON shared_gateway.functions TO sandsweep_api;
GRANT SELECT, INSERT, UPDATE (runtime_sandbox_id, runtime_context_id, runtime_updated_at)
    ON shared_gateway.functions_revisions TO sandsweep_api;
GRANT SELECT, INSERT, UPDATE (revision_id, updated_by, updated_at) ON shared_gateway.functions_aliases TO sandsweep_api;
GRANT INSERT (team_id, function_id, channel, type, traceparent, data), SELECT (event_id, type)
    ON sandsweep.outbox TO sandsweep_api;
GRANT INSERT (team_id, actor, action, function_id, request_id, details) ON sandsweep.audit_log TO sandsweep_api;
GRANT SELECT ON sandsweep.owned_resources TO sandsweep_api;
GRANT SELECT, INSERT (id, team_id, function_id, revision_id), UPDATE (closed_at, outcome)
    ON sandsweep.publish_attempts TO sandsweep_api;

GRANT SELECT (id, team_id, deleted_at) ON shared_gateway.functions TO sandsweep_worker;
GRANT SELECT (id, function_id, source_sandbox_id, restore_mounts, runtime_sandbox_id), UPDATE (runtime_updated_at)
    ON shared_gateway.functions_revisions TO sandsweep_worker;
GRANT SELECT, UPDATE (doomed_at, deleting_at, ended_at, due_at, queued_at, accepted_at, lease, state, attempts, last_status,
        doom_reason, error_class, last_error, lease_owner, event_id, traceparent, evidence)
    ON sandsweep.owned_resources TO sandsweep_worker;
GRANT USAGE ON SEQUENCE sandsweep.lease_seq TO sandsweep_worker;
GRANT SELECT, INSERT, UPDATE (due_at), DELETE ON sandsweep.due TO sandsweep_worker;
GRANT SELECT, INSERT (team_id, function_id, channel, type, traceparent, data), DELETE ON sandsweep.outbox TO sandsweep_worker;
GRANT INSERT (team_id, actor, action, function_id, details) ON sandsweep.audit_log TO sandsweep_worker;
GRANT SELECT, INSERT (team_id), UPDATE (spent, spent_at, empty_since) ON sandsweep.delete_budgets TO sandsweep_worker;
GRANT SELECT (since, young, closed_at) ON sandsweep.drift TO sandsweep_worker;
GRANT SELECT (id, finished_at, outcome) ON sandsweep.reconcile_runs TO sandsweep_worker;

GRANT SELECT, UPDATE (updated_at) ON shared_gateway.functions TO sandsweep_reconcile;
GRANT SELECT, UPDATE (runtime_sandbox_id, runtime_context_id, runtime_updated_at)
    ON shared_gateway.functions_revisions TO sandsweep_reconcile;
GRANT SELECT, DELETE, INSERT (team_id, function_id, revision_id, kind, resource_id),
        UPDATE (released_at, doomed_at, deleting_at, ended_at, due_at, queued_at, accepted_at, lease, state, attempts,
                last_status, release_reason, doom_reason, error_class, last_error, lease_owner, event_id, traceparent, finding)
    ON sandsweep.owned_resources TO sandsweep_reconcile;
GRANT SELECT, INSERT, DELETE ON sandsweep.due TO sandsweep_reconcile;
GRANT SELECT (event_id, created_at, team_id, function_id), INSERT (event_id, team_id, function_id, channel, type, data)
    ON sandsweep.outbox TO sandsweep_reconcile;
GRANT SELECT, INSERT (team_id, actor, action, function_id, details) ON sandsweep.audit_log TO sandsweep_reconcile;
GRANT SELECT, UPDATE (closed_at, outcome, sandbox_id), DELETE ON sandsweep.restore_attempts TO sandsweep_reconcile;
GRANT SELECT, UPDATE (closed_at, outcome), DELETE ON sandsweep.publish_attempts TO sandsweep_reconcile;
GRANT SELECT, INSERT (team_id, live), UPDATE (live) ON sandsweep.delete_budgets TO sandsweep_reconcile;
GRANT SELECT, INSERT, UPDATE ON sandsweep.reconcile_shards TO sandsweep_reconcile;
GRANT SELECT, INSERT, UPDATE, DELETE ON sandsweep.reconcile_runs, sandsweep.drift TO sandsweep_reconcile;
GRANT SELECT, INSERT ON sandsweep.reconcile_findings TO sandsweep_reconcile;

GRANT SELECT, INSERT ON sandsweep.idempotency_keys TO sandsweep_api;
GRANT SELECT, DELETE ON sandsweep.publish_steps TO sandsweep_reconcile;

-- What runs with its owner's rights is not for everybody. (A trigger needs no right to fire, only to be put on
-- a table: whoever could do that might feed it what it likes.)
DO $$
DECLARE
    item record;
BEGIN
    FOR item IN
        SELECT p.oid::regprocedure AS name, CASE
               WHEN p.prorettype = 'trigger'::regtype THEN NULL
               WHEN p.proname = 'analyze_tables' THEN 'sandsweep_reconcile'
               ELSE 'sandsweep_api' END AS role
        FROM pg_proc p WHERE p.pronamespace = 'sandsweep'::regnamespace AND p.prosecdef
    LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', item.name);
        IF item.role IS NOT NULL THEN
            EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %s', item.name, item.role);
        END IF;
    END LOOP;
END $$;

-- A run keeps what it lists in temporary tables. Everybody may, unless it was taken from them.
DO $$
BEGIN
    IF NOT has_database_privilege('sandsweep_reconcile', current_database(), 'TEMPORARY') THEN
        EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO sandsweep_reconcile', current_database());
    END IF;
    -- Both say no more than a warning when they cannot.
    IF NOT has_database_privilege('sandsweep_reconcile', current_database(), 'TEMPORARY') THEN
        RAISE EXCEPTION 'let the owner of the database run "GRANT TEMPORARY ON DATABASE % TO sandsweep_reconcile", and migrate again',
            quote_ident(current_database()) USING ERRCODE = 'insufficient_privilege';
    ELSIF NOT has_schema_privilege('sandsweep_api', 'shared_gateway', 'USAGE') THEN
        RAISE EXCEPTION 'let the owner of the schema run "GRANT USAGE ON SCHEMA shared_gateway TO sandsweep_api, sandsweep_worker, sandsweep_reconcile", and migrate again'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
END $$;

-- ---- tenants ----

-- Puts every table that has a team under the rule: whoever has rights on it sees all of it, but sandsweep_api
-- only the rows of the transaction's team. For after the making of a table, a change of rights, or one of
-- owners; again and again does no harm.
--   ours: the rule holds for the owner too, who has a policy as the others have (a constant one, of which no
--     plan knows)
--   the function tables: others use them, with roles that are not known here, so everybody has the constant
--     policy, and a second one narrows what sandsweep_api sees. A revision of the team's must also be of one
--     of its functions. Their owner stands outside, as before: it must be able to dump them, and our triggers
--     must see all of them whatever roles it is a member of.
CREATE FUNCTION sandsweep.keep_tenants_apart() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    of_team CONSTANT text := 'team_id = sandsweep.team()';
    of_function CONSTANT text := 'EXISTS (SELECT FROM shared_gateway.functions f '
                                 'WHERE f.id = function_id AND f.team_id = sandsweep.team())';
    item record;
    policy name;
BEGIN
    FOR item IN
        SELECT c.oid, format('%I.%I', n.nspname, c.relname) AS name, n.nspname = 'shared_gateway' AS shared,
               CASE c.relname WHEN 'functions_aliases' THEN of_function ELSE of_team END AS rule,
               c.relrowsecurity AS guarded, quote_ident(pg_get_userbyid(c.relowner)) AS owner,
               ARRAY(SELECT p.polname FROM pg_policy p WHERE p.polrelid = c.oid) AS policies,
               ARRAY(SELECT r FROM unnest(ARRAY['sandsweep_api', 'sandsweep_worker', 'sandsweep_reconcile']) r
                     WHERE has_any_column_privilege(r, c.oid, 'SELECT, INSERT, UPDATE')
                        OR has_table_privilege(r, c.oid, 'DELETE')) AS roles
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'p')
          AND CASE n.nspname
              WHEN 'sandsweep' THEN EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'team_id')
              WHEN 'shared_gateway' THEN c.relname IN ('functions', 'functions_revisions', 'functions_aliases')
              ELSE false END
        ORDER BY 2
    LOOP
        IF 'sandsweep_everybody' <> ALL (item.policies) AND item.shared AND (item.guarded OR item.policies <> '{}') THEN
            RAISE EXCEPTION '% has row-level security of another service, which a policy of ours for everybody would undo: take it off, or give Sandsweep function tables of its own',
                item.name USING ERRCODE = 'feature_not_supported';
        END IF;
        FOREACH policy IN ARRAY item.policies LOOP
            IF policy LIKE 'sandsweep\_%' THEN
                EXECUTE format('DROP POLICY %I ON %s', policy, item.name);
            END IF;
        END LOOP;
        EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', item.name);
        IF item.shared THEN
            EXECUTE format('CREATE POLICY sandsweep_everybody ON %s USING (true)', item.name);
            EXECUTE format('CREATE POLICY sandsweep_team ON %s AS RESTRICTIVE TO sandsweep_api USING (%s)', item.name, item.rule);
            -- (For INSERT alone: it may not change whose a revision is, and only publishing pays for it.)
            IF item.name = 'shared_gateway.functions_revisions' THEN
                EXECUTE format('CREATE POLICY sandsweep_function ON %s AS RESTRICTIVE FOR INSERT TO sandsweep_api WITH CHECK (%s)',
                               item.name, of_function);
            END IF;
            CONTINUE;
        END IF;
        EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', item.name);
        EXECUTE format('CREATE POLICY sandsweep_all ON %s TO %s USING (true)', item.name,
                       array_to_string(array_remove(item.roles, 'sandsweep_api') || item.owner, ', '));
        IF 'sandsweep_api' = ANY (item.roles) THEN
            EXECUTE format('CREATE POLICY sandsweep_team ON %s TO sandsweep_api USING (%s)', item.name, item.rule);
        END IF;
    END LOOP;
END $$;
SELECT sandsweep.keep_tenants_apart();

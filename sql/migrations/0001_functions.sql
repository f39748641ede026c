-- The function tables, shared with the platform's own gateway: same schema, names and columns, so
-- that Sandsweep can join a database in which they exist, with or without the later columns.
CREATE SCHEMA IF NOT EXISTS shared_gateway;

CREATE TABLE IF NOT EXISTS shared_gateway.functions (
    id                 uuid PRIMARY KEY,
    team_id            uuid NOT NULL,
    name               text NOT NULL,
    slug               text NOT NULL,
    domain_label       text NOT NULL,
    active_revision_id uuid,
    created_by         uuid,
    created_at         timestamptz NOT NULL DEFAULT now(),
    updated_at         timestamptz NOT NULL DEFAULT now(),
    enabled            boolean NOT NULL DEFAULT true,
    deleted_at         timestamptz,
    UNIQUE (team_id, slug),
    UNIQUE (domain_label)
);
ALTER TABLE shared_gateway.functions ADD COLUMN IF NOT EXISTS autoscaling jsonb NOT NULL DEFAULT
    '{"min_warm": 0, "max_active": 20, "target_concurrency": 80, "scale_down_after_seconds": 300}';

CREATE TABLE IF NOT EXISTS shared_gateway.functions_revisions (
    id                 uuid PRIMARY KEY,
    function_id        uuid NOT NULL REFERENCES shared_gateway.functions (id) ON DELETE CASCADE,
    team_id            uuid NOT NULL,
    revision_number    integer NOT NULL,
    source_sandbox_id  text NOT NULL,
    source_service_id  text NOT NULL,
    source_template_id text NOT NULL,
    restore_mounts     jsonb NOT NULL DEFAULT '[]',
    service_snapshot   jsonb NOT NULL,
    runtime_sandbox_id text,
    runtime_context_id text,
    runtime_updated_at timestamptz,
    created_by         uuid,
    created_at         timestamptz NOT NULL DEFAULT now(),
    UNIQUE (function_id, revision_number)
);
ALTER TABLE shared_gateway.functions_revisions
    ADD COLUMN IF NOT EXISTS source_type text NOT NULL DEFAULT 'sandbox_service'
        CHECK (source_type IN ('sandbox_service', 'revision_spec', 'artifact')),
    ADD COLUMN IF NOT EXISTS revision_spec jsonb NOT NULL DEFAULT '{}',
    ADD COLUMN IF NOT EXISTS provenance jsonb NOT NULL DEFAULT '{}';

DO $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM pg_constraint
        WHERE conrelid = 'shared_gateway.functions'::regclass AND contype = 'f'
          AND confrelid = 'shared_gateway.functions_revisions'::regclass) THEN
        ALTER TABLE shared_gateway.functions
            ADD CONSTRAINT functions_active_revision_id_fkey FOREIGN KEY (active_revision_id)
            REFERENCES shared_gateway.functions_revisions (id) ON DELETE SET NULL;
    END IF;
END $$;

CREATE TABLE IF NOT EXISTS shared_gateway.functions_aliases (
    function_id uuid NOT NULL REFERENCES shared_gateway.functions (id) ON DELETE CASCADE,
    alias       text NOT NULL,
    revision_id uuid NOT NULL REFERENCES shared_gateway.functions_revisions (id) ON DELETE CASCADE,
    updated_by  uuid,
    updated_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (function_id, alias)
);

CREATE FUNCTION sandsweep.touch_updated_at() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at := now();
    RETURN NEW;
END $$;
CREATE OR REPLACE TRIGGER sandsweep_touch BEFORE UPDATE ON shared_gateway.functions
    FOR EACH ROW EXECUTE FUNCTION sandsweep.touch_updated_at();

CREATE INDEX IF NOT EXISTS sandsweep_functions_live ON shared_gateway.functions (team_id, updated_at DESC)
    WHERE deleted_at IS NULL;
-- What the claim asks of every row that it is about to delete: who maps this sandbox, whose source
-- is it, which revisions name this volume or snapshot.
CREATE INDEX IF NOT EXISTS sandsweep_revisions_runtime
    ON shared_gateway.functions_revisions (runtime_sandbox_id) WHERE runtime_sandbox_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS sandsweep_revisions_source
    ON shared_gateway.functions_revisions (source_sandbox_id);
CREATE INDEX IF NOT EXISTS sandsweep_revisions_mounts
    ON shared_gateway.functions_revisions USING gin (restore_mounts jsonb_path_ops);

-- The function tables as an older gateway made them: without the later columns.
CREATE SCHEMA shared_gateway;
CREATE TABLE shared_gateway.functions (
    id UUID PRIMARY KEY, team_id UUID NOT NULL, name TEXT NOT NULL, slug TEXT NOT NULL, domain_label TEXT NOT NULL,
    active_revision_id UUID, created_by UUID, created_at TIMESTAMPTZ NOT NULL DEFAULT NOW(), updated_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
    enabled BOOLEAN NOT NULL DEFAULT TRUE, deleted_at TIMESTAMPTZ, UNIQUE (team_id, slug), UNIQUE (domain_label));
CREATE TABLE shared_gateway.functions_revisions (
    id UUID PRIMARY KEY, function_id UUID NOT NULL REFERENCES shared_gateway.functions(id) ON DELETE CASCADE, team_id UUID NOT NULL,
    revision_number INTEGER NOT NULL, source_sandbox_id TEXT NOT NULL, source_service_id TEXT NOT NULL, source_template_id TEXT NOT NULL,
    restore_mounts JSONB NOT NULL DEFAULT '[]'::jsonb, service_snapshot JSONB NOT NULL, runtime_sandbox_id TEXT, runtime_context_id TEXT,
    runtime_updated_at TIMESTAMPTZ, created_by UUID, created_at TIMESTAMPTZ NOT NULL DEFAULT NOW(), UNIQUE (function_id, revision_number));
ALTER TABLE shared_gateway.functions ADD CONSTRAINT fk_active FOREIGN KEY (active_revision_id) REFERENCES shared_gateway.functions_revisions(id) ON DELETE SET NULL;
CREATE TABLE shared_gateway.functions_aliases (
    function_id UUID REFERENCES shared_gateway.functions(id) ON DELETE CASCADE, alias TEXT, revision_id UUID NOT NULL REFERENCES shared_gateway.functions_revisions(id) ON DELETE CASCADE,
    updated_by UUID, updated_at TIMESTAMPTZ NOT NULL DEFAULT NOW(), PRIMARY KEY (function_id, alias));

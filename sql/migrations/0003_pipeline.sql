-- The rest of the house: events on their way, who may ask, who asked for what, and the traces that
-- restores and reconciliations leave.

-- Written in the transaction that changes the state; a row goes when the broker has confirmed it.
CREATE TABLE sandsweep.outbox (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id    uuid NOT NULL DEFAULT gen_random_uuid(),
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    team_id     uuid NOT NULL,
    function_id uuid NOT NULL,            -- the key of the message
    channel     text NOT NULL CHECK (channel IN ('events', 'results')),
    type        text NOT NULL,            -- the CloudEvents type
    traceparent text,
    data        json NOT NULL             -- written once and read once: as text
) WITH (fillfactor = 100, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000,
        autovacuum_vacuum_cost_delay = 0);

CREATE TABLE sandsweep.api_keys (
    id              uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    sha256          text NOT NULL UNIQUE CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    name            text NOT NULL,
    region          text NOT NULL,
    scope           text NOT NULL CHECK (scope IN ('team', 'platform')),
    team_id         uuid CHECK ((scope = 'team') = (team_id IS NOT NULL)),
    principal       uuid NOT NULL,
    permissions     text[] NOT NULL,
    rate_per_second bigint CHECK (rate_per_second > 0),
    created_at      timestamptz NOT NULL DEFAULT now(),
    expires_at      timestamptz,
    revoked_at      timestamptz
);

CREATE TABLE sandsweep.audit_log (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at          timestamptz NOT NULL DEFAULT clock_timestamp(),
    team_id     uuid,
    actor       text NOT NULL,            -- an API principal, or the account of an operator
    action      text NOT NULL,
    function_id uuid,
    request_id  text,
    details     jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX audit_log_function ON sandsweep.audit_log (function_id, at) WHERE function_id IS NOT NULL;

-- Written before the platform is asked for a sandbox, closed in the transaction that sets the
-- mapping: a crash between the two leaves a trace by which the sandbox can be proved ours.
CREATE TABLE sandsweep.restore_attempts (
    id          uuid PRIMARY KEY,         -- SANDSWEEP_RUNTIME in the claimed service's environment
    team_id     uuid NOT NULL,
    function_id uuid NOT NULL,
    revision_id uuid NOT NULL,
    template_id text NOT NULL,
    started_at  timestamptz NOT NULL DEFAULT now(),
    closed_at   timestamptz,
    outcome     text CHECK (outcome IN ('mapped', 'failed', 'abandoned')),
    sandbox_id  text,
    CHECK ((closed_at IS NULL) = (outcome IS NULL))
);
CREATE INDEX restore_attempts_open ON sandsweep.restore_attempts (team_id, template_id, started_at)
    WHERE closed_at IS NULL;

CREATE TABLE sandsweep.reconcile_runs (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    started_at  timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    actor       text NOT NULL,
    mode        text NOT NULL CHECK (mode IN ('observe', 'repair')),
    outcome     text,
    counts      jsonb NOT NULL DEFAULT '{}'
);

-- The place where migrations are remembered.
CREATE TABLE IF NOT EXISTS sandsweep.schema_migrations (
    version    integer PRIMARY KEY,
    name       text NOT NULL,
    sha256     text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)

-- Our own schema.
CREATE SCHEMA IF NOT EXISTS sandsweep

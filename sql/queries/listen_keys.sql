-- Hear of changed API keys.
LISTEN sandsweep_keys

-- Hear of new outbox rows.
LISTEN sandsweep_outbox

-- Tell the relays that there are new outbox rows.
SELECT pg_notify('sandsweep_outbox', '')

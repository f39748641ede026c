-- One migration at a time in this database; released with the session.
SELECT pg_advisory_lock(hashtextextended('sandsweep.migrate', 0))

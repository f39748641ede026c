-- Stand for the one active relay of this database; the session keeps the office until it ends.
SELECT pg_try_advisory_lock(hashtextextended('sandsweep.relay', 0)) AS elected

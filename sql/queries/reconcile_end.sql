-- Gives the lock back now, and not when the server has noticed that nobody is there.
SELECT pg_advisory_unlock_all()::text AS ended

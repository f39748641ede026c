-- What listings are compared with. (A sample of each table; one that is not ours to analyze, or is busy, is
-- passed over.)
SELECT sandsweep.analyze_tables()::text AS analyzed

-- How the listings went, of one team and kind each.
-- $1 teams, $2 kinds, $3 complete, $4 what was wrong or NULL, $5 rows, $6 pages; arrays of one length
INSERT INTO pg_temp.listings (team_id, kind, complete, reason, rows, pages)
SELECT l.* FROM unnest($1::uuid[], $2::sandsweep.resource_kind[], $3::boolean[], $4::text[], $5::bigint[], $6::bigint[]) AS l

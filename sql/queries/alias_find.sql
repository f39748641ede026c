-- The aliases of a function by name, or one of them. A function without gives one empty row.
-- $1 team, $2 the text of the path, $3 the same as a UUID or NULL, $4 alias or NULL
WITH target AS (
    SELECT f.id
    FROM shared_gateway.functions f
    WHERE f.team_id = $1::uuid AND f.deleted_at IS NULL AND (f.id = $3::uuid OR f.slug = $2)
    ORDER BY f.id = $3::uuid DESC NULLS LAST
    LIMIT 1
)
SELECT a.function_id, a.alias, a.revision_id, coalesce(r.revision_number, 0) AS revision_number, a.updated_by, a.updated_at
FROM target t
LEFT JOIN shared_gateway.functions_aliases a ON a.function_id = t.id AND ($4::text IS NULL OR a.alias = $4)
LEFT JOIN shared_gateway.functions_revisions r ON r.id = a.revision_id
ORDER BY a.alias

-- The revisions of a function, newest first, or one of them. A function without gives one empty row.
-- $1 team, $2 the text of the path, $3 the same as a UUID or NULL, $4 number or NULL
WITH target AS (
    SELECT f.id
    FROM shared_gateway.functions f
    WHERE f.team_id = $1::uuid AND f.deleted_at IS NULL AND (f.id = $3::uuid OR f.slug = $2)
    ORDER BY f.id = $3::uuid DESC NULLS LAST
    LIMIT 1
)
SELECT r.id, r.function_id, r.team_id, r.revision_number, r.source_type, r.source_sandbox_id, r.source_service_id,
       r.source_template_id, nullif(jsonb_strip_nulls(r.restore_mounts), '[]') AS restore_mounts,
       jsonb_strip_nulls(r.service_snapshot) AS service_snapshot,
       jsonb_strip_nulls(sandsweep.revision_spec(r)) AS revision_spec, nullif(jsonb_strip_nulls(r.provenance), '{}') AS provenance,
       r.runtime_sandbox_id, r.runtime_context_id, r.runtime_updated_at, r.created_by, r.created_at
FROM target t
LEFT JOIN shared_gateway.functions_revisions r
    ON r.function_id = t.id AND ($4::integer IS NULL OR r.revision_number = $4::integer)
ORDER BY r.revision_number DESC

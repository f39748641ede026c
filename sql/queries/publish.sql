-- A publish becomes a revision: what came before it was only prepared.
-- $1 team, $2 function id, $3 revision id, $4 jsonb of the new function, or NULL: one that is there,
-- $5 jsonb of the revision, $6 whether production shall name it, $7 principal, $8 request id,
-- $9 idempotency key or NULL, $10 its fingerprint
WITH published AS MATERIALIZED (
    SELECT * FROM sandsweep.publish($1::uuid, $2::uuid, $3::uuid, $4::jsonb, $5::jsonb, $6::boolean, $7::uuid)
), audited AS (
    INSERT INTO sandsweep.audit_log (team_id, actor, action, function_id, request_id, details)
    SELECT $1::uuid, $7, CASE WHEN $4::jsonb IS NULL THEN 'revision.create' ELSE 'function.create' END, (p.rev).function_id,
           $8, jsonb_build_object('revision_id', (p.rev).id, 'revision_number', (p.rev).revision_number,
                                  'source_type', (p.rev).source_type, 'promoted', $6::boolean)
    FROM published p WHERE p.outcome = 'published'
), answer AS (
    SELECT (p.fn).id AS f_id, (p.fn).team_id AS f_team_id, (p.fn).active_revision_id AS f_active_revision_id,
           (p.fn).created_by AS f_created_by, (p.fn).name AS f_name, (p.fn).slug AS f_slug,
           (p.fn).domain_label AS f_domain_label, (p.fn).enabled AS f_enabled, (p.fn).created_at AS f_created_at,
           (p.fn).updated_at AS f_updated_at, (p.fn).deleted_at AS f_deleted_at,
           (p.fn).autoscaling ->> 'min_warm' AS f_min_warm,
           (p.fn).autoscaling ->> 'max_active' AS f_max_active,
           (p.fn).autoscaling ->> 'target_concurrency' AS f_target_concurrency,
           (p.fn).autoscaling ->> 'scale_down_after_seconds' AS f_scale_down_after_seconds,
           (p.rev).id AS r_id, (p.rev).function_id AS r_function_id, (p.rev).team_id AS r_team_id,
           (p.rev).revision_number AS r_revision_number, (p.rev).source_type AS r_source_type,
           (p.rev).source_sandbox_id AS r_source_sandbox_id, (p.rev).source_service_id AS r_source_service_id,
           (p.rev).source_template_id AS r_source_template_id,
           nullif(jsonb_strip_nulls((p.rev).restore_mounts), '[]') AS r_restore_mounts,
           jsonb_strip_nulls((p.rev).service_snapshot) AS r_service_snapshot,
           jsonb_strip_nulls(sandsweep.revision_spec((p.rev))) AS r_revision_spec,
           nullif(jsonb_strip_nulls((p.rev).provenance), '{}') AS r_provenance, (p.rev).runtime_sandbox_id AS r_runtime_sandbox_id,
           (p.rev).runtime_context_id AS r_runtime_context_id, (p.rev).runtime_updated_at AS r_runtime_updated_at,
           (p.rev).created_by AS r_created_by, (p.rev).created_at AS r_created_at,
           (p.alias).function_id AS a_function_id, (p.alias).alias AS a_alias, (p.alias).revision_id AS a_revision_id,
           (p.rev).revision_number AS a_revision_number, (p.alias).updated_by AS a_updated_by,
           (p.alias).updated_at AS a_updated_at
    FROM published p WHERE p.outcome = 'published'
), kept AS (
    INSERT INTO sandsweep.idempotency_keys (team_id, key, fingerprint, result)
    SELECT $1::uuid, $9, $10, to_jsonb(a) FROM answer a WHERE $9::text IS NOT NULL
)
SELECT p.outcome,
       a.f_id, a.f_team_id, a.f_active_revision_id, a.f_created_by, a.f_name, a.f_slug, a.f_domain_label, a.f_enabled,
       a.f_created_at, a.f_updated_at, a.f_deleted_at, a.f_min_warm, a.f_max_active, a.f_target_concurrency,
       a.f_scale_down_after_seconds, a.r_id, a.r_function_id, a.r_team_id, a.r_revision_number, a.r_source_type,
       a.r_source_sandbox_id, a.r_source_service_id, a.r_source_template_id, a.r_restore_mounts, a.r_service_snapshot,
       a.r_revision_spec, a.r_provenance, a.r_runtime_sandbox_id, a.r_runtime_context_id, a.r_runtime_updated_at,
       a.r_created_by, a.r_created_at, a.a_function_id, a.a_alias, a.a_revision_id, a.a_revision_number,
       a.a_updated_by, a.a_updated_at
FROM published p LEFT JOIN answer a ON true

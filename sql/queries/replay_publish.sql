-- What was answered to a publish under this key, if anything; an error when it was another request.
-- $1 team, $2 key, $3 fingerprint
SELECT 'published'::text AS outcome,
       x.f_id, x.f_team_id, x.f_active_revision_id, x.f_created_by, x.f_name, x.f_slug, x.f_domain_label, x.f_enabled,
       x.f_created_at, x.f_updated_at, x.f_deleted_at, x.f_min_warm, x.f_max_active, x.f_target_concurrency,
       x.f_scale_down_after_seconds, x.r_id, x.r_function_id, x.r_team_id, x.r_revision_number, x.r_source_type,
       x.r_source_sandbox_id, x.r_source_service_id, x.r_source_template_id, x.r_restore_mounts, x.r_service_snapshot,
       x.r_revision_spec, x.r_provenance, x.r_runtime_sandbox_id, x.r_runtime_context_id, x.r_runtime_updated_at,
       x.r_created_by, x.r_created_at, x.a_function_id, x.a_alias, x.a_revision_id, x.a_revision_number,
       x.a_updated_by, x.a_updated_at
FROM sandsweep.idempotency_result($1::uuid, $2, $3) AS k (result),
     jsonb_to_record(k.result) AS x (
         f_id uuid, f_team_id uuid, f_active_revision_id uuid, f_created_by uuid, f_name text, f_slug text,
         f_domain_label text, f_enabled boolean, f_created_at timestamptz, f_updated_at timestamptz,
         f_deleted_at timestamptz, f_min_warm text, f_max_active text, f_target_concurrency text,
         f_scale_down_after_seconds text, r_id uuid, r_function_id uuid, r_team_id uuid, r_revision_number integer,
         r_source_type text, r_source_sandbox_id text, r_source_service_id text, r_source_template_id text,
         r_restore_mounts jsonb, r_service_snapshot jsonb, r_revision_spec jsonb, r_provenance jsonb,
         r_runtime_sandbox_id text, r_runtime_context_id text, r_runtime_updated_at timestamptz, r_created_by uuid,
         r_created_at timestamptz, a_function_id uuid, a_alias text, a_revision_id uuid, a_revision_number integer,
         a_updated_by uuid, a_updated_at timestamptz)
WHERE k.result IS NOT NULL

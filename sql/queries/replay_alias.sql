-- What was answered to a change of an alias under this key, if anything; an error when it was another request.
-- $1 team, $2 key, $3 fingerprint
SELECT 'set'::text AS outcome, x.function_id, x.alias, x.revision_id, x.revision_number, x.updated_by, x.updated_at
FROM sandsweep.idempotency_result($1::uuid, $2, $3) AS k (result),
     jsonb_to_record(k.result) AS x (
         function_id uuid, alias text, revision_id uuid, revision_number integer, updated_by uuid,
         updated_at timestamptz)
WHERE k.result IS NOT NULL

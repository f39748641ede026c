-- Under whose rights a connection works.
-- $1 the role that it should have
SELECT session_user::text AS login, current_user = $1::text AS taken, to_regrole($1) IS NOT NULL AS known,
       CASE WHEN to_regrole($1) IS NULL THEN false
            WHEN current_setting('server_version_num')::integer >= 160000 THEN pg_has_role($1::name, 'SET')
            ELSE pg_has_role($1::name, 'MEMBER') END AS allowed

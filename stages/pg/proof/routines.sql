-- Routines with the function that checks their body, if their language has one. Those of extensions are not ours. An
-- aggregate has no body: what stands in its place, the server's own check refuses.
SELECT
    p.oid::bigint, n.nspname, p.proname, pg_catalog.pg_get_function_identity_arguments(p.oid),
    CASE WHEN l.lanvalidator = 0 OR p.prokind = 'a' THEN '' ELSE l.lanvalidator::pg_catalog.regproc::text END
FROM pg_catalog.pg_proc p
JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
JOIN pg_catalog.pg_language l ON l.oid = p.prolang
WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
    AND NOT EXISTS (
        SELECT FROM pg_catalog.pg_depend d
        WHERE d.classid = 'pg_catalog.pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
    )
ORDER BY 2, 3, 4

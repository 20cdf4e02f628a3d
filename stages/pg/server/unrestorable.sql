WITH mine AS (
    SELECT n.oid, n.nspowner FROM pg_namespace n
    WHERE n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', %(control)s)
), made(classid, objid, owner, home) AS (
    SELECT 'pg_class'::regclass, oid, relowner, relnamespace FROM pg_class
    WHERE relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
    UNION ALL SELECT 'pg_proc'::regclass, oid, proowner, pronamespace FROM pg_proc
    UNION ALL SELECT 'pg_type'::regclass, oid, typowner, typnamespace FROM pg_type WHERE typrelid = 0 AND typelem = 0
    UNION ALL SELECT 'pg_foreign_server'::regclass, oid, srvowner, NULL FROM pg_foreign_server
    UNION ALL SELECT 'pg_foreign_data_wrapper'::regclass, oid, fdwowner, NULL FROM pg_foreign_data_wrapper
    UNION ALL SELECT 'pg_event_trigger'::regclass, oid, evtowner, NULL FROM pg_event_trigger
    UNION ALL SELECT 'pg_publication'::regclass, oid, pubowner, NULL FROM pg_publication
    UNION ALL SELECT 'pg_extension'::regclass, oid, extowner, NULL FROM pg_extension WHERE extname <> 'plpgsql'
    UNION ALL SELECT 'pg_largeobject'::regclass, oid, lomowner, NULL FROM pg_largeobject_metadata
), theirs AS (
    SELECT pg_describe_object(classid, objid, 0) AS what, classid = 'pg_class'::regclass AS first FROM made
    WHERE NOT pg_has_role(owner, 'USAGE') AND (home IS NULL OR home IN (SELECT oid FROM mine))
    AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = made.classid AND d.objid = made.objid
                    AND d.deptype IN ('e', 'i'))
)
SELECT 1, 'ownership of ' || string_agg(what, ', ' ORDER BY first DESC, what)
          || CASE WHEN max(total) > 5 THEN ' and ' || max(total) - 5 || ' more' ELSE '' END
FROM (SELECT what, first, count(*) OVER () AS total FROM theirs ORDER BY first DESC, what LIMIT 5) AS few
HAVING count(*) > 0
UNION ALL SELECT 2, 'CREATE on schema ' || quote_ident(nspname) FROM pg_namespace JOIN mine USING (oid)
WHERE NOT has_schema_privilege(oid, 'CREATE') AND NOT pg_has_role(pg_namespace.nspowner, 'USAGE')
AND (nspname = 'public' OR EXISTS (SELECT FROM made WHERE home = oid))
UNION ALL SELECT 3, 'CREATE on database ' || quote_ident(current_database())
WHERE NOT has_database_privilege(current_database(), 'CREATE')
AND (EXISTS (SELECT FROM mine JOIN pg_namespace USING (oid) WHERE nspname <> 'public')
     OR EXISTS (SELECT FROM pg_extension WHERE extname <> 'plpgsql'))
UNION ALL SELECT 4, 'superuser, to create the extension ' || quote_ident(e.extname) FROM pg_extension e
JOIN pg_available_extension_versions v ON v.name = e.extname AND v.version = e.extversion
WHERE v.superuser AND NOT v.trusted
ORDER BY 1, 2

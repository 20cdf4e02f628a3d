SELECT p.oid::bigint, n.nspname::text, p.proname::text, p.oid::regprocedure::text, l.lanname::text, p.prosrc,
       EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'),
       EXISTS (SELECT FROM unnest(p.proconfig) s WHERE s LIKE 'search\_path=%%')
FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE l.lanname IN ('sql', 'plpgsql')
AND (p.oid = ANY (%(oids)s::bigint[])
     OR (n.nspname, p.proname) IN (SELECT * FROM unnest(%(schemas)s::text[], %(names)s::text[])) AND p.oid >= 16384)

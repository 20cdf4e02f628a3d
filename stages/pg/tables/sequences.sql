-- The sequences that columns of these tables own.
SELECT n.nspname::text, s.relname::text FROM pg_catalog.pg_depend d
JOIN pg_catalog.pg_class s ON s.oid = d.objid AND s.relkind = 'S'
JOIN pg_catalog.pg_namespace n ON n.oid = s.relnamespace
WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.refclassid = 'pg_catalog.pg_class'::regclass
AND d.deptype IN ('a', 'i') AND d.refobjsubid > 0 AND d.refobjid = ANY (%s::oid[]) ORDER BY 1, 2

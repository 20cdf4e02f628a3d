-- $1: the preserved tables. What is held: (what it is of, name, definition, comment, whether a preserved table's).
SELECT pg_catalog.format('%s %s.%s', CASE WHEN c.contypid = 0 THEN 'TABLE' ELSE 'DOMAIN' END,
           pg_catalog.quote_ident(n.nspname), pg_catalog.quote_ident(coalesce(t.relname, d.typname))),
       pg_catalog.quote_ident(c.conname), pg_catalog.pg_get_constraintdef(c.oid),
       coalesce(pg_catalog.quote_literal(pg_catalog.obj_description(c.oid, 'pg_constraint')), ''),
       EXISTS (SELECT FROM unnest($1::text[]) k WHERE pg_catalog.to_regclass(k) = c.conrelid
               OR pg_catalog.to_regclass(k) IN (SELECT relid FROM pg_catalog.pg_partition_ancestors(c.conrelid)))::text
FROM pg_catalog.pg_constraint c LEFT JOIN pg_catalog.pg_class t ON t.oid = c.conrelid
LEFT JOIN pg_catalog.pg_type d ON d.oid = c.contypid
JOIN pg_catalog.pg_namespace n ON n.oid = coalesce(t.relnamespace, d.typnamespace)
WHERE c.contype = 'c' AND c.coninhcount = 0
AND c.xmin::text = (pg_catalog.txid_current() % 4294967296)::text
AND EXISTS (SELECT FROM pg_catalog.pg_depend x JOIN pg_catalog.pg_proc p ON p.oid = x.refobjid
            JOIN pg_catalog.pg_language l ON l.oid = p.prolang
            WHERE x.classid = 'pg_catalog.pg_constraint'::pg_catalog.regclass AND x.objid = c.oid
            AND x.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND l.lanname NOT IN ('c', 'internal'))
ORDER BY 1, 2

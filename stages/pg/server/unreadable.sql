WITH mine AS (
    SELECT n.oid, n.nspname FROM pg_namespace n
    WHERE n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', %(control)s)
), relation AS (
    SELECT c.oid, c.relkind, c.relrowsecurity, format('%%I.%%I', n.nspname, c.relname) AS name, n.oid AS schema,
           (n.nspname, c.relname) IN (SELECT * FROM unnest(%(schemas)s::text[], %(names)s::text[])) AS rowless
    FROM pg_class c JOIN mine n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'S') AND c.relpersistence <> 't'
    AND (NOT EXISTS (SELECT FROM pg_depend d
                     WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
         OR c.oid = ANY (SELECT unnest(extconfig) FROM pg_extension))
), large AS (
    SELECT l.oid FROM pg_largeobject_metadata l
    WHERE current_setting('lo_compat_privileges') = 'off' AND NOT pg_has_role(l.lomowner, 'USAGE')
    AND NOT EXISTS (SELECT FROM aclexplode(l.lomacl) a WHERE a.privilege_type = 'SELECT'
                    AND (a.grantee = 0 OR pg_has_role(a.grantee, 'USAGE')))
)
SELECT 'right', format('schema %%I', nspname) FROM mine
WHERE NOT has_schema_privilege(oid, 'USAGE') AND EXISTS (SELECT FROM relation WHERE schema = mine.oid)
UNION ALL
SELECT 'right', CASE relkind WHEN 'S' THEN 'sequence ' ELSE 'table ' END || name FROM relation
WHERE NOT CASE relkind WHEN 'S' THEN has_sequence_privilege(oid, 'SELECT')
                       ELSE has_table_privilege(oid, 'SELECT') END
UNION ALL
SELECT 'row security', 'table ' || name || ' (row security)' FROM relation
WHERE relrowsecurity AND relkind = 'r' AND row_security_active(oid) AND has_table_privilege(oid, 'SELECT')
AND NOT rowless
UNION ALL
SELECT 'large object', (SELECT count(*) FROM large) || ' ' || string_agg(oid::text, ', ' ORDER BY oid)
FROM (SELECT oid FROM large ORDER BY oid LIMIT 5) AS few HAVING count(*) > 0
ORDER BY 1, 2

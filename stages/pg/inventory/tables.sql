SELECT c.oid, n.nspname, c.relname, c.relkind <> 'f' AND has_table_privilege(c.oid, 'SELECT'),
       c.relpages, c.reltuples::bigint
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'f') AND c.relpersistence <> 't'
AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', %s)
AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY 2, 3

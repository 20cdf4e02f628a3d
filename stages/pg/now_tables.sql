-- The tables that a dump of the whole database has, whether each has rows of its own, and the condition of those that
-- are dumped, where there is one.
SELECT n.nspname, c.relname, c.relkind = 'r', coalesce(e.condition, '')
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
-- Members of extensions come with these; but the rows of a table of their configuration are dumped.
LEFT JOIN LATERAL (
  SELECT x.extcondition[pg_catalog.array_position(x.extconfig, c.oid)] AS condition
  FROM pg_catalog.pg_extension x
  JOIN pg_catalog.pg_depend d ON d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass AND d.refobjid = x.oid
  WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid AND d.deptype = 'e'
  AND c.oid = ANY (x.extconfig)
) e ON true
WHERE c.relpersistence <> 't'
  AND n.nspname !~ '^pg_'
  AND n.nspname NOT IN ('information_schema', %(control)s)
  AND CASE
    WHEN EXISTS (
      SELECT FROM pg_catalog.pg_depend d
      WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid AND d.deptype = 'e'
    ) THEN c.relkind = 'r' AND e.condition IS NOT NULL
    ELSE c.relkind IN ('r', 'p', 'f')
  END
ORDER BY 1, 2

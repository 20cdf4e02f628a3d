WITH needed AS (
    SELECT c.oid, c.relkind FROM (SELECT DISTINCT * FROM unnest($1::text[], $2::text[])) w(schema, name)
    JOIN pg_catalog.pg_namespace n ON n.nspname = schema
    JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = name
), part AS (
    SELECT i.indexrelid AS id, i.indrelid AS of FROM pg_catalog.pg_index i
    UNION ALL SELECT d.objid, d.refobjid FROM pg_catalog.pg_depend d
    WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
    AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.deptype IN ('a', 'i')
    AND d.objid IN (SELECT oid FROM needed WHERE relkind = 'S')
), found AS (
    SELECT part.of, c.relkind::text AS kind, c.relnamespace AS home, c.relname AS name
    FROM part JOIN pg_catalog.pg_class c ON c.oid = part.id WHERE part.id IN (SELECT oid FROM needed)
    UNION ALL SELECT s.stxrelid, 'statistics', n.oid, s.stxname
    FROM (SELECT DISTINCT * FROM unnest($3::text[], $4::text[])) w(schema, name)
    JOIN pg_catalog.pg_namespace n ON n.nspname = schema
    JOIN pg_catalog.pg_statistic_ext s ON s.stxnamespace = n.oid AND s.stxname = name
)
SELECT kind, pg_catalog.format('%I.%I', n.nspname, name), name
FROM found JOIN pg_catalog.pg_namespace n ON n.oid = home WHERE found.of NOT IN (SELECT oid FROM needed)
AND found.of NOT IN (SELECT relid FROM pg_catalog.pg_class p, pg_catalog.pg_partition_tree(p.oid)
                     WHERE p.relkind = 'p' AND p.oid IN (SELECT oid FROM needed))
ORDER BY 2

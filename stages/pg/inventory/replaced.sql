WITH named(kind, schema, name) AS (
    SELECT DISTINCT * FROM unnest(%(kinds)s::text[], %(schemas)s::text[], %(names)s::text[])
), live AS (
    SELECT k.kind, c.oid, c.relkind, pg_describe_object('pg_class'::regclass, c.oid, 0) AS text
    FROM named k JOIN pg_namespace n ON n.nspname = k.schema
    JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = k.name
    WHERE c.relkind <> 't' AND kind <> 'statistics' AND (kind <> 'type' OR c.reltype <> 0)
    UNION ALL SELECT k.kind, s.oid, 's', pg_describe_object('pg_statistic_ext'::regclass, s.oid, 0)
    FROM named k JOIN pg_namespace n ON n.nspname = k.schema
    JOIN pg_statistic_ext s ON s.stxnamespace = n.oid AND s.stxname = k.name WHERE kind = 'statistics'
), part AS (
    SELECT i.indexrelid AS id, i.indrelid AS of FROM pg_index i
    UNION ALL SELECT oid, stxrelid FROM pg_statistic_ext
    UNION ALL SELECT d.objid, d.refobjid FROM pg_depend d
    WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
    AND d.objid IN (SELECT oid FROM live WHERE relkind = 'S')
), falling AS (
    SELECT relid FROM pg_class p, pg_partition_tree(p.oid) WHERE p.relkind = 'p' AND p.oid IN (SELECT oid FROM live)
)
SELECT DISTINCT 'renamed', text FROM live
WHERE relkind IN ('i', 'I', 'S', 's') AND EXISTS (SELECT FROM part WHERE part.id = live.oid
    AND part.of NOT IN (SELECT oid FROM live) AND part.of NOT IN (SELECT relid FROM falling)
    AND part.of <> ALL (%(preserved)s::oid[]))
UNION ALL SELECT DISTINCT CASE WHEN oid = ANY (%(preserved)s::oid[]) THEN 'taken' ELSE 'replaced' END, text FROM live
WHERE relkind IN ('v', 'm', 'S', 'c') AND kind = 'table' OR relkind IN ('r', 'p') AND kind <> 'table'
OR relkind = 'f' AND kind NOT IN ('table', 'foreign table')
OR relkind = 'c' AND kind NOT IN ('type', 'composite type')
OR relkind IN ('v', 'm') AND kind IN ('sequence', 'index', 'type', 'composite type')
OR relkind = 'S' AND kind = 'composite type'
ORDER BY 1, 2

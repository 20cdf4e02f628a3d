-- Views and materialized views of these tables, however deep, in the order in which they can be made.
WITH RECURSIVE step(id, of) AS (
    SELECT DISTINCT w.ev_class, coalesce(c.oid, t.typrelid) FROM pg_catalog.pg_depend d
    JOIN pg_catalog.pg_rewrite w ON w.oid = d.objid
    JOIN pg_catalog.pg_class v ON v.oid = w.ev_class AND v.relkind IN ('v', 'm')
    LEFT JOIN pg_catalog.pg_class c ON d.refclassid = 'pg_catalog.pg_class'::regclass AND c.oid = d.refobjid
    LEFT JOIN pg_catalog.pg_type t ON d.refclassid = 'pg_catalog.pg_type'::regclass AND t.oid = d.refobjid
    WHERE d.classid = 'pg_catalog.pg_rewrite'::regclass AND w.ev_class <> coalesce(c.oid, t.typrelid, 0)
), found(id, depth) AS (
    SELECT id, 1 FROM step WHERE of = ANY (%s::oid[])
    UNION SELECT s.id, f.depth + 1 FROM step s JOIN found f ON s.of = f.id WHERE f.depth < 100
)
SELECT n.nspname::text, c.relname::text, pg_catalog.format('%%I.%%I', n.nspname, c.relname), c.oid::bigint,
       c.relkind = 'm', c.relispopulated,
       pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(c.relowner))
FROM (SELECT id, max(depth) FROM found GROUP BY id) AS f(id, depth)
JOIN pg_catalog.pg_class c ON c.oid = f.id JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
ORDER BY f.depth, 1, 2

WITH RECURSIVE tree(oid) AS (
    SELECT c.oid FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    JOIN unnest(%(schemas)s::text[], %(names)s::text[]) AS w(s, t) ON n.nspname = w.s AND c.relname = w.t
    WHERE c.relkind IN ('r', 'p', 'f')
    UNION SELECT i.inhrelid FROM pg_catalog.pg_inherits i JOIN tree ON i.inhparent = tree.oid
)
SELECT n.nspname::text, c.relname::text, c.oid::bigint, c.relkind::text,
       -- Tables above it that are not of the tree.
       ARRAY(SELECT pg_catalog.format('%%I.%%I', pn.nspname, p.relname) FROM pg_catalog.pg_inherits i
             JOIN pg_catalog.pg_class p ON p.oid = i.inhparent JOIN pg_catalog.pg_namespace pn ON pn.oid = p.relnamespace
             WHERE i.inhrelid = c.oid AND i.inhparent NOT IN (SELECT oid FROM tree)) AS above,
       c.relispartition
FROM tree JOIN pg_catalog.pg_class c USING (oid) JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'f') ORDER BY 1, 2

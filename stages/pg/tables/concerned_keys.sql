-- Foreign keys of these tables, or those of other tables that refer to them or to the tables that they are partitions of.
SELECT pg_catalog.format('%%I.%%I', n.nspname, c.relname), pg_catalog.quote_ident(f.conname),
       pg_catalog.pg_get_constraintdef(f.oid), pg_catalog.pg_has_role(c.relowner, 'USAGE')
FROM pg_catalog.pg_constraint f JOIN pg_catalog.pg_class c ON c.oid = f.conrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE f.contype = 'f' AND f.conparentid = 0 AND (f.conrelid = ANY (%(tree)s::oid[])) = %(own)s
AND (%(own)s OR f.confrelid = ANY (%(tree)s::oid[]) OR f.confrelid IN (
    SELECT a.relid FROM unnest(%(tree)s::oid[]) AS t(id), pg_catalog.pg_partition_ancestors(t.id) AS a
))
ORDER BY 1, 2

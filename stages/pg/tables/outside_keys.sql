-- Foreign keys between these tables and others, and whether they are of one of these.
SELECT pg_catalog.quote_ident(f.conname), pg_catalog.format('%%I.%%I', n.nspname, c.relname),
       f.conrelid = ANY (%(tree)s::oid[])
FROM pg_catalog.pg_constraint f JOIN pg_catalog.pg_class c ON c.oid = f.conrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE f.contype = 'f' AND f.conparentid = 0
AND (f.conrelid = ANY (%(tree)s::oid[])) <> (f.confrelid = ANY (%(tree)s::oid[]))
ORDER BY 1, 2

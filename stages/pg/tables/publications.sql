-- The publications that list these tables: with columns and condition, which versions before 15 do not have.
SELECT pg_catalog.quote_ident(p.pubname), pg_catalog.format('%%I.%%I', n.nspname, c.relname),
       (SELECT pg_catalog.string_agg(pg_catalog.quote_ident(a.attname), ', ' ORDER BY a.attnum)
        FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attnum = ANY (:prattrs::smallint[])),
       pg_catalog.pg_get_expr(:prqual::pg_catalog.pg_node_tree, c.oid)
FROM pg_catalog.pg_publication_rel r JOIN pg_catalog.pg_publication p ON p.oid = r.prpubid
JOIN pg_catalog.pg_class c ON c.oid = r.prrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE r.prrelid = ANY (%(oids)s::oid[]) ORDER BY 1, 2

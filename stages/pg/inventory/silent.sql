:named
SELECT pg_describe_object('pg_opclass'::regclass, c.oid, 0) || ' is in an operator family of the archive', '', ''
FROM pg_opclass c JOIN seed s ON s.classid = 'pg_opfamily'::regclass AND s.objid = c.opcfamily
WHERE NOT EXISTS (SELECT FROM seed o WHERE o.classid = 'pg_opclass'::regclass AND o.objid = c.oid)
UNION ALL
SELECT pg_describe_object(d.classid, d.objid, 0) || format(' depends on the extension %%I', extname),
       format('ALTER %%s %%s NO DEPENDS ON EXTENSION %%I', upper(i.type), i.identity, extname),
       format('ALTER %%s %%s DEPENDS ON EXTENSION %%I', upper(i.type), i.identity, extname)
FROM seed s JOIN pg_extension e ON e.oid = s.objid
JOIN pg_depend d ON d.refclassid = s.classid AND d.refobjid = s.objid AND d.deptype = 'x'
CROSS JOIN LATERAL pg_identify_object(d.classid, d.objid, 0) i
WHERE s.classid = 'pg_extension'::regclass AND (d.classid, d.objid) NOT IN (SELECT classid, objid FROM seed)
AND NOT EXISTS (  -- a part of what the archive makes again
    SELECT FROM seed t WHERE t.classid = 'pg_class'::regclass AND t.objid IN (
        SELECT indrelid FROM pg_index WHERE d.classid = 'pg_class'::regclass AND indexrelid = d.objid
        UNION ALL SELECT tgrelid FROM pg_trigger t WHERE d.classid = 'pg_trigger'::regclass AND t.oid = d.objid))
UNION ALL
-- Tables that stay lose the rows of what the archive makes anew, and do not have it again.
SELECT format('the place of %%I.%%I as %%s, which lacks its rows without it (to attach it again: %%s)', n.nspname,
              c.relname, CASE WHEN c.relispartition THEN 'a partition of ' ELSE 'an heir of ' END || i.inhparent::regclass,
              CASE WHEN c.relispartition THEN format('ALTER TABLE ONLY %%s ATTACH PARTITION %%I.%%I %%s',
                   i.inhparent::regclass, n.nspname, c.relname, pg_get_expr(c.relpartbound, c.oid))
              ELSE format('ALTER TABLE %%I.%%I INHERIT %%s', n.nspname, c.relname, i.inhparent::regclass) END), '', ''
FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'f')
AND EXISTS (SELECT FROM seed s WHERE s.classid = 'pg_class'::regclass AND s.objid = c.oid)
AND c.oid NOT IN (SELECT objid FROM preserved)
AND NOT EXISTS (  -- the parent is made anew too, or goes with the table that it is a partition of
    SELECT FROM seed s WHERE s.classid = 'pg_class'::regclass
    AND (s.objid = i.inhparent OR s.objid IN (SELECT relid FROM pg_partition_ancestors(i.inhparent) relid)))
UNION ALL
SELECT format('table %%I.%%I of the publication %%I', n.nspname, c.relname, p.pubname), '',
       format('ALTER PUBLICATION %%I ADD TABLE ONLY %%I.%%I%%s%%s', p.pubname, n.nspname, c.relname, (
           SELECT ' (' || string_agg(quote_ident(attname), ', ' ORDER BY attnum) || ')' FROM pg_attribute a
           -- columns that only versions from 15 on have
           WHERE attrelid = c.oid AND (to_jsonb(r) -> 'prattrs') @> to_jsonb(attnum)),
           ' WHERE (' || (to_jsonb(t) ->> 'rowfilter') || ')')
FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid JOIN pg_class c ON c.oid = r.prrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_publication_tables t ON (t.pubname, t.schemaname, t.tablename) = (p.pubname, n.nspname, c.relname)
WHERE EXISTS (SELECT FROM seed s WHERE s.classid = 'pg_class'::regclass AND s.objid = c.oid)
AND NOT EXISTS (SELECT FROM seed s WHERE s.classid = 'pg_publication'::regclass AND s.objid = p.oid)
AND c.oid NOT IN (SELECT objid FROM preserved)
:schemas
ORDER BY 1

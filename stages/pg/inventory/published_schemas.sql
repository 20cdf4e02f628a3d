UNION ALL
SELECT format('schema %%I of the publication %%I', n.nspname, p.pubname), '',
       format('ALTER PUBLICATION %%I ADD TABLES IN SCHEMA %%I', p.pubname, n.nspname)
FROM pg_publication_namespace r JOIN pg_publication p ON p.oid = r.pnpubid JOIN pg_namespace n ON n.oid = r.pnnspid
WHERE EXISTS (SELECT FROM seed s WHERE s.classid = 'pg_namespace'::regclass AND s.objid = n.oid)
AND NOT EXISTS (SELECT FROM seed s WHERE s.classid = 'pg_publication'::regclass AND s.objid = p.oid)

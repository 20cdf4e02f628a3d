-- Relations of the restored database with their kind, and for indexes whether they can be used. Those of extensions are
-- made by them and not by the archive.
SELECT n.nspname, r.relname, r.relkind::text, coalesce(i.indisvalid AND i.indisready, true)
FROM pg_catalog.pg_class r
JOIN pg_catalog.pg_namespace n ON n.oid = r.relnamespace
LEFT JOIN pg_catalog.pg_index i ON i.indexrelid = r.oid
WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
    AND NOT EXISTS (
        SELECT FROM pg_catalog.pg_depend d
        WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = r.oid AND d.deptype = 'e'
    )

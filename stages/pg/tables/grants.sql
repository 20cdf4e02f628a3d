-- New tables and sequences have the grants that everybody has by default, until the archive says others.
DO $kleidia$
DECLARE r record; g record;
BEGIN
    FOR r IN SELECT c.oid, c.relacl, c.relowner, format('%s %I.%I', CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END,
                    n.nspname, c.relname) AS what
             FROM unnest(:names::text[]) AS w(name) JOIN pg_catalog.pg_class c ON c.oid = pg_catalog.to_regclass(w.name)
             JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relacl IS NOT NULL
    LOOP
        FOR g IN SELECT DISTINCT grantee FROM pg_catalog.aclexplode(r.relacl) LOOP
            EXECUTE format('REVOKE ALL ON %s FROM %s', r.what,
                           CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_catalog.pg_get_userbyid(g.grantee)) END);
        END LOOP;
        EXECUTE format('GRANT ALL ON %s TO %I', r.what, pg_catalog.pg_get_userbyid(r.relowner));
    END LOOP;
END $kleidia$;

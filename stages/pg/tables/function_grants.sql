-- A new function has no grants until those that it had are made again.
DO $kleidia$
DECLARE g record;
BEGIN
    FOR g IN SELECT DISTINCT a.grantee FROM pg_catalog.pg_proc p, pg_catalog.aclexplode(p.proacl) AS a
             WHERE p.oid = pg_catalog.to_regprocedure(:name::text)
    LOOP
        EXECUTE format('REVOKE ALL ON ROUTINE %s FROM %s', :name::text,
                       CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_catalog.pg_get_userbyid(g.grantee)) END);
    END LOOP;
END $kleidia$;

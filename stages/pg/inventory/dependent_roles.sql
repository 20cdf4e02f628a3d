WITH RECURSIVE named AS (
    SELECT refobjid AS role FROM pg_shdepend
    WHERE refclassid = 'pg_authid'::regclass
      AND (dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
           OR (classid = 'pg_database'::regclass
               AND objid = (SELECT oid FROM pg_database WHERE datname = current_database())))
    UNION
    SELECT m.roleid FROM pg_auth_members m JOIN named ON m.member = named.role
)
SELECT rolname, rolsuper, rolinherit, rolcreaterole, rolcreatedb, rolcanlogin, rolreplication, rolbypassrls,
       rolconnlimit, coalesce(rolvaliduntil::text, ''),
       ARRAY(SELECT o.rolname::text FROM pg_auth_members m JOIN pg_roles o ON o.oid = m.roleid
             WHERE m.member = r.oid ORDER BY 1),
       coalesce((SELECT s.setconfig FROM pg_db_role_setting s WHERE s.setrole = r.oid AND s.setdatabase = 0),
                '{}'::text[])
FROM pg_roles r
WHERE r.oid IN (SELECT role FROM named) AND rolname !~ '^pg_'
ORDER BY 1

:named,
doomed(classid, objid) AS (
    SELECT classid, objid FROM seed UNION SELECT 'pg_class'::regclass::oid, objid FROM preserved
    UNION SELECT d.classid, d.objid FROM doomed x
    JOIN pg_depend d ON d.refclassid = x.classid AND d.refobjid = x.objid AND d.deptype IN ('a', 'i', 'e', 'P', 'S')
)
SELECT 'locks', '', count(*) FROM doomed
UNION ALL SELECT 'falls', '', c.oid::bigint
FROM doomed JOIN pg_class c ON classid = 'pg_class'::regclass AND c.oid = objid WHERE c.relkind IN ('r', 'p', 'f')
UNION SELECT 'foreign', pg_describe_object(classid, objid, 0), 0 FROM seed
WHERE NOT pg_has_role(owner, 'USAGE') AND NOT pg_has_role(home_owner, 'USAGE')
AND NOT EXISTS (SELECT FROM pg_type t WHERE classid = 'pg_type'::regclass AND t.oid = objid AND t.typrelid <> 0)
UNION ALL SELECT 'foreign', pg_describe_object('pg_class'::regclass, c.oid, 0), 0
FROM unnest(%(preserved)s::bigint[]) o JOIN pg_class c ON c.oid = o
WHERE NOT pg_has_role(c.relowner, 'USAGE') AND c.oid NOT IN (SELECT objid FROM seed)
ORDER BY 1, 2

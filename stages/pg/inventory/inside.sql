used(domain, type, inside) AS (  -- inside of an array, a range, or a row: a domain over it is none of these
    SELECT domain, domain, false FROM checked
    UNION
    SELECT u.domain, coalesce(t.oid, r.reltype), u.inside OR t.oid IS NULL OR t.typtype <> 'd'
    FROM used u JOIN pg_depend d ON d.refclassid = 'pg_type'::regclass AND d.refobjid = u.type
    LEFT JOIN pg_type t ON d.classid = 'pg_type'::regclass AND t.oid = d.objid
    LEFT JOIN pg_class r ON d.classid = 'pg_class'::regclass AND d.objsubid > 0 AND r.oid = d.objid
    WHERE t.oid IS NOT NULL OR r.reltype <> 0
), stuck(domain) AS (  -- to which the server adds no CHECK that it would have to check, with rows or without
    SELECT u.domain FROM used u JOIN pg_depend d ON d.refclassid = 'pg_type'::regclass AND d.refobjid = u.type
    JOIN pg_class r ON d.classid = 'pg_class'::regclass AND d.objsubid > 0 AND r.oid = d.objid
    WHERE u.inside AND r.relkind IN ('r', 'p', 'm')
    AND (d.classid, d.objid) NOT IN (SELECT classid, objid FROM leaving)
)

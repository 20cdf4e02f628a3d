-- What would keep these relations from being dropped: what depends on them and does not go with them. Foreign keys are
-- taken away before.
WITH RECURSIVE gone(class, id) AS (
    SELECT * FROM (
        SELECT 'pg_catalog.pg_class'::regclass::oid, id FROM unnest(%(gone)s::oid[]) AS g(id)
        UNION ALL SELECT 'pg_catalog.pg_proc'::regclass::oid, id FROM unnest(%(functions)s::oid[]) AS f(id)
    ) AS dropped
    UNION
    SELECT d.classid, d.objid FROM gone g
    JOIN pg_catalog.pg_depend d ON d.refclassid = g.class AND d.refobjid = g.id AND d.deptype IN ('a', 'i', 'P', 'S')
)
SELECT DISTINCT pg_catalog.format('%%s depends on %%s', pg_catalog.pg_describe_object(d.classid, d.objid, 0),
                                  pg_catalog.pg_describe_object(d.refclassid, d.refobjid, 0))
FROM gone g JOIN pg_catalog.pg_depend d ON d.refclassid = g.class AND d.refobjid = g.id
WHERE d.deptype IN ('n', 'e') AND (
    (d.classid, d.objid) NOT IN (SELECT class, id FROM gone)
    -- Functions go before the tables: what these have of them stays until then, but for views.
    OR g.class = 'pg_catalog.pg_proc'::regclass
    AND d.classid NOT IN ('pg_catalog.pg_proc'::regclass, 'pg_catalog.pg_rewrite'::regclass)
)
AND NOT EXISTS (
    SELECT FROM pg_catalog.pg_constraint c
    WHERE d.classid = 'pg_catalog.pg_constraint'::regclass AND c.oid = d.objid AND c.contype = 'f'
)
ORDER BY 1

-- What these tables need besides themselves, as a database can be asked whether it has it.
WITH RECURSIVE part(class, id) AS (
    SELECT 'pg_catalog.pg_class'::regclass::oid, id FROM unnest(%(tree)s::oid[]) AS t(id)
    UNION
    SELECT d.classid, d.objid FROM part p
    JOIN pg_catalog.pg_depend d ON d.refclassid = p.class AND d.refobjid = p.id AND d.deptype IN ('a', 'i')
), needed AS (
    SELECT DISTINCT d.refclassid, d.refobjid FROM part p
    JOIN pg_catalog.pg_depend d ON d.classid = p.class AND d.objid = p.id
    WHERE d.refobjid >= 16384 AND (d.refclassid, d.refobjid) NOT IN (SELECT class, id FROM part)
    -- The index behind what a foreign key refers to may be called otherwise.
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_class i WHERE d.refclassid = 'pg_catalog.pg_class'::regclass
                    AND i.oid = d.refobjid AND i.relkind IN ('i', 'I'))
)
SELECT a.type, a.object_names, a.object_args, pg_catalog.pg_describe_object(n.refclassid, n.refobjid, 0)
FROM needed n, pg_catalog.pg_identify_object_as_address(n.refclassid, n.refobjid, 0) AS a
ORDER BY 4

-- Rows of (description, tree) of every stored expression that uses an operator outside of pg_catalog. What members of
-- extensions have is made by their scripts.
WITH named AS (
    SELECT DISTINCT d.classid, d.objid FROM pg_depend d JOIN pg_operator o ON o.oid = d.refobjid
    JOIN pg_namespace n ON n.oid = o.oprnamespace
    WHERE d.refclassid = 'pg_operator'::regclass AND n.nspname <> 'pg_catalog' AND d.deptype <> 'e'
), tree(classid, objid, tree) AS (
    SELECT 'pg_class'::regclass::oid, w.ev_class, w.ev_action::text || coalesce(w.ev_qual::text, '')
    FROM named JOIN pg_rewrite w ON classid = 'pg_rewrite'::regclass AND w.oid = objid
    UNION ALL SELECT classid, objid, adbin::text FROM named
    JOIN pg_attrdef a ON classid = 'pg_attrdef'::regclass AND a.oid = objid
    UNION ALL SELECT 'pg_attrdef'::regclass, a.oid, adbin::text FROM named
    JOIN pg_attrdef a ON classid = 'pg_class'::regclass AND a.adrelid = objid
    UNION ALL SELECT classid, objid, conbin::text FROM named
    JOIN pg_constraint k ON classid = 'pg_constraint'::regclass AND k.oid = objid
    UNION ALL SELECT classid, objid, concat(indexprs::text, ' ', indpred::text) FROM named
    JOIN pg_index i ON classid = 'pg_class'::regclass AND i.indexrelid = objid
    UNION ALL SELECT classid, objid, partexprs::text FROM named
    JOIN pg_partitioned_table p ON classid = 'pg_class'::regclass AND p.partrelid = objid
    UNION ALL SELECT classid, objid, concat(polqual::text, ' ', polwithcheck::text) FROM named
    JOIN pg_policy p ON classid = 'pg_policy'::regclass AND p.oid = objid
    UNION ALL SELECT classid, objid, tgqual::text FROM named
    JOIN pg_trigger t ON classid = 'pg_trigger'::regclass AND t.oid = objid
    UNION ALL SELECT classid, objid, typdefaultbin::text FROM named
    JOIN pg_type t ON classid = 'pg_type'::regclass AND t.oid = objid
    UNION ALL SELECT classid, objid, concat(proargdefaults::text, ' ', :body) FROM named
    JOIN pg_proc p ON classid = 'pg_proc'::regclass AND p.oid = objid
    :more
)
SELECT DISTINCT pg_describe_object(classid, objid, 0), tree FROM tree
WHERE tree ~ '(NULLIFEXPR|DISTINCTEXPR|CASE(EXPR)?|JOINEXPR|ROWCOMPARE(EXPR)?|SUBLINK) '
AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = tree.classid AND d.objid = tree.objid AND d.deptype = 'e')
AND NOT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                WHERE tree.classid = 'pg_class'::regclass AND c.oid = tree.objid AND n.nspname = %s)
ORDER BY 1

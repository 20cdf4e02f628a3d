WITH RECURSIVE up(routine, classid, objid, objsubid) AS (
    SELECT p.oid, 'pg_proc'::regclass::oid, p.oid, 0 FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
    WHERE l.lanname IN ('sql', 'plpgsql') AND p.oid >= 16384
    AND p.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype)
    UNION
    SELECT up.routine, n.classid, n.objid, n.objsubid FROM up
    JOIN pg_depend d ON d.refclassid = up.classid AND d.refobjid = up.objid AND d.deptype IN ('n', 'a', 'i')
    LEFT JOIN pg_rewrite w ON d.classid = 'pg_rewrite'::regclass AND w.oid = d.objid
    LEFT JOIN pg_amproc f ON d.classid = 'pg_amproc'::regclass AND f.oid = d.objid
    CROSS JOIN LATERAL (
        SELECT d.classid, d.objid, d.objsubid WHERE w.oid IS NULL AND f.oid IS NULL
        UNION ALL SELECT 'pg_class'::regclass, w.ev_class, 0 WHERE w.oid IS NOT NULL
        UNION ALL SELECT 'pg_opclass'::regclass, c.oid, 0 FROM pg_opclass c WHERE c.opcfamily = f.amprocfamily
    ) n
    WHERE up.classid IN ('pg_proc'::regclass, 'pg_operator'::regclass, 'pg_opclass'::regclass)
    OR up.classid = 'pg_class'::regclass AND d.classid = 'pg_rewrite'::regclass
       AND (SELECT relkind FROM pg_class WHERE oid = up.objid) = 'v'
), part AS (
    SELECT routine, 'index' AS kind, pg_describe_object(classid, objid, 0) AS what, ARRAY[i.indrelid] AS tables
    FROM up JOIN pg_index i ON classid = 'pg_class'::regclass AND indexrelid = objid JOIN pg_class c ON c.oid = objid
    WHERE c.relkind = 'i' AND i.indisvalid
    UNION ALL
    SELECT routine, 'partition key', 'the partition key of ' || pg_describe_object(classid, objid, 0),
           ARRAY(SELECT relid::oid FROM pg_partition_tree(objid) WHERE isleaf)
    FROM up JOIN pg_class c ON classid = 'pg_class'::regclass AND c.oid = objid WHERE c.relkind = 'p' AND objsubid = 0
    UNION ALL
    SELECT routine, 'materialized view', pg_describe_object(classid, objid, 0), '{}'
    FROM up JOIN pg_class c ON classid = 'pg_class'::regclass AND c.oid = objid
    WHERE c.relkind = 'm' AND c.relispopulated AND objsubid = 0
    UNION ALL
    SELECT routine, 'generated column', pg_describe_object('pg_class'::regclass, a.attrelid, a.attnum),
           ARRAY[a.attrelid]
    FROM up LEFT JOIN pg_attrdef e ON classid = 'pg_attrdef'::regclass AND e.oid = objid
    JOIN pg_attribute a ON a.attrelid = coalesce(e.adrelid, objid) AND a.attnum = coalesce(e.adnum, objsubid)
    WHERE (e.oid IS NOT NULL OR classid = 'pg_class'::regclass AND objsubid > 0) AND a.attgenerated = 's'
    UNION ALL
    SELECT routine, 'check', pg_describe_object(classid, objid, 0), CASE WHEN k.contypid = 0 THEN ARRAY[k.conrelid]
        ELSE ARRAY(SELECT a.attrelid FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
                   WHERE k.contypid IN (t.oid, t.typelem, t.typbasetype) AND NOT a.attisdropped) END
    FROM up JOIN pg_constraint k ON classid = 'pg_constraint'::regclass AND k.oid = objid
    WHERE k.contype = 'c' AND k.convalidated
)
SELECT routine, kind, what, t.oids, t.schemas, t.names FROM part CROSS JOIN LATERAL (
    SELECT array_agg(c.oid::bigint) AS oids, array_agg(n.nspname::text) AS schemas, array_agg(c.relname::text) AS names
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = ANY (part.tables) AND c.relkind = 'r'
) t
WHERE NOT EXISTS (
    SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.oid = ANY (part.tables) AND (n.nspname ~ '^pg_' OR n.nspname IN ('information_schema', %(control)s)))
ORDER BY what, routine

WITH RECURSIVE behind(rel, id) AS (
    SELECT attrelid, atttypid FROM pg_catalog.pg_attribute WHERE attrelid = :rel AND attnum > 0 AND NOT attisdropped
    UNION SELECT b.rel, d.refobjid FROM behind b JOIN pg_catalog.pg_type t ON t.oid = b.id
    JOIN pg_catalog.pg_depend d ON d.refclassid = 'pg_catalog.pg_type'::regclass
        AND (d.classid = 'pg_catalog.pg_type'::regclass AND d.objid = t.oid
             OR d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = t.typrelid AND t.typrelid <> 0)
) SELECT rel, id FROM behind

-- A digest that changes when somebody alters one of these tables or views.
SELECT pg_catalog.md5(pg_catalog.string_agg(part, ' ' ORDER BY part)) FROM (
    SELECT pg_catalog.format('c %s %s', oid, relowner) FROM pg_catalog.pg_class WHERE oid = ANY ($1::oid[])
    UNION ALL
    SELECT pg_catalog.format('v %s %s', oid, xmin) FROM pg_catalog.pg_class
    WHERE oid = ANY ($1::oid[]) AND relkind IN ('v', 'm')
    UNION ALL
    SELECT pg_catalog.format('w %s %s', oid, xmin) FROM pg_catalog.pg_rewrite WHERE ev_class = ANY ($1::oid[])
    UNION ALL
    SELECT pg_catalog.format('a %s %s %s', attrelid, attnum, xmin) FROM pg_catalog.pg_attribute
    WHERE attrelid = ANY ($1::oid[])
    UNION ALL
    SELECT pg_catalog.format('k %s %s', oid, xmin) FROM pg_catalog.pg_constraint
    WHERE conrelid = ANY ($1::oid[]) OR confrelid = ANY ($1::oid[])
    UNION ALL
    SELECT pg_catalog.format('t %s %s', oid, xmin) FROM pg_catalog.pg_trigger
    WHERE tgrelid = ANY ($1::oid[]) AND NOT tgisinternal
    UNION ALL
    SELECT pg_catalog.format('i %s', indexrelid) FROM pg_catalog.pg_index WHERE indrelid = ANY ($1::oid[])
    UNION ALL
    SELECT pg_catalog.format('h %s %s', inhrelid, inhparent) FROM pg_catalog.pg_inherits
    WHERE inhrelid = ANY ($1::oid[]) OR inhparent = ANY ($1::oid[])
) AS parts(part)

SELECT n.nspname, y.typname, array_agg(e.enumlabel::text ORDER BY e.enumsortorder)
FROM (:types) b JOIN pg_catalog.pg_type y ON y.oid = b.id
JOIN pg_catalog.pg_namespace n ON n.oid = y.typnamespace JOIN pg_catalog.pg_enum e ON e.enumtypid = y.oid
GROUP BY 1, 2 ORDER BY 1, 2

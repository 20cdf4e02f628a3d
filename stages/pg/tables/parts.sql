-- Indexes and extended statistics of these tables: what they are called in a schema of their own.
SELECT 'INDEX', n.nspname::text, c.relname::text FROM pg_catalog.pg_index i
JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE i.indrelid = ANY (%(tree)s::oid[])
UNION ALL
SELECT 'STATISTICS', n.nspname::text, s.stxname::text FROM pg_catalog.pg_statistic_ext s
JOIN pg_catalog.pg_namespace n ON n.oid = s.stxnamespace WHERE s.stxrelid = ANY (%(tree)s::oid[])
ORDER BY 1, 2, 3

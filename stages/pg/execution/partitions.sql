WITH RECURSIVE known AS (
    SELECT c.oid FROM unnest($1::text[], $2::text[]) w(schema, name)
    JOIN pg_catalog.pg_namespace n ON n.nspname = schema
    JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = name
), part(oid) AS (
    SELECT i.inhrelid FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_class p ON p.oid = i.inhparent
    WHERE p.relkind = 'p' AND p.oid IN (SELECT oid FROM known)
    UNION SELECT i.inhrelid FROM part JOIN pg_catalog.pg_inherits i ON i.inhparent = part.oid
)
SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) FROM part JOIN pg_catalog.pg_class c USING (oid)
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'f') AND c.oid NOT IN (SELECT oid FROM known) ORDER BY 1

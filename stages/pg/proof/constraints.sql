-- Constraints of tables and domains: whether they are valid, whether they are enforced (from version 18 on some are not),
-- and those that they come from: a partition's key is its table's, a key into a partitioned table has one for each
-- partition, and a child that has no such constraint of its own has its parents'.
SELECT
    c.oid::bigint, n.nspname, coalesce(r.relname, d.typname), c.conname, c.convalidated,
    CASE WHEN c.convalidated THEN true
         ELSE coalesce((pg_catalog.to_jsonb(c) ->> 'conenforced')::boolean, true) END,
    CASE WHEN c.convalidated THEN '{}'
         WHEN c.conparentid <> 0 THEN ARRAY[c.conparentid::bigint]
         WHEN c.coninhcount > 0 AND NOT c.conislocal THEN ARRAY(
             SELECT p.oid::bigint FROM pg_catalog.pg_inherits i
             JOIN pg_catalog.pg_constraint p ON p.conrelid = i.inhparent AND p.contype = c.contype
             WHERE i.inhrelid = c.conrelid AND CASE
                 WHEN c.contype <> 'n' THEN p.conname = c.conname
                 ELSE (SELECT a.attname FROM pg_catalog.pg_attribute a  -- whatever name it has there
                       WHERE a.attrelid = p.conrelid AND a.attnum = p.conkey[1])
                    = (SELECT a.attname FROM pg_catalog.pg_attribute a
                       WHERE a.attrelid = c.conrelid AND a.attnum = c.conkey[1]) END)
         ELSE '{}' END
FROM pg_catalog.pg_constraint c
LEFT JOIN pg_catalog.pg_class r ON r.oid = c.conrelid
LEFT JOIN pg_catalog.pg_type d ON d.oid = c.contypid
JOIN pg_catalog.pg_namespace n ON n.oid = coalesce(r.relnamespace, d.typnamespace)
WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'

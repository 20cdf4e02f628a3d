SELECT c.oid::text, c.relkind::text, pg_catalog.format('%I.%I', n.nspname, c.relname), n.nspname, c.relname
FROM (SELECT schema, name, false FROM unnest($1::text[], $2::text[]) r(schema, name)
      UNION SELECT schema, name, true FROM unnest($3::text[], $4::text[]) t(schema, name)) w(schema, name, typed)
JOIN pg_catalog.pg_namespace n ON n.nspname = schema
JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = name AND (c.reltype <> 0 OR NOT typed)
WHERE c.relkind <> 't'
UNION
SELECT t.oid::text, 'type', pg_catalog.format('%I.%I', n.nspname, t.typname), n.nspname, t.typname
FROM (SELECT DISTINCT * FROM unnest($3::text[], $4::text[])) w(schema, name)
JOIN pg_catalog.pg_namespace n ON n.nspname = schema
JOIN pg_catalog.pg_type t ON t.typnamespace = n.oid AND t.typname = name
WHERE t.typrelid = 0 AND NOT EXISTS (SELECT FROM pg_catalog.pg_type e WHERE e.typarray = t.oid)
ORDER BY 2 DESC, 1 DESC

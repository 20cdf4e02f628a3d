WITH RECURSIVE wanted(routine, kind, name) AS (
    SELECT * FROM unnest(%(routines)s::bigint[], %(kinds)s::text[], %(names)s::text[])
), own(routine, type) AS (
    SELECT p.oid, unnest(p.proargtypes::oid[] || p.proallargtypes || p.prorettype) FROM pg_proc p
    WHERE p.oid = ANY (%(routines)s::bigint[]::oid[])
    UNION SELECT routine, unnest(ARRAY[t.typelem, t.typbasetype] || ARRAY(
        SELECT atttypid FROM pg_attribute a WHERE a.attrelid = t.typrelid AND attnum > 0))
    FROM own JOIN pg_type t ON t.oid = own.type
), meant AS (
    SELECT w.*, o.oprnamespace AS home, array_remove(ARRAY[o.oprleft, o.oprright], 0::oid) AS types, EXISTS (
        SELECT FROM pg_operator s WHERE s.oprnamespace = 'pg_catalog'::regnamespace
        AND (s.oprname, s.oprleft, s.oprright) = (o.oprname, o.oprleft, o.oprright)) AS same
    FROM wanted w JOIN pg_operator o ON o.oprname = name WHERE kind = 'operator'
    UNION ALL SELECT w.*, p.pronamespace, p.proargtypes::oid[], EXISTS (
        SELECT FROM pg_proc s WHERE s.pronamespace = 'pg_catalog'::regnamespace
        AND (s.proname, s.proargtypes) = (p.proname, p.proargtypes))
    FROM wanted w JOIN pg_proc p ON p.proname = name WHERE kind = 'function'
)
SELECT routine, kind, name, array_agg(DISTINCT quote_ident(n.nspname))
FROM meant JOIN pg_namespace n ON n.oid = home
WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND NOT same AND cardinality(types) > 0
AND (EXISTS (SELECT FROM own JOIN pg_type t ON t.oid = own.type WHERE own.routine = meant.routine
             AND own.type = ANY (types) AND t.typnamespace <> 'pg_catalog'::regnamespace)
     OR types <@ ARRAY(SELECT type FROM own WHERE own.routine = meant.routine))
GROUP BY 1, 2, 3

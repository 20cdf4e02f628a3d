-- $1: the preserved tables. What is held: (what it is of, name, definition, comment, whether a preserved table's).
WITH RECURSIVE called AS (
    SELECT x.objid AS id, p.oid AS routine, p.prosrc AS body, p.proargtypes, l.lanname
    FROM pg_depend x JOIN pg_proc p ON p.oid = x.refobjid JOIN pg_language l ON l.oid = p.prolang
    WHERE x.classid = 'pg_constraint'::regclass AND x.refclassid = 'pg_proc'::regclass
    AND l.lanname NOT IN ('c', 'internal')
), made AS (
    SELECT * FROM pg_constraint c
    WHERE contype = 'c' AND coninhcount = 0 AND c.xmin::text = (txid_current() % 4294967296)::text
    AND oid IN (SELECT id FROM called)
), checked(domain) AS (
    SELECT contypid FROM made WHERE contypid <> 0
), leaving(classid, objid) AS (
    SELECT 0::oid, 0::oid WHERE false
), :inside, known(name) AS (  -- names with a meaning that another path, or a moment before other rows, changes
    SELECT relname FROM pg_class UNION SELECT proname FROM pg_proc WHERE oid >= 16384
    -- but for two whose other forms nobody means: of bytes in an encoding, and of money
    OR provolatile <> 'i' AND proname NOT IN ('length', 'numeric')
    UNION SELECT typname FROM pg_type WHERE oid >= 16384 UNION SELECT collname FROM pg_collation WHERE oid >= 16384
    UNION SELECT cfgname FROM pg_ts_config WHERE oid >= 16384 UNION SELECT dictname FROM pg_ts_dict WHERE oid >= 16384
    UNION SELECT * FROM unnest('{execute,current_date,current_time,current_timestamp,localtime,localtimestamp,user,
        current_user,current_role,session_user,system_user,current_catalog,current_schema}'::name[])
), uncertain AS (  -- constraints of these domains whose functions may need other rows, or a path
    SELECT f.id FROM called f JOIN made c ON c.oid = f.id
    WHERE c.contypid IN (SELECT domain FROM stuck) AND (
        f.lanname NOT IN ('sql', 'plpgsql')
        OR EXISTS (SELECT FROM unnest(f.proargtypes) a JOIN pg_type t ON t.oid = a
                   WHERE t.oid >= 16384 AND t.typtype <> 'e')
        OR EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = f.routine  -- parsed
                   AND d.refclassid IN ('pg_class'::regclass, 'pg_proc'::regclass))
        OR EXISTS (SELECT FROM regexp_split_to_table(lower(f.body), '[^[:alnum:]_$]+') word
                   JOIN known ON lower(known.name) = word WHERE word <> '')
        OR EXISTS (SELECT FROM known WHERE name !~ '^[[:alnum:]_$]+$' AND strpos(f.body, name) > 0)
        OR EXISTS (SELECT FROM pg_operator WHERE oid >= 16384 AND oprleft < 16384 AND oprright < 16384
                   AND strpos(f.body, oprname) > 0))
)
SELECT format('%s %s.%s', CASE WHEN c.contypid = 0 THEN 'TABLE' ELSE 'DOMAIN' END,
           quote_ident(n.nspname), quote_ident(coalesce(t.relname, d.typname))),
       quote_ident(c.conname), pg_get_constraintdef(c.oid),
       coalesce(quote_literal(obj_description(c.oid, 'pg_constraint')), ''),
       EXISTS (SELECT FROM unnest($1::text[]) k WHERE to_regclass(k) = c.conrelid OR to_regclass(k) IN (
           SELECT relid FROM pg_partition_ancestors(c.conrelid)))::text
FROM made c LEFT JOIN pg_class t ON t.oid = c.conrelid LEFT JOIN pg_type d ON d.oid = c.contypid
JOIN pg_namespace n ON n.oid = coalesce(t.relnamespace, d.typnamespace)
WHERE c.contypid NOT IN (SELECT domain FROM stuck) OR c.oid IN (SELECT id FROM uncertain)
ORDER BY 1, 2

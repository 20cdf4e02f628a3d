WITH wanted(kind, name) AS (SELECT * FROM unnest(%(kinds)s::text[], %(names)s::text[])), home AS (
    SELECT kind, name, n.nspname FROM wanted JOIN pg_proc p ON p.proname = name
    JOIN pg_namespace n ON n.oid = pronamespace WHERE kind = 'function'
    UNION ALL SELECT kind, name, n.nspname FROM wanted JOIN pg_class c ON c.relname = name
    JOIN pg_namespace n ON n.oid = relnamespace WHERE kind = 'relation' AND relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
    UNION ALL SELECT kind, name, n.nspname FROM wanted JOIN pg_type t ON t.typname = name
    JOIN pg_namespace n ON n.oid = typnamespace WHERE kind = 'type'
    UNION ALL SELECT kind, name, n.nspname FROM wanted JOIN pg_operator o ON o.oprname = name
    JOIN pg_namespace n ON n.oid = oprnamespace WHERE kind = 'operator'
    UNION ALL SELECT kind, name, n.nspname FROM wanted JOIN pg_ts_config c ON c.cfgname = name
    JOIN pg_namespace n ON n.oid = cfgnamespace WHERE kind = 'text search'
    UNION ALL SELECT kind, name, n.nspname FROM wanted JOIN pg_ts_dict c ON c.dictname = name
    JOIN pg_namespace n ON n.oid = dictnamespace WHERE kind = 'text search'
)
SELECT kind, name, array_agg(DISTINCT quote_ident(nspname)) FROM home
WHERE nspname !~ '^pg_(temp|toast)' AND nspname <> 'information_schema'
GROUP BY 1, 2 HAVING NOT bool_or(nspname = 'pg_catalog')

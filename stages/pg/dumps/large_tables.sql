-- The tables of a size and above, by statistics, largest first, with the number and the size of all tables.
-- Only those whose rows pg_dump takes as they are: no members of extensions, of which it takes some rows at most; none
-- of the server's own or of ours; no unlogged ones of a standby, which has no rows of them.
WITH tables AS (
    SELECT n.nspname, c.relname,
        (c.relpages + coalesce(t.relpages, 0))::bigint * current_setting('block_size')::bigint AS size
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_class t ON t.oid = c.reltoastrelid
    WHERE c.relkind = 'r' AND (c.relpersistence = 'p' OR c.relpersistence = 'u' AND NOT pg_is_in_recovery())
        AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', %(control)s)
        AND NOT EXISTS (
            SELECT FROM pg_depend d WHERE d.deptype = 'e' AND (
                d.classid = 'pg_class'::regclass AND d.objid = c.oid
                OR d.classid = 'pg_namespace'::regclass AND d.objid = n.oid
            )
        )
)
SELECT nspname, relname, size, (SELECT count(*) FROM tables), (SELECT sum(size)::bigint FROM tables)
FROM tables
WHERE size >= %(large)s
ORDER BY size DESC, nspname, relname
LIMIT %(most)s

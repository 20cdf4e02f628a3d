SELECT l.pid, coalesce(a.application_name, ''), coalesce(a.usename::text, ''), coalesce(a.state, ''),
       coalesce(a.xact_start, a.backend_start), array_agg(DISTINCT format('%%I.%%I', n.nspname, c.relname))
FROM pg_locks l LEFT JOIN pg_stat_activity a USING (pid)
JOIN pg_class c ON c.oid = l.relation JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE l.locktype = 'relation' AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid()
AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
AND a.backend_type IS DISTINCT FROM 'autovacuum worker'
AND (c.oid = ANY (%(tables)s::bigint[])
     OR EXISTS (SELECT FROM pg_constraint k WHERE k.contype = 'f' AND c.oid IN (k.conrelid, k.confrelid)))
GROUP BY 1, 2, 3, 4, 5 ORDER BY 5, 1

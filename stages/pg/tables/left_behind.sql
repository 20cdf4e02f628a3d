-- Scratch databases that no session holds, and that this role may drop.
SELECT d.datname::text FROM pg_catalog.pg_database d
WHERE pg_catalog.starts_with(d.datname::text, %s) AND pg_catalog.pg_has_role(d.datdba, 'USAGE')
AND NOT EXISTS (SELECT FROM pg_catalog.pg_stat_activity a WHERE a.application_name = d.datname::text
                OR a.datname = d.datname)

-- Statements that make the extended statistics of these tables, which pg_dump leaves out when tables are named.
SELECT statement FROM (
    SELECT s.oid, 1, pg_catalog.pg_get_statisticsobjdef(s.oid) || ';' FROM pg_catalog.pg_statistic_ext s
    WHERE s.stxrelid = ANY (%(tree)s::oid[])
    UNION ALL
    SELECT s.oid, 2, pg_catalog.format('ALTER STATISTICS %%I.%%I OWNER TO %%I;', n.nspname, s.stxname,
                                       pg_catalog.pg_get_userbyid(s.stxowner))
    FROM pg_catalog.pg_statistic_ext s JOIN pg_catalog.pg_namespace n ON n.oid = s.stxnamespace
    WHERE s.stxrelid = ANY (%(tree)s::oid[])
    UNION ALL
    SELECT s.oid, 3, pg_catalog.format('ALTER STATISTICS %%I.%%I SET STATISTICS %%s;', n.nspname, s.stxname, target)
    FROM pg_catalog.pg_statistic_ext s JOIN pg_catalog.pg_namespace n ON n.oid = s.stxnamespace,
    LATERAL (SELECT pg_catalog.to_jsonb(s) ->> 'stxstattarget') AS t(target)
    WHERE s.stxrelid = ANY (%(tree)s::oid[]) AND target >= '0'
    UNION ALL
    SELECT s.oid, 4, pg_catalog.format('COMMENT ON STATISTICS %%I.%%I IS %%L;', n.nspname, s.stxname, said)
    FROM pg_catalog.pg_statistic_ext s JOIN pg_catalog.pg_namespace n ON n.oid = s.stxnamespace,
    pg_catalog.obj_description(s.oid, 'pg_statistic_ext') AS said
    WHERE s.stxrelid = ANY (%(tree)s::oid[]) AND said IS NOT NULL
) AS made(oid, rank, statement) JOIN pg_catalog.pg_statistic_ext x USING (oid)
ORDER BY x.stxnamespace::pg_catalog.regnamespace::text, x.stxname, rank

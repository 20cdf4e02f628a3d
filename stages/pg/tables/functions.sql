-- Functions and procedures that name some relations in their arguments, result or body, as they were made: for each the
-- statement that drops it, then those that make it again. One with a security label, or that belongs to an extension,
-- is not among them.
WITH found AS (
    SELECT p.oid, p.proowner, p.proacl, p.oid::pg_catalog.regprocedure::text AS name FROM pg_catalog.pg_proc p
    WHERE p.prokind IN ('f', 'p') AND EXISTS (
        SELECT FROM pg_catalog.pg_depend d
        LEFT JOIN pg_catalog.pg_type t ON d.refclassid = 'pg_catalog.pg_type'::regclass AND t.oid = d.refobjid
        LEFT JOIN pg_catalog.pg_type e ON e.typarray = t.oid
        WHERE d.classid = 'pg_catalog.pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'n'
        AND CASE WHEN d.refclassid = 'pg_catalog.pg_class'::regclass THEN d.refobjid
                 ELSE coalesce(nullif(t.typrelid, 0), e.typrelid) END = ANY ($1::oid[])
    )
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend x WHERE x.classid = 'pg_catalog.pg_proc'::regclass
                    AND x.objid = p.oid AND x.deptype IN ('e', 'x'))
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_seclabel l WHERE l.classoid = 'pg_catalog.pg_proc'::regclass
                    AND l.objoid = p.oid)
)
SELECT f.oid::text, f.name, s.statement FROM found f, LATERAL (
    SELECT 1, pg_catalog.format('DROP ROUTINE %s', f.name)
    UNION ALL SELECT 2, pg_catalog.pg_get_functiondef(f.oid)
    UNION ALL SELECT 3, pg_catalog.format('ALTER ROUTINE %s OWNER TO %I', f.name, pg_catalog.pg_get_userbyid(f.proowner))
    UNION ALL SELECT 4, pg_catalog.format('COMMENT ON ROUTINE %s IS %L', f.name, said)
    FROM pg_catalog.obj_description(f.oid, 'pg_proc') AS said WHERE said IS NOT NULL
    UNION ALL SELECT 5, pg_catalog.format('REVOKE ALL ON ROUTINE %s FROM PUBLIC, %I', f.name,
                                          pg_catalog.pg_get_userbyid(f.proowner))
    UNION ALL SELECT 6 + g.place + CASE g.grantor WHEN f.proowner THEN 0 ELSE 100000 END + t.step, t.statement
    FROM (
        SELECT 3 * a.place, a.grantor, pg_catalog.format(
            'GRANT EXECUTE ON ROUTINE %s TO %s%s', f.name,
            CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(a.grantee)) END,
            CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END
        ) FROM pg_catalog.aclexplode(coalesce(f.proacl, pg_catalog.acldefault('f', f.proowner))) WITH ORDINALITY
            AS a(grantor, grantee, privilege_type, is_grantable, place)
    ) AS g(place, grantor, made), LATERAL (
        -- The owner's first; each other one grants by the right that it was granted before.
        SELECT 0, pg_catalog.format('SET LOCAL ROLE %I', pg_catalog.pg_get_userbyid(g.grantor))
        WHERE g.grantor <> f.proowner
        UNION ALL SELECT 1, g.made
        UNION ALL SELECT 2, 'RESET ROLE' WHERE g.grantor <> f.proowner
    ) AS t(step, statement)
) AS s(rank, statement)
ORDER BY f.oid, s.rank, s.statement

DO $kleidia$
DECLARE k record; r record; columns text; grants text; revokes text;
BEGIN
    UPDATE pg_temp.kleidia_keep SET id = c.oid, kind = c.relkind, rel = format('%I.%I', n.nspname, c.relname)
        FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE c.oid = pg_catalog.to_regclass(kleidia_keep.rel);
    FOR k IN SELECT * FROM pg_temp.kleidia_keep ORDER BY n LOOP
        EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', k.rel);
        INSERT INTO pg_temp.kleidia_part SELECT k.n, rank, s.kind, name, make, unmake
            FROM pg_temp.kleidia_whole s WHERE s.id = k.id;
        FOR r IN
            SELECT format('%I.%I', n.nspname, s.relname) AS seq, s.oid AS id, bool_or(d.deptype IN ('a', 'i')) AS owned
            FROM pg_catalog.pg_class s JOIN pg_catalog.pg_namespace n ON n.oid = s.relnamespace,
            LATERAL (SELECT deptype FROM pg_catalog.pg_depend WHERE classid = 'pg_catalog.pg_class'::regclass
                     AND objid = s.oid AND refclassid = 'pg_catalog.pg_class'::regclass AND refobjid = k.id
                     UNION ALL
                     SELECT 'n' FROM pg_catalog.pg_depend x JOIN pg_catalog.pg_attrdef f ON f.oid = x.objid
                     WHERE x.classid = 'pg_catalog.pg_attrdef'::regclass AND x.refobjid = s.oid AND f.adrelid = k.id) d
            WHERE s.relkind = 'S' GROUP BY 1, 2
        LOOP
            EXECUTE format('INSERT INTO pg_temp.kleidia_sequence SELECT $1, $2, $3, $4, last_value, is_called FROM %s',
                           r.seq) USING k.n, r.seq, r.id, r.owned;
        END LOOP;
        -- Publications: the table leaves them with a DROP, and an archive that does not know one does not list it again.
        INSERT INTO pg_temp.kleidia_published
            SELECT p.oid, p.pubname, t.rel, format('ALTER PUBLICATION %I ADD TABLE ONLY %s%s%s', p.pubname, t.rel, (
                SELECT ' (' || string_agg(format('%I', attname), ', ' ORDER BY attnum) || ')'
                FROM pg_catalog.pg_attribute a  -- columns that only versions from 15 on have
                WHERE attrelid = t.id AND (to_jsonb(m) -> 'prattrs') @> to_jsonb(attnum)),
                ' WHERE (' || (to_jsonb(l) ->> 'rowfilter') || ')')
            FROM (SELECT c.oid AS id, c.relname, n.nspname, format('%I.%I', n.nspname, c.relname) AS rel
                  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
                  WHERE c.oid = k.id OR c.oid IN (SELECT relid FROM pg_catalog.pg_partition_tree(k.id))) t
            JOIN pg_catalog.pg_publication_rel m ON m.prrelid = t.id
            JOIN pg_catalog.pg_publication p ON p.oid = m.prpubid
            LEFT JOIN pg_catalog.pg_publication_tables l
                ON (l.pubname, l.schemaname, l.tablename) = (p.pubname, t.nspname, t.relname);
        INSERT INTO pg_temp.kleidia_type SELECT k.n, t.id, pg_catalog.format_type(t.id, NULL)
            FROM (:types) t(rel, id);
        SELECT string_agg(CASE WHEN t.typnamespace = 'pg_catalog'::regnamespace AND t.typname !~ '^_?reg'
                                    THEN CASE WHEN a.attcollation = 0 THEN format('%1$I', a.attname)
                                              -- A collation may be one that the archive replaces,
                                              ELSE format('%1$I COLLATE pg_catalog."C" AS %1$I', a.attname) END
                               -- and so may a type: its values are remembered as text.
                               ELSE format('%1$I::text COLLATE pg_catalog."C" AS %1$I', a.attname) END,
                          ', ' ORDER BY a.attnum)
            INTO columns FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
            WHERE a.attrelid = k.id AND a.attnum > 0 AND NOT a.attisdropped;
        EXECUTE format('ALTER TABLE %s NO FORCE ROW LEVEL SECURITY', k.rel);
        EXECUTE format('CREATE TEMP TABLE kleidia_rows_%s ON COMMIT DROP AS SELECT %s FROM %s %s', k.n, columns,
                       CASE k.kind WHEN 'r' THEN 'ONLY' ELSE '' END, k.rel);
    END LOOP;
    INSERT INTO pg_temp.kleidia_attribute SELECT DISTINCT t.type, a.names, a.types
        FROM pg_temp.kleidia_type t JOIN pg_temp.kleidia_composite a USING (id)
        WHERE NOT EXISTS (SELECT FROM pg_temp.kleidia_keep p JOIN pg_catalog.pg_class c ON c.oid = p.id
                          WHERE c.reltype = t.id);
    INSERT INTO pg_temp.kleidia_view SELECT d.depth, d.rel,
        (SELECT array_agg(make ORDER BY rank, name, make) FROM pg_temp.kleidia_shape s WHERE s.id = d.id)
        FROM pg_temp.kleidia_dependent d;
    -- Each with its comment and the triggers of it that somebody switched off or on.
    INSERT INTO pg_temp.kleidia_fk SELECT c.oid, format('%I.%I', n.nspname, c.relname), f.conname,
            format('ALTER TABLE %I.%I ADD CONSTRAINT %I %s', n.nspname, c.relname, f.conname,
                   pg_catalog.pg_get_constraintdef(f.oid)), pg_catalog.obj_description(f.oid, 'pg_constraint'),
            (SELECT array_agg(format('%s %s', t.tgfoid, t.tgenabled)) FROM pg_catalog.pg_trigger t
             WHERE t.tgconstraint = f.oid AND t.tgenabled <> 'O' AND t.tgrelid IN (f.conrelid, f.confrelid))
        FROM pg_catalog.pg_constraint f JOIN pg_catalog.pg_class c ON c.oid = f.conrelid
        JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE f.contype = 'f' AND f.conparentid = 0 AND n.nspname <> :control
        AND pg_catalog.pg_has_role(c.relowner, 'USAGE');
    FOR r IN SELECT * FROM pg_temp.kleidia_fk LOOP
        EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', r.rel, r.name);
    END LOOP;
    -- The role's default privileges would add to what the archive grants.
    FOR r IN
        SELECT n.oid AS schema, format('ALTER DEFAULT PRIVILEGES %s', 'IN SCHEMA ' || quote_ident(n.nspname)) AS alter,
               CASE d.defaclobjtype WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES' WHEN 'f' THEN 'FUNCTIONS'
                    WHEN 'T' THEN 'TYPES' WHEN 'n' THEN 'SCHEMAS' ELSE 'LARGE OBJECTS' END AS things,
               x.given, x.privilege_type AS privilege,
               CASE WHEN x.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END AS more,
               CASE x.grantee WHEN 0 THEN 'PUBLIC' ELSE format('%I', pg_catalog.pg_get_userbyid(x.grantee)) END AS who
        FROM pg_catalog.pg_default_acl d LEFT JOIN pg_catalog.pg_namespace n ON n.oid = d.defaclnamespace,
        LATERAL (SELECT CASE WHEN n.oid IS NULL THEN pg_catalog.acldefault(
                            CASE d.defaclobjtype WHEN 'S' THEN 's' ELSE d.defaclobjtype END, d.defaclrole)
                        END AS standard) s,
        LATERAL ((SELECT true AS given, e.* FROM pg_catalog.aclexplode(d.defaclacl) e
                  EXCEPT SELECT true, e.* FROM pg_catalog.aclexplode(s.standard) e)
                 UNION ALL
                 (SELECT false, e.* FROM pg_catalog.aclexplode(s.standard) e
                  EXCEPT SELECT false, e.* FROM pg_catalog.aclexplode(d.defaclacl) e)) x
        WHERE pg_catalog.pg_get_userbyid(d.defaclrole) = current_user
    LOOP
        grants := format('%s GRANT %s ON %s TO %s%s', r.alter, r.privilege, r.things, r.who, r.more);
        revokes := format('%s REVOKE %s ON %s FROM %s', r.alter, r.privilege, r.things, r.who);
        INSERT INTO pg_temp.kleidia_default VALUES (r.schema, CASE WHEN r.given THEN grants ELSE revokes END);
        EXECUTE CASE WHEN r.given THEN revokes ELSE grants END;
    END LOOP;
    -- What something else depends on is left to the archive, which may drop that first.
    FOR r IN SELECT format('DROP %s %s', CASE kind WHEN 'v' THEN 'VIEW' ELSE 'MATERIALIZED VIEW' END, rel) AS sql
             FROM (SELECT * FROM pg_temp.kleidia_dependent ORDER BY depth DESC OFFSET 0) d
             UNION ALL SELECT format('DROP TABLE %s', rel)  -- child tables first
             FROM (SELECT * FROM pg_temp.kleidia_keep WHERE absent ORDER BY n DESC OFFSET 0) k LOOP
        BEGIN
            EXECUTE r.sql;
        EXCEPTION WHEN dependent_objects_still_exist OR insufficient_privilege THEN NULL;
        END;
    END LOOP;
END $kleidia$;

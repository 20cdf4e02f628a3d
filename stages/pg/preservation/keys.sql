DO $kleidia$
DECLARE r record; t record; partitioned bool; fits bool;
BEGIN
    FOR r IN
        SELECT n, coalesce(pg_catalog.to_regclass(rel)::text, rel) AS rel, name, make, comment,
               role = 'archive' AS must, NULL::text[] AS states,
               make !~ 'NOT (VALID|ENFORCED)$' AS valid, false AS again
        FROM pg_temp.kleidia_held WHERE role <> 'of'
        UNION ALL
        SELECT NULL, rel, name, regexp_replace(make, ' NOT VALID$', ''),
               format('COMMENT ON CONSTRAINT %I ON %s IS %L', name, rel, comment), false, states,
               make !~ 'NOT (VALID|ENFORCED)$' OR again, make ~ 'NOT VALID$'
        FROM pg_temp.kleidia_fk f, LATERAL (SELECT make ~ 'NOT VALID$' AND EXISTS (
            SELECT FROM pg_temp.kleidia_held h WHERE h.role = 'of' AND h.name = f.name AND h.make !~ 'NOT VALID$'
            AND pg_catalog.to_regclass(h.rel) = pg_catalog.to_regclass(f.rel)) AS again) a
        WHERE id = pg_catalog.to_regclass(rel) OR rel IN (SELECT rel FROM pg_temp.kleidia_keep)
        ORDER BY n, rel, name
    LOOP
        CONTINUE WHEN EXISTS (SELECT FROM pg_catalog.pg_constraint f WHERE f.contype = 'f'
            AND f.conrelid = pg_catalog.to_regclass(r.rel) AND f.conname = r.name);
        -- On a partitioned table a key can only be valid, before version 18.
        partitioned := pg_catalog.current_setting('server_version_num')::int < 180000
            AND (SELECT relkind = 'p' FROM pg_catalog.pg_class WHERE oid = pg_catalog.to_regclass(r.rel));
        BEGIN
            EXECUTE r.make || CASE WHEN partitioned OR r.make ~ 'NOT (VALID|ENFORCED)$' THEN '' ELSE E'\nNOT VALID' END;
        EXCEPTION
            WHEN foreign_key_violation THEN
                INSERT INTO pg_temp.kleidia_warning (message) VALUES (format('The foreign key %I of %s is missing now:'
                    ' some rows refer to rows that are not there, and PostgreSQL before 18 has no key of a partitioned'
                    ' table that is NOT VALID. Mend the rows, then: %s;', r.name, r.rel,
                    regexp_replace(r.make, '\s+', ' ', 'g')));
                CONTINUE;
            WHEN OTHERS THEN
                IF r.must OR :fatal THEN RAISE; END IF;
                INSERT INTO pg_temp.kleidia_warning (message) VALUES (format(
                    'The foreign key %I of %s could not be made again: %s.', r.name, r.rel, chr(31) || SQLERRM));
                CONTINUE;
        END;
        IF r.comment <> '' THEN
            EXECUTE r.comment;
        END IF;
        FOR t IN SELECT g.tgname, g.tgrelid::regclass AS rel, CASE split_part(s, ' ', 2) WHEN 'D' THEN 'DISABLE'
                     WHEN 'R' THEN 'ENABLE REPLICA' ELSE 'ENABLE ALWAYS' END AS how
                 FROM unnest(r.states) s, pg_catalog.pg_constraint f
                 JOIN pg_catalog.pg_trigger g ON g.tgconstraint = f.oid
                 WHERE f.contype = 'f' AND f.conrelid = pg_catalog.to_regclass(r.rel) AND f.conname = r.name
                 AND g.tgfoid = split_part(s, ' ', 1)::oid AND g.tgrelid IN (f.conrelid, f.confrelid)
        LOOP
            BEGIN
                EXECUTE format('ALTER TABLE %s %s TRIGGER %I', t.rel, t.how, t.tgname);
            EXCEPTION WHEN insufficient_privilege THEN
                INSERT INTO pg_temp.kleidia_warning (message) VALUES (format('The foreign key %I of %s is in force'
                    ' on %s now, where its trigger was switched off, or on: only a superuser may do that.',
                    r.name, r.rel, t.rel));
            END;
        END LOOP;
        CONTINUE WHEN partitioned OR NOT r.valid;
        BEGIN
            EXECUTE format('ALTER TABLE %s VALIDATE CONSTRAINT %I', r.rel, r.name);
        EXCEPTION WHEN foreign_key_violation THEN
            CONTINUE WHEN r.again;
            INSERT INTO pg_temp.kleidia_warning (message) VALUES (format('The foreign key %I of %s is NOT VALID now:'
                ' some rows refer to rows that are not there. Mend them, then:'
                ' ALTER TABLE %s VALIDATE CONSTRAINT %I;', r.name, r.rel, r.rel, r.name));
        END;
    END LOOP;
END $kleidia$;

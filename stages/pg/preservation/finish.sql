DO $kleidia$
DECLARE
    k record; r record; current oid; names text; exprs text; filled bool; expected bigint; moved bigint; why text;
    own text := pg_catalog.current_setting('search_path');
BEGIN
    -- Types of the archive are given what the rows need.
    FOR r IN SELECT a.type, a.names, a.types, c.names AS names_now, c.types AS types_now, c.kind, (
                 SELECT p.rel FROM pg_temp.kleidia_type t JOIN pg_temp.kleidia_keep p USING (n)
                 WHERE t.type = a.type ORDER BY n LIMIT 1) AS rel
             FROM pg_temp.kleidia_attribute a JOIN pg_temp.kleidia_composite c ON c.id = to_regtype(a.type)
             WHERE a.names <> c.names ORDER BY 1 LOOP
        IF r.kind = 'c' AND r.names[:cardinality(r.names_now)] = r.names_now THEN
            FOR i IN cardinality(r.names_now) + 1 .. cardinality(r.names) LOOP
                EXECUTE format('ALTER TYPE %s ADD ATTRIBUTE %I %s CASCADE', r.type, r.names[i], r.types[i]);
                INSERT INTO pg_temp.kleidia_warning (message) VALUES (format(
                    'The type %s was given the attribute %I, which rows of the preserved table %s have.',
                    r.type, r.names[i], r.rel));
            END LOOP;
        ELSIF r.types <> r.types_now OR r.names && r.names_now THEN  -- else all were renamed
            RAISE EXCEPTION USING ERRCODE = 'datatype_mismatch', MESSAGE = format('rows of the preserved table %s have'
                ' values of the type %s, which has the attributes %s now, and %s in the archive', r.rel, r.type,
                array_to_string(r.names, ', '), array_to_string(r.names_now, ', '));
        END IF;
    END LOOP;

    FOR k IN SELECT * FROM pg_temp.kleidia_keep ORDER BY n LOOP
        current := pg_catalog.to_regclass(k.rel);
        IF current = k.id THEN  -- nobody but us touched it
            FOR r IN SELECT make FROM pg_temp.kleidia_part p WHERE p.n = k.n AND p.kind = 'row security' LOOP
                EXECUTE r.make;
            END LOOP;
            CONTINUE;
        END IF;
        IF current IS NULL THEN
            EXECUTE (SELECT make FROM pg_temp.kleidia_part WHERE n = k.n AND kind = 'table');
            current := pg_catalog.to_regclass(k.rel);
        END IF;
        IF (SELECT relkind NOT IN ('r', 'p') FROM pg_catalog.pg_class WHERE oid = current) THEN
            RAISE EXCEPTION USING ERRCODE = 'datatype_mismatch', MESSAGE = format(
                'the archive has something else in the place of the preserved table %s', k.rel);
        END IF;
        -- Columns as before, and nothing in the way of the rows.
        INSERT INTO pg_temp.kleidia_now SELECT k.n, s.rank, s.kind, s.name, s.make, s.unmake
            FROM pg_temp.kleidia_whole s WHERE s.id = current;
        -- Not divided, or by another key, or with other bounds.
        SELECT w.unmake, p.make INTO r FROM pg_temp.kleidia_part p JOIN pg_temp.kleidia_now w USING (n, kind)
            WHERE n = k.n AND kind = 'table' AND substring(p.make FROM '\) PARTITION BY .*$')
                IS DISTINCT FROM substring(w.make FROM '\) PARTITION BY .*$');
        IF FOUND THEN
            EXECUTE r.unmake;
            EXECUTE r.make;
            current := pg_catalog.to_regclass(k.rel);
        END IF;
        FOR r IN SELECT w.name, w.unmake FROM pg_temp.kleidia_now w WHERE w.n = k.n AND w.kind = 'partition'
                 AND NOT EXISTS (SELECT FROM pg_temp.kleidia_part p
                     WHERE p.n = k.n AND p.kind = w.kind AND p.name = w.name AND p.make = w.make)
                 ORDER BY rank DESC LOOP
            BEGIN
                EXECUTE r.unmake;
            EXCEPTION WHEN dependent_objects_still_exist OR undefined_table THEN NULL;  -- told below, or gone already
            END;
        END LOOP;
        DELETE FROM pg_temp.kleidia_now;
        INSERT INTO pg_temp.kleidia_now SELECT k.n, s.rank, s.kind, s.name, s.make, s.unmake
            FROM pg_temp.kleidia_whole s WHERE s.id = current;
        FOR r IN SELECT make AS sql FROM pg_temp.kleidia_part p WHERE p.n = k.n AND p.kind IN ('partition', 'column')
                 AND NOT EXISTS (SELECT FROM pg_temp.kleidia_now w
                     WHERE w.n = k.n AND w.kind = p.kind AND w.name = p.name) ORDER BY rank, name LOOP
            EXECUTE r.sql;
        END LOOP;
        FOR r IN
            SELECT p.name, p.make, w.unmake, p.rank >= 21 AS generated, CASE
                       WHEN w.rank < 21 THEN NULL WHEN p.rank < 21 THEN v.unmake
                       WHEN regexp_replace(p.make, ' GENERATED .*( STORED| VIRTUAL)$', '\1')
                          = regexp_replace(w.make, ' GENERATED .*( STORED| VIRTUAL)$', '\1') THEN e.make END AS change
            FROM pg_temp.kleidia_part p JOIN pg_temp.kleidia_now w USING (n, kind, name)
            LEFT JOIN pg_temp.kleidia_part e ON e.n = p.n AND e.name = p.name AND e.kind = 'expression'
            LEFT JOIN pg_temp.kleidia_now v ON v.n = p.n AND v.name = p.name AND v.kind = 'expression'
            WHERE p.n = k.n AND p.kind = 'column' AND p.make <> w.make AND (p.rank >= 21 OR w.rank >= 21)
            ORDER BY p.rank
        LOOP
            BEGIN
                EXECUTE r.change;  -- without it, or on a server that knows no such command, the column is exchanged
                CONTINUE;
            EXCEPTION WHEN OTHERS THEN IF :fatal THEN RAISE; END IF;
            END;
            BEGIN
                EXECUTE r.unmake;
                EXECUTE r.make;
            EXCEPTION WHEN OTHERS THEN
                -- A column that the archive generates has no room for values.
                IF NOT r.generated OR :fatal THEN RAISE; END IF;
                INSERT INTO pg_temp.kleidia_warning (message) VALUES (format(
                    'The preserved table %s keeps the column %s of the archive: %s.', k.rel, r.name,
                    chr(31) || SQLERRM));
            END;
        END LOOP;
        DELETE FROM pg_temp.kleidia_now;
        INSERT INTO pg_temp.kleidia_now SELECT k.n, s.rank, s.kind, s.name, s.make, s.unmake
            FROM pg_temp.kleidia_whole s WHERE s.id = current;
        FOR r IN SELECT make AS sql, rank, kind, name FROM pg_temp.kleidia_part p
                 WHERE p.n = k.n AND p.kind = 'type' AND EXISTS (SELECT FROM pg_temp.kleidia_now w
                 WHERE w.n = k.n AND w.kind = 'type' AND w.name = p.name AND w.make <> p.make)
                 UNION ALL
                 SELECT unmake, -rank, kind, name FROM pg_temp.kleidia_now w WHERE w.n = k.n AND w.unmake <> '' AND (
                     w.kind IN ('column', 'partition') AND NOT EXISTS (SELECT FROM pg_temp.kleidia_part p
                         WHERE p.n = k.n AND p.kind = w.kind AND p.name = w.name)
                     OR w.rank >= 42 AND NOT EXISTS (SELECT FROM pg_temp.kleidia_part p
                         WHERE p.n = k.n AND p.kind = w.kind AND p.name = w.name AND p.make = w.make)
                     OR w.kind IN ('constraint', 'not null') AND w.make LIKE '% NOT VALID')
                 ORDER BY 2, 4 LOOP
            BEGIN
                EXECUTE r.sql;
            EXCEPTION WHEN OTHERS THEN
                IF :fatal THEN RAISE; END IF;
                IF r.kind <> 'not null' THEN  -- it goes with its column, or with a key
                    INSERT INTO pg_temp.kleidia_warning (message) VALUES (format(
                        'The preserved table %s keeps the %s %s of the archive: %s.', k.rel, r.kind, r.name,
                        chr(31) || SQLERRM));
                END IF;
            END;
        END LOOP;

        -- The rows.
        EXECUTE format('ALTER TABLE %s DISABLE TRIGGER USER, NO FORCE ROW LEVEL SECURITY', k.rel);
        FOR r IN SELECT format('ALTER TABLE %s DISABLE TRIGGER USER', relid::regclass) AS sql
                 FROM pg_catalog.pg_partition_tree(current) WHERE level > 0
                 UNION ALL SELECT format('ALTER TABLE %s DISABLE RULE %I', k.rel, rulename)
                 FROM pg_catalog.pg_rewrite WHERE ev_class = current LOOP
            EXECUTE r.sql;
        END LOOP;
        SELECT string_agg(format('%I', a.attname), ', ' ORDER BY a.attnum),
               string_agg(CASE WHEN a.atttypid = b.atttypid THEN format('%I', a.attname)
                               ELSE format('%I::text::%s', a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod))
                          END, ', ' ORDER BY a.attnum)
            INTO names, exprs FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_attribute b
            ON b.attname = a.attname AND b.attrelid = pg_catalog.to_regclass(format('pg_temp.kleidia_rows_%s', k.n))
            WHERE a.attrelid = current AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '';
        EXECUTE format('SELECT count(*) FROM pg_temp.kleidia_rows_%s', k.n) INTO expected;
        -- Rows of another writer's archive; DELETE would need a replica identity where the table is published.
        EXECUTE format('SELECT EXISTS (SELECT FROM %s %s)', CASE k.kind WHEN 'r' THEN 'ONLY' ELSE '' END, k.rel)
            INTO filled;
        IF filled THEN
            EXECUTE format('TRUNCATE %s %s', CASE k.kind WHEN 'r' THEN 'ONLY' ELSE '' END, k.rel);
        END IF;
        BEGIN
            EXECUTE format('INSERT INTO %s %s SELECT %s FROM pg_temp.kleidia_rows_%s',
                           k.rel, '(' || names || ') OVERRIDING SYSTEM VALUE', exprs, k.n);
            GET DIAGNOSTICS moved = ROW_COUNT;
        EXCEPTION WHEN data_exception OR integrity_constraint_violation THEN
            RAISE EXCEPTION USING ERRCODE = 'datatype_mismatch', MESSAGE = format(
                'rows of the preserved table %s do not fit what the archive has for them: %s', k.rel, SQLERRM);
        END;
        IF moved <> expected THEN
            RAISE EXCEPTION 'only % of % rows of the preserved table % could be put back', moved, expected, k.rel;
        END IF;

        -- Everything else as before.
        DELETE FROM pg_temp.kleidia_now;
        INSERT INTO pg_temp.kleidia_now SELECT k.n, s.rank, s.kind, s.name, s.make, s.unmake
            FROM pg_temp.kleidia_whole s WHERE s.id = current;
        FOR r IN SELECT * FROM pg_temp.kleidia_part p
                 WHERE p.n = k.n AND p.kind NOT IN ('table', 'column', 'type', 'expression')
                 -- What switches a table's trigger on does so on its partitions.
                 AND (p.kind IN ('trigger state', 'rule state') OR NOT EXISTS (SELECT FROM pg_temp.kleidia_now w
                     WHERE w.n = k.n AND w.kind = p.kind AND w.name = p.name AND w.make = p.make))
                 ORDER BY rank, name, make LOOP
            BEGIN
                EXECUTE r.make;
            EXCEPTION WHEN OTHERS THEN
                IF :fatal THEN RAISE; END IF;
                CONTINUE WHEN r.kind = 'not null' AND EXISTS (  -- under another name
                    SELECT FROM pg_catalog.pg_attribute a
                    WHERE a.attrelid = current AND a.attname = r.name AND a.attnotnull);
                why := SQLERRM;
                -- A CHECK may call a function that looks for names by the path that was asked for.
                IF r.kind = 'constraint' AND strpos(r.make, format(' ADD CONSTRAINT %I CHECK (', r.name)) > 0 THEN
                    BEGIN
                        PERFORM pg_catalog.set_config('search_path', :search_path, true);
                        EXECUTE r.make;
                        PERFORM pg_catalog.set_config('search_path', own, true);
                        CONTINUE;
                    EXCEPTION WHEN OTHERS THEN
                        IF :fatal THEN RAISE; END IF;
                        why := SQLERRM;
                    END;
                    BEGIN
                        EXECUTE r.make || ' NOT VALID';
                        INSERT INTO pg_temp.kleidia_warning (message) VALUES (format('The constraint %s of the preserved'
                            ' table %s is NOT VALID now, since it could not be checked: %s.', r.name, k.rel,
                            chr(31) || why));
                        CONTINUE;
                    EXCEPTION WHEN OTHERS THEN IF :fatal THEN RAISE; END IF;
                    END;
                END IF;
                INSERT INTO pg_temp.kleidia_warning (message) VALUES (format(
                    'The preserved table %s lost its %s %s: %s.', k.rel, r.kind, r.name, chr(31) || why));
            END;
        END LOOP;
        DELETE FROM pg_temp.kleidia_now;
        FOR r IN SELECT * FROM pg_temp.kleidia_sequence WHERE n = k.n LOOP
            CONTINUE WHEN pg_catalog.to_regclass(r.seq) IS NULL OR pg_catalog.to_regclass(r.seq) = r.id;
            IF r.owned THEN
                PERFORM pg_catalog.setval(r.seq::regclass, r.last, r.called);
            ELSE  -- others may use it too
                EXECUTE format('SELECT pg_catalog.setval(%L, $1, $2) FROM %s s WHERE s.last_value < $1', r.seq, r.seq)
                    USING r.last, r.called;
            END IF;
        END LOOP;
    END LOOP;

    FOR r IN SELECT l.* FROM pg_temp.kleidia_published l JOIN pg_catalog.pg_publication p ON p.oid = l.id
             WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_publication_rel m
                               WHERE m.prpubid = p.oid AND m.prrelid = pg_catalog.to_regclass(l.rel))
             ORDER BY publication, rel LOOP
        BEGIN
            EXECUTE r.make;
        EXCEPTION WHEN OTHERS THEN
            IF :fatal THEN RAISE; END IF;
            INSERT INTO pg_temp.kleidia_warning (message) VALUES (format(
                'The publication %s lost the preserved table %s: %s.', r.publication, r.rel, chr(31) || SQLERRM));
        END;
    END LOOP;

    FOR r IN SELECT * FROM pg_temp.kleidia_view WHERE pg_catalog.to_regclass(rel) IS NULL ORDER BY depth, rel LOOP
        BEGIN
            FOR i IN 1 .. cardinality(r.make) LOOP
                EXECUTE r.make[i];
            END LOOP;
        EXCEPTION WHEN OTHERS THEN
            IF :fatal THEN RAISE; END IF;
            INSERT INTO pg_temp.kleidia_warning (message) VALUES (format(
                'The view %s, which the archive does not have, was lost: %s.', r.rel, chr(31) || SQLERRM));
        END;
    END LOOP;
    FOR r IN SELECT rel FROM (SELECT * FROM pg_temp.kleidia_dependent WHERE kind = 'm' AND populated
                              ORDER BY depth OFFSET 0) d LOOP
        BEGIN
            EXECUTE format('REFRESH MATERIALIZED VIEW %s', r.rel);
        EXCEPTION WHEN OTHERS THEN
            IF :fatal THEN RAISE; END IF;
            INSERT INTO pg_temp.kleidia_warning (message) VALUES (format(
                'The materialized view %s could not be refreshed: %s.', r.rel, chr(31) || SQLERRM));
        END;
    END LOOP;

    -- Those in a schema that the archive made anew are as the archive says.
    FOR r IN SELECT make FROM pg_temp.kleidia_default d
             WHERE schema IS NULL OR EXISTS (SELECT FROM pg_catalog.pg_namespace n WHERE n.oid = d.schema) LOOP
        EXECUTE r.make;
    END LOOP;
END $kleidia$;

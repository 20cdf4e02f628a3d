"""The scripts around the archive's SQL. They read the live catalog, inside the restore's transaction.

A step that may fail without harm runs in a block of its own and leaves a line in ``kleidia_warning``; everything else
fails the restore. No warning holds a value of a row.
"""

from __future__ import annotations

#: What the second script must know of the time before.
TABLES = """
CREATE TEMP TABLE kleidia_keep (n int, rel text, absent bool, id oid, kind "char") ON COMMIT DROP;
CREATE TEMP TABLE kleidia_part (n int, rank numeric, kind text, name text, make text, unmake text) ON COMMIT DROP;
CREATE TEMP TABLE kleidia_now (LIKE pg_temp.kleidia_part) ON COMMIT DROP;
CREATE TEMP TABLE kleidia_sequence (n int, seq text, id oid, owned bool, last bigint, called bool) ON COMMIT DROP;
CREATE TEMP TABLE kleidia_label (type text, label text, place real) ON COMMIT DROP;
CREATE TEMP TABLE kleidia_view (depth int, rel text, make text[]) ON COMMIT DROP;
CREATE TEMP TABLE kleidia_fk (id oid, rel text, name text, definition text) ON COMMIT DROP;
CREATE TEMP TABLE kleidia_default (make text) ON COMMIT DROP;
CREATE TEMP TABLE kleidia_held (rel text, name text, definition text) ON COMMIT DROP;
CREATE TEMP TABLE kleidia_warning (n int GENERATED ALWAYS AS IDENTITY, message text) ON COMMIT DROP;
CREATE TEMP VIEW kleidia_dependent AS
WITH RECURSIVE step(id, of) AS (
    SELECT w.ev_class, d.refobjid FROM pg_catalog.pg_depend d
    JOIN pg_catalog.pg_rewrite w ON w.oid = d.objid AND w.ev_class <> d.refobjid
    WHERE d.classid = 'pg_catalog.pg_rewrite'::regclass AND d.refclassid = 'pg_catalog.pg_class'::regclass
), found(id, depth) AS (
    SELECT s.id, 1 FROM step s JOIN pg_temp.kleidia_keep k ON s.of = pg_catalog.to_regclass(k.rel)
    UNION SELECT s.id, f.depth + 1 FROM step s JOIN found f ON s.of = f.id WHERE f.depth < 100
)
SELECT f.id, max(f.depth) AS depth, c.relkind AS kind, c.relispopulated AS populated,
       format('%I.%I', n.nspname, c.relname) AS rel
FROM found f JOIN pg_catalog.pg_class c ON c.oid = f.id JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('v', 'm') GROUP BY 1, 3, 4, 5;
"""

#: Remembers and drops. ``:control`` is the schema of our own tables, as a literal.
PREPARE = """
SET LOCAL search_path = '';
SET LOCAL row_security = off;
DO $kleidia$
DECLARE k record; r record; columns text; grants text; revokes text;
BEGIN
    UPDATE pg_temp.kleidia_keep SET id = c.oid, kind = c.relkind, rel = format('%I.%I', n.nspname, c.relname)
        FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE c.oid = pg_catalog.to_regclass(kleidia_keep.rel);
    FOR k IN SELECT * FROM pg_temp.kleidia_keep ORDER BY n LOOP
        EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', k.rel);
        INSERT INTO pg_temp.kleidia_part SELECT k.n, rank, s.kind, name, make, unmake
            FROM pg_temp.kleidia_shape s WHERE s.id = k.id;
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
        INSERT INTO pg_temp.kleidia_label
            SELECT DISTINCT pg_catalog.format_type(e.enumtypid, NULL), e.enumlabel, e.enumsortorder
            FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
            JOIN pg_catalog.pg_enum e ON e.enumtypid IN (t.oid, t.typelem) WHERE a.attrelid = k.id AND a.attnum > 0;
        -- Values of types that the archive replaces are remembered as text.
        SELECT string_agg(format(CASE WHEN t.typnamespace = 'pg_catalog'::regnamespace AND t.typname !~ '^_?reg'
                                      THEN '%1$I' ELSE '%1$I::text AS %1$I' END, a.attname), ', ' ORDER BY a.attnum)
            INTO columns FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
            WHERE a.attrelid = k.id AND a.attnum > 0 AND NOT a.attisdropped;
        EXECUTE format('ALTER TABLE %s NO FORCE ROW LEVEL SECURITY', k.rel);
        EXECUTE format('CREATE TEMP TABLE kleidia_rows_%s ON COMMIT DROP AS SELECT %s FROM %s %s', k.n, columns,
                       CASE k.kind WHEN 'r' THEN 'ONLY' ELSE '' END, k.rel);
    END LOOP;
    INSERT INTO pg_temp.kleidia_view SELECT d.depth, d.rel,
        (SELECT array_agg(make ORDER BY rank, name, make) FROM pg_temp.kleidia_shape s WHERE s.id = d.id)
        FROM pg_temp.kleidia_dependent d;
    INSERT INTO pg_temp.kleidia_fk SELECT c.oid, format('%I.%I', n.nspname, c.relname), format('%I', f.conname),
            pg_catalog.pg_get_constraintdef(f.oid)
        FROM pg_catalog.pg_constraint f JOIN pg_catalog.pg_class c ON c.oid = f.conrelid
        JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE f.contype = 'f' AND f.conparentid = 0 AND n.nspname <> :control
        AND pg_catalog.pg_has_role(c.relowner, 'USAGE');
    FOR r IN SELECT * FROM pg_temp.kleidia_fk LOOP
        EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %s', r.rel, r.name);
    END LOOP;
    -- The role's default privileges would add to what the archive grants.
    FOR r IN
        SELECT format('ALTER DEFAULT PRIVILEGES %s', 'IN SCHEMA ' || quote_ident(n.nspname)) AS alter,
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
        INSERT INTO pg_temp.kleidia_default VALUES (CASE WHEN r.given THEN grants ELSE revokes END);
        EXECUTE CASE WHEN r.given THEN revokes ELSE grants END;
    END LOOP;
    -- What something else depends on is left to the archive, which may drop that first.
    FOR r IN SELECT format('DROP %s %s', CASE kind WHEN 'v' THEN 'VIEW' ELSE 'MATERIALIZED VIEW' END, rel) AS sql
             FROM (SELECT * FROM pg_temp.kleidia_dependent ORDER BY depth DESC OFFSET 0) d
             UNION ALL SELECT format('DROP TABLE %s', rel)  -- heirs first
             FROM (SELECT * FROM pg_temp.kleidia_keep WHERE absent ORDER BY n DESC OFFSET 0) k LOOP
        BEGIN
            EXECUTE r.sql;
        EXCEPTION WHEN dependent_objects_still_exist OR insufficient_privilege THEN NULL;
        END;
    END LOOP;
END $kleidia$;
"""

#: Makes preserved table ``:n`` again, bare, for a view of the archive. On one line: lines are counted.
CREATE_EARLY = (
    "DO $kleidia$ BEGIN IF NOT EXISTS (SELECT FROM pg_temp.kleidia_keep WHERE n = :n"
    " AND pg_catalog.to_regclass(rel) IS NOT NULL) THEN EXECUTE (SELECT make FROM pg_temp.kleidia_part"
    " WHERE n = :n AND kind = 'table'); END IF; END $kleidia$; "
)

#: Drops a constraint unless it is inherited.
TOLERANT = "DO $kleidia$ BEGIN :statement EXCEPTION WHEN invalid_table_definition THEN NULL; END $kleidia$;"

#: Puts everything back.
FINISH = """
RESET SESSION AUTHORIZATION;
SET standard_conforming_strings = on;
SET client_min_messages = warning;
SET search_path = '';
SET row_security = off;
RESET default_tablespace;
DO $kleidia$
DECLARE
    k record; r record; current oid; names text; exprs text; expected bigint; moved bigint;
BEGIN
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
        FOR r IN SELECT type, label, lag(label) OVER (PARTITION BY type ORDER BY place) AS behind
                 FROM pg_temp.kleidia_label ORDER BY type, place LOOP
            IF NOT EXISTS (SELECT FROM pg_catalog.pg_enum e WHERE e.enumtypid = pg_catalog.to_regtype(r.type)
                           AND e.enumlabel = r.label) AND pg_catalog.to_regtype(r.type) IS NOT NULL THEN
                EXECUTE format('ALTER TYPE %s ADD VALUE %L %s', r.type, r.label,
                    CASE WHEN r.behind IS NULL THEN '' ELSE format('AFTER %L', r.behind) END);
                INSERT INTO pg_temp.kleidia_warning (message) VALUES (format(
                    'The type %s was given the value %L, which rows of the preserved table %s have.',
                    r.type, r.label, k.rel));
            END IF;
        END LOOP;

        -- Columns as before, and nothing in the way of the rows.
        INSERT INTO pg_temp.kleidia_now SELECT k.n, s.rank, s.kind, s.name, s.make, s.unmake
            FROM pg_temp.kleidia_shape s WHERE s.id = current;
        FOR r IN SELECT make AS sql FROM pg_temp.kleidia_part p WHERE p.n = k.n AND p.kind IN ('partition', 'column')
                 AND NOT EXISTS (SELECT FROM pg_temp.kleidia_now w
                     WHERE w.n = k.n AND w.kind = p.kind AND w.name = p.name) ORDER BY rank, name LOOP
            EXECUTE r.sql;
        END LOOP;
        FOR r IN SELECT make AS sql, rank, kind, name FROM pg_temp.kleidia_part p
                 WHERE p.n = k.n AND p.kind = 'type' AND EXISTS (SELECT FROM pg_temp.kleidia_now w
                 WHERE w.n = k.n AND w.kind = 'type' AND w.name = p.name AND w.make <> p.make)
                 UNION ALL
                 SELECT unmake, -rank, kind, name FROM pg_temp.kleidia_now w WHERE w.n = k.n AND w.unmake <> '' AND (
                     w.kind IN ('column', 'partition') AND NOT EXISTS (SELECT FROM pg_temp.kleidia_part p
                         WHERE p.n = k.n AND p.kind = w.kind AND p.name = w.name)
                     OR w.rank >= 42 AND NOT EXISTS (SELECT FROM pg_temp.kleidia_part p
                         WHERE p.n = k.n AND p.kind = w.kind AND p.name = w.name AND p.make = w.make)
                     OR w.kind = 'constraint' AND w.make LIKE '% NOT VALID')
                 ORDER BY 2, 4 LOOP
            BEGIN
                EXECUTE r.sql;
            EXCEPTION WHEN OTHERS THEN
                IF r.kind <> 'not null' THEN  -- it goes with its column, or with a key
                    INSERT INTO pg_temp.kleidia_warning (message) VALUES (format(
                        'The preserved table %s keeps the %s %s of the archive: %s.', k.rel, r.kind, r.name,
                        chr(31) || SQLERRM));
                END IF;
            END;
        END LOOP;

        -- The rows.
        EXECUTE format('ALTER TABLE %s DISABLE TRIGGER USER, NO FORCE ROW LEVEL SECURITY', k.rel);
        SELECT string_agg(format('%I', a.attname), ', ' ORDER BY a.attnum),
               string_agg(CASE WHEN a.atttypid = b.atttypid THEN format('%I', a.attname)
                               ELSE format('%I::text::%s', a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod))
                          END, ', ' ORDER BY a.attnum)
            INTO names, exprs FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_attribute b
            ON b.attname = a.attname AND b.attrelid = pg_catalog.to_regclass(format('pg_temp.kleidia_rows_%s', k.n))
            WHERE a.attrelid = current AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '';
        EXECUTE format('SELECT count(*) FROM pg_temp.kleidia_rows_%s', k.n) INTO expected;
        EXECUTE format('DELETE FROM %s %s', CASE k.kind WHEN 'r' THEN 'ONLY' ELSE '' END, k.rel);
        EXECUTE format('INSERT INTO %s (%s) OVERRIDING SYSTEM VALUE SELECT %s FROM pg_temp.kleidia_rows_%s',
                       k.rel, names, exprs, k.n);
        GET DIAGNOSTICS moved = ROW_COUNT;
        IF moved <> expected THEN
            RAISE EXCEPTION 'only % of % rows of the preserved table % could be put back', moved, expected, k.rel;
        END IF;

        -- Everything else as before.
        DELETE FROM pg_temp.kleidia_now;
        INSERT INTO pg_temp.kleidia_now SELECT k.n, s.rank, s.kind, s.name, s.make, s.unmake
            FROM pg_temp.kleidia_shape s WHERE s.id = current;
        FOR r IN SELECT * FROM pg_temp.kleidia_part p WHERE p.n = k.n AND p.kind NOT IN ('table', 'column', 'type')
                 AND NOT EXISTS (SELECT FROM pg_temp.kleidia_now w
                     WHERE w.n = k.n AND w.kind = p.kind AND w.name = p.name AND w.make = p.make)
                 ORDER BY rank, name, make LOOP
            BEGIN
                EXECUTE r.make;
            EXCEPTION WHEN OTHERS THEN
                INSERT INTO pg_temp.kleidia_warning (message) VALUES (format(
                    'The preserved table %s lost its %s %s: %s.', k.rel, r.kind, r.name, chr(31) || SQLERRM));
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

    FOR r IN SELECT * FROM pg_temp.kleidia_view WHERE pg_catalog.to_regclass(rel) IS NULL ORDER BY depth, rel LOOP
        BEGIN
            FOR i IN 1 .. cardinality(r.make) LOOP
                EXECUTE r.make[i];
            END LOOP;
        EXCEPTION WHEN OTHERS THEN
            INSERT INTO pg_temp.kleidia_warning (message) VALUES (format(
                'The view %s, which the archive does not have, was lost: %s.', r.rel, chr(31) || SQLERRM));
        END;
    END LOOP;
    FOR r IN SELECT rel FROM (SELECT * FROM pg_temp.kleidia_dependent WHERE kind = 'm' AND populated
                              ORDER BY depth OFFSET 0) d LOOP
        BEGIN
            EXECUTE format('REFRESH MATERIALIZED VIEW %s', r.rel);
        EXCEPTION WHEN OTHERS THEN
            INSERT INTO pg_temp.kleidia_warning (message) VALUES (format(
                'The materialized view %s could not be refreshed: %s.', r.rel, chr(31) || SQLERRM));
        END;
    END LOOP;

    FOR r IN SELECT make FROM pg_temp.kleidia_default LOOP
        BEGIN
            EXECUTE r.make;
        EXCEPTION WHEN invalid_schema_name THEN NULL;
        END;
    END LOOP;

    -- Foreign keys: those of preserved tables, those into them, those of tables that the archive does not have.
    FOR r IN SELECT rel, name, definition FROM pg_temp.kleidia_held
             UNION ALL
             SELECT rel, name, definition FROM pg_temp.kleidia_fk
             WHERE id = pg_catalog.to_regclass(rel) OR rel IN (SELECT rel FROM pg_temp.kleidia_keep) LOOP
        CONTINUE WHEN EXISTS (SELECT FROM pg_catalog.pg_constraint f WHERE f.contype = 'f'
            AND f.conrelid = pg_catalog.to_regclass(r.rel) AND format('%I', f.conname) = r.name);
        BEGIN
            EXECUTE format('ALTER TABLE %s ADD CONSTRAINT %s %s%s', r.rel, r.name, r.definition,
                CASE WHEN r.definition ~ 'NOT (VALID|ENFORCED)$' THEN '' ELSE ' NOT VALID' END);
            CONTINUE WHEN r.definition ~ 'NOT (VALID|ENFORCED)$';
        EXCEPTION WHEN OTHERS THEN
            BEGIN  -- on a partitioned table it can only be valid, before version 18
                EXECUTE format('ALTER TABLE %s ADD CONSTRAINT %s %s', r.rel, r.name, r.definition);
            EXCEPTION WHEN OTHERS THEN
                INSERT INTO pg_temp.kleidia_warning (message) VALUES (format(
                    'The foreign key %s of %s could not be made again: %s.', r.name, r.rel, chr(31) || SQLERRM));
            END;
            CONTINUE;
        END;
        BEGIN
            EXECUTE format('ALTER TABLE %s VALIDATE CONSTRAINT %s', r.rel, r.name);
        EXCEPTION WHEN foreign_key_violation THEN
            INSERT INTO pg_temp.kleidia_warning (message) VALUES (format(
                'The foreign key %s of %s is NOT VALID now: some rows refer to rows that are not there any more.',
                r.name, r.rel));
        END;
    END LOOP;
END $kleidia$;
"""

#: What precedes an error of the server in a warning of ours: its text may quote a value.
SERVER_SAID = "\x1f"

#: A line for each warning, after a literal that marks it.
WARNINGS = "SELECT :mark || translate(message, E'\\n\\r', '  ') FROM pg_temp.kleidia_warning ORDER BY n;\n"

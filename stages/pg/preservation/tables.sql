CREATE TEMP TABLE kleidia_keep (n int, rel text, absent bool, id oid, kind "char") ON COMMIT DROP;
CREATE TEMP TABLE kleidia_part (n int, rank numeric, kind text, name text, make text, unmake text) ON COMMIT DROP;
CREATE TEMP TABLE kleidia_now (LIKE pg_temp.kleidia_part) ON COMMIT DROP;
CREATE TEMP TABLE kleidia_sequence (n int, seq text, id oid, owned bool, last bigint, called bool) ON COMMIT DROP;
CREATE TEMP TABLE kleidia_type (n int, id oid, type text) ON COMMIT DROP;
CREATE TEMP TABLE kleidia_attribute (type text, names text[], types text[]) ON COMMIT DROP;
CREATE TEMP TABLE kleidia_view (depth int, rel text, make text[]) ON COMMIT DROP;
CREATE TEMP TABLE kleidia_published (id oid, publication text, rel text, make text) ON COMMIT DROP;
CREATE TEMP TABLE kleidia_fk (id oid, rel text, name text, make text, comment text, states text[]) ON COMMIT DROP;
CREATE TEMP TABLE kleidia_default (schema oid, make text) ON COMMIT DROP;
CREATE TEMP TABLE kleidia_held (
    n int GENERATED ALWAYS AS IDENTITY, rel text, name text, make text, role text, comment text) ON COMMIT DROP;
CREATE TEMP TABLE kleidia_warning (n int GENERATED ALWAYS AS IDENTITY, message text) ON COMMIT DROP;
CREATE TEMP VIEW kleidia_composite AS
SELECT t.oid AS id, c.relkind AS kind, array_agg(a.attname::text ORDER BY a.attnum) AS names,
       array_agg(pg_catalog.format_type(a.atttypid, a.atttypmod) ORDER BY a.attnum) AS types
FROM pg_catalog.pg_type t JOIN pg_catalog.pg_class c ON c.oid = t.typrelid
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped GROUP BY 1, 2;
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

-- Every kind of object that pg_dump knows, with every clause that it writes, in what PostgreSQL 13 and newer have.
-- What later versions brought is in tests/versions/schema; what a pg_dump that is newer than its server cannot write for
-- that (a subscription, a child's own NOT NULL, fewer rights on public) in own_pg_dump.sql. Only security labels are
-- missing: they need a provider, which no package has. The roles kleidia_owner and kleidia_reader exist. Sent as one
-- message, so one transaction.

CREATE SCHEMA o AUTHORIZATION kleidia_owner;
CREATE SCHEMA "Odd ""schema"";";
COMMENT ON SCHEMA o IS E'objects: it''s "all"\n\\. \\! ; --';
GRANT ALL ON SCHEMA o TO kleidia_reader WITH GRANT OPTION;
COMMENT ON SCHEMA public IS 'not the standard one';

-- Extensions: in a schema of their own, with changed rights on what belongs to them.
CREATE SCHEMA ext;
CREATE EXTENSION ltree SCHEMA ext;
CREATE EXTENSION seg SCHEMA ext;
COMMENT ON EXTENSION ltree IS 'changed';
REVOKE EXECUTE ON FUNCTION ext.ltree_in(cstring) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ext.nlevel(ext.ltree) TO kleidia_reader WITH GRANT OPTION;

-- Languages and transforms.
CREATE FUNCTION o.handler() RETURNS language_handler LANGUAGE c AS '$libdir/plpgsql', 'plpgsql_call_handler';
CREATE FUNCTION o.inline(internal) RETURNS void LANGUAGE c STRICT AS '$libdir/plpgsql', 'plpgsql_inline_handler';
CREATE FUNCTION o.validator(oid) RETURNS void LANGUAGE c STRICT AS '$libdir/plpgsql', 'plpgsql_validator';
CREATE TRUSTED LANGUAGE plother HANDLER o.handler INLINE o.inline VALIDATOR o.validator;
COMMENT ON LANGUAGE plother IS 'another name';
GRANT USAGE ON LANGUAGE plother TO kleidia_reader;
REVOKE USAGE ON LANGUAGE plpgsql FROM PUBLIC;
GRANT USAGE ON LANGUAGE plpgsql TO kleidia_owner;
CREATE TRANSFORM FOR int LANGUAGE sql (
    FROM SQL WITH FUNCTION prsd_lextype(internal), TO SQL WITH FUNCTION int4recv(internal)
);
COMMENT ON TRANSFORM FOR int LANGUAGE sql IS 'of numbers';

-- Types: shell, base, composite, enum, domain, range.
CREATE TYPE o.shell;
CREATE TYPE o.label;
CREATE FUNCTION o.label_in(cstring) RETURNS o.label LANGUAGE internal IMMUTABLE STRICT AS 'textin';
CREATE FUNCTION o.label_out(o.label) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'textout';
CREATE FUNCTION o.label_recv(internal) RETURNS o.label LANGUAGE internal STABLE STRICT AS 'textrecv';
CREATE FUNCTION o.label_send(o.label) RETURNS bytea LANGUAGE internal STABLE STRICT AS 'textsend';
CREATE FUNCTION o.mod_in(cstring[]) RETURNS int LANGUAGE internal IMMUTABLE STRICT AS 'varchartypmodin';
CREATE FUNCTION o.mod_out(int) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'varchartypmodout';
CREATE TYPE o.label (
    INPUT = o.label_in, OUTPUT = o.label_out, RECEIVE = o.label_recv, SEND = o.label_send, TYPMOD_IN = o.mod_in,
    TYPMOD_OUT = o.mod_out, INTERNALLENGTH = VARIABLE, STORAGE = extended, CATEGORY = 'S', PREFERRED = false,
    DEFAULT = 'it''s new', DELIMITER = ';', COLLATABLE = true
);
CREATE TYPE o.mood AS ENUM ('sad', 'ok', 'it''s "fine"; \.', '');
ALTER TYPE o.mood ADD VALUE 'so so' BEFORE 'ok';
CREATE COLLATION o.c (provider = libc, locale = 'C');
CREATE COLLATION o.posix (provider = libc, lc_collate = 'POSIX', lc_ctype = 'C');
CREATE TYPE o.inner_pair AS (a int, b text COLLATE o.c);
CREATE TYPE o.outer_pair AS (p o.inner_pair, list o.inner_pair[], m o.mood);
ALTER TYPE o.outer_pair ADD ATTRIBUTE gone int, ADD ATTRIBUTE kept numeric(10, 2);
ALTER TYPE o.outer_pair DROP ATTRIBUTE gone;
CREATE TYPE o.nothing AS ();
CREATE DOMAIN o.positive AS int CONSTRAINT positive CHECK (VALUE > 0);
CREATE DOMAIN o.small AS o.positive DEFAULT 7 NOT NULL CONSTRAINT small CHECK (VALUE < 100);
CREATE DOMAIN o.smalls AS o.small[] CHECK (array_length(VALUE, 1) < 5);
CREATE DOMAIN o.text_c AS text COLLATE o.c CHECK (VALUE <> '\''');
CREATE DOMAIN o.pair_domain AS o.inner_pair CHECK ((VALUE).a IS NOT NULL);
ALTER DOMAIN o.positive ADD CONSTRAINT odd CHECK (VALUE % 2 = 1) NOT VALID;
CREATE TYPE o.text_range AS RANGE (subtype = text, collation = o.c, subtype_opclass = text_pattern_ops);
CREATE FUNCTION o.time_diff(time, time) RETURNS float8 LANGUAGE sql IMMUTABLE STRICT AS 'SELECT extract(epoch FROM $1 - $2)::float8';
CREATE TYPE o.time_range AS RANGE (subtype = time, subtype_diff = o.time_diff);
CREATE DOMAIN o.range_domain AS o.time_range CHECK (NOT isempty(VALUE));
COMMENT ON TYPE o.label IS 'base';
COMMENT ON TYPE o.mood IS 'enum';
COMMENT ON TYPE o.shell IS 'shell';
COMMENT ON TYPE o.inner_pair IS 'composite';
COMMENT ON COLUMN o.inner_pair.b IS 'an attribute';
COMMENT ON TYPE o.text_range IS 'range';
COMMENT ON DOMAIN o.small IS 'domain';
COMMENT ON CONSTRAINT small ON DOMAIN o.small IS 'its constraint';
COMMENT ON COLLATION o.c IS 'collation';
GRANT USAGE ON TYPE o.mood TO kleidia_reader WITH GRANT OPTION;
REVOKE USAGE ON TYPE o.inner_pair FROM PUBLIC;
REVOKE ALL ON DOMAIN o.small FROM PUBLIC;
GRANT USAGE ON DOMAIN o.small TO kleidia_reader;

-- Routines of each kind and with each clause.
CREATE FUNCTION o.plain(a int, b text DEFAULT 'x''y\', VARIADIC rest int[] DEFAULT '{}') RETURNS text
    LANGUAGE sql STABLE STRICT LEAKPROOF SECURITY DEFINER PARALLEL SAFE COST 7
    SET search_path = o, pg_temp SET work_mem = '5MB' AS $a$SELECT b || $$; \. $$ || a$a$;
CREATE FUNCTION o.table_of(n int) RETURNS TABLE (x int, y text) LANGUAGE sql ROWS 5 PARALLEL RESTRICTED
    AS 'SELECT i, i::text FROM generate_series(1, n) i';
CREATE FUNCTION o.outs(IN a int, OUT b int, INOUT c text, OUT o.mood) LANGUAGE plpgsql AS $body$
BEGIN
    b := a; -- it's a comment
    $4 := 'sad';
END $body$;
CREATE FUNCTION o.poly(anyelement, anyarray) RETURNS anyarray LANGUAGE sql IMMUTABLE AS 'SELECT $2 || $1';
CREATE FUNCTION o.poly2(anycompatible, anycompatible) RETURNS anycompatible LANGUAGE sql AS 'SELECT coalesce($1, $2)';
CREATE FUNCTION o.dollars() RETURNS text LANGUAGE plother AS '
BEGIN RETURN $_$a$b$_$ || E''\n\\.\n'' || $$COPY x FROM stdin;$$; END';
CREATE FUNCTION o.set_of() RETURNS SETOF o.outer_pair LANGUAGE sql AS 'SELECT NULL::o.outer_pair WHERE false';
CREATE FUNCTION o.transformed(int) RETURNS int LANGUAGE sql TRANSFORM FOR TYPE int AS 'SELECT $1';
CREATE PROCEDURE o.proc(INOUT a int, b text DEFAULT 'p') LANGUAGE plpgsql SECURITY DEFINER AS 'BEGIN COMMIT; END';
CREATE FUNCTION o.row_number() RETURNS bigint LANGUAGE internal IMMUTABLE WINDOW AS 'window_row_number';
CREATE FUNCTION "Odd ""schema"";"."f;(" ("a b" int, ",c" text) RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION o.less(o.label, o.label) RETURNS bool LANGUAGE internal IMMUTABLE STRICT AS 'text_lt';
CREATE FUNCTION o.less_eq(o.label, o.label) RETURNS bool LANGUAGE internal IMMUTABLE STRICT AS 'text_le';
CREATE FUNCTION o.equal(o.label, o.label) RETURNS bool LANGUAGE internal IMMUTABLE STRICT AS 'texteq';
CREATE FUNCTION o.unequal(o.label, o.label) RETURNS bool LANGUAGE internal IMMUTABLE STRICT AS 'textne';
CREATE FUNCTION o.greater_eq(o.label, o.label) RETURNS bool LANGUAGE internal IMMUTABLE STRICT AS 'text_ge';
CREATE FUNCTION o.greater(o.label, o.label) RETURNS bool LANGUAGE internal IMMUTABLE STRICT AS 'text_gt';
CREATE FUNCTION o.compare(o.label, o.label) RETURNS int LANGUAGE internal IMMUTABLE STRICT AS 'bttextcmp';
CREATE FUNCTION o.hash(o.label) RETURNS int LANGUAGE internal IMMUTABLE STRICT AS 'hashtext';
COMMENT ON FUNCTION o.plain(int, text, int[]) IS 'function';
COMMENT ON PROCEDURE o.proc(int, text) IS 'procedure';
REVOKE ALL ON FUNCTION o.plain(int, text, int[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION o.plain(int, text, int[]) TO kleidia_reader;
GRANT EXECUTE ON PROCEDURE o.proc(int, text) TO kleidia_reader;

-- Aggregates of each kind.
CREATE AGGREGATE o.total(int) (
    SFUNC = int4pl, STYPE = int, INITCOND = '0', COMBINEFUNC = int4pl, PARALLEL = SAFE,
    MSFUNC = int4pl, MINVFUNC = int4mi, MSTYPE = int, MINITCOND = '0', SSPACE = 16, SORTOP = >
);
CREATE FUNCTION o.final(float8[], float8) RETURNS float8 LANGUAGE sql AS 'SELECT $1[1]';
CREATE AGGREGATE o.share(float8 ORDER BY float8) (SFUNC = float8_accum, STYPE = float8[], FINALFUNC = o.final,
    FINALFUNC_MODIFY = READ_WRITE, INITCOND = '{0,0,0}');
CREATE AGGREGATE o.ranked(VARIADIC "any" ORDER BY VARIADIC "any") (
    SFUNC = ordered_set_transition_multi, STYPE = internal, FINALFUNC = rank_final, FINALFUNC_EXTRA, HYPOTHETICAL
);
CREATE AGGREGATE o.anything(*) (SFUNC = int8inc, STYPE = int8, INITCOND = '0');
COMMENT ON AGGREGATE o.total(int) IS 'aggregate';
COMMENT ON AGGREGATE o.anything(*) IS 'of anything';
GRANT EXECUTE ON FUNCTION o.total(int) TO kleidia_reader;

-- Operators, families, classes, access methods, casts, conversions.
CREATE OPERATOR o.< (LEFTARG = o.label, RIGHTARG = o.label, FUNCTION = o.less, COMMUTATOR = OPERATOR(o.>),
    NEGATOR = OPERATOR(o.>=), RESTRICT = scalarltsel, JOIN = scalarltjoinsel);
CREATE OPERATOR o.<= (LEFTARG = o.label, RIGHTARG = o.label, FUNCTION = o.less_eq, COMMUTATOR = OPERATOR(o.>=));
CREATE OPERATOR o.= (LEFTARG = o.label, RIGHTARG = o.label, FUNCTION = o.equal, COMMUTATOR = OPERATOR(o.=),
    NEGATOR = OPERATOR(o.<>), RESTRICT = eqsel, JOIN = eqjoinsel, HASHES, MERGES);
CREATE OPERATOR o.<> (LEFTARG = o.label, RIGHTARG = o.label, FUNCTION = o.unequal, NEGATOR = OPERATOR(o.=));
CREATE OPERATOR o.>= (LEFTARG = o.label, RIGHTARG = o.label, FUNCTION = o.greater_eq);
CREATE OPERATOR o.> (LEFTARG = o.label, RIGHTARG = o.label, FUNCTION = o.greater);
CREATE OPERATOR o.!!@ (RIGHTARG = o.label, FUNCTION = o.hash);
CREATE OPERATOR FAMILY o.label_family USING btree;
CREATE OPERATOR CLASS o.label_ops DEFAULT FOR TYPE o.label USING btree FAMILY o.label_family AS
    OPERATOR 1 o.<, OPERATOR 2 o.<=, OPERATOR 3 o.=, OPERATOR 4 o.>=, OPERATOR 5 o.>, FUNCTION 1 o.compare(o.label, o.label);
CREATE OPERATOR CLASS o.label_hash DEFAULT FOR TYPE o.label USING hash AS OPERATOR 1 o.=, FUNCTION 1 o.hash(o.label);
CREATE OPERATOR FAMILY o.loose USING btree;
ALTER OPERATOR FAMILY o.loose USING btree ADD OPERATOR 1 < (int4, int8), FUNCTION 1 btint48cmp(int4, int8);
CREATE ACCESS METHOD gist2 TYPE INDEX HANDLER gisthandler;
CREATE ACCESS METHOD heap2 TYPE TABLE HANDLER heap_tableam_handler;
CREATE OPERATOR CLASS o.box2_ops DEFAULT FOR TYPE box USING gist2 AS
    OPERATOR 1 <<, OPERATOR 2 &<, OPERATOR 3 &&, OPERATOR 7 @>, OPERATOR 15 <-> (box, point) FOR ORDER BY float_ops,
    FUNCTION 1 gist_box_consistent(internal, box, smallint, oid, internal), FUNCTION 2 gist_box_union(internal, internal),
    FUNCTION 5 gist_box_penalty(internal, internal, internal), FUNCTION 6 gist_box_picksplit(internal, internal),
    FUNCTION 7 gist_box_same(box, box, internal), FUNCTION 8 gist_box_distance(internal, box, smallint, oid, internal),
    STORAGE box;
CREATE CAST (o.label AS text) WITHOUT FUNCTION AS IMPLICIT;
CREATE FUNCTION o.to_mood(int) RETURNS o.mood LANGUAGE sql IMMUTABLE AS 'SELECT ''sad''::o.mood';
CREATE CAST (int AS o.mood) WITH FUNCTION o.to_mood(int) AS ASSIGNMENT;
CREATE CAST (o.inner_pair AS varchar) WITH INOUT;
CREATE CONVERSION o.latin FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8;
CREATE DEFAULT CONVERSION o.latin_default FOR 'UTF8' TO 'LATIN1' FROM utf8_to_iso8859_1;
COMMENT ON OPERATOR o.< (o.label, o.label) IS 'operator';
COMMENT ON OPERATOR o.!!@ (NONE, o.label) IS 'prefix';
COMMENT ON OPERATOR FAMILY o.loose USING btree IS 'family';
COMMENT ON OPERATOR CLASS o.label_ops USING btree IS 'class';
COMMENT ON ACCESS METHOD gist2 IS 'index method';
COMMENT ON CAST (int AS o.mood) IS 'cast';
COMMENT ON CONVERSION o.latin IS 'conversion';

-- Full text search: all four.
CREATE TEXT SEARCH PARSER o.parser (START = prsd_start, GETTOKEN = prsd_nexttoken, END = prsd_end, LEXTYPES = prsd_lextype,
    HEADLINE = prsd_headline);
CREATE TEXT SEARCH TEMPLATE o.template (INIT = dsimple_init, LEXIZE = dsimple_lexize);
CREATE TEXT SEARCH DICTIONARY o.dictionary (TEMPLATE = o.template, accept = 'true');
CREATE TEXT SEARCH CONFIGURATION o.config (PARSER = o.parser);
ALTER TEXT SEARCH CONFIGURATION o.config ADD MAPPING FOR asciiword, word WITH o.dictionary, simple;
COMMENT ON TEXT SEARCH PARSER o.parser IS 'parser';
COMMENT ON TEXT SEARCH TEMPLATE o.template IS 'template';
COMMENT ON TEXT SEARCH DICTIONARY o.dictionary IS 'dictionary';
COMMENT ON TEXT SEARCH CONFIGURATION o.config IS 'configuration';

-- Foreign data.
CREATE FUNCTION o.validate(text[], oid) RETURNS bool LANGUAGE sql AS 'SELECT true';
CREATE FOREIGN DATA WRAPPER wrapper VALIDATOR o.validate OPTIONS (debug 'it''s', "Odd name" '');
CREATE SERVER distant TYPE 'oracle' VERSION '7.3' FOREIGN DATA WRAPPER wrapper OPTIONS (host 'x y', port '1');
CREATE SERVER remote FOREIGN DATA WRAPPER wrapper;
CREATE USER MAPPING FOR PUBLIC SERVER distant;
CREATE USER MAPPING FOR kleidia_reader SERVER distant OPTIONS (username 'u', password 'p''w');
CREATE FOREIGN TABLE o.foreign_one (
    id serial OPTIONS (column_name 'ID'), t text COLLATE o.c NOT NULL DEFAULT 'd', g int GENERATED ALWAYS AS (1) STORED,
    CONSTRAINT sane CHECK (id > 0)
) SERVER distant OPTIONS (relation 'X');
COMMENT ON FOREIGN DATA WRAPPER wrapper IS 'wrapper';
COMMENT ON SERVER distant IS 'server';
COMMENT ON FOREIGN TABLE o.foreign_one IS 'foreign table';
COMMENT ON COLUMN o.foreign_one.t IS 'its column';
GRANT USAGE ON FOREIGN DATA WRAPPER wrapper TO kleidia_reader;
GRANT USAGE ON FOREIGN SERVER distant TO kleidia_reader WITH GRANT OPTION;
GRANT SELECT ON o.foreign_one TO kleidia_reader;

-- Sequences.
CREATE SEQUENCE o.seq AS smallint INCREMENT -3 MINVALUE -100 MAXVALUE 50 START 20 CACHE 4 CYCLE;
CREATE SEQUENCE o.untouched AS bigint;
SELECT nextval('o.seq'), setval('o.untouched', 42, false);
COMMENT ON SEQUENCE o.seq IS 'sequence';
GRANT USAGE, SELECT ON SEQUENCE o.seq TO kleidia_reader;

-- Tables: columns of each kind and their options.
CREATE TABLE o.main (
    id int GENERATED ALWAYS AS IDENTITY (START 5 INCREMENT 2) CONSTRAINT main_key PRIMARY KEY,
    by_default bigint GENERATED BY DEFAULT AS IDENTITY,
    old serial,
    shared int DEFAULT nextval('o.seq'),
    label o.label DEFAULT 'l' UNIQUE,
    mood o.mood[] DEFAULT '{sad,"it''s \"fine\"; \\."}',
    nested o.outer_pair,
    small o.small,
    list o.smalls,
    during o.time_range,
    generated int GENERATED ALWAYS AS (old * 2 + length('a''b')) STORED,
    "Odd ""col"";" varchar(30) COLLATE "C" DEFAULT E'x\ty' NOT NULL,
    doc xml, json jsonb, bits bit varying(9), price numeric(12, 3), net cidr, path ext.ltree,
    vector tsvector, query tsquery, at timestamptz(3), span interval day to second, point point, boxes box,
    gone text,
    CONSTRAINT positive CHECK (old > 0),
    CONSTRAINT loose CHECK (small < 99) NO INHERIT,
    CONSTRAINT two_columns UNIQUE (old, by_default) INCLUDE (id) WITH (fillfactor = 80) DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT apart EXCLUDE USING gist (boxes WITH &&, point WITH ~=) WHERE (old > 5)
) WITH (fillfactor = 70, autovacuum_enabled = off, toast.autovacuum_enabled = off);
INSERT INTO o.main (label, nested, small, list, during, "Odd ""col"";", json, bits, price, net, path, vector, query, at, span, point)
SELECT ('l' || i)::text::cstring::o.label, ROW(ROW(i, 'x"y'), ARRAY[ROW(i, NULL)::o.inner_pair], 'sad', 1.5)::o.outer_pair, i, ARRAY[i, 1], o.time_range('01:00', '02:00'),
       E'row\\\t' || i, '{"a": null}', B'101', i / 3.0, '10.0.0.0/8', 'a.b.c', 'a:1 b', 'a & !b',
       '2026-01-01', '1 day 2:03', point(i, -i)
FROM generate_series(1, 41, 2) i;
INSERT INTO o.main (label, "Odd ""col"";", small)
VALUES ('a', '', 3), ('\N', '\N', 5), ('\.', '\.', 7), (E'\n', E'\\.\n', 9), ('', 'COPY x FROM stdin;', 11);
SET CONSTRAINTS ALL IMMEDIATE;
ALTER TABLE o.main DROP COLUMN gone;
ALTER TABLE o.main ADD later int DEFAULT 3 NOT NULL;
ALTER TABLE o.main ALTER doc SET STORAGE MAIN, ALTER json SET STATISTICS 300, ALTER price SET (n_distinct = -0.5, n_distinct_inherited = 7);
ALTER TABLE o.main ADD CONSTRAINT unchecked CHECK (later < 3) NOT VALID;
ALTER TABLE o.main ADD CONSTRAINT self FOREIGN KEY (later) REFERENCES o.main NOT VALID;
ALTER TABLE o.main ALTER old SET NOT NULL;
ALTER SEQUENCE o.main_old_seq RENAME TO renamed_seq;
COMMENT ON TABLE o.main IS E'a\ttable\\\n-- with; lines';
COMMENT ON COLUMN o.main."Odd ""col"";" IS 'column';
COMMENT ON CONSTRAINT positive ON o.main IS 'constraint';
COMMENT ON CONSTRAINT self ON o.main IS 'foreign key';
CREATE TABLE "Odd ""schema"";"."Odd ""table"" FROM stdin;" ("a;b" int, "c""d" text, ":e" text, "begin" int, "end" text, "'" int);
INSERT INTO "Odd ""schema"";"."Odd ""table"" FROM stdin;" VALUES (1, ':x', ':''y''', 2, '\.', 3);
CREATE TABLE o.no_columns () USING heap2;
CREATE UNLOGGED TABLE o.unlogged (id int, x float4 DEFAULT 'NaN');
INSERT INTO o.unlogged VALUES (1, '-Infinity'), (2, 0.1), (3, '-0');
CREATE TABLE o.typed OF o.inner_pair (a WITH OPTIONS DEFAULT 4 PRIMARY KEY, CHECK (b <> ''));
INSERT INTO o.typed VALUES (1, NULL);
CREATE TABLE o.first (id int PRIMARY KEY, second int);
CREATE TABLE o.second (id int PRIMARY KEY, first int REFERENCES o.first DEFERRABLE);
INSERT INTO o.first VALUES (1, NULL), (2, 1);
INSERT INTO o.second VALUES (1, 2);
UPDATE o.first SET second = 1;
ALTER TABLE o.first ADD CONSTRAINT around FOREIGN KEY (second) REFERENCES o.second ON UPDATE CASCADE ON DELETE SET DEFAULT;
CREATE TABLE o.wide_key (a int, b int, c text, PRIMARY KEY (a, b), UNIQUE (c, a));
CREATE TABLE o.wide_ref (x int, y int, z text, FOREIGN KEY (x, y) REFERENCES o.wide_key MATCH FULL ON DELETE CASCADE,
    FOREIGN KEY (z, x) REFERENCES o.wide_key (c, a) ON DELETE RESTRICT);
GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER ON o.first TO kleidia_reader;
GRANT ALL ON o.second TO kleidia_reader WITH GRANT OPTION;
GRANT SELECT (id, later), INSERT (later), UPDATE ("Odd ""col"";"), REFERENCES (id) ON o.main TO kleidia_reader;
GRANT SELECT ON o.typed TO PUBLIC;
REVOKE ALL ON o.wide_key FROM CURRENT_USER;

-- Inheritance.
CREATE TABLE o.parent (a int DEFAULT 1 NOT NULL CHECK (a > 0), b text);
CREATE TABLE o.other_parent (c int, CONSTRAINT only_here CHECK (c > 1) NO INHERIT);
CREATE TABLE o.child (d int) INHERITS (o.parent, o.other_parent);
CREATE TABLE o.grandchild (a int DEFAULT 9, CHECK (a < 100)) INHERITS (o.child);
ALTER TABLE o.child ALTER a SET DEFAULT 2;
INSERT INTO o.child (b, c, d) VALUES ('x', 3, 4);
INSERT INTO o.grandchild (b) VALUES ('y');
CREATE TABLE o.adopted (b text, a int NOT NULL CONSTRAINT parent_a_check CHECK (a > 0), e int);
ALTER TABLE o.adopted INHERIT o.parent;
CREATE FOREIGN TABLE o.foreign_child () INHERITS (o.parent) SERVER distant;

-- Partitions of each kind, with other orders of columns, keys, indexes and constraints of their own.
CREATE TABLE o.ranged (a int, b text, c timestamptz, gone int, PRIMARY KEY (a, c)) PARTITION BY RANGE (a, c);
ALTER TABLE o.ranged DROP COLUMN gone;
CREATE TABLE o.ranged_1 (gone int, c timestamptz NOT NULL, b text DEFAULT 'own', a int NOT NULL, CONSTRAINT ranged_1_key PRIMARY KEY (a, c));
ALTER TABLE o.ranged_1 DROP COLUMN gone;
ALTER TABLE o.ranged ATTACH PARTITION o.ranged_1 FOR VALUES FROM (MINVALUE, MINVALUE) TO (10, MINVALUE);
CREATE TABLE o.ranged_2 PARTITION OF o.ranged (b DEFAULT 'two' NOT NULL, CONSTRAINT own CHECK (b <> 'z'))
    FOR VALUES FROM (10, MINVALUE) TO (20, MAXVALUE) PARTITION BY LIST (a);
CREATE TABLE o.ranged_2_a PARTITION OF o.ranged_2 FOR VALUES IN (11, 13) WITH (fillfactor = 60);
CREATE TABLE o.ranged_2_rest PARTITION OF o.ranged_2 DEFAULT;
CREATE TABLE o.ranged_rest PARTITION OF o.ranged DEFAULT;
CREATE INDEX ranged_b ON o.ranged (b);
CREATE INDEX ranged_own ON o.ranged_1 (b DESC);
CREATE INDEX ranged_only ON ONLY o.ranged (lower(b));
CREATE UNIQUE INDEX ranged_unique ON o.ranged (c, a, b);
INSERT INTO o.ranged VALUES (1, 'a', '2026-01-01'), (11, 'a', '2026-01-01'), (12, 'b', '2026-01-01'), (99, 'z', '2026-01-01');
CREATE TABLE o.listed (k o.mood, v int, n text) PARTITION BY LIST (k);
CREATE TABLE o.listed_null PARTITION OF o.listed FOR VALUES IN (NULL, 'sad');
CREATE FOREIGN TABLE o.listed_far PARTITION OF o.listed FOR VALUES IN ('ok') SERVER distant;
CREATE UNLOGGED TABLE o.listed_rest PARTITION OF o.listed DEFAULT;
INSERT INTO o.listed VALUES (NULL, 1), ('sad', 2), ('', 3);
CREATE TABLE o.hashed (id int, t text) PARTITION BY HASH (id, (upper(t)) COLLATE "C" text_ops);
CREATE TABLE o.hashed_0 PARTITION OF o.hashed FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE o.hashed_1 PARTITION OF o.hashed FOR VALUES WITH (MODULUS 4, REMAINDER 1);
CREATE TABLE o.hashed_3 PARTITION OF o.hashed FOR VALUES WITH (MODULUS 4, REMAINDER 3);
INSERT INTO o.hashed SELECT i, 't' || i FROM generate_series(1, 40) i;
CREATE TABLE o.to_ranged (a int, c timestamptz, FOREIGN KEY (a, c) REFERENCES o.ranged ON DELETE CASCADE);
INSERT INTO o.to_ranged VALUES (11, '2026-01-01');
SET CONSTRAINTS ALL IMMEDIATE;
CREATE TABLE o.empty_parts (id int, CHECK (id > 0)) PARTITION BY RANGE ((id % 10));
COMMENT ON TABLE o.ranged IS 'partitioned';
COMMENT ON INDEX o.ranged_b IS 'partitioned index';

-- Indexes with each method and clause; statistics.
CREATE INDEX main_btree ON o.main USING btree (small DESC NULLS LAST, "Odd ""col"";" COLLATE o.c text_pattern_ops) WITH (fillfactor = 50);
CREATE INDEX main_hash ON o.main USING hash (label);
CREATE INDEX main_gin ON o.main USING gin (json jsonb_path_ops) WITH (fastupdate = off);
CREATE INDEX main_gist ON o.main USING gist (vector tsvector_ops (siglen = 100));
CREATE INDEX main_spgist ON o.main USING spgist (point);
CREATE INDEX main_brin ON o.main USING brin (at) WITH (pages_per_range = 4);
CREATE INDEX main_own_method ON o.main USING gist2 (boxes);
CREATE INDEX main_expression ON o.main ((small + 1), (lower("Odd ""col"";"))) INCLUDE (old) WHERE small > 3 AND label <> 'x';
ALTER INDEX o.main_expression ALTER COLUMN 1 SET STATISTICS 500;
CREATE UNIQUE INDEX main_identity ON o.main (later, id);
ALTER TABLE o.main REPLICA IDENTITY USING INDEX main_identity;
ALTER TABLE o.main CLUSTER ON main_btree;
CREATE UNIQUE INDEX turned ON o.second (first);
ALTER TABLE o.second ADD CONSTRAINT turned UNIQUE USING INDEX turned;
COMMENT ON INDEX o.main_gin IS 'index';
CREATE STATISTICS o.stat (ndistinct, dependencies) ON small, later FROM o.main;
ALTER STATISTICS o.stat SET STATISTICS 40;
CREATE STATISTICS o.stat_mcv (mcv) ON a, b FROM o.ranged;
COMMENT ON STATISTICS o.stat IS 'statistics';

-- Views: plain, with options, grouped by a key, recursive, that depend on each other, materialized.
CREATE VIEW o.grouped WITH (security_barrier) AS SELECT id, label, mood, during, count(*) AS n FROM o.main GROUP BY id;
CREATE VIEW o.on_grouped AS SELECT id, n FROM o.grouped;
CREATE VIEW o.checked AS SELECT id, later, "Odd ""col"";" FROM o.main WHERE later > 1 WITH CASCADED CHECK OPTION;
ALTER VIEW o.checked ALTER later SET DEFAULT 12;
CREATE RECURSIVE VIEW o.recursive (n) AS VALUES (1) UNION ALL SELECT n + 1 FROM recursive WHERE n < 5;
CREATE VIEW o.odd AS SELECT U&'\0041' AS "a;b", E'it''s \\ \n' AS b, $$d$$ AS c, '\' AS d, B'1' AS e, x.* FROM o.table_of(2) x;
CREATE VIEW o.windowed AS SELECT a, rank() OVER w, o.total(a) FILTER (WHERE a > 1) OVER w FROM o.ranged WINDOW w AS (PARTITION BY b ORDER BY a);
CREATE FUNCTION o.of_view() RETURNS SETOF o.on_grouped LANGUAGE sql AS 'SELECT * FROM o.on_grouped';
CREATE MATERIALIZED VIEW o.materialized WITH (fillfactor = 40) AS SELECT later, count(*) AS n FROM o.main GROUP BY later;
CREATE UNIQUE INDEX materialized_key ON o.materialized (later);
CREATE MATERIALIZED VIEW o.twice AS SELECT * FROM o.materialized UNION ALL SELECT 0, 0;
CREATE MATERIALIZED VIEW o.not_filled AS SELECT id FROM o.grouped WITH NO DATA;
COMMENT ON VIEW o.grouped IS 'view';
COMMENT ON COLUMN o.grouped.n IS 'column of a view';
COMMENT ON MATERIALIZED VIEW o.materialized IS 'materialized';
GRANT SELECT ON o.grouped TO kleidia_reader;
GRANT UPDATE (later) ON o.checked TO kleidia_reader;

-- Rules, triggers, policies.
CREATE RULE note AS ON INSERT TO o.first WHERE new.id < 0 DO ALSO (DELETE FROM o.second WHERE id = new.id; SELECT 'a;b');
CREATE RULE instead AS ON UPDATE TO o.on_grouped DO INSTEAD NOTHING;
CREATE RULE told AS ON INSERT TO o.second DO ALSO NOTIFY noted;
CREATE RULE unused AS ON DELETE TO o.first DO ALSO SELECT 1;
ALTER TABLE o.first DISABLE RULE unused;
COMMENT ON RULE note ON o.first IS 'rule';
CREATE FUNCTION o.fired() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN coalesce(NEW, OLD); END';
CREATE FUNCTION o.fired_all() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER each_row BEFORE INSERT OR DELETE OR UPDATE OF small, "Odd ""col"";" ON o.main FOR EACH ROW
    EXECUTE FUNCTION o.fired('it''s', '\', 'x"y');
CREATE TRIGGER conditional AFTER UPDATE ON o.main FOR EACH ROW WHEN (old.* IS DISTINCT FROM new.*) EXECUTE FUNCTION o.fired();
CREATE TRIGGER transition AFTER UPDATE ON o.main REFERENCING OLD TABLE AS olds NEW TABLE AS news FOR EACH STATEMENT
    EXECUTE FUNCTION o.fired_all();
CREATE TRIGGER emptied BEFORE TRUNCATE ON o.main EXECUTE FUNCTION o.fired_all();
CREATE CONSTRAINT TRIGGER constrained AFTER INSERT ON o.main FROM o.first DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION o.fired();
CREATE TRIGGER of_view INSTEAD OF INSERT ON o.grouped FOR EACH ROW EXECUTE FUNCTION o.fired();
CREATE TRIGGER of_parts AFTER INSERT ON o.ranged FOR EACH ROW EXECUTE FUNCTION o.fired();
CREATE TRIGGER of_foreign AFTER INSERT ON o.foreign_one FOR EACH ROW EXECUTE FUNCTION o.fired();
ALTER TABLE o.main DISABLE TRIGGER conditional, ENABLE ALWAYS TRIGGER each_row, ENABLE REPLICA TRIGGER emptied;
ALTER TABLE o.ranged_1 DISABLE TRIGGER of_parts;
COMMENT ON TRIGGER each_row ON o.main IS 'trigger';
ALTER TABLE o.first ENABLE ROW LEVEL SECURITY;
CREATE POLICY all_rows ON o.first USING (true) WITH CHECK (id > 0);
CREATE POLICY some_rows ON o.first AS RESTRICTIVE FOR UPDATE TO kleidia_reader, kleidia_owner USING (second IS NULL);
CREATE POLICY put ON o.second FOR INSERT TO kleidia_reader WITH CHECK (EXISTS (SELECT FROM o.first f WHERE f.id = first));
COMMENT ON POLICY all_rows ON o.first IS 'policy';

-- Publications.
CREATE PUBLICATION everything FOR ALL TABLES WITH (publish = 'insert, delete', publish_via_partition_root = true);
CREATE PUBLICATION parts FOR TABLE o.main, ONLY o.parent, o.ranged;
CREATE PUBLICATION nobody;
COMMENT ON PUBLICATION parts IS 'publication';

-- Default privileges, rights on what the server itself has.
ALTER DEFAULT PRIVILEGES FOR ROLE kleidia_owner GRANT SELECT, INSERT ON TABLES TO kleidia_reader WITH GRANT OPTION;
ALTER DEFAULT PRIVILEGES FOR ROLE kleidia_owner IN SCHEMA o GRANT ALL ON SEQUENCES TO PUBLIC;
ALTER DEFAULT PRIVILEGES FOR ROLE kleidia_owner REVOKE EXECUTE ON ROUTINES FROM PUBLIC;
ALTER DEFAULT PRIVILEGES FOR ROLE kleidia_owner REVOKE USAGE ON TYPES FROM PUBLIC;
ALTER DEFAULT PRIVILEGES FOR ROLE kleidia_owner GRANT USAGE, CREATE ON SCHEMAS TO kleidia_reader;
REVOKE EXECUTE ON FUNCTION pg_catalog.pg_ls_dir(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pg_catalog.pg_read_file(text) TO kleidia_reader;
REVOKE SELECT ON pg_catalog.pg_roles FROM PUBLIC;
GRANT SELECT (rolname) ON pg_catalog.pg_roles TO kleidia_reader;

-- Large objects.
SELECT lo_from_bytea(100001, decode(repeat('00ff5c27', 5000), 'hex')), lo_create(100002), lo_from_bytea(100003, 'x');
ALTER LARGE OBJECT 100001 OWNER TO kleidia_owner;
GRANT SELECT ON LARGE OBJECT 100001 TO kleidia_reader WITH GRANT OPTION;
COMMENT ON LARGE OBJECT 100002 IS 'an empty one';

-- Owners of each kind that has one.
GRANT CREATE ON SCHEMA o, ext TO kleidia_owner;
GRANT USAGE ON LANGUAGE plother TO kleidia_owner;
ALTER TYPE o.label OWNER TO kleidia_owner;
ALTER TYPE o.mood OWNER TO kleidia_owner;
ALTER TYPE o.text_range OWNER TO kleidia_owner;
ALTER DOMAIN o.smalls OWNER TO kleidia_owner;
ALTER COLLATION o.posix OWNER TO kleidia_owner;
ALTER FUNCTION o.plain(int, text, int[]) OWNER TO kleidia_owner;
ALTER PROCEDURE o.proc(int, text) OWNER TO kleidia_owner;
ALTER AGGREGATE o.total(int) OWNER TO kleidia_owner;
ALTER OPERATOR o.!!@ (NONE, o.label) OWNER TO kleidia_owner;
ALTER OPERATOR FAMILY o.loose USING btree OWNER TO kleidia_owner;
ALTER OPERATOR CLASS o.label_hash USING hash OWNER TO kleidia_owner;
ALTER CONVERSION o.latin OWNER TO kleidia_owner;
ALTER TEXT SEARCH DICTIONARY o.dictionary OWNER TO kleidia_owner;
ALTER TEXT SEARCH CONFIGURATION o.config OWNER TO kleidia_owner;
ALTER SERVER remote OWNER TO kleidia_owner;
ALTER SEQUENCE o.untouched OWNER TO kleidia_owner;
ALTER TABLE o.typed OWNER TO kleidia_owner;
ALTER TABLE o.hashed OWNER TO kleidia_owner;
ALTER FOREIGN TABLE o.foreign_one OWNER TO kleidia_owner;
ALTER VIEW o.recursive OWNER TO kleidia_owner;
ALTER MATERIALIZED VIEW o.not_filled OWNER TO kleidia_owner;
ALTER STATISTICS o.stat_mcv OWNER TO kleidia_owner;
ALTER LANGUAGE plother OWNER TO kleidia_owner;
GRANT CREATE ON SCHEMA public TO kleidia_owner;

-- Event triggers of each event and state, at last.
CREATE FUNCTION o.watched() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
CREATE EVENT TRIGGER starts ON ddl_command_start WHEN TAG IN ('CREATE TABLE', 'DROP FUNCTION') EXECUTE FUNCTION o.watched();
CREATE EVENT TRIGGER ends ON ddl_command_end EXECUTE FUNCTION o.watched();
CREATE EVENT TRIGGER drops ON sql_drop EXECUTE FUNCTION o.watched();
CREATE EVENT TRIGGER rewrites ON table_rewrite EXECUTE FUNCTION o.watched();
ALTER EVENT TRIGGER starts ENABLE ALWAYS;
ALTER EVENT TRIGGER ends ENABLE REPLICA;
ALTER EVENT TRIGGER drops DISABLE;
COMMENT ON EVENT TRIGGER rewrites IS 'event trigger';

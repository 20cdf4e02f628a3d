-- What every supported version has. The roles kleidia_owner and kleidia_reader exist. Sent as one message.
CREATE EXTENSION citext;
CREATE EXTENSION hstore;
CREATE EXTENSION pg_trgm;
CREATE EXTENSION btree_gist;
CREATE SCHEMA app;
COMMENT ON SCHEMA app IS 'it''s the application';
GRANT USAGE ON SCHEMA app TO kleidia_reader, kleidia_owner;

CREATE TYPE app.mood AS ENUM ('sad', 'it''s ok', 'happy; \.');
CREATE TYPE app.pair AS (a int, b text);
CREATE DOMAIN app.positive AS int CHECK (VALUE > 0);
CREATE DOMAIN app.small AS app.positive DEFAULT 7 CONSTRAINT small CHECK (VALUE < 100);
ALTER DOMAIN app.small ADD CONSTRAINT odd CHECK (VALUE % 2 = 1) NOT VALID;
CREATE TYPE app.span AS RANGE (subtype = float8, subtype_diff = float8mi);
CREATE COLLATION app.c (provider = libc, locale = 'C');
CREATE SEQUENCE app.shared INCREMENT 5 MINVALUE -10 MAXVALUE 1000 START 15 CYCLE;
SELECT nextval('app.shared'), nextval('app.shared');

CREATE FUNCTION app.twice(i int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT i * 2';
CREATE FUNCTION app.noted() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    -- a quote ' and a dollar $$ and a semicolon ;
    NEW.note := coalesce(NEW.note, 'none') || '\';
    RETURN NEW;
END
$body$;
CREATE PROCEDURE app.nothing(INOUT x int) LANGUAGE plpgsql AS 'BEGIN x := 1; END';

CREATE TABLE app.people (
    id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name citext NOT NULL UNIQUE,
    mood app.mood DEFAULT 'happy; \.',
    pairs app.pair[],
    n app.small,
    doubled int GENERATED ALWAYS AS (app.twice(n::int)) STORED,
    tags hstore,
    span app.span,
    note text COLLATE app.c,
    "Odd Name;""" text,
    raw bytea,
    at timestamptz DEFAULT '2026-01-01 00:00:00+00'
);
COMMENT ON COLUMN app.people."Odd Name;""" IS E'two\nlines; and a \\ ';
INSERT INTO app.people (name, pairs, n, tags, span, note, "Odd Name;""", raw)
SELECT 'Name ' || i, ARRAY[(i, 'x,"y')::app.pair, NULL], 1 + 2 * (i % 40), hstore('k', i::text), app.span(i, i + 0.1),
       E'a\tb\\.\n\\.\n' || i, CASE WHEN i % 3 = 0 THEN NULL ELSE '' END, sha256(i::text::bytea)
FROM generate_series(1, 200) i;
ALTER TABLE app.people ADD dropped int;
ALTER TABLE app.people DROP dropped;
CREATE INDEX people_trgm ON app.people USING gin (note gin_trgm_ops);
CREATE INDEX people_part ON app.people (app.twice(n::int) DESC NULLS LAST) INCLUDE (mood) WHERE n > 5;
CREATE TRIGGER noted BEFORE INSERT OR UPDATE OF note ON app.people FOR EACH ROW EXECUTE FUNCTION app.noted();
ALTER TABLE app.people ENABLE ALWAYS TRIGGER noted;
CREATE STATISTICS app.people_stat (dependencies, ndistinct, mcv) ON n, mood FROM app.people;
ALTER TABLE app.people ALTER note SET STATISTICS 50, ALTER raw SET STORAGE EXTERNAL, ALTER n SET (n_distinct = 40);
CREATE RULE gone AS ON DELETE TO app.people WHERE old.id < 0 DO INSTEAD NOTHING;
ALTER TABLE app.people ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON app.people AS RESTRICTIVE FOR SELECT TO kleidia_reader USING (n > 3);
GRANT SELECT (id, name), UPDATE (note) ON app.people TO kleidia_reader;

CREATE TABLE app.bookings (
    room int, during tstzrange, person int REFERENCES app.people ON DELETE SET NULL DEFERRABLE INITIALLY DEFERRED,
    EXCLUDE USING gist (room WITH =, during WITH &&)
);
ALTER TABLE app.bookings REPLICA IDENTITY FULL;
INSERT INTO app.bookings SELECT i, tstzrange('2026-01-01', '2026-01-02'), i FROM generate_series(1, 20) i;
SET CONSTRAINTS ALL IMMEDIATE;
ALTER TABLE app.bookings ADD CONSTRAINT later CHECK (room < 10) NOT VALID;
CREATE VIEW app.calm WITH (security_barrier = true) AS
    SELECT id, name, mood, count(*) AS n FROM app.people GROUP BY id;
CREATE VIEW app.no_columns AS SELECT FROM app.people GROUP BY id HAVING length(note) > 0;
CREATE VIEW app.checked AS SELECT id, n FROM app.people WHERE n > 5 WITH LOCAL CHECK OPTION;
CREATE MATERIALIZED VIEW app.moods AS SELECT mood, count(*) AS n FROM app.people GROUP BY mood;
CREATE UNIQUE INDEX moods_key ON app.moods (mood);
CREATE MATERIALIZED VIEW app.empty AS SELECT * FROM app.moods WITH NO DATA;
GRANT SELECT ON app.calm TO kleidia_reader WITH GRANT OPTION;

CREATE TABLE app.logs (at date NOT NULL, kind text, value int, PRIMARY KEY (at, kind)) PARTITION BY RANGE (at);
CREATE TABLE app.logs_old (value int, at date NOT NULL, kind text NOT NULL);
ALTER TABLE app.logs ATTACH PARTITION app.logs_old FOR VALUES FROM (MINVALUE) TO ('2026-01-01');
CREATE TABLE app.logs_new PARTITION OF app.logs FOR VALUES FROM ('2026-01-01') TO (MAXVALUE) PARTITION BY LIST (kind);
CREATE TABLE app.logs_new_a PARTITION OF app.logs_new FOR VALUES IN ('a', 'b');
CREATE TABLE app.logs_new_rest PARTITION OF app.logs_new DEFAULT;
CREATE TABLE app.hashed (id int, PRIMARY KEY (id)) PARTITION BY HASH (id);
CREATE TABLE app.hashed_0 PARTITION OF app.hashed FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE app.hashed_1 PARTITION OF app.hashed FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE TABLE app.refers (at date, kind text, FOREIGN KEY (at, kind) REFERENCES app.logs);
INSERT INTO app.logs SELECT date '2025-06-01' + i * 7, chr(97 + i % 4), i FROM generate_series(1, 60) i;
INSERT INTO app.hashed SELECT generate_series(1, 100);
INSERT INTO app.refers SELECT at, kind FROM app.logs LIMIT 5;
CREATE INDEX ON app.logs (value);

CREATE TABLE app.base (a int DEFAULT 1 CHECK (a > 0), b text);
CREATE TABLE app.derived (c int) INHERITS (app.base);
ALTER TABLE app.derived ALTER a SET DEFAULT 2;
ALTER TABLE app.base REPLICA IDENTITY FULL;
ALTER TABLE app.derived REPLICA IDENTITY FULL;
INSERT INTO app.derived (b, c) VALUES ('x', 3);
CREATE TABLE app.typed OF app.pair (PRIMARY KEY (a));
CREATE UNLOGGED TABLE app.fleeting (id serial, x float8 DEFAULT 'NaN');
INSERT INTO app.fleeting (x) VALUES (1e-300), ('Infinity'), (0.1 + 0.2::float8);
CREATE TABLE app.nocolumns ();
CREATE TABLE app.theirs (id int PRIMARY KEY, secret text);
INSERT INTO app.theirs VALUES (1, 'x');
ALTER TABLE app.theirs OWNER TO kleidia_owner;
ALTER TABLE app.theirs ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;

CREATE AGGREGATE app.total(int) (SFUNC = int4pl, STYPE = int, INITCOND = '0');
CREATE OPERATOR app.@+ (LEFTARG = int, RIGHTARG = int, FUNCTION = int4pl, COMMUTATOR = OPERATOR(app.@+));
CREATE CAST (app.pair AS text) WITH INOUT;
CREATE TEXT SEARCH CONFIGURATION app.plain (COPY = simple);
CREATE FUNCTION app.watch() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
CREATE EVENT TRIGGER watch ON ddl_command_end WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION app.watch();
ALTER EVENT TRIGGER watch DISABLE;
CREATE PUBLICATION part FOR TABLE app.base, app.derived WITH (publish = 'insert, update');
CREATE FOREIGN DATA WRAPPER dummy;
CREATE SERVER far FOREIGN DATA WRAPPER dummy OPTIONS (host 'it''s far');
CREATE USER MAPPING FOR kleidia_reader SERVER far OPTIONS (password 'secret');
CREATE FOREIGN TABLE app.far (id int OPTIONS (name 'x'), n text DEFAULT 'd') SERVER far;
ALTER DEFAULT PRIVILEGES FOR ROLE kleidia_owner IN SCHEMA app GRANT SELECT ON TABLES TO kleidia_reader;
ALTER DEFAULT PRIVILEGES FOR ROLE kleidia_owner REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;

SELECT lo_from_bytea(4711, convert_to(repeat('large ', 20000), 'UTF8')), lo_create(4712);
ALTER LARGE OBJECT 4711 OWNER TO kleidia_owner;
GRANT SELECT, UPDATE ON LARGE OBJECT 4711 TO kleidia_reader;
COMMENT ON LARGE OBJECT 4712 IS 'an empty one';

CREATE TABLE audit_logs (id bigint GENERATED BY DEFAULT AS IDENTITY, action text);
INSERT INTO audit_logs (action) VALUES ('login'), ('logout');
CREATE TABLE backup_jobs (id serial PRIMARY KEY, status app.mood, person int REFERENCES app.people);
INSERT INTO backup_jobs (status, person) VALUES ('sad', 1), ('it''s ok', 200);
COMMENT ON TABLE backup_jobs IS 'history';
CREATE FUNCTION app.is_tiny(int) RETURNS bool LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN $1 < 9; END';
CREATE DOMAIN app.tiny AS int CHECK (app.is_tiny(VALUE));
CREATE TABLE app.tinies (one app.tiny CHECK (app.is_tiny(one)), more app.tiny[]);
INSERT INTO app.tinies VALUES (1, '{2,3}');

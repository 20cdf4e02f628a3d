"""Schemas as people have them: restored into an empty database and over themselves, the dump is the same text."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.anyio

ODD = '"Ünï; \'cöde\' ""q"""'
SCHEMAS: dict[str, tuple[str, ...]] = {
    "foreign key cycles": (
        "CREATE TABLE a (id int PRIMARY KEY, b int)",
        "CREATE TABLE b (id int PRIMARY KEY, a int REFERENCES a, self int REFERENCES b)",
        "ALTER TABLE a ADD FOREIGN KEY (b) REFERENCES b DEFERRABLE INITIALLY DEFERRED",
        "INSERT INTO a VALUES (1, NULL)",
        "INSERT INTO b VALUES (1, 1, 1)",
        "UPDATE a SET b = 1",
    ),
    "partitions": (
        "CREATE TABLE users (id int PRIMARY KEY)",
        "INSERT INTO users VALUES (1)",
        "CREATE TABLE events (id bigserial, at date, who int REFERENCES users, what text) PARTITION BY RANGE (at)",
        "ALTER TABLE events ADD PRIMARY KEY (id, at)",
        "CREATE TABLE events_2025 PARTITION OF events FOR VALUES FROM ('2025-01-01') TO ('2026-01-01')",
        "CREATE TABLE ev_26 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO (MAXVALUE) PARTITION BY LIST (at)",
        "CREATE TABLE events_rest PARTITION OF ev_26 DEFAULT",
        "CREATE TABLE events_none PARTITION OF events DEFAULT",
        "CREATE INDEX ON events (what)",
        "CREATE FUNCTION t() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
        "CREATE TRIGGER t BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION t()",
        "ALTER TABLE events ADD CONSTRAINT uni UNIQUE (at, what)",
        "INSERT INTO events (at, who, what) SELECT '2024-12-30'::date + n, 1, n FROM generate_series(1, 800) AS n",
        "CREATE TABLE notes (id bigint, at date, FOREIGN KEY (id, at) REFERENCES events)",
        "INSERT INTO notes SELECT id, at FROM events WHERE id < 5",
    ),
    "inheritance": (
        "CREATE TABLE base (id int CHECK (id > 0), name text)",
        "CREATE TABLE child (extra int) INHERITS (base)",
        "INSERT INTO base VALUES (1, 'b')",
        "INSERT INTO child VALUES (2, 'c', 3)",
    ),
    "types": (
        "CREATE TYPE mood AS ENUM ('glad', 'it''s')",
        "CREATE DOMAIN mail AS text CHECK (VALUE LIKE '%@%') NOT NULL",
        "CREATE TYPE pair AS (a int, b mood)",
        "CREATE TYPE span AS RANGE (subtype = float8)",
        "CREATE COLLATION nat (provider = builtin, locale = 'C.UTF-8')",
        "CREATE TABLE t (m mood, e mail DEFAULT 'a@b', p pair, s span, c text COLLATE nat)",
        "ALTER TABLE t ADD COLUMN g int GENERATED ALWAYS AS (1) STORED, ADD COLUMN v text GENERATED ALWAYS AS (c || c)",
        "INSERT INTO t VALUES ('it''s', 'x@y', '(1,glad)', '[1,2)', 'a10')",
    ),
    "views and functions": (
        "CREATE TABLE t (id int PRIMARY KEY, n int)",
        "INSERT INTO t VALUES (1, 2), (2, 4)",
        "CREATE VIEW v AS SELECT t.*, count(*) FROM t GROUP BY id",
        "CREATE VIEW w WITH (security_barrier) AS SELECT * FROM v WHERE n > 1",
        "CREATE MATERIALIZED VIEW m AS SELECT sum(n) FROM w",
        "CREATE UNIQUE INDEX ON m (sum)",
        "CREATE FUNCTION f(t) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT true'",
        "ALTER TABLE t ADD CHECK (f(t))",
        "CREATE FUNCTION g() RETURNS SETOF w LANGUAGE sql BEGIN ATOMIC SELECT * FROM w; END",
        "CREATE PROCEDURE p() LANGUAGE plpgsql AS $x$ BEGIN\nCOMMIT;\n/* COPY t FROM stdin;\n\\.\n */ END $x$",
        "CREATE AGGREGATE total (int) (sfunc = int4pl, stype = int)",
        "CREATE OPERATOR === (leftarg = int, rightarg = int, function = int4eq)",
        "CREATE RULE r AS ON DELETE TO t DO ALSO (SELECT 1; SELECT 2)",
        "CREATE EVENT TRIGGER e ON ddl_command_end EXECUTE FUNCTION ev()",
    ),
    "extensions": (
        "CREATE SCHEMA ext",
        "CREATE EXTENSION hstore SCHEMA ext",
        "CREATE EXTENSION citext",
        "CREATE TABLE t (id uuid DEFAULT gen_random_uuid(), c citext PRIMARY KEY, h ext.hstore DEFAULT 'a=>1')",
        "INSERT INTO t (c) VALUES ('A')",
    ),
    "large objects": (
        "SELECT lo_from_bytea(n::oid, decode(repeat('00ff27', 1500), 'hex')) FROM generate_series(9001, 9010) AS n",
        "COMMENT ON LARGE OBJECT 9001 IS 'one'",
        "CREATE TABLE t (id oid)",
        "INSERT INTO t VALUES (9001)",
    ),
    "row security and grants": (
        "CREATE TABLE t (id int)",
        "INSERT INTO t VALUES (1)",
        "ALTER TABLE t ENABLE ROW LEVEL SECURITY",
        "ALTER TABLE t FORCE ROW LEVEL SECURITY",
        "CREATE POLICY p ON t USING (id > 0)",
        "GRANT SELECT (id), INSERT ON t TO PUBLIC",
        "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO PUBLIC",
        "ALTER DEFAULT PRIVILEGES GRANT INSERT ON TABLES TO PUBLIC",
        "ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC",
        "CREATE TABLE u (id int)",
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "GRANT EXECUTE ON FUNCTION f TO PUBLIC",
        "REVOKE ALL ON SCHEMA public FROM PUBLIC",
        "CREATE SCHEMA s",
        "GRANT USAGE ON SCHEMA s TO PUBLIC",
        "CREATE TABLE s.later (id int)",
    ),
    "names": (
        f"CREATE SCHEMA {ODD}",
        f'CREATE TABLE {ODD}."t\n-- Name: x; Type: TABLE\n\\." ("COMMIT;" int PRIMARY KEY, "$$ \\" text)',
        f"INSERT INTO {ODD}.\"t\n-- Name: x; Type: TABLE\n\\.\" VALUES (1, E'\\\\.\\n\\\\N\\t\\r\\b')",
        f"COMMENT ON SCHEMA {ODD} IS E'it''s\\n\\\\! true\\nCOMMIT;\\nBEGIN;'",
    ),
    "rest": (
        "CREATE TABLE t (id int GENERATED BY DEFAULT AS IDENTITY (START 7 INCREMENT 3), a int, b int)",
        "INSERT INTO t (a, b) SELECT n, n FROM generate_series(1, 10) AS n",
        "CREATE STATISTICS st ON a, b FROM t",
        "CREATE PUBLICATION pub FOR TABLE t WHERE (a > 1)",
        "CREATE UNLOGGED TABLE u (id int)",
        "CREATE SEQUENCE s START 5 CYCLE MAXVALUE 9",
        "SELECT nextval('s')",
        "CREATE TEXT SEARCH CONFIGURATION ts (COPY = simple)",
        "CREATE FOREIGN DATA WRAPPER fdw",
        "CREATE SERVER srv FOREIGN DATA WRAPPER fdw",
        "CREATE USER MAPPING FOR PUBLIC SERVER srv OPTIONS (password 'it''s; COMMIT;')",
        "CREATE FOREIGN TABLE ft (id int) SERVER srv",
    ),
}
EVENT = "CREATE FUNCTION ev() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'"


@pytest.mark.parametrize("kind", SCHEMAS)
async def test_the_copy_is_the_same_text(db: Any, other: Any, kind: str) -> None:
    """Whatever the schema holds."""
    db.execute(EVENT, *SCHEMAS[kind])
    original = db.text()
    chunks = await db.dump()
    session = await other.restore(chunks)
    assert other.text() == original
    assert session.report.warnings == []
    session = await db.restore(chunks)
    assert db.text() == original
    assert session.report.warnings == []


async def test_a_row_of_100_megabytes(db: Any, other: Any) -> None:
    """One line of 200 MB in the dump: it passes in chunks and comes back byte for byte."""
    db.execute(
        "CREATE TABLE t (id int, data bytea)",
        "INSERT INTO t SELECT 1, decode(repeat(md5('x') || '00ff275c', 5242880), 'hex')",
    )
    await other.restore(await db.dump())
    question = "SELECT octet_length(data), md5(data) FROM t"
    assert other.query(question) == db.query(question)
    assert other.value("SELECT octet_length(data) FROM t") == 104_857_600
